"""Runs: their turns, and what is more than a visitor may have."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from app.jobs import Jobs, Limits, Refused
from pipeline.media.probe import probe
from tests.job_support import SETTINGS, WAIT_S, Gate, gate, jobs, until, video
from tests.making import RATE, tone, write_video

__all__ = ["gate", "jobs", "video"]


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
