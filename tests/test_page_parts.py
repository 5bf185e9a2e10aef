"""What the page shows and forgets, tested without a browser."""

from __future__ import annotations

import importlib.util
import os
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app import cards, edits, forms, telling, timeline
from app.desk import correct
from app.programs import _harmless
from app.serving import forget_old
from app.ui import launch
from pipeline import Clip, Plan, Settings, SettingsError
from pipeline.plan import PlanVideo
from pipeline.types import Glance, Scene, ScoredSegment

EVIL = '"><img src=x onerror=alert(1)>`${1}`{{2}}'


class Reader(HTMLParser):
    """Tags with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_first_look_lies_along_the_video() -> None:
    seen = Glance((1.0, 30.0, 58.0), (b"a", b"b", b"c"), (15.0,))
    read = Reader(timeline.first_look(seen, 60))
    pictures = [given["src"] for tag, given in read.tags if tag == "img"]
    uris = [f"data:image/jpeg;base64,{letter}" for letter in ("YQ==", "Yg==", "Yw==")]
    assert pictures == sorted(pictures) and set(pictures) == set(uris)
    assert [given["style"] for tag, given in read.tags if tag == "i"] == ["left:25.00%"]
    assert "3 pictures of it; scenes may begin at the marks" in read.text and "0:50" in read.text
    assert "marks" not in Reader(timeline.first_look(replace(seen, marks_s=()), 60)).text


def plan_with(clips: list[tuple[float, float]], words: str = "a goal") -> Plan:
    segments = tuple(ScoredSegment(5.0 * i, 5.0 * i + 5, 0.1 * i, {"motion": 0.1 * i}, words) for i in range(6))
    return Plan(PlanVideo("a.mp4", None, 30.0, 25.0, 640, 360, 0, True),
                tuple(Clip(a, b, 0.5, words, words) for a, b in clips), Settings(target_s=12).to_json(),
                scenes=tuple(Scene(s.start_s, s.end_s) for s in segments), segments=segments,
                curve=tuple(i / 30 for i in range(30)))


def test_words_from_outside_never_become_tags() -> None:
    plan = plan_with([(1, 4), (6, 9)], EVIL)
    drawn = [cards.strip(plan.clips, plan.segments, (), 30, 0.5), cards.alternatives([(0, plan.segments[0])], ()),
             cards.found(plan.segments, 6, ()), cards.trouble(EVIL, EVIL, EVIL), cards.notes([(EVIL, EVIL)]),
             cards.video_facts(EVIL, "", [EVIL]), cards.original(EVIL, EVIL), cards.said(EVIL),
             cards.progress(EVIL, 0.5, EVIL, EVIL, ()), timeline.bands(plan.clips, 30), timeline.story(plan, (), 30)]
    for text in drawn:
        read = Reader(text)
        assert not [1 for tag, given in read.tags if "onerror" in given or given.get("src") == "x"]
        assert "onerror" in read.text or "onerror" in str(read.tags)


def test_what_a_clip_cannot_do_is_marked_so() -> None:
    plan = plan_with([(0, 0.5), (6, 9)])
    read = Reader(cards.strip(plan.clips, plan.segments, (), 9.04, 0.5))
    off = {given["aria-label"] for tag, given in read.tags if given.get("aria-disabled")}
    assert off == {"Move clip 1 earlier", "Move clip 2 later", "Start of clip 1 a tenth of a second earlier",
                   "Start of clip 1 a tenth of a second later", "End of clip 1 a tenth of a second earlier",
                   "End of clip 2 a tenth of a second later"}
    assert "Nothing is left" in cards.strip((), plan.segments, (), 30, 0.5)


def test_the_timeline_spans_the_video() -> None:
    plan = plan_with([(6, 9)])
    figure = timeline.figure(plan, 30.0)
    assert figure.layout.xaxis.range == (0, 30.0)
    assert (figure.data[0].x[0], figure.data[0].x[-1]) == (0.0, 30.0)
    assert [x for x in figure.data[1].x if x is not None][::2] == [5, 10, 15, 20, 25]
    assert timeline.tick_times(30) == [0, 5, 10, 15, 20, 25]
    assert all(len(timeline.tick_times(10 ** (i / 10))) <= 8 for i in range(50))
    long = replace(plan, curve=tuple([0.5] * 20_000))
    assert len(timeline.curve_points(long, 20_000.0)[0]) < 700
    band = next(given for tag, given in Reader(timeline.bands(plan.clips, 30.0)).tags if "data-play" in given)
    assert "left:20.000%;width:10.000%" in (band["style"] or "")


def test_lengths_and_sizes_as_people_say_them() -> None:
    assert [telling.long(s) for s in (4.26, 42, 60, 185, 4800)] == ["4.3 s", "42 s", "1 min", "3 min 5 s", "1 h 20 min"]
    assert [telling.size(b) for b in (800, 2.4e6, 4.2e9)] == ["1 kB", "2 MB", "4.2 GB"]


def test_notes_are_for_people() -> None:
    said = telling.notes(["scored by what can be measured in picture and sound, since X", "a thing; --render encode"])
    assert said[0][0].startswith("Picked by picture and sound alone") and said[0][1].endswith("since X")
    assert said[1] == ("A thing.", "")


def test_a_model_of_the_machines_own_only_for_its_people(tmp_path: Path) -> None:
    given = {"target_s": 20, "preset": "sports", "query": "  ", "model": str(tmp_path), "exports": ["csv"]}
    settings = forms.settings_from(given, any_model=True)
    assert (settings.target_s, settings.query, settings.export, settings.min_clip_s) == (20, None, ("csv",), 3.0)
    with pytest.raises(SettingsError, match="not offered"):
        forms.settings_from(given)


def test_a_plan_from_outside_names_no_other_files() -> None:
    settings = {**Settings().to_json(), "model": "/etc", "export": ["html"]}
    settings["style"] = {**settings["style"], "music": "/etc/passwd", "font": "/etc/hosts", "title": "Ours"}
    plan = _harmless(replace(plan_with([(1, 4)]), settings=settings), Path("/given/b.mp4"))
    clean = Settings.from_json(plan.settings)
    assert (clean.model, clean.export, clean.style.music, clean.style.font, clean.style.title) == (
        None, (), None, None, "Ours")
    assert plan.video.path == "/given/b.mp4"


def click(act: str, card: tuple[float, float], **more: object) -> dict[str, object]:
    """What the page tells of a button on a card that shows a stretch of the video."""
    return {"act": act, "index": 0, "start": card[0], "end": card[1], **more}


@pytest.mark.parametrize("wanted", [{}, {"act": "leave", "index": 0}, click("fly", (1, 4)), click("leave", (4, 6)),
                                    click("leave", (4, 1)), click("start", (1, 4)), click("take", (1, 4), index=99),
                                    click("end-by", (1, 4), by="x"), click("end", (1, 4), value=float("nan"))])
def test_senseless_corrections_change_nothing(wanted: dict[str, object]) -> None:
    with pytest.raises(edits.EditError):
        correct(edits.begin(plan_with([(1, 4), (6, 9)])), wanted)


def test_a_second_click_on_a_card_is_about_the_same_clip() -> None:
    begun = edits.begin(plan_with([(1, 4), (6, 9), (11, 14)]))
    first = correct(correct(begun, click("earlier", (11, 14))), click("earlier", (11, 14)))
    assert [clip.start_s for clip in first.clips] == [11, 1, 6]
    longer = correct(correct(begun, click("start-by", (6, 9), by=-0.5)), click("start-by", (6, 9), by=-0.5))
    assert [clip.start_s for clip in longer.clips] == [1, 5, 11]
    gone = correct(begun, click("leave", (6, 9)))
    with pytest.raises(edits.EditError, match="gone already"):
        correct(gone, click("leave", (6, 9)))


def test_mcp_without_its_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "mcp" else found(name, *more))
    with pytest.raises(SettingsError, match=r"install it with: pip install 'gradio\[mcp\]'"):
        launch(mcp=True)


def test_old_uploads_go_and_runs_stay(tmp_path: Path) -> None:
    for name in ("tmphalf", "abc/old.mp4", "runs/x/video.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    forget_old(tmp_path, time.time() - 60)
    assert (tmp_path / "tmphalf").exists() and (tmp_path / "abc" / "old.mp4").exists()
    forget_old(tmp_path, time.time() + 60)
    assert sorted(os.listdir(tmp_path)) == ["runs"]
    assert (tmp_path / "runs" / "x" / "video.mp4").exists()
