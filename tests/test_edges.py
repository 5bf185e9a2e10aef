"""Where edges go, on phrases and onsets made up for it; and how what is left of a budget is shared out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.edges import Choice, Limits, Settler, allocate
from pipeline.edges import _Option as Option
from pipeline.types import Heard, Interval

EVEN = np.full(100, 0.5)
FRAME_S = 0.04


def settled(start_s: float, end_s: float, *phrases: tuple[float, float], onsets: tuple[float, ...] = (),
            low_s: float = 0.0, high_s: float = 100.0, budget_s: float = 20.0,
            whole_phrases: bool = True) -> tuple[float, float] | None:
    """Where the edges of one clip go; None where it is left out."""
    settler = Settler(Heard(tuple(Interval(a, b) for a, b in phrases), onsets), EVEN)
    choice = Choice(Interval(start_s, end_s), low_s, high_s, low_s > 0, high_s < 100)
    found = settler.settle([choice], Limits(budget_s, 1.5, 10.0, FRAME_S, whole_phrases))
    return (found[0].start_s, found[0].end_s) if found else None


def near(start_s: float, end_s: float) -> object:
    """To the frame."""
    return pytest.approx((start_s, end_s), abs=FRAME_S)


def test_where_nobody_speaks_a_clip_stays_as_it_is() -> None:
    assert settled(10, 15) == (10, 15)
    assert settled(10, 15, (2, 6), (20, 24)) == (10, 15)


def test_a_clip_takes_in_the_phrase_that_it_begins_and_ends_in() -> None:
    assert settled(10, 15, (9, 11.5), (12.5, 16)) == near(8.85, 16.4)


def test_it_gives_a_phrase_up_where_the_budget_says_so() -> None:
    assert settled(10, 15, (9, 11), (11.6, 14), (14.6, 17), budget_s=4.0) == near(11.45, 14.4)


def test_the_last_word_dies_away() -> None:
    assert settled(10, 15, (12, 14.95)) == near(10, 15.35)
    # Half a second is room enough, a tenth of one isn't; then all but that is taken.
    assert settled(10, 15, (12, 14.95), (15.25, 17)) == near(10, 15.15)


def test_a_phrase_that_is_longer_than_a_clip_may_move_is_cut() -> None:
    assert settled(10, 15, (1, 40)) == (10, 15)


def test_a_cut_within_a_phrase_loses_the_phrase_or_the_clip() -> None:
    assert settled(10.02, 15, (9, 11), low_s=10.02) == near(11.1, 15)
    # Nothing but the middle of one phrase and of another: left out, unless anything goes.
    assert settled(10.02, 12.02, (9, 11), (11.3, 14), low_s=10.02, high_s=12.02) is None
    assert settled(10.02, 12.02, (9, 11), (11.3, 14), low_s=10.02, high_s=12.02, whole_phrases=False) is not None


def test_onsets_and_cuts_draw_edges() -> None:
    assert settled(10, 15, onsets=(9.8, 15.3)) == near(9.76, 15.26)
    assert settled(10, 15, low_s=9.6, high_s=15.4) == near(9.6, 15.4)
    assert settled(10, 15, onsets=(9.2, 15.9)) == (10, 15)


@given(st.lists(st.lists(st.tuples(st.integers(1, 12), st.integers(0, 40)), min_size=1, max_size=4), min_size=1,
                max_size=5), st.integers(5, 40))
def test_the_budget_is_shared_out_as_well_as_promised(table: list[list[tuple[int, int]]], budget: int) -> None:
    rows = [[Option(Interval(0, length), worth) for length, worth in row] for row in table]
    chosen = allocate(rows, budget)
    assert sum(o.interval.duration_s for o in chosen) <= budget + 1e-6
    if len(chosen) < len(rows):
        assert sum(min(length for length, _ in row) for row in table) > budget
        return
    best = max(sum(o.worth for o in pick) for pick in product(*rows)
               if sum(o.interval.duration_s for o in pick) <= budget)
    largest = max(max(o.worth for o in row) - min(o.worth for o in row) for row in rows)
    assert sum(o.worth for o in chosen) >= best - largest
