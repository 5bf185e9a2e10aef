"""What a video may ask of this machine: each limit is told in one line, by what was measured."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import Limits, Settings, SettingsError, make_reel
from pipeline.errors import InputError
from pipeline.media.limits import check_pace, check_picture, check_streams, for_encoding
from pipeline.media.probe import probe
from pipeline.progress import CancelToken, silent
from pipeline.scan import scan
from tests.making import textured, write_video


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 25 frames a second, 160 x 90."""
    return write_video(tmp_path_factory.mktemp("plain") / "plain.mp4",
                       [np.roll(textured(0), i, 1) for i in range(50)])


@pytest.mark.parametrize(("limits", "says"), [
    (Limits(max_side=100), "has a picture of 160x90 pixels, and the limit is 100 on the longer side; scale it down"),
    (Limits(max_megapixels=0.01), "160x90 pixels, and the limit is 0.01 million of them; scale it down"),
    (Limits(max_fps=20), "has 25 frames a second, and the limit is 20; save it again with fewer"),
    (Limits(max_hours=0.0005), "is 0.0 hours long, and the limit is 0.0005; cut it into parts")])
def test_each_limit_is_told(plain: Path, tmp_path: Path, limits: Limits, says: str) -> None:
    with pytest.raises(InputError) as caught:
        probe(plain, None, limits)
    assert str(caught.value).startswith("plain.mp4: ") and says in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(InputError, match="and the limit is"):
        make_reel(plain, Settings(scorer="signals", limits=limits, cache_dir=tmp_path / "cache"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_lies_at_the_limit_passes(plain: Path) -> None:
    assert probe(plain, None, Limits(max_side=160, max_megapixels=0.0144, max_fps=25.0, max_streams=1,
                                     max_hours=2.01 / 3600)).frame_count == 50


def test_tracks_are_counted(media: Path) -> None:
    path = media / "real" / "elephants_dream_72s_2audio.mp4"
    with pytest.raises(InputError, match="has 3 tracks, and the limit is 2; save it again with its picture and one"):
        probe(path, None, Limits(max_streams=2))


def test_stretched_pixels_count_as_shown(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", [textured(0)] * 3, shape=(8, 1))
    with pytest.raises(InputError, match="1280x90 pixels"):
        probe(path, None, Limits(max_side=1000))


def test_a_header_that_claims_little_is_not_believed(tmp_path: Path, plain: Path) -> None:
    # H.264 says its size itself; the container says it once more, and may say anything.
    data = plain.read_bytes()
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    assert data[at:at + 4] == b"\0\xa0\0\x5a"
    small = tmp_path / "small.mp4"
    small.write_bytes(data[:at] + b"\0\x10\0\x10" + data[at + 4:])
    with pytest.raises(InputError, match="160x90 pixels"):
        probe(small, None, Limits(max_side=100))


def test_a_picture_that_grows_midway(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{width}.h264", [textured(i, width, 96) for i in range(25)], options={"bf": "0"})
             for width in (96, 320)]
    grown = tmp_path / "grown.ts"
    write_stream(grown, [part.read_bytes() for part in parts])
    video = probe(grown)
    assert (video.width, video.height) == (96, 96)
    settings = Settings(limits=Limits(max_side=200))
    with pytest.raises(InputError, match=r"grown\.ts: has a picture of 320x96 pixels, and the limit is 200"):
        scan(video, settings, tmp_path, silent, CancelToken())
    assert scan(video, Settings(), tmp_path, silent, CancelToken()).frame_count > 40


def write_stream(path: Path, parts: list[bytes]) -> None:
    """Raw H.264 streams one after another in MPEG-TS, each frame in its time."""
    at = 0
    with av.open(str(path), "w") as out:
        stream = None
        for part in parts:
            raw = path.with_suffix(".h264")
            raw.write_bytes(part)
            with av.open(str(raw), format="h264") as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.time_base = stream.time_base = stream.time_base or packet.time_base
                        packet.pts = packet.dts = round(at / 25 / packet.time_base)
                        packet.stream = stream
                        out.mux(packet)
                        at += 1


def test_bounds_of_the_limits() -> None:
    for name, value in (("max_side", 0), ("memory_mb", 1), ("stall_s", float("nan")), ("max_hours", -1)):
        with pytest.raises(SettingsError, match=name):
            replace(Limits(), **{name: value})
    assert all(field.metadata["low"] <= field.default <= field.metadata["high"] for field in fields(Limits))


def test_cameras_stay_within_the_defaults() -> None:
    for width, height in ((7680, 4320), (8192, 4320), (4320, 7680), (5760, 5760)):
        check_picture(width, height, Limits(), "a.mp4")
    check_pace(24 * 3600, 960, Limits(), "a.mp4")
    check_streams(100, Limits(), "a.mkv")


def test_limits_change_no_result() -> None:
    assert "limits" not in Settings(limits=Limits(max_side=100)).to_json()
    assert Settings.from_json({"limits": {"max_side": 1}}).limits == Limits()


@pytest.mark.parametrize(("size", "memory_mb"), [((1920, 1080), 8192), ((3840, 2160), 8192), ((7680, 4320), 16384)])
def test_encoding_large_pictures_gets_more_memory(size: tuple[int, int], memory_mb: int) -> None:
    assert for_encoding(Limits(), size[0] * size[1]) == Limits(memory_mb=memory_mb)
    assert for_encoding(Limits(memory_mb=1_048_576), size[0] * size[1]).memory_mb == 1_048_576
