"""Runs: when they go, with all that was kept of them."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from app import edits
from app.jobs import Jobs, Refused
from tests.job_support import SETTINGS, WAIT_S, Gate, gate, jobs, made, until, video

__all__ = ["gate", "jobs", "video"]


def test_runs_go_when_their_time_is_up_but_never_in_use(jobs: Jobs, video: Path, gate: Gate, tmp_path: Path) -> None:
    gate.open.set()
    done = made(jobs, video)
    draft = done.draft
    assert done.expires_at is not None and draft is not None
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
        jobs.update(done.id, "ann", draft)
    assert done.outcome is None


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
