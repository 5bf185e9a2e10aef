"""Runs: queued, done one at a time, found again by their id, corrected, cancelled, and gone when their time is up."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import app.jobs
import pipeline.runner
from app import edits, work
from app.edits import EditError
from app.estimates import Rates
from app.jobs import OUR_FAULT, Jobs, Limits, Refused, Run
from pipeline import FFmpegError, Settings, SignalWeights
from pipeline.media.probe import probe
from tests.making import RATE, story, tone, write_video
from tests.smolvlm2_support import TINY

SETTINGS = Settings(target_s=8, scorer="signals")
WAIT_S = 60.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 s in shots of 3 s, of which the third is loud and fast."""
    return story(tmp_path_factory.mktemp("video") / "story.mp4", loud=range(6, 9), shots=6, shot_s=3)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Runs with a folder of the test's own."""
    made = Jobs(tmp_path / "runs", Limits(queue=3, per_visitor=2), rates=Rates(tmp_path / "rates.json"))
    yield made
    made.close()
    assert list((tmp_path / "runs").iterdir()) == []


class Gate:
    """Holds heavy work up until it is opened; what then happens is the real thing."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.at_work = 0
        self.most_at_work = 0
        self.names: list[str] = []

    def carry_out(self, task: work.Task, *args: object) -> work.Outcome:
        """As `work.carry_out`."""
        if not work.is_light(task):
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            self.names.append(task.name)
            while not self.open.wait(0.01):
                args[-1].check()  # type: ignore[attr-defined]
        try:
            return work.carry_out(task, *args)  # type: ignore[arg-type]
        finally:
            self.at_work -= not work.is_light(task)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate before all heavy work of this test."""
    made = Gate()
    monkeypatch.setattr(app.jobs, "carry_out", made.carry_out)
    yield made
    made.open.set()


