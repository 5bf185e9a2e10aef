"""What a machine does for one video, with every address in memory: no step needs another's disk."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pipeline import Settings, make_reel, read_plan
from pipeline.batch.shared import Execution, SharedStore, journal, twice
from pipeline.batch.storage import Place
from pipeline.batch.tasks import Scanned, Work, render_step, scan_step, score_step
from pipeline.batch.work import DONE, FAILED, SKIPPED, Item, Outcome
from pipeline.cache import open_cache, sharing
from pipeline.progress import CancelToken
from tests.making import story
from tests.smolvlm2_support import TINY, nearly_same

STILL = CancelToken()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute."""
    return story(tmp_path_factory.mktemp("video") / "match 1.mp4", loud=range(8, 13))


def work_in(root: str, video: Path, tmp_path: Path, **given: object) -> Work:
    """A video in memory, and folders there."""
    source = Place(f"{root}/films/{video.name}")
    source.put(video, STILL)
    settings = Settings(**{"target_s": 6, "scorer": "signals", "cache_dir": tmp_path / "cache",  # type: ignore[arg-type]
                           "export": ("srt",), **given})
    return Work(Item(source.url, "match 1", video.name), f"{root}/reels", f"{root}/stages", settings, False, 20.0)


def on(work: Work, folder: Path) -> Work:
    """The same work on another machine."""
    return replace(work, settings=replace(work.settings, cache_dir=folder))


@pytest.fixture
def root() -> str:
    """An empty place in memory."""
    return f"memory://{uuid.uuid4().hex}"


def done(root: str) -> list[tuple[str, str]]:
    """Who did what."""
    return sorted((one.stage, one.worker) for one in journal(Place(f"{root}/stages"), STILL) if one.done)


def test_three_machines_make_the_reel_that_one_makes(root: str, video: Path, tmp_path: Path) -> None:
    work = work_in(root, video, tmp_path, scorer="smolvlm2", model=str(TINY), device="cpu")
    scanned = scan_step(on(work, tmp_path / "a"), "a", STILL)
    assert isinstance(scanned, Scanned) and scanned.plan is None
    chosen = score_step(on(work, tmp_path / "b"), scanned, "b", STILL)
    assert isinstance(chosen, Scanned) and chosen.plan is not None
    outcome = render_step(on(work, tmp_path / "c"), chosen, "c", STILL)
    assert (outcome.state, outcome.message, outcome.worker) == (DONE, "", "c")
    assert done(root) == [("render", "c"), ("scan", "a"), ("score", "b")]

    alone = make_reel(video, replace(work.settings, cache_dir=tmp_path / "alone"), tmp_path / "out")
    assert nearly_same(outcome.clips, alone.plan.clips) and outcome.reel_s == pytest.approx(alone.reel.duration_s)
    assert outcome.reel == f"{root}/reels/match 1/reel.mp4"
    found = Place(f"{root}/reels").files(STILL)
    assert [one.name for one in found] == ["match 1/plan.json", "match 1/reel.mp4", "match 1/reel.srt"]
    assert set(outcome.exports) == {f"{root}/reels/match 1/reel.srt"}
    plan = read_plan(Place(found[0].url).fetch(tmp_path / "plan.json", STILL))
    # Beside the video, it can be rendered again.
    assert plan.video.path == str(tmp_path / "match 1.mp4") and plan.document["notes"]["source"] == work.item.source
    assert plan.scorer is not None and plan.scorer.name == "smolvlm2"
    with av.open(str(Place(outcome.reel).fetch(tmp_path / "got.mp4", STILL))) as container:
        assert len(list(container.decode(video=0))) == pytest.approx(25 * outcome.reel_s, abs=2)
    # Nothing of what was fetched stays.
    assert not list(tmp_path.rglob("match 1.mp4"))


