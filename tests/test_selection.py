"""Selection on tracks made up for it: no media."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.selection import Material, budget_s, select
from pipeline.settings import Settings
from pipeline.types import Clip, Scene, Scored, ScoredSegment, ScorerInfo

FPS = 25.0


def material(curve: np.ndarray, cuts: list[float], looks: np.ndarray | None = None, flat: bool = False) -> Material:
    """Material with one segment a scene; every second looks different unless `looks` says otherwise."""
    duration_s = float(len(curve))
    scenes = [Scene(a, b) for a, b in zip([0.0, *cuts], [*cuts, duration_s], strict=True)]
    segments = tuple(
        ScoredSegment(s.start_s, s.end_s, float(curve[int(s.start_s):int(np.ceil(s.end_s))].mean()),
                      {"motion": 0.9, "colour": 0.1}, f"scene {i}") for i, s in enumerate(scenes))
    if looks is None:
        looks = np.eye(len(curve), dtype=np.float32)
    return Material(duration_s, FPS, scenes, Scored(segments, curve, ScorerInfo("signals"), flat), looks)


def hold(clips: tuple[Clip, ...], source: Material, settings: Settings) -> None:
    """What is true of every choice."""
    assert sum(c.end_s - c.start_s for c in clips) <= settings.target_s + 1e-6
    assert [c.start_s for c in clips] == sorted(c.start_s for c in clips)
    assert all(a.end_s <= b.start_s for a, b in pairwise(clips))
    half = 0.5 / source.fps
    for clip in clips:
        scene = next(s for s in source.scenes if s.start_s <= clip.start_s < s.end_s)
        assert clip.start_s >= scene.start_s + half - 1e-9 and clip.end_s <= scene.end_s - half + 1e-9
        frames = (clip.end_s - clip.start_s) * source.fps
        assert abs(frames - round(frames)) < 1e-6


def random_material(seed: int, seconds: int, cuts: int) -> Material:
    """A video of random interest."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(1, seconds - 1, cuts))
    times = times[np.diff(times, prepend=0) > 0.4]
    return material(rng.random(seconds), (np.round(times * FPS) / FPS).tolist())


@hypothesis_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), seconds=st.integers(6, 400), cuts=st.integers(0, 80),
       target_s=st.floats(2, 200))
def test_every_choice_is_legal(seed: int, seconds: int, cuts: int, target_s: float) -> None:
    source, settings = random_material(seed, seconds, cuts), Settings(target_s=target_s)
    clips = select(source, settings)
    assert clips and clips == select(source, settings)
    hold(clips, source, settings)


@pytest.mark.parametrize("target_s", [6.0, 15.0, 30.0, 60.0, 117.0])
def test_the_reel_is_within_a_tenth_of_the_target(target_s: float) -> None:
    for seed in range(5):
        source = random_material(seed, 600, 60)
        length = sum(c.end_s - c.start_s for c in select(source, Settings(target_s=target_s)))
        assert 0.9 * target_s <= length <= target_s + 1e-6


def test_clips_hold_the_peaks_and_are_trimmed_to_them() -> None:
    curve = np.full(300, 0.1)
    curve[100:106] = curve[220:226] = 1.0
    clips = select(material(curve, []), Settings(target_s=12, spread_weight=0))
    shown = [(round(c.start_s), round(c.end_s)) for c in clips]
    assert shown == [(100, 106), (220, 226)]


def test_spread_shows_every_part_of_the_video() -> None:
    curve = np.full(300, 0.5)
    curve[:60] = 0.55
    together = select(material(curve, []), Settings(target_s=30, spread_weight=0))
    spread = select(material(curve, []), Settings(target_s=30, spread_weight=0.3))
    assert max(c.end_s for c in together) < 100
    assert {int(c.start_s // 100) for c in spread} == {0, 1, 2}


def test_the_same_view_is_not_shown_twice() -> None:
    curve = np.full(100, 0.3)
    curve[[*range(10, 16), *range(50, 56)]] = 1.0
    curve[80:86] = 0.6
    cuts = [float(t) for t in (10, 16, 50, 56, 80, 86)]
    looks = np.eye(100, dtype=np.float32)
    looks[50:56] = looks[10:16]
    settings = Settings(target_s=12, spread_weight=0)
    alike = select(material(curve, cuts, looks), settings)
    unlike = select(material(curve, cuts), settings)
    assert {int(c.start_s) for c in unlike} == {10, 50}
    assert {int(c.start_s) for c in alike} & {10, 50} == {10} and any(80 <= c.start_s < 86 for c in alike)


def test_flat_scores_spread_the_picks() -> None:
    clips = select(material(np.full(360, 0.5), [], np.eye(1, 360, dtype=np.float32).repeat(360, 0), flat=True),
                   Settings(target_s=30))
    assert {int(c.start_s // 90) for c in clips} == {0, 1, 2, 3}
    assert all("nothing stands out" in c.reason for c in clips)


def test_short_videos() -> None:
    settings = Settings(target_s=30)
    assert budget_s(20, settings) == pytest.approx(12) and budget_s(600, settings) == 30
    (whole,) = select(material(np.random.default_rng(0).random(4), [2.0]), settings)
    assert (whole.start_s, whole.end_s) == (0, 4)


def test_shots_that_are_all_too_short_still_give_a_reel() -> None:
    source = material(np.random.default_rng(1).random(40), [float(t) for t in range(1, 40)])
    clips = select(source, Settings(target_s=10))
    hold(clips, source, Settings(target_s=10))
    assert sum(c.end_s - c.start_s for c in clips) > 7


def test_clips_stay_within_their_lengths() -> None:
    clips = select(random_material(3, 900, 20), Settings(target_s=120))
    assert all(1.5 - 1e-6 <= c.end_s - c.start_s <= 10 + 1e-6 for c in clips)