def until(jobs: Jobs, run: Run, reached: Callable[[Run], bool] = lambda run: not run.busy) -> Run:
    """The run once it is there."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        now = jobs.get(run.id)
        assert now is not None
        if reached(now):
            return now
        time.sleep(0.01)
    raise AssertionError(f"{now.state}: {now.progress} {now.error}")


def made(jobs: Jobs, video: Path, settings: Settings = SETTINGS, owner: str = "ann") -> Run:
    """A run that is done."""
    run = until(jobs, jobs.submit(owner, video, video.name, settings))
    assert (run.state, run.error) == ("done", None)
    return run


def test_a_run_from_upload_to_reel(jobs: Jobs, video: Path) -> None:
    run = jobs.submit("ann", video, "Mein \u00dcrlaub/../x.mp4", SETTINGS)
    assert run.busy and len(run.id) >= 22 and run.outcome is None and run.expires_at is None
    seen = [run]

    def done(now: Run) -> bool:
        seen.append(now)
        return not now.busy

    run = until(jobs, run, done)
    assert run.state == "done" and run.error is None and run.fraction == 1.0 and run.version == 1
    fractions = [now.fraction for now in seen]
    assert fractions == sorted(fractions) and len(set(fractions)) > 3
    assert {now.progress.stage for now in seen if now.progress} >= {"scan", "render"}
    assert run.video is not None and run.estimate is not None and not run.estimate.measured
    reel, plan = run.files
    assert run.reel is not None and reel == run.reel.path and 6 < run.reel.duration_s <= 8
    assert json.loads(plan.read_text())["video"]["path"] == "x.mp4" == run.source.name
    assert run.plan is not None and Path(run.plan.video.path) == run.source and run.draft is not None
    assert run.draft.clips == run.plan.clips
    scores = [segment.score for segment in run.found]
    assert scores and scores == sorted(scores, reverse=True)
    assert run.name == "Mein \u00dcrlaub/../x.mp4" and video.is_file()
    assert run.folder in reel.parents and run.folder in run.source.parents and run.id not in str(run.folder)
    if os.name == "posix":
        assert {stat.S_IMODE(folder.stat().st_mode) for folder in (run.folder, run.folder.parent)} == {0o700}


def test_segments_are_there_as_they_are_scored(jobs: Jobs, video: Path) -> None:
    settings = replace(SETTINGS, scorer="smolvlm2", model=str(TINY), device="cpu")
    counts: list[int] = []

    def done(run: Run) -> bool:
        assert [s.score for s in run.found] == sorted((s.score for s in run.found), reverse=True)
        assert len({s.start_s for s in run.found}) == len(run.found)
        counts.append(len(run.found))
        return not run.busy

    run = until(jobs, jobs.submit("ann", video, video.name, settings), done)
    assert run.analysis is not None and len(run.found) == len(run.analysis.scored.segments)
    assert counts[0] == 0 and counts == sorted(counts) and len(set(counts)) > 1


def test_an_id_that_nobody_gave_finds_nothing(jobs: Jobs) -> None:
    assert jobs.get("x" * 32) is None and jobs.cancel("x" * 32) is None


def test_heavy_work_is_done_one_at_a_time_in_turn(jobs: Jobs, video: Path, gate: Gate) -> None:
    runs = [jobs.submit("ann", video, "1", SETTINGS)]
    until(jobs, runs[0], lambda run: run.state == "running")
    runs += [jobs.submit(owner, video, name, SETTINGS) for owner, name in (("bob", "2"), ("cy", "3"), ("ann", "4"))]
    assert [jobs.get(run.id).place for run in runs] == [None, 1, 2, 3]  # type: ignore[union-attr]
    with pytest.raises(Refused, match="3 reels are waiting already"):
        jobs.submit("dee", video, "5", SETTINGS)
    cancelled = jobs.cancel(runs[1].id)
    assert cancelled is not None and cancelled.state == "cancelled" and not cancelled.folder.exists()
    assert [jobs.get(run.id).place for run in runs[2:]] == [1, 2]  # type: ignore[union-attr]
    gate.open.set()
    assert [until(jobs, run).state for run in runs] == ["done", "cancelled", "done", "done"]
    assert gate.names == ["1", "3", "4"] and gate.most_at_work == 1


def test_what_is_no_run_takes_its_turn_too(jobs: Jobs, video: Path) -> None:
    with jobs.alone():
        first = jobs.submit("ann", video, "a.mp4", SETTINGS)
        second = jobs.submit("bob", video, "b.mp4", SETTINGS)
        until(jobs, first, lambda run: run.state == "running")
        time.sleep(0.3)
        assert jobs.get(first.id).progress is None  # type: ignore[union-attr]
        jobs.cancel(first.id)
        ends_at = time.monotonic() + WAIT_S
        while (now := jobs.get(first.id)) is not None and now.busy and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert now is None or now.state == "cancelled"
        assert jobs.get(second.id).outcome is None  # type: ignore[union-attr]
    assert until(jobs, second).state == "done"


def test_nobody_fills_the_queue_alone(jobs: Jobs, video: Path, gate: Gate) -> None:
    first, _ = jobs.submit("ann", video, "1", SETTINGS), jobs.submit("ann", video, "2", SETTINGS)
    with pytest.raises(Refused, match="You have 2 reels in the making"):
        jobs.submit("ann", video, "3", SETTINGS)
    jobs.submit("bob", video, "3", SETTINGS)
    jobs.cancel(first.id)
    until(jobs, first)
    jobs.submit("ann", video, "3", SETTINGS)
    assert len(jobs.runs_of("ann")) == 3 and len(jobs.runs_of("bob")) == 1


def test_a_wait_is_told_where_videos_were_measured(jobs: Jobs, video: Path, gate: Gate) -> None:
    known = probe(video)
    runs = [jobs.submit(owner, video, owner, SETTINGS, video=known) for owner in ("ann", "bob", "cy")]
    until(jobs, runs[0], lambda run: run.state == "running")
    run = jobs.get(runs[2].id)
    assert run is not None and run.place == 2 and run.estimate is not None
    assert run.video is not None and run.video.path == run.source
    gate.open.set()
    assert until(jobs, runs[2]).state == "done"


def test_a_correction_does_not_wait_for_somebodys_scan(jobs: Jobs, video: Path, monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    run = made(jobs, video)
    gate = Gate()
    monkeypatch.setattr(app.jobs, "carry_out", gate.carry_out)
    held = jobs.submit("bob", video, "held", SETTINGS)
    until(jobs, held, lambda now: now.state == "running")
    assert run.draft is not None and len(run.draft.clips) > 1
    again = until(jobs, jobs.update(run.id, "ann", edits.leave_out(run.draft, 0)))
    assert again.state == "done" and again.version == 2
    gate.open.set()


def test_taking_a_clip_out_encodes_nothing(jobs: Jobs, video: Path) -> None:
    run = made(jobs, video, replace(SETTINGS, render="encode"))
    assert run.draft is not None and len(run.draft.clips) > 1
    draft = edits.leave_out(run.draft, 0)
    again = until(jobs, jobs.update(run.id, "ann", draft))
    assert again.id == run.id and again.kind == "update" and again.reel is not None
    assert (again.reel.clips_encoded, again.reel.clips_reused) == (0, len(draft.clips))
    assert again.reel.duration_s == pytest.approx(draft.duration_s, abs=0.05)
    assert again.draft is not None and again.draft.clips == draft.clips and again.draft.note == ""
    assert again.draft.left_out == draft.left_out and again.expires_at == run.expires_at
    assert run.reel is not None and run.reel.path.is_file() and run.reel.path != again.reel.path
    back = until(jobs, jobs.update(run.id, "ann", run.draft))
    assert back.reel is not None and back.reel.duration_s == run.reel.duration_s and back.reel.clips_encoded == 0
    # Of the reels before, only the last one is kept, in case it is still being watched.
    assert not run.reel.path.exists() and again.reel.path.is_file()


def test_a_trimmed_clip_is_exact_even_in_a_copied_reel(jobs: Jobs, tmp_path: Path) -> None:
    dense = story(tmp_path / "dense.mp4", loud=range(6, 9), shots=6, shot_s=3, options={"g": "25"})
    run = made(jobs, dense)
    assert run.reel is not None and run.reel.way == "copy" and run.draft is not None
    draft = edits.trim(run.draft, 0, 0.3)
    again = until(jobs, jobs.update(run.id, "ann", draft))
    assert again.reel is not None and again.reel.way != "copy" and again.plan is not None
    assert again.plan.clips[0].start_s == pytest.approx(draft.clips[0].start_s, abs=1.6 / 25)
    assert again.draft is not None and again.draft.clips == draft.clips


def test_another_length_scans_nothing(jobs: Jobs, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(jobs, video)
    assert run.draft is not None and run.plan is not None

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the video was scanned again")

    monkeypatch.setattr(pipeline.runner, "scan_video", refuse)
    draft = edits.leave_out(run.draft, 0)
    longer = until(jobs, jobs.retarget(run.id, "ann", draft, replace(run.settings, target_s=12)))
    assert longer.error is None and longer.plan is not None and longer.plan.duration_s > run.plan.duration_s
    gone = run.draft.clips[0].interval
    assert all(clip.interval.overlap_s(gone) < 1e-6 for clip in longer.plan.clips)
    assert longer.draft is not None and longer.draft.left_out == draft.left_out and longer.settings.target_s == 12


def test_other_scores_are_heavy_but_scan_nothing(jobs: Jobs, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(jobs, video)
    monkeypatch.setattr(pipeline.runner, "scan_video", lambda *_: pytest.fail("the video was scanned again"))
    gate = Gate()
    monkeypatch.setattr(app.jobs, "carry_out", gate.carry_out)
    gate.open.set()
    assert run.draft is not None and run.analysis is not None
    weights = SignalWeights(motion=0, loudness=0, onset=0, novelty=0, colour=1, sharpness=0)
    other = until(jobs, jobs.retarget(run.id, "ann", run.draft, replace(run.settings, weights=weights)))
    assert other.state == "done" and gate.names == ["story.mp4"]
    assert other.analysis is not None and other.analysis.scored.segments != run.analysis.scored.segments


def test_what_can_not_be_updated(jobs: Jobs, video: Path, gate: Gate) -> None:
    gate.open.set()
    run = made(jobs, video)
    assert run.draft is not None
    draft = run.draft
    with pytest.raises(Refused, match="not here any more"):
        jobs.update("nobody", "ann", draft)
    empty = draft
    while empty.clips:
        empty = edits.leave_out(empty, 0)
    with pytest.raises(EditError, match="take one in, or undo"):
        jobs.update(run.id, "ann", empty)
    gate.open.clear()
    fresh = jobs.retarget(run.id, "ann", draft, replace(run.settings, query="dogs", weights=SignalWeights(motion=1)))
    with pytest.raises(Refused, match="still being made"):
        jobs.update(fresh.id, "ann", draft)
    # The first reel stays, whatever becomes of the second.
    jobs.cancel(run.id)
    after = until(jobs, run)
    assert after.state == "cancelled" and after.reel is not None and after.reel.path.is_file()
    gate.open.set()
    assert until(jobs, jobs.update(run.id, "ann", edits.leave_out(draft, 0))).state == "done"


def test_cancelling_a_run_frees_all_of_it_and_the_next_one_starts(jobs: Jobs, video: Path, sample: Path) -> None:
    run = jobs.submit("ann", sample, "long.mp4", SETTINGS)
    following = jobs.submit("bob", video, "next.mp4", SETTINGS)
    until(jobs, run, lambda now: now.progress is not None and now.progress.stage == "scan")
    jobs.cancel(run.id)
    stopped = until(jobs, run)
    assert stopped.state == "cancelled" and stopped.error is None and stopped.outcome is None
    assert not run.folder.exists() and not run.folder.parent.exists() and sample.is_file()
    assert until(jobs, following).state == "done"


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("Dear diary\n" * 50), "film: is a text file"),
    "empty": (lambda path: path.write_bytes(b""), "film: is empty"),
    "sound": (lambda path: write_sound(path), "film: has only sound in it"),
    "long": (lambda path: write_video(path, [np.zeros((90, 160, 3), np.uint8)] * 20, fps=0.2),
             "film: is 2 minutes long and this page takes at most 1"),
}


def write_sound(path: Path) -> None:
    """A second of sound without a picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(0.02, 0.5)[None], format="fltp", layout="mono")
        for number in range(50):
            frame.sample_rate, frame.pts = RATE, number * frame.samples
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_told_in_one_line_and_leaves_nothing(what: str, tmp_path: Path, video: Path) -> None:
    make, said = BAD[what]
    path = tmp_path / "upload.mp4"
    make(path)
    jobs = Jobs(tmp_path / "runs", Limits(max_minutes=1))
    try:
        run = until(jobs, jobs.submit("ann", path, "film", SETTINGS))
        assert run.state == "failed" and run.error is not None and run.error.startswith(said)
        assert "\n" not in run.error and str(tmp_path) not in run.error
        assert not run.folder.exists() and run.expires_at is not None
        assert until(jobs, jobs.submit("ann", video, "good.mp4", SETTINGS)).state == "done"
    finally:
        jobs.close()


