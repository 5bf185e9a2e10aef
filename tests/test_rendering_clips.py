"""Clips are encoded several at once, by hardware where it works, and kept for later renders."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import FFmpegError, InputError, SettingsError
from pipeline.media.probe import probe
from pipeline.media.process import run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rendering import encode
from pipeline.rendering.encode import clip_jobs
from pipeline.rendering.encoders import Choice, Encoder
from pipeline.rendering.graph import (
    clip_args,
)
from pipeline.settings import ENCODERS, Settings
from tests.numbered import (
    QUICK,
    files_in,
    frames_of,
    render,
    snapped,
    sound_of,
)
from tests.test_graph import job


def test_clips_are_used_again(talk: Path, tmp_path: Path) -> None:
    clips = [snapped(50, 100, 25), snapped(200, 260, 25), snapped(400, 450, 25)]
    assert render(talk, clips, tmp_path).clips_encoded == 3
    changed = [clips[2], snapped(600, 650, 25), clips[0]]
    reel = render(talk, changed, tmp_path)
    assert (reel.clips_encoded, reel.clips_reused) == (1, 2)
    assert frames_of(reel.path)[0] == [*range(400, 450), *range(600, 650), *range(50, 100)]
    assert render(talk, changed, tmp_path, dataclasses.replace(QUICK, audio_kbps=96)).clips_encoded == 0
    assert render(talk, changed, tmp_path, dataclasses.replace(QUICK, crf=30)).clips_encoded == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_torn_clip_is_made_again(talk: Path, tmp_path: Path, damage: str) -> None:
    clips = [snapped(50, 100, 25), snapped(200, 260, 25)]
    whole = frames_of(render(talk, clips, tmp_path).path)
    first, second = sorted((tmp_path / "clips").iterdir())
    data = first.read_bytes()
    first.write_bytes({"cut": data[:len(data) // 2], "empty": b"", "other": second.read_bytes()}[damage])
    reel = render(talk, clips, tmp_path)
    assert (reel.clips_encoded, reel.clips_reused) == (1, 1) and frames_of(reel.path) == whole


def test_leaves_nothing_but_clips_and_the_reel(talk: Path, tmp_path: Path) -> None:
    render(talk, [snapped(50, 70, 25), snapped(90, 110, 25)], tmp_path)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["reel.mp4"]
    assert sorted(p.suffix for p in (tmp_path / "clips").iterdir()) == [".mov", ".mov"]


class Runs:
    """Watches the runs of ffmpeg that the encoder starts, and can make them fail.

    targets: files that were encoded, in the order of their starts
    most: how many ran at once at most
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.targets: list[str] = []
        self.most = self._now = 0
        self._lock = threading.Lock()
        self.fails: Callable[[list[str]], bool] = lambda args: False
        monkeypatch.setattr(encode, "run_ffmpeg", self._run)

    def _run(self, args: list[str], **options: object) -> None:
        with self._lock:
            self.targets.append(args[-1])
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            if self.fails(args):
                raise FFmpegError("the device is lost", "a.mp4")
            run_ffmpeg(args, **options)  # type: ignore[arg-type]
        finally:
            with self._lock:
                self._now -= 1


def test_clips_are_encoded_side_by_side_and_alike_ones_once(talk: Path, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "cores", lambda: 3)
    runs = Runs(monkeypatch)
    clip, other, third = snapped(600, 700, 25), snapped(100, 180, 25), snapped(300, 370, 25)
    reel = render(talk, [clip, other, clip, third, clip], tmp_path)
    assert len(runs.targets) == len(set(runs.targets)) == 3 and runs.most == 3
    assert (reel.clips_encoded, reel.clips_reused) == (3, 2)
    assert frames_of(reel.path)[0] == [*range(600, 700), *range(100, 180), *range(600, 700), *range(300, 370),
                                       *range(600, 700)]


def test_threads_and_seeks_are_no_part_of_a_clip(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [snapped(50, 100, 25), snapped(200, 260, 25)]
    for cores, reused in ((1, 0), (16, 2)):
        monkeypatch.setattr(encode, "cores", lambda cores=cores: cores)
        assert render(talk, clips, tmp_path).clips_reused == reused
    video = probe(talk)
    plain = clip_jobs(video, clips, QUICK)[0]
    assert encode.clip_key(video, plain) == encode.clip_key(video, dataclasses.replace(plain, seek_s=1.5))
    assert encode.clip_key(video, plain) != encode.clip_key(video, dataclasses.replace(plain, encoder=Encoder("qsv")))
    args = clip_args(job(), "file:a", "file:b", threads=3)
    assert args[args.index("-threads") + 1] == args[args.index("-threads:v") + 1] == "3"


def test_a_clip_that_cannot_be_made_stops_the_others(talk: Path, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The second clip's picture is missing; the first would take minutes."""
    monkeypatch.setattr(encode, "cores", lambda: 2)
    video = probe(talk)
    long, short = clip_jobs(video, [snapped(0, 999, 25), snapped(100, 140, 25)], Settings(preset="slow", crf=1))
    long = dataclasses.replace(long, rate=Fraction(240), frames=9600)
    short = dataclasses.replace(short, start_s=5000.0, end_s=5002.0, seek_s=None, sound="none")
    (tmp_path / "clips").mkdir()
    with pytest.raises(InputError, match=r"no picture can be decoded at 5000.00 s"):
        encode.encode_clips(video, [long, short], tmp_path / "clips", lambda share, done: None, CancelToken())
    assert files_in(tmp_path) == []


@pytest.fixture
def lost_device(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """A machine on which nvenc passed its trial, and then fails."""
    monkeypatch.setattr(encode, "choose_encoder", lambda settings, cancel: Choice(Encoder("nvenc"), {}))
    runs = Runs(monkeypatch)
    runs.fails = lambda args: "h264_nvenc" in args
    return runs


def test_a_device_that_is_lost_is_made_up_for(talk: Path, tmp_path: Path, lost_device: Runs) -> None:
    clips = [snapped(50, 100, 25), snapped(200, 260, 25)]
    reel = render(talk, clips, tmp_path)
    assert reel.encoder == "libx264" and frames_of(reel.path)[0] == [*range(50, 100), *range(200, 260)]
    assert reel.notes["encoder"] == "libx264" and "device is lost" in reel.notes["tried"]["nvenc"]
    # What failed is the picture's encoder: the sound must not be given up for it.
    assert reel.warnings == () and np.abs(sound_of(reel.path)).max() > 0.2


def test_what_the_real_ffmpeg_says_without_a_card_is_made_up_for(talk: Path, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are those of a folder that is closed to us, which another encoder wouldn't open."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(encode, "choose_encoder", lambda settings, cancel: Choice(Encoder("nvenc"), {}))
    reel = render(talk, [snapped(50, 100, 25)], tmp_path)
    assert reel.encoder == "libx264" and set(reel.notes["tried"]) == {"nvenc"} and reel.warnings == ()


def test_what_was_tried_is_noted(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, [snapped(50, 100, 25)], tmp_path)
    assert reel.notes["encoder"] == reel.encoder and set(reel.notes["tried"]) <= set(ENCODERS)
    with pytest.raises(SettingsError, match="choose auto or x264"):
        render(talk, [snapped(50, 100, 25)], tmp_path / "b",
               dataclasses.replace(QUICK, encoder="qsv" if sys.platform == "darwin" else "videotoolbox"))
