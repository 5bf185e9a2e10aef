"""Runs: done, found again by their id, corrected and cancelled."""

from __future__ import annotations

import json
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

import app.jobs
import pipeline.runner
from app import edits
from app.edits import EditError
from app.jobs import OUR_FAULT, Jobs, Refused, Run
from pipeline import FFmpegError, SignalWeights
from tests.job_support import SETTINGS, Gate, gate, jobs, made, until, video
from tests.making import story
from tests.smolvlm2_support import TINY

__all__ = ["gate", "jobs", "video"]


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
    first = run.reel
    assert first is not None and first.path.is_file() and first.path != again.reel.path
    back = until(jobs, jobs.update(run.id, "ann", run.draft))
    assert back.reel is not None and back.reel.duration_s == first.duration_s and back.reel.clips_encoded == 0
    # Of the reels before, only the last one is kept, in case it is still being watched.
    assert not first.path.exists() and run.outcome is None and again.reel is not None and again.reel.path.is_file()


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


def test_what_runs_took_is_remembered(jobs: Jobs, video: Path) -> None:
    made(jobs, video)
    again = made(jobs, video)
    assert again.estimate is not None and again.estimate.measured
    assert jobs.rates.of("scan") and len(jobs.rates.of("scan")) == 1


def test_corrections_go_the_way_of_the_first_reel(jobs: Jobs, tmp_path: Path) -> None:
    # Some clips start at keyframes, others are far from any: taking one out changes how much could be copied.
    path = story(tmp_path / "mixed.mp4", loud=range(6, 9), shots=6, shot_s=3, options={"g": "40", "sc_threshold": "0"})
    run = made(jobs, path, replace(SETTINGS, copy_tolerance_s=0.0))
    draft, first = run.draft, run.reel
    assert draft is not None and first is not None and first.way in ("mixed", "encode")
    for number in range(len(draft.clips)):
        again = until(jobs, jobs.update(run.id, "ann", edits.leave_out(draft, number)))
        assert again.reel is not None and again.reel.way == first.way and again.reel.clips_encoded == 0