def test_too_much_is_refused_at_once(tmp_path: Path, video: Path) -> None:
    jobs = Jobs(tmp_path / "runs", Limits(max_upload_mb=1, max_minutes=0.2))
    try:
        large = tmp_path / "large.mp4"
        large.write_bytes(b"\0" * 1_100_000)
        with pytest.raises(Refused, match=r"large\.mp4: is 1 MB and this page takes at most 1 MB"):
            jobs.submit("ann", large, "large.mp4", SETTINGS)
        with pytest.raises(Refused, match=r"is 0\.3 minutes long and this page takes at most 0\.2"):
            jobs.submit("ann", video, "story.mp4", SETTINGS, video=probe(video))
        with pytest.raises(Refused, match="10,000 characters long"):
            jobs.limits.check_query("why? " * 2000)
        with pytest.raises(Refused, match="choose the video again"):
            jobs.submit("ann", tmp_path / "gone.mp4", "gone.mp4", SETTINGS)
        assert jobs.runs_of("ann") == () and len(list((tmp_path / "runs").rglob("*"))) <= 3
    finally:
        jobs.close()


@pytest.mark.parametrize("fault", [ZeroDivisionError("secret /root/x"), FFmpegError("ffmpeg ended", "x.mp4", "tail")])
def test_a_fault_of_ours_is_in_the_log_and_not_on_the_page(jobs: Jobs, video: Path, fault: Exception,
                                                           monkeypatch: pytest.MonkeyPatch,
                                                           caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(pipeline.runner, "select", fail)
    with caplog.at_level(logging.ERROR, "smolreel"):
        run = until(jobs, jobs.submit("ann", video, "story.mp4", SETTINGS))
    assert (run.state, run.error) == ("failed", OUR_FAULT)
    assert "Traceback" in caplog.text and type(fault).__name__ in caplog.text
    assert not run.folder.exists()


def test_runs_go_when_their_time_is_up_but_never_in_use(jobs: Jobs, video: Path, gate: Gate, tmp_path: Path) -> None:
    gate.open.set()
    done = made(jobs, video)
    assert done.expires_at is not None
    assert done.expires_at - time.time() == pytest.approx(3600, abs=60)
    gate.open.clear()
    working = jobs.submit("bob", video, "story.mp4", SETTINGS)
    until(jobs, working, lambda run: run.state == "running")
    jobs.sweep(done.expires_at - 1)
    assert jobs.get(done.id) is not None and done.folder.is_dir()
    jobs.sweep(done.expires_at + 1)
    assert jobs.get(done.id) is None and not done.folder.parent.exists()
    jobs.sweep(time.time() + 1e6)
    gate.open.set()
    assert until(jobs, working).state == "done"
    with pytest.raises(Refused, match="not here any more"):
        assert done.draft is not None
        jobs.update(done.id, "ann", done.draft)


def test_a_correction_does_not_lengthen_a_videos_stay(jobs: Jobs, video: Path) -> None:
    run = made(jobs, video)
    assert run.draft is not None
    assert until(jobs, jobs.update(run.id, "ann", edits.leave_out(run.draft, 0))).expires_at == run.expires_at


def test_who_leaves_may_come_back(jobs: Jobs, video: Path) -> None:
    run, other = made(jobs, video), made(jobs, video, owner="bob")
    jobs.leave("ann")
    jobs.come_back("ann")
    jobs.sweep(time.time() + 1800)
    assert jobs.get(run.id) is not None
    jobs.leave("ann")
    jobs.sweep(time.time() + 60)
    assert jobs.get(run.id) is not None
    jobs.sweep(time.time() + 1800)
    assert jobs.get(run.id) is None and jobs.get(other.id) is not None and other.folder.is_dir()


def test_an_owner_can_be_forgotten_even_while_their_run_is_at_work(jobs: Jobs, video: Path, gate: Gate) -> None:
    gate.open.set()
    done = made(jobs, video)
    gate.open.clear()
    working = jobs.submit("ann", video, "story.mp4", SETTINGS)
    until(jobs, working, lambda run: run.state == "running")
    jobs.forget_owner("ann")
    assert jobs.get(done.id) is None and jobs.get(working.id) is None and jobs.runs_of("ann") == ()
    ends_at = time.monotonic() + WAIT_S
    while done.folder.parent.exists() and time.monotonic() < ends_at:
        time.sleep(0.01)
    assert not done.folder.parent.exists()


def test_visitors_share_no_cache(jobs: Jobs, video: Path) -> None:
    ann, bob = made(jobs, video), made(jobs, video, owner="bob")
    caches = {run.settings.cache_dir for run in (ann, bob)}
    assert len(caches) == 2 and all(cache.is_dir() for cache in caches)
    # One visitor's second run of the same video finds what the first has learned.
    again = made(jobs, video, replace(SETTINGS, target_s=5))
    assert again.plan is not None and ann.plan is not None
    assert again.plan.timings_s["scan"] < ann.plan.timings_s["scan"] / 3


def test_closing_deletes_everything(tmp_path: Path, video: Path) -> None:
    jobs = Jobs(tmp_path / "runs")
    run = made(jobs, video)
    jobs.close()
    jobs.close()
    assert not run.folder.exists() and list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(Refused, match="is closing"):
        jobs.submit("ann", video, "story.mp4", SETTINGS)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("runs ")] == []


def test_what_runs_took_is_remembered(jobs: Jobs, video: Path) -> None:
    made(jobs, video)
    again = made(jobs, video)
    assert again.estimate is not None and again.estimate.measured
    assert jobs.rates.of("scan") and len(jobs.rates.of("scan")) == 1


def test_corrections_go_the_way_of_the_first_reel(jobs: Jobs, tmp_path: Path) -> None:
    # Some clips start at keyframes, others are far from any: taking one out changes how much could be copied.
    path = story(tmp_path / "mixed.mp4", loud=range(6, 9), shots=6, shot_s=3, options={"g": "40", "sc_threshold": "0"})
    run = made(jobs, path, replace(SETTINGS, copy_tolerance_s=0.0))
    assert run.draft is not None and run.reel is not None and run.reel.way in ("mixed", "encode")
    for number in range(len(run.draft.clips)):
        again = until(jobs, jobs.update(run.id, "ann", edits.leave_out(run.draft, number)))
        assert again.reel is not None and again.reel.way == run.reel.way and again.reel.clips_encoded == 0
