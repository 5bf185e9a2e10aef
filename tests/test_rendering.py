"""Reels against sources whose every frame says its number and whose beeps sound at known times."""

from __future__ import annotations

import dataclasses
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import Cancelled, FFmpegError, InputError, OutputError, PlanError, SettingsError
from pipeline.media.probe import probe
from pipeline.media.process import ffmpeg_filters, input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.progress import CancelToken, Progress, silent
from pipeline.rendering import encode, join, render_reel
from pipeline.rendering.encode import clip_jobs
from pipeline.rendering.encoders import Choice, Encoder
from pipeline.rendering.graph import (
    clip_args,
    join_args,
)
from pipeline.settings import ENCODERS, Settings
from pipeline.types import Clip
from tests.making import silent_server, textured, write_video
from tests.numbered import (
    QUICK,
    assert_in_step,
    beep_starts,
    even,
    frames_of,
    make_source,
    order,
    picture,
    render,
    snapped,
    sound_of,
)
from tests.test_graph import job


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s at 25 frames a second with beeps."""
    return make_source(tmp_path_factory.mktemp("talk") / "talk.mp4", even(1000, 25), sound=(0, 40))


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


# ---------------------------------------------------------------- upright, square, right colours

@pytest.mark.parametrize("turn", ["rotation 90", "rotation 180", "rotation 270", "hflip", "rotation 90 hflip"])
def test_stands_upright(talk: Path, tmp_path: Path, turn: str) -> None:
    options = [x for word in turn.replace("rotation ", "rotation=").split()
               for x in (f"-display_{word.split('=')[0]}", *word.split("=")[1:])]
    turned = tmp_path / "turned.mp4"
    run_ffmpeg([*options, "-i", input_url(talk), "-t", "3", "-c", "copy", input_url(turned)], cancel=CancelToken(),
               timeout_s=60)
    video = probe(turned)
    reel = render(video, [snapped(5, 30, 25)], tmp_path)
    with av.open(str(reel.path)) as container:
        frame = next(container.decode(video=0))
        shown = frame.to_ndarray(format="gray").astype(float)
        assert frame.rotation == 0
    stored = picture(5, 160, 96)
    # FFmpeg's option turns counter-clockwise, and flips first.
    wanted = np.rot90(stored[:, ::-1] if "hflip" in turn else stored,
                      {"90": 1, "180": 2, "270": 3}.get(turn.split()[1] if "rotation" in turn else "", 0))
    if turn == "rotation 90 hflip":
        wanted = min((np.rot90(stored[:, ::-1], k) for k in (1, 3)),
                     key=lambda w: abs(w.astype(float) - shown).mean())
        assert video.mirrored and video.rotation_deg in (90, 270)
        mine = np.rot90(stored[:, ::-1], -video.rotation_deg // 90)
        assert np.array_equal(mine, wanted)
    assert shown.shape == wanted.shape and np.abs(shown - wanted).mean() < 4


@pytest.mark.parametrize(("size", "sar", "shown"), [
    ((160, 96), Fraction(3, 2), (240, 96)), ((160, 96), Fraction(1, 2), (160, 192)), ((161, 97), None, (162, 98)),
])
def test_square_pixels_and_even_sides(tmp_path: Path, size: tuple[int, int], sar: Fraction | None,
                                      shown: tuple[int, int]) -> None:
    odd = {"pixels": "yuv444p"} if size[0] % 2 else {}
    source = make_source(tmp_path / "a.mp4", even(50, 25), size=size, sar=sar, **odd)
    reel = render(source, [snapped(5, 30, 25)], tmp_path)
    assert (reel.width, reel.height) == shown
    with av.open(str(reel.path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == shown and stream.sample_aspect_ratio in (None, 1)
    assert frames_of(reel.path)[0] == list(range(5, 30))


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p", "yuvj420p", "yuv444p"])
def test_pixel_formats_keep_their_brightness(tmp_path: Path, pixels: str) -> None:
    source = make_source(tmp_path / "a.mp4", even(50, 25), pixels=pixels)
    reel = render(source, [snapped(5, 30, 25)], tmp_path)
    assert frames_of(reel.path)[0] == list(range(5, 30))
    with av.open(str(reel.path)) as container:
        frame = next(container.decode(video=0))
        assert (frame.format.name, int(frame.color_range)) == ("yuv420p", 1)
        assert np.abs(frame.to_ndarray(format="gray").astype(float) - picture(5, 160, 96)).mean() < 4


@pytest.mark.parametrize(("transfer", "signal"), [("smpte2084", 0.38), ("arib-std-b67", 0.38)])
def test_middle_grey_of_hdr_stays_middle_grey(tmp_path: Path, transfer: str, signal: float) -> None:
    """BT.2408: an 18 % grey card is at 38 % of the signal, in PQ as in HLG; in SDR it is at 43 %."""
    if not {"zscale", "tonemap"} <= ffmpeg_filters():
        pytest.skip("this ffmpeg has no zscale")
    source = tmp_path / "hdr.mp4"
    tags = f"color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    run_ffmpeg(["-f", "lavfi", "-i", "color=black:s=64x64:r=25:d=1", "-vf",
                f"format=yuv420p10le,geq=lum={round(64 + 876 * signal)}:cb=512:cr=512,setparams={tags}",
                "-c:v", "libx264", "-preset", "ultrafast", input_url(source)], cancel=CancelToken(), timeout_s=60)
    video = probe(source)
    assert video.is_hdr and video.primaries == "bt2020"
    reel = render(video, [Clip(0.1, 0.7, None, "", "")], tmp_path)
    with av.open(str(reel.path)) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_trc), int(frame.color_primaries)) == (1, 1, 1)
        assert 90 < frame.to_ndarray()[:64].mean() < 120


# ---------------------------------------------------------------- what is kept between renders

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


# ---------------------------------------------------------------- several at once

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


# ---------------------------------------------------------------- encoders in hardware

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


# ---------------------------------------------------------------- jumps that land late

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


# ---------------------------------------------------------------- failures leave nothing behind

def files_in(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in tmp_path.rglob("*") if p.is_file())


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


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may grow beyond 20 kB: what a full disk is like."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_no_room(talk: Path, tmp_path: Path, little_room: None) -> None:
    with pytest.raises(OutputError, match="disk is full"):
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


def test_progress_rises_to_one(talk: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    render_reel(order(probe(talk), [snapped(50, 100, 25), snapped(200, 250, 25)], tmp_path), seen.append,
                CancelToken())
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions, key=lambda f: f or 0.0) and fractions[-1] == 1.0
    assert {p.stage for p in seen} == {"render"} and "clip 2 of 2" in " ".join(p.message for p in seen)


def test_a_picture_that_changes_its_size_midway(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(320, 180), (160, 90)]):
        part = tmp_path / f"{number}.ts"
        times = [4 * number + i / 25 for i in range(100)]
        parts.append(write_video(part, [textured(7, *size)] * 100, times_s=times, options={"bf": "0"}).read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    reel = render(probe(joined), [Clip(2.02, 6.02, None, "", "")], tmp_path)
    assert reel.duration_s == pytest.approx(4, abs=0.05) and (reel.width, reel.height) == (320, 180)
