"""The extent of peaks, on curves made up for it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.peaks import FURTHEST_S, LIFT, lifted
from pipeline.types import Scene


def of(*values: float, cuts: tuple[int, ...] = ()) -> np.ndarray:
    """What becomes of a curve in scenes."""
    edges = [0, *cuts, len(values)]
    scenes = [Scene(a, b) for a, b in pairwise(edges)]
    return lifted(np.array(values, dtype=float), scenes)


def test_run_up_and_result_are_lifted_and_the_rest_is_not() -> None:
    curve = (0.1, 0.1, 0.4, 0.6, 1.0, 0.7, 0.1, 0.1)
    result = of(*curve)
    assert result[3] == pytest.approx(0.6 + LIFT * 0.4) and result[5] == pytest.approx(0.7 + LIFT * 0.3)
    # The slope counts down to two thirds of the way; what is below that is no part of it.
    assert result[[0, 1, 4, 6, 7]].tolist() == [0.1, 0.1, 1.0, 0.1, 0.1]


def test_no_peak_reaches_over_a_cut() -> None:
    assert of(0.1, 0.1, 0.6, 0.6, 1.0, 0.6, 0.1, cuts=(4,))[:4].tolist() == [0.1, 0.1, 0.6, 0.6]


def test_ripples_are_no_peaks_and_plateaus_are_one() -> None:
    assert of(0.5, 0.55, 0.5, 0.6, 0.5).tolist() == [0.5, 0.55, 0.5, 0.6, 0.5]
    assert of(0.0, 0.5, 1.0, 1.0, 0.5, 0.0)[[1, 4]] == pytest.approx([0.5 + LIFT * 0.5] * 2)


def test_a_scene_may_begin_or_end_at_its_best() -> None:
    assert of(1.0, 0.6, 0.1, 0.1)[1] == pytest.approx(0.6 + LIFT * 0.4)
    assert of(0.1, 0.1, 0.6, 1.0)[2] == pytest.approx(0.6 + LIFT * 0.4)
    assert of(0.5).tolist() == [0.5] and of(0.4, 0.4, 0.4).tolist() == [0.4] * 3


def test_a_slope_is_no_longer_than_a_moment() -> None:
    up = np.linspace(0.6, 1.0, 20)
    result = of(*up, 0.0)
    assert (result[:20 - FURTHEST_S - 1] == up[:20 - FURTHEST_S - 1]).all() and result[18] > up[18]


def test_it_never_lowers_and_never_exceeds_the_top() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        curve = rng.random(60)
        result = of(*curve, cuts=(13, 14, 40))
        assert (result >= curve).all() and result.max() == curve.max()
