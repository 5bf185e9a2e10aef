"""Reels against sources whose every frame says its number and whose beeps sound at known times."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.progress import CancelToken, Progress
from pipeline.rendering import encode
from pipeline.rendering.encode import clip_jobs
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Clip
from tests.numbered import (
    QUICK,
    assert_in_step,
    beep_starts,
    even,
    frames_of,
    make_source,
    order,
    render,
    snapped,
    sound_of,
)


def test_ten_clips_in_another_order(talk: Path, tmp_path: Path) -> None:
    bounds = [(900, 975), (30, 93), (333, 400), (100, 181), (512, 569), (620, 700), (200, 251), (760, 801), (0, 25),
              (850, 899)]
    clips = [snapped(*b, 25) for b in bounds]
    reel = render(talk, clips, tmp_path)
    numbers, times = frames_of(reel.path)
    expected = [n for first, after in bounds for n in range(first, after)]
    # The clip that starts with the video is half a frame short, so it may gain or lose one.
    assert numbers[:620] == expected[:620] and set(numbers) <= set(expected)
    assert abs(len(numbers) - sum(c.interval.duration_s for c in clips) * 25) <= 0.5
    assert times == [Fraction(i, 25) for i in range(len(times))]
    # Half a frame, since the clip that starts with the video can't be a whole number of frames long.
    assert_in_step(reel.path, clips, 0.025)
    assert (reel.clips_encoded, reel.clips_reused, reel.warnings) == (10, 0, ())
    assert reel.duration_s == pytest.approx(len(numbers) / 25) and reel.fps == 25


def test_plays_everywhere(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, [snapped(50, 100, 25), snapped(200, 260, 25)], tmp_path, Settings(render="encode", crf=0))
    with av.open(str(reel.path)) as container:
        assert len(container.streams) == 2
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.profile, video.pix_fmt) == ("h264", "High", "yuv420p")
        assert (audio.codec_context.name, audio.rate, audio.layout.name) == ("aac", 48000, "stereo")
        assert video.average_rate == 25 and video.frames == 110
        assert abs(audio.duration * audio.time_base - Fraction(110, 25)) < 0.03
    data = reel.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("rate", "suffix"), [
    (Fraction(30000, 1001), ".mp4"), (Fraction(30000, 1001), ".mkv"), (Fraction(60), ".ts"), (Fraction(16), ".mp4"),
])
def test_other_rates_and_containers(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    count = int(12 * rate)
    source = make_source(tmp_path / f"a{suffix}", even(count, rate), sound=(0, 12))
    bounds = [(count * 3 // 4, count * 7 // 8), (count // 10, count // 3), (count - 20, count)]
    clips = [snapped(*b, rate) for b in bounds]
    reel = render(source, clips, tmp_path)
    numbers, times = frames_of(reel.path)
    assert numbers == [n for first, after in bounds for n in range(first, after)]
    assert times == [i / rate for i in range(len(times))]
    # AAC's run-up is not cut off by MPEG-TS, so that its sound comes 21 ms late in the source already.
    assert_in_step(reel.path, clips, 0.03 if suffix == ".ts" else 0.01)


def test_uneven_frames_are_shown_when_they_should_be(tmp_path: Path) -> None:
    """A screen capture: bursts at 30 frames a second, and a slide that stays for six seconds."""
    times = [*even(60, 30), *even(60, 30, 8), *even(30, 10, 14)]
    source = make_source(tmp_path / "a.mp4", times, sound=(0, 17))
    video = probe(source)
    assert video.variable_fps
    clips = [Clip(5.0, 8.99, None, "", ""), Clip(1.51, 3.0, None, "", ""), Clip(13.2, 16.0, None, "", "")]
    reel = render(video, clips, tmp_path)
    numbers, shown = frames_of(reel.path)
    offset_s = 0.0
    for clip in clips:
        for number, at in zip(numbers, shown, strict=True):
            inside = float(at) - offset_s
            if 0.04 < inside < clip.interval.duration_s - 0.04:
                source_s = clip.start_s + inside
                low, high = (int(np.searchsorted(np.array(times, float), source_s + d, "right")) - 1
                             for d in (-0.04, 0.04))
                assert low <= number <= high, (low, number, high, source_s)
        offset_s += clip.interval.duration_s
    assert max(numbers[:120]) <= 89, "a frame from beyond the clip's end is shown"
    assert_in_step(reel.path, clips, 0.03)


def test_clock_that_starts_late(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mkv", even(200, 25, 10), sound=(10, 18))
    video = probe(source)
    assert video.origin_s == pytest.approx(10)
    reel = render(video, [snapped(100, 150, 25), snapped(10, 60, 25)], tmp_path)
    assert frames_of(reel.path)[0] == [*range(100, 150), *range(10, 60)]
    assert_in_step(reel.path, [snapped(100, 150, 25), snapped(10, 60, 25)], 0.01)


def test_sound_that_starts_late_and_ends_early(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(250, 25), sound=(2.5, 6.5))
    clips = [snapped(0, 100, 25), snapped(200, 250, 25), snapped(125, 200, 25)]
    reel = render(source, clips, tmp_path)
    samples = sound_of(reel.path)
    assert len(samples[0]) / 48000 == pytest.approx(reel.duration_s, abs=0.05)
    # 3 s lies at 3 s; the second clip is silent; 5 s wasn't cut away and 6 s is at 3.98 + 2 + 6 - 4.98.
    assert beep_starts(samples) == pytest.approx([3.0, 6.0, 7.0], abs=0.02)
    assert np.abs(samples[:, int(4.0 * 48000):int(5.9 * 48000)]).max() < 0.01
    assert reel.warnings == ()


def test_no_sound_makes_no_sound_track(tmp_path: Path) -> None:
    reel = render(make_source(tmp_path / "a.mp4", even(100, 25)), [snapped(10, 50, 25), snapped(60, 90, 25)], tmp_path)
    with av.open(str(reel.path)) as container:
        assert not container.streams.audio and container.streams.video[0].frames == 70


@pytest.mark.parametrize("layout", ["mono", "5.1"])
def test_channels_become_two_and_keep_their_loudness(tmp_path: Path, layout: str) -> None:
    source = make_source(tmp_path / "a.mp4", even(100, 25), sound=(0, 4), layout=layout)
    samples = sound_of(render(source, [snapped(20, 90, 25)], tmp_path).path)
    assert samples.shape[0] == 2
    peak = np.abs(samples).max(axis=1)
    assert (peak > 0.45).all() and (layout != "mono" or (peak < 0.56).all())


def test_clip_ends_are_faded(talk: Path, tmp_path: Path) -> None:
    """A clip that starts inside a beep would click."""
    clip = Clip(3.02, 5.02, None, "", "")
    video = probe(talk)
    made = clip_jobs(video, [clip], QUICK)[0]
    (tmp_path / "clips").mkdir()
    file = encode.encode_clip(video, made, tmp_path / "clips", lambda share: None, CancelToken())
    samples = np.abs(sound_of(file.path).astype(np.float32).reshape(-1, 2)) / 32768
    assert len(samples) == 96000
    assert samples[:40].max() < 0.1 < 0.4 < samples[480:1400].max() and samples[-40:].max() < 0.1


def test_damaged_sound_becomes_silence_and_is_said(tmp_path: Path, talk: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(talk.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    video = dataclasses.replace(probe(broken), audio_stream=1)
    reel = render(video, [snapped(30, 80, 25), snapped(90, 120, 25)], tmp_path)
    assert "2 clips" in reel.warnings[0] and np.abs(sound_of(reel.path)).max() < 0.01
    assert frames_of(reel.path)[0] == [*range(30, 80), *range(90, 120)]


def test_jumps_are_trusted_only_where_they_land_well(talk: Path, tmp_path: Path) -> None:
    video = probe(talk)
    assert safe_seeks(video, [0.2, 30.0], CancelToken()) == (None, pytest.approx(29.5))
    # One keyframe in the whole file and no index: a jump can't land before anything but the start.
    bare = tmp_path / "bare.flv"
    run_ffmpeg(["-i", input_url(make_source(tmp_path / "g.mp4", even(200, 25), gop=1000)), "-c", "copy",
                input_url(bare)], cancel=CancelToken(), timeout_s=60)
    reel = render(bare, [snapped(150, 190, 25), snapped(20, 60, 25)], tmp_path)
    assert frames_of(reel.path)[0] == [*range(150, 190), *range(20, 60)]


def test_a_jump_that_yields_nothing_is_made_up_for(talk: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rendering.encode.safe_seeks",
                        lambda video, starts_s, cancel: (39.99,) * len(starts_s))
    assert frames_of(render(talk, [snapped(100, 140, 25)], tmp_path).path)[0] == list(range(100, 140))


def test_progress_rises_to_one(talk: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    render_reel(order(probe(talk), [snapped(50, 100, 25), snapped(200, 250, 25)], tmp_path), seen.append,
                CancelToken())
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions, key=lambda f: f or 0.0) and fractions[-1] == 1.0
    assert {p.stage for p in seen} == {"render"} and "clip 2 of 2" in " ".join(p.message for p in seen)
