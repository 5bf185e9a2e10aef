"""Fusion is arithmetic; each property that scores rest on is held here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scorers.smolvlm2 import fusion
from pipeline.types import Scored, ScoredSegment, ScorerInfo, Segment

VALUES = st.lists(st.floats(-30, 30), min_size=2, max_size=20).map(np.asarray)


def signals(scores: list[float], length_s: float = 2.0, flat: bool = False) -> Scored:
    segments = tuple(ScoredSegment(i * length_s, (i + 1) * length_s, score, {"motion": score}, f"s{i}")
                     for i, score in enumerate(scores))
    curve = np.repeat(np.asarray(scores, dtype=np.float64), int(length_s))
    return Scored(segments, curve, ScorerInfo("signals"), flat)


def test_log_odds_and_mean_rating_read_the_distribution() -> None:
    np.testing.assert_allclose(fusion.log_odds(np.log([[0.6, 0.2], [0.1, 0.4]])), np.log([3, 0.25]))
    sure, torn = np.log([[1e-9, 1e-9, 1e-9, 1e-9, 0.5]]), np.log([[0.2, 1e-12, 1e-12, 1e-12, 0.2]])
    np.testing.assert_allclose(fusion.mean_rating(sure), 5, atol=1e-6)
    np.testing.assert_allclose(fusion.mean_rating(torn), 3, atol=1e-6)


@given(VALUES)
def test_ranks_keep_order_and_range(values: np.ndarray) -> None:  # type: ignore[type-arg]
    ranks = fusion.soft_rank(values, 0.05)
    assert np.all((ranks >= 0) & (ranks <= 1))
    assert np.all(np.diff(ranks[np.argsort(values, kind="stable")]) >= -1e-9)
    assert ranks.mean() == pytest.approx(0.5)


@given(VALUES, st.floats(-20, 20))
def test_ranks_are_relative_to_the_video(values: np.ndarray, shift: float) -> None:  # type: ignore[type-arg]
    np.testing.assert_allclose(fusion.soft_rank(values + shift, 0.05), fusion.soft_rank(values, 0.05), atol=1e-6)


def test_ranks_keep_gaps_and_pass_over_noise() -> None:
    ranks = fusion.soft_rank(np.array([-6.1, -6.0, -5.9, -6.05, 6.0]), 0.05)
    assert ranks[4] > 0.9
    assert np.ptp(ranks[:4]) < 0.1
    np.testing.assert_allclose(fusion.soft_rank(np.array([1.0, 1.0 + 1e-5, 1.0]), 0.05), 0.5, atol=1e-3)
    np.testing.assert_allclose(fusion.soft_rank(np.array([3.0]), 0.05), 0.5)


def test_a_reading_alone_makes_a_score_of_0_to_1() -> None:
    assert fusion.provisional([(0.0, 3.0)], 0.6) == pytest.approx(0.5)
    assert fusion.provisional([(-900.0, 1.0)], 0.6) == pytest.approx(0)
    assert fusion.provisional([(-900.0, 1.0), (900.0, 5.0)], 0.6) == pytest.approx(1)


def test_the_best_of_wishes_leaves_out_what_tells_nothing() -> None:
    one, other, even = np.array([0.1, 0.9, 0.2]), np.array([0.7, 0.3, 0.1]), np.full(3, 0.5)
    values, flat = fusion.best_of([(one, False), (other, False), (even, True)])
    assert values.tolist() == [0.7, 0.9, 0.2] and not flat
    values, flat = fusion.best_of([(even, True), (even, True)])
    assert values.tolist() == [0.5] * 3 and flat


def test_a_video_that_is_the_same_all_over_is_flat() -> None:
    same = np.full(5, 2.0)
    assert fusion.seen(same, same, 0.6)[1]
    assert not fusion.seen(same, np.array([1.0, 1, 1, 1, 5]), 0.6)[1]


def test_weights_share_out_the_score_and_parts_are_kept() -> None:
    fused, curve, flat = fusion.fuse("query", np.array([1.0, 0.0]), False, signals([0.2, 0.8]), 3.0, 1.0, ["a", "b"])
    assert [segment.score for segment in fused] == pytest.approx([0.8, 0.2])
    assert fused[0].parts == {"query": 1.0, "motion": 0.2}
    assert [segment.description for segment in fused] == ["a", "b"]
    assert curve == pytest.approx([0.8, 0.8, 0.2, 0.2])
    assert not flat


def test_what_tells_nothing_counts_for_nothing() -> None:
    ahead = np.array([1.0, 0.0])
    by_model, _, _ = fusion.fuse("vlm", ahead, False, signals([0.2, 0.8], flat=True), 1.0, 1.0, ["", ""])
    assert [segment.score for segment in by_model] == [1.0, 0.0]
    by_signals, _, flat = fusion.fuse("vlm", ahead, True, signals([0.2, 0.8]), 1.0, 1.0, ["", ""])
    assert [segment.score for segment in by_signals] == [0.2, 0.8]
    assert not flat
    assert fusion.fuse("vlm", ahead, True, signals([0.5, 0.5], flat=True), 1.0, 1.0, ["", ""])[2]


def test_the_curve_moves_inside_a_scene() -> None:
    segments = [Segment(0, 2.5), Segment(2.5, 4)]
    track = fusion.per_second(segments, np.array([1.0, 0.0]), 5)
    assert track == pytest.approx([1, 1, 0.5, 0, 0])
