"""Selection on tracks made up for it: no media."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from pipeline.pool import Material
from pipeline.selection import budget_s, select
from pipeline.settings import Settings
from pipeline.types import Clip, Heard, Interval, Scene, Scored, ScoredSegment, ScorerInfo, Wish

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


def repeated_material(rhythm_of_second: int) -> Material:
    """Two scenes of six seconds that look alike, the best there are, among others; the second's rhythm by its seed."""
    curve = np.full(100, 0.3)
    curve[[*range(10, 16), *range(50, 56)]] = 1.0
    curve[80:86] = 0.6
    looks = np.eye(100, dtype=np.float32)
    looks[50:56] = looks[10:16] = looks[10]

    def beat(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.stack([rng.uniform(0, 0.1, 60), rng.uniform(-40, -10, 60)], axis=1)

    rhythm = np.tile([0.0, -90.0], (1000, 1))
    rhythm[100:160], rhythm[500:560] = beat(0), beat(rhythm_of_second)
    return replace(material(curve, [float(t) for t in (10, 16, 50, 56, 80, 86)], looks), rhythm=rhythm)


def test_a_repeat_gives_way_and_another_moment_in_the_same_view_doesnt() -> None:
    settings = Settings(target_s=12, spread_weight=0)
    assert {int(c.start_s) for c in select(repeated_material(0), settings)} & {50, 80} == {80}
    assert {int(c.start_s) for c in select(repeated_material(1), settings)} == {10, 50}
    # Repeats are shown where they are asked for.
    assert {int(c.start_s) for c in select(repeated_material(0), replace(settings, repeat_weight=0))} == {10, 50}


def test_what_a_model_sees_comes_before_the_descriptor() -> None:
    settings = Settings(target_s=12, spread_weight=0)
    source = repeated_material(0)
    unlike = replace(source, scored=replace(source.scored, looks=np.eye(100, dtype=np.float32)))
    assert {int(c.start_s) for c in select(unlike, settings)} == {10, 50}
    alike = replace(unlike, looks=unlike.scored.looks, scored=replace(source.scored, looks=source.looks))
    assert {int(c.start_s) for c in select(alike, settings)} & {50, 80} == {80}


def test_a_moment_is_shown_with_its_run_up() -> None:
    curve = np.full(300, 0.1)
    curve[100:108] = (0.3, 0.4, 0.5, 0.6, 1.0, 0.8, 0.6, 0.4)
    curve[200:212] = 0.62
    (clip,) = select(material(curve, [150.0]), Settings(target_s=5, spread_weight=0))
    assert (clip.start_s, clip.end_s) == pytest.approx((102, 107), abs=0.1)


@hypothesis_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.integers(0, 60), target_s=st.floats(4, 90),
       marks=st.lists(st.tuples(st.floats(0, 290), st.floats(0.2, 25), st.booleans()), max_size=8))
def test_pinned_is_always_in_and_banned_never(seed: int, cuts: int, target_s: float,
                                              marks: list[tuple[float, float, bool]]) -> None:
    source = random_material(seed, 300, cuts)
    pinned: list[tuple[float, float]] = []
    banned: list[tuple[float, float]] = []
    for start_s, length_s, pin in marks:
        stretch = (start_s, start_s + length_s)
        against = banned if pin else pinned
        if not any(max(stretch[0], a) < min(stretch[1], b) for a, b in against):
            (pinned if pin else banned).append(stretch)
    settings = Settings(target_s=target_s, pinned=tuple(pinned), banned=tuple(banned))
    clips = select(source, settings)
    assert clips and clips == select(source, settings)
    for start_s, end_s in pinned:
        assert any(c.start_s <= start_s and min(end_s, 300) <= c.end_s and c.reason == "you chose it" for c in clips)
    for start_s, end_s in banned:
        assert not any(max(c.start_s, start_s) < min(c.end_s, end_s) - 1e-6 for c in clips)
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(clips))
    free = [c for c in clips if c.reason != "you chose it"]
    pinned_s = sum(c.end_s - c.start_s for c in clips) - sum(c.end_s - c.start_s for c in free)
    assert sum(c.end_s - c.start_s for c in free) <= max(0.0, target_s - pinned_s) + 1e-6 or not pinned


def test_what_is_pinned_may_be_longer_than_the_target() -> None:
    source = random_material(1, 300, 20)
    clips = select(source, Settings(target_s=10, pinned=((20, 50), (45, 60))))
    assert [(c.start_s, c.end_s) for c in clips] == [(20, 60)]


def test_a_short_video_of_which_a_part_is_banned() -> None:
    source = material(np.random.default_rng(0).random(4), [])
    (clip,) = select(source, Settings(target_s=30, banned=((0.0, 2.0),)))
    assert clip.start_s >= 2.0 and clip.end_s == pytest.approx(4.0, abs=0.1)
    with pytest.raises(SettingsError, match="leaves nothing"):
        select(source, Settings(target_s=30, banned=((0.0, 9.0),)))


