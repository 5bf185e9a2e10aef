"""What is measured of a file, on files made here and on hard ones from elsewhere."""

from __future__ import annotations

import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from bench.robustness import mutation, small_files
from pipeline.errors import Cancelled, InputError
from pipeline.media.probe import probe
from pipeline.progress import CancelToken
from tests.making import textured, tone, write_video


def test_an_ordinary_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [np.roll(textured(0), i, 1) for i in range(50)], sound=tone(2, 0.3))
    video = probe(path)
    assert (video.fps, video.frame_count, video.width, video.height) == (25.0, 50, 160, 90)
    assert video.duration_s == pytest.approx(2.0) and video.origin_s == 0 and not video.variable_fps
    assert video.has_audio and video.codec == "h264" and video.transfer == "sdr" and video.rotation_deg == 0
    assert video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_uneven_frames_are_measured_not_believed(tmp_path: Path) -> None:
    times = np.cumsum([0.0] + [0.02, 0.06, 0.1, 0.02] * 10)[:-1]
    path = write_video(tmp_path / "v.mp4", [textured(i) for i in range(40)], times_s=times.tolist())
    video = probe(path)
    assert video.variable_fps and video.fps == pytest.approx(20, rel=0.05)
    assert video.duration_s == pytest.approx(2.0, abs=0.11)


def test_a_clock_that_does_not_start_at_zero(tmp_path: Path) -> None:
    times = (10 + np.arange(50) / 25).tolist()
    path = write_video(tmp_path / "late.ts", [textured(0)] * 50, times_s=times)
    video = probe(path)
    assert video.origin_s > 9 and video.duration_s == pytest.approx(2.0, abs=0.05)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    wide = probe(write_video(tmp_path / "w.mp4", [textured(0)] * 3, shape=(4, 3)))
    tall = probe(write_video(tmp_path / "t.mp4", [textured(0)] * 3, shape=(1, 2)))
    assert (wide.width, wide.height) == (213, 90) and (tall.width, tall.height) == (160, 180)


def test_deep_colour(tmp_path: Path) -> None:
    path = write_video(tmp_path / "d.mp4", [textured(0)] * 3, pixel_format="yuv420p10le", codec="libx265",
                       options={"x265-params": "log-level=none:transfer=smpte2084:colorprim=bt2020"})
    video = probe(path)
    assert video.bit_depth == 10 and video.transfer == "pq" and video.is_hdr


def test_attached_pictures_are_no_video(media: Path) -> None:
    video = probe(media / "odd" / "embedded_cover_png.mkv")
    assert video.codec == "h264" and video.frame_count == 60


def test_the_first_of_two_sound_tracks(media: Path) -> None:
    path = media / "real" / "elephants_dream_72s_2audio.mp4"
    with av.open(str(path)) as container:
        first = container.streams.audio[0].index
    assert probe(path).audio_stream == first


@pytest.mark.parametrize(("name", "turn", "size"), [
    ("rotate90.mov", 90, (320, 568)), ("rotate270_camera.mp4", 270, (720, 1280)), ("portrait.mp4", 0, (720, 1080))])
def test_phones_are_stood_upright(media: Path, name: str, turn: int, size: tuple[int, int]) -> None:
    video = probe(media / "odd" / name)
    assert (video.rotation_deg, (video.width, video.height)) == (turn, size)


def test_headers_are_quoted_and_not_believed(media: Path) -> None:
    none = probe(media / "odd" / "no_duration.webm")
    assert none.header.duration_s is None and none.duration_s == pytest.approx(4.94, abs=0.1)
    track = probe(media / "odd" / "empty_track.mp4")
    assert track.header.fps == pytest.approx(31, abs=0.1) and track.fps == pytest.approx(29.97, abs=0.01)


def test_sound_without_a_description_is_no_sound(media: Path) -> None:
    assert not probe(media / "odd" / "missing_stsd.mp4").has_audio


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD = {
    "empty.mp4": (b"", "empty"),
    "text.mp4": (b"Dear diary, today I filmed nothing.\n" * 40, "text file"),
    "list.mp4": (b"#EXTM3U\n#EXTINF:4,\nsecret.ts\n", "playlist"),
    "concat.mp4": (b"ffconcat version 1.0\nfile other.mp4\n", "playlist"),
    "list.xspf": (b"<?xml version='1.0'?><playlist/>" + b" " * 100, "playlist"),
    "noise.mp4": (bytes(range(256)) * 64, "no video that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video_is_named(tmp_path: Path, name: str) -> None:
    content, says = BAD[name]
    with pytest.raises(InputError, match=says) as caught:
        probe(write(tmp_path / name, content))
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


def test_raw_streams_are_named(tmp_path: Path) -> None:
    raw = write_video(tmp_path / "raw.h264", [textured(0)] * 25)
    with pytest.raises(InputError, match="raw stream without timestamps"):
        probe(raw)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        probe(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="directory"):
        probe(tmp_path)


@pytest.mark.parametrize(("name", "says"), [
    ("encrypted_clearkey.mp4", "encrypted"), ("audio_only_15s.mp4", "only sound"), ("audio_file_jfk.flac", "no video")])
def test_hard_files_that_are_refused(media: Path, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        probe(media / "odd" / name)


def test_playlists_open_no_second_file(tmp_path: Path) -> None:
    # Each names a real video beside it: were the list followed, probing would succeed.
    write_video(tmp_path / "real.mp4", [textured(0)] * 25)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile real.mp4\n")
    (tmp_path / "hls.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nreal.mp4\n#EXT-X-ENDLIST\n")
    for name in ("list.mp4", "hls.mp4"):
        with pytest.raises(InputError, match="playlist"):
            probe(tmp_path / name)


def test_cancelling(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        probe(write_video(tmp_path / "a.mp4", [textured(0)] * 5), token)


def test_a_track_that_begins_midway_is_passed_over(media: Path, tmp_path: Path) -> None:
    # One of the damaged files that `bench.robustness` makes; PyAV has an IndexError for it.
    source, _, data = mutation(small_files(media), seed=7, number=1872)
    assert source.name == "vp6_112x80.flv"
    (tmp_path / "midway.flv").write_bytes(data)
    assert probe(tmp_path / "midway.flv").frame_count > 100
