"""What of a video is weighed, on material made up for it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.pool import Stretch, best_material, left_by, rows_of, stretches_of, without_repeats
from pipeline.types import Interval
from tests.test_selection import FPS, material

INSET_S = 0.5 / FPS


def test_scenes_without_what_is_taken() -> None:
    source = material(np.zeros(30), [10.0, 20.0])
    whole = stretches_of(source, [], INSET_S)
    assert [(s.start_s, s.end_s, s.scene) for s in whole] == [
        (INSET_S, pytest.approx(9.98), 0), (10.02, pytest.approx(19.98), 1), (20.02, pytest.approx(29.98), 2)]
    left = left_by([Interval(12, 14), Interval(19, 25)], whole, INSET_S)
    assert [(round(s.start_s, 2), round(s.end_s, 2), s.cut_start, s.cut_end) for s in left] == [
        (0.02, 9.98, True, True), (10.02, 12, True, False), (14, 19, False, False), (25, 29.98, False, True)]


def test_a_short_video_is_weighed_whole_and_a_long_one_by_its_best() -> None:
    curve = np.zeros(1000)
    curve[[*range(200, 206), *range(700, 706)]] = 1.0
    source = material(curve, [])
    stretches = stretches_of(source, [], INSET_S)
    assert best_material(source, stretches, curve, 2, 1000.0) == [(stretches[0], stretches[0])]
    pool = best_material(source, stretches, curve, 2, 12.0)
    assert [(round(p.start_s), round(p.end_s)) for p, _ in pool] == [(197, 209), (697, 709)]
    assert all(stretch is stretches[0] for _, stretch in pool)
    assert all(abs((p.start_s - INSET_S) * FPS - round((p.start_s - INSET_S) * FPS)) < 1e-6 for p, _ in pool)


def test_what_keeps_nothing_is_left_out_unless_all_does() -> None:
    whole = Stretch(0.02, 29.98, 0, True, True)
    kept = np.ones(30)
    kept[10:20] = 0
    fresh = without_repeats([(whole, whole)], kept, 1 / FPS)
    assert [(round(p.start_s), round(p.end_s)) for p, _ in fresh] == [(0, 10), (20, 30)]
    assert without_repeats([(whole, whole)], np.zeros(30), 1 / FPS) == [(whole, whole)]


def test_a_divided_second_counts_for_either_scene_by_itself() -> None:
    curve = np.zeros(20)
    curve[10:] = 1.0
    source = material(curve, [10.0])
    pool = [(s, s) for s in stretches_of(source, [], INSET_S)]
    (low, _), (high, _) = rows_of(source, pool, curve, 0.52, 1, 1.0)
    assert low.worth.max() < 0.06 and high.worth.min() > 0.4
