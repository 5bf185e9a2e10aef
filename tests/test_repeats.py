"""What counts as shown before: looks, and whether they sound or move alike; no media."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.repeats import novelty, same_rhythm
from pipeline.types import Interval


def tracks(seconds: float, seed: int) -> np.ndarray:
    """Motion and loudness of a talk or a game, ten rows a second."""
    rng = np.random.default_rng(seed)
    count = round(seconds * 10)
    smooth = np.convolve(rng.normal(0, 1, count + 2), [0.3, 0.4, 0.3], "valid")
    other = np.convolve(rng.normal(0, 1, count + 2), [0.3, 0.4, 0.3], "valid")
    return np.stack([0.03 + 0.01 * smooth, -25 + 8 * other], axis=1)


FIRST, AGAIN, ELSEWHERE = Interval(0, 6), Interval(10, 16), Interval(20, 26)
SEGMENTS = [FIRST, AGAIN, ELSEWHERE]


def looks(alike: bool = True) -> np.ndarray:
    """The first two segments look alike, or not; the third doesn't."""
    table = np.eye(26, dtype=np.float32)
    if alike:
        table[:16] = table[0]
    return table


def rhythm(again: np.ndarray) -> np.ndarray:
    """Rhythms of three segments: the second as given, the others their own."""
    return np.concatenate([tracks(6, 1), tracks(4, 2), again, tracks(4, 3), tracks(6, 4)])


def kept(again: np.ndarray, scores: tuple[float, ...] = (0.9, 0.8, 0.5), weight: float = 0.7, alike: bool = True,
         scenes: tuple[int, ...] = (0, 1, 2)) -> list[float]:
    """What the segments keep of their worth."""
    return novelty(SEGMENTS, np.array(scores), scenes, looks(alike), 0.985, rhythm(again), weight).round(3).tolist()


def test_a_repeat_loses_its_weight_and_the_better_one_nothing() -> None:
    same = tracks(6, 1)
    assert kept(same) == [1, 0.3, 1]
    assert kept(same, scores=(0.5, 0.8, 0.9)) == [0.3, 1, 1]
    assert kept(same, scores=(0.7, 0.7, 0.7)) == [1, 0.3, 1]


def test_weights_have_their_effect() -> None:
    same = tracks(6, 1)
    assert kept(same, weight=0) == [1, 1, 1] and kept(same, weight=1) == [1, 0, 1]


def test_the_same_view_with_another_sound_loses_little() -> None:
    assert kept(tracks(6, 9)) == [1, pytest.approx(0.86), 1]


def test_a_replay_under_another_commentary_is_a_repeat() -> None:
    replay = tracks(6, 9)
    replay[:, 0] = tracks(6, 1)[:, 0]
    assert kept(replay) == [1, 0.3, 1]


def test_looks_and_scenes_come_first() -> None:
    same = tracks(6, 1)
    assert kept(same, alike=False) == [1, 1, 1]
    assert kept(same, scenes=(0, 0, 1)) == [1, 1, 1]


def test_a_shift_doesn_t_hide_a_repeat_nor_does_its_length() -> None:
    table = np.concatenate([tracks(6, 1), tracks(1.3, 5), tracks(6, 1)])
    assert same_rhythm(Interval(0, 6), Interval(7.3, 13.3), table)
    assert same_rhythm(Interval(0, 6), Interval(8.0, 12.5), table)
    assert not same_rhythm(Interval(0, 6), Interval(6, 12), np.concatenate([tracks(6, 1), tracks(6, 7)]))


def test_where_there_is_no_rhythm_looks_decide() -> None:
    still = np.tile([0.0, -90.0], (200, 1))
    assert same_rhythm(FIRST, AGAIN, still) and same_rhythm(FIRST, AGAIN, None)
    half = still.copy()
    half[:60] = tracks(6, 1)
    assert not same_rhythm(FIRST, AGAIN, half)
    assert same_rhythm(Interval(0, 0.8), Interval(3, 3.8), tracks(6, 1))
