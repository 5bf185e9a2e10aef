"""What rendering decides before any frame: rates, sizes, counts and the arguments of ffmpeg; no media."""

from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.rates import reel_rate
from pipeline.rendering.graph import (
    ClipJob,
    Look,
    clip_args,
    concat_list,
    even_size,
    frame_counts,
    join_args,
)
from pipeline.types import Clip, HeaderClaims, VideoInfo


@functools.cache
def _any_video() -> VideoInfo:
    return VideoInfo(
        path=Path("/x/a.mp4"), sha256="0" * 64, size_bytes=1, container="mov", video_stream=0, audio_stream=1,
        codec="h264", pixel_format="yuv420p", origin_s=0, container_start_s=0, duration_s=10, fps=25, frame_count=250,
        variable_fps=False, coded_width=64, coded_height=48, width=64, height=48, rotation_deg=0, mirrored=False,
        sample_aspect=1, bit_depth=8, transfer="sdr", header=HeaderClaims(None, None, None))


def job(**changes: object) -> ClipJob:
    """A plain clip of two seconds, with changes."""
    plain = ClipJob(start_s=4.98, end_s=6.98, seek_s=4.48, frames=50, rate=Fraction(25),
                    look=Look(64, 48, None, None, "sdr", zscale=True), video_stream=0, audio_stream=1, sound="source",
                    mono=False, fade_s=0.008, crf=20, preset="veryfast")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


# ---------------------------------------------------------------- arithmetic, without media

@pytest.mark.parametrize(("fps", "variable", "cap", "rate"), [
    (25.0, False, 60, Fraction(25)), (29.9702, False, 60, Fraction(30000, 1001)), (30.0, False, 60, Fraction(30)),
    (23.976, False, 60, Fraction(24000, 1001)), (59.94, False, 60, Fraction(60000, 1001)),
    (16.5, False, 60, Fraction(33, 2)), (1.0, False, 60, Fraction(10)), (0.3, False, 60, Fraction(102, 10)),
    (120.0, False, 60, Fraction(60)), (119.88, False, 60, Fraction(60000, 1001)), (100.0, False, 60, Fraction(50)),
    (61.0, False, 60, Fraction(60)), (30.0, False, 24, Fraction(24)), (240.0, False, 240, Fraction(240)),
    (29.8, True, 60, Fraction(30000, 1001)), (7.0, True, 60, Fraction(30)), (24.1, True, 60, Fraction(24)),
    (57.0, True, 60, Fraction(60000, 1001)), (500.0, True, 240, Fraction(120)), (7.0, True, 12, Fraction(10)),
])
def test_reel_rate(fps: float, variable: bool, cap: float, rate: Fraction) -> None:
    video = dataclasses.replace(_any_video(), fps=fps, variable_fps=variable, frame_count=100_000)
    assert reel_rate(video, cap) == rate


def test_a_clip_has_its_frames_wherever_it_stands() -> None:
    clips = [Clip(10.0 * i, 10.0 * i + 1.23456 + i / 7, None, "", "") for i in range(50)]
    rate = Fraction(30000, 1001)
    counts = frame_counts(clips, rate)
    for clip, count in zip(clips, counts, strict=True):
        assert abs(count - clip.interval.duration_s * rate) <= 0.5 + 1e-6
    assert frame_counts(clips[7:], rate) == counts[7:] and frame_counts(clips[::-1], rate) == counts[::-1]
    assert frame_counts([Clip(0, 0.001, None, "", "")] * 3, rate) == (1, 1, 1)


@pytest.mark.parametrize(("size", "even_one"), [((1, 1), (2, 2)), ((321, 241), (322, 242)), ((640, 360), (640, 360))])
def test_even_size(size: tuple[int, int], even_one: tuple[int, int]) -> None:
    assert even_size(*size) == even_one


def test_clip_args_fence_the_input_and_seek() -> None:
    args = clip_args(job(), "file:/in.mp4", "file:/out.mov")
    before = args[:args.index("-i")]
    assert args[args.index("-i") + 1] == "file:/in.mp4" and args[-1] == "file:/out.mov"
    assert before[before.index("-protocol_whitelist") + 1] == "file"
    assert before[before.index("-ss") + 1] == "4.480000" and "-copyts" in before
    assert "-ss" not in clip_args(job(seek_s=None), "file:/in.mp4", "file:/out.mov")
    assert args[args.index("-map_metadata") + 1] == "-1" and "-an" not in args


def test_clip_args_without_sound_and_with_silence() -> None:
    assert "pcm_s16le" not in clip_args(job(sound="none"), "file:a", "file:b")
    silent_args = " ".join(clip_args(job(sound="silence"), "file:a", "file:b"))
    assert "anullsrc" in silent_args and "[0:1]" not in silent_args


def test_fades_fit_into_a_clip() -> None:
    short = " ".join(clip_args(job(frames=2, fade_s=0.5), "file:a", "file:b"))
    assert "d=0.040000" in short
    assert "afade" not in " ".join(clip_args(job(fade_s=0.0), "file:a", "file:b"))


def test_hdr_is_tone_mapped_where_the_build_can() -> None:
    hdr = Look(64, 48, "bt2020nc", "bt2020", "pq", zscale=True)
    assert "tonemap" in " ".join(clip_args(job(look=hdr), "file:a", "file:b"))
    plain = dataclasses.replace(hdr, zscale=False)
    assert "tonemap" not in " ".join(clip_args(job(look=plain), "file:a", "file:b"))


def test_concat_lengths_add_up_to_the_microsecond() -> None:
    rate, counts = Fraction(30000, 1001), [7, 11, 13] * 100
    lines = concat_list(["a.mov"] * 300, counts, rate).splitlines()
    total = sum(int(line.removeprefix("duration ").removesuffix("us")) for line in lines if "duration" in line)
    assert total == round(Fraction(sum(counts)) / rate * 1_000_000)
    assert "-protocol_whitelist" in join_args("file:a", "file:b", True, 160)


# ---------------------------------------------------------------- exact to the frame, in step to the sample
