"""The path of a crop window: still, smooth, bounded, inside; no media."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.rendering.follow import Piece, Target, fastest, path_of, position, reach, weighted_median

STEP_S = 0.5
SHARE = st.floats(0, 1)
STEPS = st.lists(st.tuples(SHARE, SHARE, SHARE), min_size=1, max_size=40)
WINDOW = st.floats(0.05, 0.99)


def targets(steps: list[tuple[float, float, float]], start_s: float = 0.0) -> list[Target]:
    """Targets of (at, size, weight)."""
    return [Target(start_s + i * STEP_S, *step) for i, step in enumerate(steps)]


def path(at: list[float], window: float = 0.3, size: float = 0.1) -> tuple[Piece, ...]:
    """The path for things of one size and weight."""
    return path_of([(0.0, targets([(a, size, 1.0) for a in at]))], STEP_S, window)


def values(found: tuple[Piece, ...], end_s: float, step_s: float = 0.04) -> np.ndarray:
    """Positions on a path, at each frame."""
    return np.array([position(found, t) for t in np.arange(0, end_s, step_s)])


def test_what_stays_in_the_dead_zone_moves_nothing() -> None:
    rng = np.random.default_rng(1)
    found = path(list(0.7 + rng.uniform(-0.028, 0.028, 30)))
    assert len(found) == 1 and found[0].speed == found[0].bend == 0
    assert found[0].at == pytest.approx(0.7, abs=0.02)


def test_a_glimpse_elsewhere_moves_nothing() -> None:
    at = [0.3] * 20
    at[9] = 0.9
    assert len(path(at)) == 1


def test_faint_steps_do_not_pull() -> None:
    steps = [(0.3, 0.1, 1.0)] * 10 + [(0.9, 0.1, 0.1)] * 10
    assert len(path_of([(0.0, targets(steps))], STEP_S, 0.3)) == 1


def test_what_crosses_the_picture_is_followed() -> None:
    at = np.linspace(0.1, 0.9, 16)
    found = path(list(at))
    for i in range(16):
        middle = position(found, (i + 0.5) * STEP_S)
        assert abs(min(max(at[i], 0.15), 0.85) - middle) < 0.06
    steps = np.diff(values(found, 8.0))
    assert steps.min() > -1e-9


def test_a_move_is_eased_and_ends() -> None:
    found = path([0.2] * 12 + [0.8] * 12)
    at = values(found, 12.0)
    # As near as the room around what is followed makes necessary.
    assert at[0] == pytest.approx(0.2, abs=0.06) and at[-1] == pytest.approx(0.8, abs=0.06)
    assert np.diff(at).min() > -1e-9
    # It stands before and after.
    assert len(set(at[:60].round(9))) == 1 and len(set(at[-60:].round(9))) == 1


def test_the_path_jumps_at_cuts_and_nowhere_else() -> None:
    runs = [(0.0, targets([(0.2, 0.1, 1.0)] * 4)), (2.0, targets([(0.8, 0.1, 1.0)] * 4, 2.0))]
    found = path_of(runs, STEP_S, 0.3)
    assert [piece.start_s for piece in found] == [0.0, 2.0]
    assert position(found, 1.999) == pytest.approx(0.2) and position(found, 2.0) == pytest.approx(0.8)


@hypothesis_settings(max_examples=300, deadline=None)
@given(runs=st.lists(STEPS, min_size=1, max_size=3), window=WINDOW, late_s=st.floats(0, 0.49))
def test_always_inside_and_never_too_fast(runs: list[list[tuple[float, float, float]]], window: float,
                                          late_s: float) -> None:
    built, begin_s, start_s = [], 0.0, late_s
    for steps in runs:
        built.append((start_s, targets(steps, begin_s)))
        # A cut lies within the last step of one run, which is the first of the next; or at its end.
        inside = len(steps) > 1
        begin_s += (len(steps) - inside) * STEP_S
        start_s = begin_s + inside * late_s
    found = path_of(built, STEP_S, window)
    end_s = start_s
    low, high = reach(found, end_s)
    assert window / 2 - 1e-5 <= low <= high <= 1 - window / 2 + 1e-5
    cuts = [begin for begin, _ in built[1:]]
    for piece, until_s in zip(found, [*(p.start_s for p in found[1:]), end_s], strict=True):
        assert low - 1e-9 <= piece.value(until_s) <= high + 1e-9
        # Rounding to the millionth may add that much.
        speeds = piece.speed, piece.speed + 2 * piece.bend * (until_s - piece.start_s)
        assert max(map(abs, speeds)) <= fastest(window) + 1e-4
        assert abs(2 * piece.bend) <= 0.75 * fastest(window) / STEP_S + 1e-4
    for before, after in itertools.pairwise(found):
        if after.start_s not in cuts:
            assert before.value(after.start_s) == pytest.approx(after.at, abs=1e-5)
            assert before.speed + 2 * before.bend * (after.start_s - before.start_s) == pytest.approx(
                after.speed, abs=1e-4)


def test_long_clips_have_few_pieces() -> None:
    at = [0.5 + 0.3 * np.sin(i / 3) for i in range(5000)]
    found = path(at)
    assert len(found) <= 240
    at_frames = values(found, 2500.0, 0.5)
    assert np.abs(np.diff(at_frames)).max() <= fastest(0.3) * 0.5 + 1e-6


def test_reach_finds_turning_points() -> None:
    bow = (Piece(0.0, 0.4, 0.2, -0.1), Piece(2.0, 0.4))
    assert reach(bow, 3.0) == (pytest.approx(0.4), pytest.approx(0.5))


def test_weighted_median() -> None:
    assert weighted_median(np.array([0.9, 0.1, 0.5]), np.array([1.0, 1.0, 1.0])) == 0.5
    assert weighted_median(np.array([0.9, 0.1, 0.5]), np.array([5.0, 1.0, 1.0])) == 0.9
    assert weighted_median(np.array([0.2, 0.4]), np.array([0.0, 0.0])) == 0.2
