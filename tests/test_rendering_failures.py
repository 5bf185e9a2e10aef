"""Renders that fail or are cancelled say why in one line and leave nothing behind."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import Cancelled, FFmpegError, InputError, OutputError, PlanError
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, Progress, silent
from pipeline.rendering import join
from pipeline.rendering.graph import (
    clip_args,
    join_args,
)
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Clip
from tests.making import silent_server
from tests.numbered import (
    even,
    files_in,
    make_source,
    order,
    render,
    snapped,
)
from tests.test_graph import job


def test_cancel_leaves_no_half_made_file(talk: Path, tmp_path: Path) -> None:
    token, video = CancelToken(), probe(talk)

    def stop(progress: Progress) -> None:
        if progress.fraction and 0.1 < progress.fraction < 0.9:
            token.cancel()

    with pytest.raises(Cancelled):
        render_reel(order(video, [snapped(0, 999, 25), snapped(10, 900, 25)], tmp_path,
                          Settings(render="encode", preset="slow")), stop, token)
    assert all(name.endswith(".mov") and not name.startswith(".") for name in files_in(tmp_path))
    assert not (tmp_path / "out" / "reel.mp4").exists()


def test_failure_keeps_the_earlier_reel(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reel = render(talk, [snapped(50, 70, 25)], tmp_path)
    before = reel.path.read_bytes()
    monkeypatch.setattr(join, "join_args", lambda *args: ["-i", "file:/no/such/file", "-f", "null", "-"])
    with pytest.raises(FFmpegError):
        render(talk, [snapped(50, 70, 25), snapped(90, 110, 25)], tmp_path)
    assert reel.path.read_bytes() == before
    assert [p.name for p in reel.path.parent.iterdir()] == ["reel.mp4"]


@contextmanager
def little_room() -> Iterator[None]:
    """No file may grow beyond 20 kB: what a full disk is like. (No fixture: the report may go to a longer file.)"""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_no_room(talk: Path, tmp_path: Path) -> None:
    with little_room(), pytest.raises(OutputError, match="disk is full"):
        render(talk, [snapped(50, 150, 25)], tmp_path)
    assert files_in(tmp_path) == []


def test_targets_that_cannot_be_written(talk: Path, tmp_path: Path) -> None:
    video, clips = probe(talk), [snapped(50, 60, 25)]
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    (tmp_path / "folder.mp4").mkdir()
    for target in (blocked / "reel.mp4", tmp_path / "folder.mp4"):
        with pytest.raises(OutputError) as caught:
            render_reel(order(video, clips, tmp_path, target=target), silent, CancelToken())
        assert "\n" not in str(caught.value)
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("clips", [[], [Clip(39, 50, None, "", "")], [Clip(41, 42, None, "", "")]])
def test_clips_outside_the_video(talk: Path, tmp_path: Path, clips: list[Clip]) -> None:
    with pytest.raises(PlanError, match=r"no clips|outside the video"):
        render(talk, clips, tmp_path)


def test_no_picture_where_the_clip_is(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mkv", even(250, 25), gop=250)
    video = probe(source)
    data = bytearray(source.read_bytes())
    data[300:] = bytes(len(data) - 300)
    source.write_bytes(data)
    with pytest.raises((InputError, FFmpegError)) as caught:
        render(video, [snapped(100, 150, 25)], tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "out" / "reel.mp4").exists()


def test_nothing_is_fetched_from_the_network(tmp_path: Path) -> None:
    """A playlist that calls itself a video must not make ffmpeg call anyone, nor may a list of clips."""
    with silent_server() as url:
        playlist = tmp_path / "holiday.mp4"
        playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n")
        listing = tmp_path / "list"
        listing.write_text(f"ffconcat version 1.0\nfile {url}\n")
        target = input_url(tmp_path / "out.mov")
        for args in (clip_args(job(), input_url(playlist), target), join_args(input_url(listing), target, True, 96)):
            with pytest.raises(FFmpegError):
                run_ffmpeg(args, cancel=CancelToken(), timeout_s=60)