@pytest.mark.parametrize("target_s", [30.0, 600.0])
def test_ten_thousand_segments(target_s: float) -> None:
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.choice(np.arange(1, 40_000), 9_999, replace=False)).astype(float).tolist()
    looks = rng.standard_normal((40_000, 16)).astype(np.float32)
    source = material(rng.random(40_000), cuts, looks / np.linalg.norm(looks, axis=1, keepdims=True))
    settings = Settings(target_s=target_s)
    clips = select(source, settings)
    hold(clips, source, settings)
    assert clips == select(source, settings)
    assert 0.9 * target_s <= sum(c.end_s - c.start_s for c in clips)
    assert np.mean([c.score for c in clips]) > 0.75


def test_an_hour_without_a_cut() -> None:
    curve = np.random.default_rng(2).random(3600)
    curve[3000:3010] = 1.0
    source = material(curve, [])
    clips = select(source, Settings(target_s=30))
    hold(clips, source, Settings(target_s=30))
    assert any(c.start_s < 3006 and c.end_s > 3004 for c in clips)


@pytest.mark.parametrize("curve", [np.full(60, np.nan), np.r_[np.random.default_rng(0).random(30), np.full(30, np.nan)],
                                   np.full(60, np.inf), np.zeros(60)])
def test_scores_without_sense_still_give_a_reel(curve: np.ndarray) -> None:
    source = material(curve, [20.0, 40.0])
    clips = select(source, Settings(target_s=12))
    hold(clips, source, Settings(target_s=12))
    assert all(np.isfinite(c.score) for c in clips)


def phrases(*bounds: tuple[float, float]) -> Heard:
    """Speech in some stretches."""
    return Heard(tuple(Interval(a, b) for a, b in bounds))


@hypothesis_settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.integers(0, 20), target_s=st.floats(8, 60))
def test_no_edge_lies_in_a_phrase_beside_a_pause(seed: int, cuts: int, target_s: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.3, 1.0, 200) + np.tile([1.5, 0.0], 100) * rng.random(200))
    spoken = [(float(a), float(b)) for a, b in zip(times[::2], times[1::2], strict=True) if b < 200]
    source = replace(random_material(seed, 200, cuts), heard=phrases(*spoken))
    settings = Settings(target_s=target_s)
    clips = select(source, settings)
    hold(clips, source, settings)
    assert sum(c.end_s - c.start_s for c in clips) >= 0.6 * target_s
    for clip in clips:
        for edge in (clip.start_s, clip.end_s):
            assert not any(a + 0.04 < edge < b - 0.04 for a, b in spoken)


def test_edges_go_to_onsets_and_cuts() -> None:
    curve = np.full(200, 0.1)
    curve[50:56] = curve[120:126] = 1.0
    source = replace(material(curve, [126.3]), heard=Heard((), (49.7, 56.2)))
    first, second = select(source, Settings(target_s=13, spread_weight=0))
    assert first.start_s == pytest.approx(49.66, abs=0.03)
    assert second.end_s == pytest.approx(126.3, abs=0.06)


def wished(*found: bool) -> Material:
    """Two wishes: one is answered from 50 to 90 s, the other, less well, from 150 to 156 s."""
    first, second = np.full(200, 0.1), np.full(200, 0.1)
    first[50:90], second[150:156] = 1.0, 0.6
    source = material(np.maximum(first, second), [])
    wishes = tuple(Wish(text, curve, is_found) for text, curve, is_found
                   in zip(("a goal", "the crowd"), (first, second), found, strict=True))
    return replace(source, scored=replace(source.scored, wishes=wishes))


def test_wishes_share_the_budget() -> None:
    settings = Settings(target_s=20, spread_weight=0)
    clips = select(wished(True, True), settings)
    hold(clips, wished(True, True), settings)
    first = [c for c in clips if c.reason.endswith("a goal")]
    second = [c for c in clips if c.reason.endswith("the crowd")]
    assert len(first) + len(second) == len(clips)
    assert sum(c.end_s - c.start_s for c in first) == pytest.approx(10, abs=0.6)
    assert sum(Interval(c.start_s, c.end_s).overlap_s(Interval(150, 156)) for c in second) > 5.5


@pytest.mark.parametrize("found", [(True, False), (False, False)])
def test_wishes_that_were_not_found_get_nothing(found: tuple[bool, bool]) -> None:
    clips = select(wished(*found), Settings(target_s=20, spread_weight=0))
    assert all(c.start_s >= 50 and c.end_s <= 90 for c in clips)


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
