"""plan.json: written, read, edited by hand, and broken in every way that JSON allows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.errors import PlanError
from pipeline.plan import Plan, PlanVideo, read_plan
from pipeline.settings import Settings
from pipeline.types import Clip, Focus, Interval, Scene, ScoredSegment, ScorerInfo

KEYS = {"version", "video", "settings", "scorer", "scenes", "segments", "curve", "clips", "timings_s", "warnings",
        "focus", "phrases"}


def a_plan() -> Plan:
    """A plan with something everywhere."""
    return Plan(
        video=PlanVideo("/videos/a.mp4", "ab" * 32, 20.0, 25.0, 640, 360, 0, True),
        clips=(Clip(1.02, 4.02, 0.9, "a goal", "loud"), Clip(10.0, 12.5, None, "", "")),
        settings=Settings().to_json(), scorer=ScorerInfo("signals"), scenes=(Scene(0, 9), Scene(9, 20)),
        segments=(ScoredSegment(0, 9, 0.7, {"motion": 0.5}, "x"), ScoredSegment(9, 20, 0.2, {}, "y")),
        curve=(0.1, 0.9), timings_s={"scan": 1.5}, warnings=("careful",),
        focus=Focus(0.5, ((0.5, 0.25, 0.125, 1.0), (0.3, 0.4, 0.0, 0.6)), (0.75, 0.0)),
        phrases=(Interval(1.5, 3.25), Interval(3.5, 4.0)))


def written(tmp_path: Path, change: dict[str, Any] | None = None) -> Path:
    """plan.json with some keys changed by hand."""
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**a_plan().to_json(), **(change or {})}))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    a_plan().write(tmp_path / "plan.json")
    again = read_plan(tmp_path / "plan.json")
    assert replace(again, document={}) == a_plan()
    assert set(again.to_json()) == KEYS and again.duration_s == pytest.approx(5.5)
    assert Settings.from_json(again.settings) == Settings()
    assert not list(tmp_path.glob(".*"))


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    document = a_plan().to_json() | {"editor": {"colour": "red"}}
    document["video"]["camera"] = "GoPro"
    document["clips"][1]["note"] = "keep me"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    plan = read_plan(path)
    swapped = replace(plan, clips=plan.clips[::-1], timings_s={"render": 2.0}).to_json()
    assert swapped["editor"] == {"colour": "red"} and swapped["video"]["camera"] == "GoPro"
    assert swapped["clips"][0]["note"] == "keep me" and "note" not in swapped["clips"][1]
    assert swapped["timings_s"]["render"] == 2.0


def test_a_plan_by_hand_needs_only_bounds(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"version": 1, "video": {"path": "a.mp4"}, "clips": [{"start_s": 1, "end_s": 2}]}')
    plan = read_plan(path)
    assert plan.video.path == str(tmp_path / "a.mp4") and plan.clips == (Clip(1, 2, None, "", ""),)


@pytest.mark.parametrize(("change", "says"), [
    ({"version": 2}, "version is 2"),
    ({"video": {"path": ""}}, "video.path"),
    ({"video": 3}, "video is int"),
    ({"clips": {}}, "clips is dict"),
    ({"clips": [{"start_s": 5, "end_s": 4}]}, r"clips\[0\] goes from 5 to 4 s"),
    ({"clips": [{"start_s": -1, "end_s": 4}]}, r"clips\[0\]"),
    ({"clips": [{"start_s": 1}]}, r"clips\[0\].end_s is None"),
    ({"clips": [{"start_s": "1", "end_s": 2}]}, r"clips\[0\].start_s is '1'"),
    ({"clips": [{"start_s": True, "end_s": 2}]}, "must be a number"),
    ({"clips": [{"start_s": 1, "end_s": 10**400}]}, "must be a number"),
    ({"unknown": float("nan")}, "NaN is not allowed"),
    ({"phrases": [[1, 2, 3]]}, r"phrases\[0\] has 3 entries"),
    ({"phrases": [[2, 1]]}, r"phrases\[0\] goes from 2 to 1 s"),
    ({"focus": []}, "focus is list"),
    ({"focus": {"boxes": []}}, "focus.step_s is None"),
    ({"focus": {"step_s": 0, "boxes": []}}, "focus.step_s is 0 and must be 0.01 or more"),
    ({"focus": {"step_s": 1}}, "focus.boxes is NoneType"),
    ({"focus": {"step_s": 1, "boxes": [[0, 0, 0]]}}, r"focus.boxes\[0\] has 3 entries"),
    ({"focus": {"step_s": 1, "boxes": [[0, 0, 0, 1.5]]}}, r"focus.boxes\[0\]\[3\] is 1.5 and must lie between 0 and 1"),
    ({"focus": {"step_s": 1, "boxes": [[0, 0, "a", 1]]}}, r"focus.boxes\[0\]\[2\] is 'a'"),
    ({"focus": {"step_s": 1, "boxes": [[0, 0, 0, 1]], "weights": []}}, "focus.weights has 0 entries"),
    ({"focus": {"step_s": 1, "boxes": [[0, 0, 0, 1]], "weights": [-1]}}, r"focus.weights\[0\] is -1"),
])
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says) as caught:
        read_plan(written(tmp_path, change))
    assert str(caught.value).startswith("plan.json: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": 1}', b"null"])
def test_what_is_no_plan(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(PlanError):
        read_plan(path)


def test_text_that_is_no_text_survives(tmp_path: Path) -> None:
    plan = replace(a_plan(), video=replace(a_plan().video, path="/videos/bad\udcff.mp4"))
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json").video.path == "/videos/bad\udcff.mp4"


def test_null_is_no_text(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, {"clips": [{"start_s": 1, "end_s": 2, "description": None}]}))
    assert plan.clips[0].description == ""


def test_focus_may_be_absent_and_its_weights_too(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, {"focus": None}))
    assert plan.focus is None
    assert "focus" not in replace(a_plan(), focus=None).to_json()
    plan = read_plan(written(tmp_path, {"focus": {"step_s": 1, "boxes": [[0.1, 0.2, 0.3, 0.4]]}}))
    assert plan.focus == Focus(1.0, ((0.1, 0.2, 0.3, 0.4),), (1.0,))


def test_rendering_is_given_only_what_it_reads() -> None:
    plan = replace(a_plan(), document={"editor": "mine"}).with_notes(render={"way": "mixed"})
    lean = plan.for_rendering()
    assert lean.segments == () and lean.document == {"notes": {"render": {"way": "mixed"}}}
    assert replace(lean, segments=plan.segments, document=plan.document) == plan
    assert a_plan().for_rendering().document == {}


def test_focus_is_written_to_the_thousandth() -> None:
    plan = replace(a_plan(), focus=Focus(0.5, ((1 / 3, 0.0, 1.0, 2 / 3),), (0.12345,)))
    assert plan.to_json()["focus"] == {"step_s": 0.5, "boxes": [[0.333, 0.0, 1.0, 0.667]], "weights": [0.123]}


def test_a_missing_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="can't be read"):
        read_plan(tmp_path / "gone.json")


JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=8)


@hypothesis_settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(sorted(KEYS)), value=JSON)
def test_any_value_anywhere_is_a_plan_or_a_plan_error(tmp_path_factory: pytest.TempPathFactory, key: str,
                                                      value: Any) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        read_plan(written(folder, {key: value})).to_json()
    except PlanError as error:
        assert "\n" not in str(error)
