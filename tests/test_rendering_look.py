"""Reels look as their sources do: upright, with square pixels, in the right colours and one size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.probe import probe
from pipeline.media.process import ffmpeg_filters, input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.types import Clip
from tests.making import textured, write_video
from tests.numbered import (
    even,
    frames_of,
    make_source,
    picture,
    render,
    snapped,
)


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
