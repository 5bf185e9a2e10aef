"""Picks runs of steps under a length budget, exactly. Part of selection; knows nothing of video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

_NONE = -1e18


@dataclass(frozen=True, slots=True)
class Row:
    """A stretch of equal steps that one run may take from.

    start_s: where its first step begins
    worth: (n,) what each step adds
    part: (n,) which part of the whole each step belongs to, never falling from row to row
    """

    start_s: float
    worth: npt.NDArray[np.float64]
    part: npt.NDArray[np.int64]


def best_runs(rows: Sequence[Row], budget: int, shortest: int, longest: int, gap: int, cost: float,
              bonus: float) -> list[tuple[int, int, int]]:
    """The runs of steps with the highest total worth, as (row, first step, one past the last step), in order.

    Every run lies in one row, is `shortest` to `longest` steps long, and has `gap` steps (1 or more) to the next in
    its row; all together have at most `budget` steps. A run costs `cost`; the first that begins in a part earns
    `bonus`.

    Exact, by dynamic programming over steps and budget: O(steps x budget x longest) time in NumPy's inner loops.
    """
    table = _Table(rows, budget, longest, gap, bonus)
    for row in rows:
        for step in range(len(row.worth)):
            table.advance(shortest, min(longest, step + 1), cost)
    return table.backtrack()


class _Table:
    """The programme's state after each step.

    Two values for every number of steps spent: with the current part not yet shown (0) and shown (1). A run begins
    from the state of `gap` steps ago, carried along without taking any of them, or from that of its row's beginning.
    """

    def __init__(self, rows: Sequence[Row], budget: int, longest: int, gap: int, bonus: float) -> None:
        self._places = [(r, k) for r, row in enumerate(rows) for k in range(len(row.worth))]
        steps = len(self._places)
        worth = np.concatenate([row.worth for row in rows]) if rows else np.zeros(0)
        parts = np.concatenate([row.part for row in rows]) if rows else np.zeros(0, dtype=np.int64)
        self._sum = np.concatenate([[0.0], np.cumsum(worth)])
        self._new_part = np.concatenate([[False], parts[1:] != parts[:-1], [False]]) if steps else np.zeros(1, bool)
        self._budget, self._longest, self._gap, self._bonus = budget, longest, gap, bonus
        self._at, self._part_began = 0, 0
        # Padded on the left, so that a run that costs more than is spent reads "impossible".
        self._begin = np.full((steps + 1, longest + budget + 1), _NONE)
        self._begin_shown = np.zeros((steps + 1, budget + 1), dtype=bool)
        # Length of the run that ends at a step, 0 for none, for either value.
        self._taken = np.zeros((2, steps + 1, budget + 1), dtype=np.int32)
        # The states of the last steps, each carried to here without taking anything since; the newest is the state.
        self._carried = {0: np.stack([np.zeros(budget + 1), np.full(budget + 1, _NONE)])}
        # Where a part ends, which of the two values a carried state went on with: by (step it is of, step here).
        self._went_on: dict[tuple[int, int], npt.NDArray[np.bool_]] = {}
        self._store_begin()

    def advance(self, shortest: int, longest: int, cost: float) -> None:
        """Take in the next step, which may end a run of `shortest` to `longest` steps."""
        self._at = at = self._at + 1
        state = self._carried[at - 1].copy()
        if longest >= shortest:
            width, item = self._begin.shape[1], self._begin.itemsize
            begins = as_strided(self._begin[at - shortest, self._longest - shortest:],
                                shape=(longest - shortest + 1, self._budget + 1), strides=(-(width + 1) * item, item))
            lengths = np.arange(shortest, longest + 1)
            gains = self._sum[at] - self._sum[at - lengths] - cost
            totals = begins + gains[:, None]
            # A run that began in an earlier part says nothing of this one.
            inside = int(np.searchsorted(lengths, at - self._part_began, "right"))
            self._end_runs(state, 1, totals[:inside], lengths[:inside])
            self._end_runs(state, 0, totals[inside:], lengths[inside:])
        self._carried[at] = state
        self._carried.pop(at - self._gap - 1, None)
        if self._new_part[at]:
            self._part_began = at
            for step in self._carried:
                self._carried[step], self._went_on[step, at] = _close_part(self._carried[step])
        self._store_begin()

    def _end_runs(self, state: npt.NDArray[np.float64], shown: int, totals: npt.NDArray[np.float64],
                  lengths: npt.NDArray[np.int64]) -> None:
        """Improve one value of the state by the best of the runs that may end here."""
        if len(lengths):
            best = totals.argmax(axis=0)
            value = totals[best, np.arange(self._budget + 1)]
            better = value > state[shown] + 1e-12
            state[shown] = np.where(better, value, state[shown])
            self._taken[shown, self._at] = np.where(better, lengths[best], 0)

    def _source(self, at: int) -> int:
        """The step from whose state a run that begins at step `at` goes on."""
        return at - min(self._gap, self._places[at][1])

    def _store_begin(self) -> None:
        """Keep the value from which a run may begin here, its bonus included."""
        at = self._at
        if at < len(self._places):
            state = self._carried[self._source(at)]
            first = state[0] + self._bonus
            self._begin_shown[at] = state[1] >= first
            self._begin[at, self._longest:] = np.maximum(first, state[1])

    def backtrack(self) -> list[tuple[int, int, int]]:
        """The runs that lead to the best final state."""
        runs = []
        at, spent = self._at, self._budget
        state = self._carried[at]
        shown = bool(state[1, spent] > state[0, spent])
        while at > 0:
            # Here `shown` speaks of the state at `at` after a part that ends here was closed.
            shown = self._before(at, at, spent, shown)
            length = int(self._taken[int(shown), at, spent])
            if not length:
                at -= 1
                continue
            row, last = self._places[at - 1]
            runs.append((row, last + 1 - length, last + 1))
            begin, spent = at - length, spent - length
            shown, at = bool(self._begin_shown[begin, spent]), self._source(begin)
            for step in range(begin, at, -1):
                shown = self._before(at, step, spent, shown)
        return runs[::-1]

    def _before(self, source: int, at: int, spent: int, shown: bool) -> bool:
        """Which value the state of step `source`, carried to `at`, had before a part that may end there was closed."""
        went_on = self._went_on.get((source, at))
        return shown if went_on is None else bool(went_on[spent])


def _close_part(state: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The state at the beginning of a new part, of which nothing is shown yet, and which value it went on with."""
    shown = state[1] > state[0]
    return np.stack([np.maximum(state[0], state[1]), np.full(state.shape[1], _NONE)]), shown