def test_what_is_done_is_not_done_again(root: str, video: Path, tmp_path: Path) -> None:
    work = work_in(root, video, tmp_path)
    scanned = scan_step(work, "a", STILL)
    assert isinstance(scanned, Scanned)
    assert render_step(work, scanned, "a", STILL).state == DONE
    # A worker that was taken for lost comes late; and a second run comes.
    assert render_step(on(work, tmp_path / "b"), scanned, "b", STILL).state == DONE
    again = scan_step(on(work, tmp_path / "c"), "c", STILL)
    assert isinstance(again, Outcome) and again.state == SKIPPED and again.clips and again.reel
    assert done(root) == [("render", "a"), ("scan", "a"), ("score", "a")]

    # Other settings go on from what they share; a reel that was deleted is rendered again.
    other = replace(on(work, tmp_path / "d"), settings=work.settings.with_given(target_s=4.0, cache_dir=tmp_path / "d"))
    fresh = scan_step(other, "d", STILL)
    assert isinstance(fresh, Scanned) and render_step(other, fresh, "d", STILL).state == DONE
    assert done(root) == [("render", "a"), ("render", "d"), ("scan", "a"), ("score", "a")]
    Place(f"{root}/reels/match 1/reel.mp4").delete(STILL)
    assert isinstance(scan_step(other, "e", STILL), Scanned)


def test_a_video_that_changes_meanwhile(root: str, video: Path, tmp_path: Path) -> None:
    work = work_in(root, video, tmp_path)
    scanned = scan_step(work, "a", STILL)
    assert isinstance(scanned, Scanned)
    Place(work.item.source).write(video.read_bytes() + b"more", STILL)
    outcome = render_step(work, scanned, "a", STILL)
    assert (outcome.state, outcome.message) == (FAILED, "has changed since it was scanned; run the command again")


@pytest.mark.parametrize(("content", "said"), [(b"no film at all", "is a text file"), (None, "there is no such file")])
def test_what_cannot_be_read(root: str, video: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    work = work_in(root, video, tmp_path)
    if content is None:
        Place(work.item.source).delete(STILL)
    else:
        Place(work.item.source).write(content, STILL)
    outcome = scan_step(work, "a", STILL)
    assert isinstance(outcome, Outcome) and outcome.state == FAILED and not outcome.fault
    assert said in outcome.message and "\n" not in outcome.message


def test_a_torn_result_is_made_again(root: str, tmp_path: Path) -> None:
    def made(cache: str, text: str) -> str:
        with (sharing(SharedStore(Place(root), STILL, cache)),
              open_cache(Settings(cache_dir=tmp_path / cache)) as opened):
            return opened.get("scan", "ab" * 32, lambda folder: (folder / "f").read_text(),
                              lambda folder: (folder / "f").write_text(text))[0]

    assert made("a", "first") == "first" and made("b", "second") == "first"
    packed = Place(root).child("scan", f"{'ab' * 32}.tar")
    data = packed.read(STILL) or b""
    packed.write(data[:len(data) // 2], STILL)
    assert made("c", "third") == "third" and made("d", "fourth") == "third"
    packed.write(data.replace(b"first", b"fir5t"), STILL)
    assert made("e", "fifth") == "fifth"
    assert sorted(one.worker for one in journal(Place(root), STILL)) == ["a", "c", "e"]


def test_what_one_machine_had_before_is_shared(root: str, video: Path, tmp_path: Path) -> None:
    work = work_in(root, video, tmp_path)
    assert isinstance(scan_step(work, "a", STILL), Scanned)
    elsewhere = replace(work, store=f"{root}/other")
    assert isinstance(scan_step(elsewhere, "a", STILL), Scanned)
    names = {one.name.split("/")[0] for one in Place(elsewhere.store).files(STILL)}
    assert names == {"scan", "score"} and journal(Place(elsewhere.store), STILL) == []


def test_twice_passes_over_what_was_lost() -> None:
    one = Execution("scan", "k", "a", True)
    assert twice([one, Execution("scan", "k", "b", False)], ("b",)) == []
    assert twice([one, Execution("scan", "k", "b", False)]) != []
    assert twice([one, Execution("scan", "k", "b", True)], ("b",)) != []
    assert twice([one, Execution("score", "k", "a", True)]) == []
