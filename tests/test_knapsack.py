"""The optimiser against brute force, and its bounds on anything."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.knapsack import Row, best_runs

Run = tuple[int, int, int]


def make_rows(lengths: list[int], parts: int, seed: int) -> list[Row]:
    """Rows of random worth that are divided into `parts`."""
    worth = np.random.default_rng(seed).random(sum(lengths)).round(2)
    part = np.arange(sum(lengths)) * parts // sum(lengths)
    bounds = np.cumsum([0, *lengths])
    return [Row(float(a), worth[a:b], part[a:b]) for a, b in pairwise(bounds)]


def total(rows: list[Row], runs: list[Run], cost: float, bonus: float) -> float:
    """What a choice is worth."""
    value, shown = 0.0, set()
    for r, first, last in runs:
        value += rows[r].worth[first:last].sum() - cost
        value += bonus if int(rows[r].part[first]) not in shown else 0.0
        shown.add(int(rows[r].part[first]))
    return value


def brute_force(rows: list[Row], budget: int, shortest: int, longest: int, gap: int, cost: float,
                bonus: float) -> float:
    """The best total by trying every choice."""
    options = [(r, a, b) for r, row in enumerate(rows) for a in range(len(row.worth))
               for b in range(a + shortest, min(len(row.worth), a + longest) + 1)]

    def best(start: int, runs: list[Run], used: int) -> float:
        value = total(rows, runs, cost, bonus)
        for i in range(start, len(options)):
            r, a, b = options[i]
            apart = not runs or runs[-1][0] != r or a >= runs[-1][2] + gap
            if apart and used + b - a <= budget:
                value = max(value, best(i + 1, [*runs, options[i]], used + b - a))
        return value

    return best(0, [], 0)


@settings(max_examples=150, deadline=None)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=3), parts=st.integers(1, 3),
       seed=st.integers(0, 10_000), budget=st.integers(1, 8), shortest=st.integers(1, 2), more=st.integers(0, 3),
       gap=st.integers(1, 3), cost=st.floats(0, 0.3), bonus=st.floats(0, 0.8))
def test_finds_what_brute_force_finds(lengths: list[int], parts: int, seed: int, budget: int, shortest: int,
                                      more: int, gap: int, cost: float, bonus: float) -> None:
    rows = make_rows(lengths, parts, seed)
    runs = best_runs(rows, budget, shortest, shortest + more, gap, cost, bonus)
    assert sum(last - first for _, first, last in runs) <= budget
    expected = brute_force(rows, budget, shortest, shortest + more, gap, cost, bonus)
    assert abs(total(rows, runs, cost, bonus) - expected) < 1e-6


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=30), seed=st.integers(0, 10_000),
       budget=st.integers(1, 80), shortest=st.integers(1, 5), more=st.integers(0, 15), gap=st.integers(1, 5))
def test_runs_are_legal(lengths: list[int], seed: int, budget: int, shortest: int, more: int,
                        gap: int) -> None:
    rows = make_rows(lengths, 4, seed)
    runs = best_runs(rows, budget, shortest, shortest + more, gap, 0.1, 0.5)
    assert runs == sorted(runs) == best_runs(rows, budget, shortest, shortest + more, gap, 0.1, 0.5)
    assert sum(last - first for _, first, last in runs) <= budget
    for r, first, last in runs:
        assert 0 <= first < last <= lengths[r] and shortest <= last - first <= shortest + more
    for (r, _, last), (s, first, _) in pairwise(runs):
        assert r < s or first >= last + gap


def test_nothing_to_choose_from() -> None:
    assert best_runs([], 10, 1, 5, 1, 0.1, 0.5) == []
