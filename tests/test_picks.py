"""Picks from files, through the whole pipeline: what is repeated, and videos in which there is little to pick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import Analysis, Settings, analyse, choose
from pipeline.types import Interval
from tests.making import RATE, textured, tone, write_video

FPS = 25.0
BLOCK_S, OTHER_S = 20.0, 20.0


def settings(tmp_path: Path, target_s: float = 30) -> Settings:
    """The built-in scorer, with a cache of the test's own."""
    return Settings(target_s=target_s, scorer="signals", cache_dir=tmp_path / "cache")


def block_picture(i: int) -> np.ndarray:
    """Four shots of five seconds that pan at their own speeds."""
    shot = int(i / FPS / 5)
    return np.roll(textured(shot), i * (1 + shot) // 2, axis=1)


def block_sound() -> np.ndarray:
    """Something to hear in each shot, never the same."""
    rng = np.random.default_rng(3)
    return np.concatenate([tone(0.25, float(rng.uniform(0.02, 0.4)), float(rng.uniform(200, 900)))
                           for _ in range(round(BLOCK_S * 4))])


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The same 20 s five times, and one other scene between the third and the fourth."""
    folder = tmp_path_factory.mktemp("loop")
    per_block = round(BLOCK_S * FPS)

    def draw(i: int) -> np.ndarray:
        block, at = divmod(i, per_block)
        return np.roll(textured(99), i // 3, axis=1) if block == 3 else block_picture(at)

    block = block_sound()
    sound = np.concatenate([block] * 3 + [tone(OTHER_S, 0.05, 330)] + [block] * 2)
    path = write_video(folder / "loop.mp4", draw, 6 * per_block, fps=FPS, sound=sound)
    return analyse(path, settings(folder))


def shown_twice_s(clips: list[Interval]) -> float:
    """Seconds of the repeated 20 s that are in the reel more than once."""
    times = np.zeros(round(BLOCK_S * 100))
    for clip in clips:
        for hundredth in range(round(clip.start_s * 100), round(clip.end_s * 100)):
            block, at = divmod(hundredth, len(times))
            if block != 3:
                times[at] += 1
    return float((times > 1).sum()) / 100


@pytest.mark.parametrize("target_s", [10.0, 20.0, 30.0])
def test_what_is_repeated_is_shown_once(loop: Analysis, tmp_path: Path, target_s: float) -> None:
    plan = choose(loop, settings(tmp_path, target_s))
    clips = [clip.interval for clip in plan.clips]
    assert shown_twice_s(clips) == pytest.approx(0, abs=0.5)
    assert plan.duration_s >= 0.9 * target_s and not plan.warnings
    if target_s > BLOCK_S:
        assert sum(clip.overlap_s(Interval(60, 80)) for clip in clips) > 5


def test_a_reel_that_repeats_would_fill_is_shorter_and_says_so(loop: Analysis, tmp_path: Path) -> None:
    plan = choose(loop, settings(tmp_path, 70))
    assert shown_twice_s([clip.interval for clip in plan.clips]) == pytest.approx(0, abs=0.5)
    assert 30 < plan.duration_s < 45 and any("repeats what is shown" in warning for warning in plan.warnings)


def test_repeats_are_shown_where_they_are_asked_for(loop: Analysis, tmp_path: Path) -> None:
    allowed = settings(tmp_path, 30).with_given(repeat_weight=0.0, spread_weight=0.0)
    assert shown_twice_s([clip.interval for clip in choose(loop, allowed).clips]) > 5


def test_a_constant_picture_in_silence(tmp_path: Path) -> None:
    still = textured(1)
    path = write_video(tmp_path / "still.mp4", lambda i: still, 90 * 10, fps=10.0,
                       sound=np.zeros(90 * RATE, np.float32))
    analysis = analyse(path, settings(tmp_path))
    plan = choose(analysis, settings(tmp_path, 20))
    assert any("flat" in warning for warning in plan.warnings)
    assert plan.duration_s == pytest.approx(20, rel=0.1) and plan.clips[-1].end_s - plan.clips[0].start_s > 45


def test_half_an_hour_without_a_cut(tmp_path: Path) -> None:
    """A fixed camera, before which something moves once in 30 minutes."""
    picture, fps = textured(2, 64, 36), 2.0

    def draw(i: int) -> np.ndarray:
        return np.roll(picture, 7 * i, axis=1) if 1000 <= i / fps < 1008 else picture

    path = write_video(tmp_path / "long.mp4", draw, round(1800 * fps), fps=fps)
    plan = choose(analyse(path, settings(tmp_path)), settings(tmp_path, 20))
    assert len(plan.scenes) == 1 and 17 <= plan.duration_s <= 20.001
    assert sum(clip.interval.overlap_s(Interval(1000, 1008)) for clip in plan.clips) > 7


def test_three_thousand_cuts(tmp_path: Path) -> None:
    """Ten seconds of calm in a video that cuts every third of a second."""
    pictures = [textured(seed, 64, 36) for seed in range(40)]
    fps, seconds = 18.0, 1010.0
    path = write_video(tmp_path / "flicker.mp4",
                       lambda i: pictures[0] if 500 <= i / fps < 510 else pictures[i // 6 % 39 + 1],
                       round(seconds * fps), fps=fps)
    plan = choose(analyse(path, settings(tmp_path)), settings(tmp_path, 12))
    assert len(plan.scenes) > 2900 and 9 <= plan.duration_s <= 12.001


def test_a_second_is_its_own_reel(tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", [textured(i) for i in range(25)], fps=FPS, sound=tone(1, 0.3))
    (clip,) = choose(analyse(path, settings(tmp_path)), settings(tmp_path)).clips
    assert (clip.start_s, clip.end_s) == pytest.approx((0, 1), abs=0.05)
