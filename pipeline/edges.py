"""Moves the edges of chosen clips to where a cut goes unnoticed: into pauses, to onsets, to cuts. Part of selection."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.types import FloatTrack, Heard, Interval

# A pause this near is always used.
REACH_S = 1.5
# Inward a pause may be further, where the clip begins or ends at a cut in the middle of a phrase.
_INWARD_S = 3.0
# Kept after the end of a phrase, at least and at best, and before the beginning of one.
_TAIL_S, _GOOD_TAIL_S, _LEAD_S = 0.3, 0.4, 0.15
# So much of a short pause is left to the phrase that isn't in the clip.
_LEFT_S = 0.1
# In a pause longer than this there is room at either end.
_LONG_S = 0.8
# Onsets and cuts draw edges from this near; a clip begins just before the sound.
_SNAP_S = 0.5
_BEFORE_ONSET_S = 0.04
# What a place at an onset or a cut is worth, and what each second of distance costs, in seconds of best material.
_WORTH_OF_A_SNAP = 0.1
_COST_OF_MOVING = 0.02
# What a second is worth whatever its score, so that the budget is used.
WORTH_OF_A_SECOND = 0.1
# A clip is never made shorter for the sake of a pause.
_SHORTEST_S = 0.6


@dataclass(frozen=True, slots=True)
class Choice:
    """A clip before its edges are settled.

    interval: as chosen; its edges may move by whole frames
    low_s, high_s: how far they may go at all
    cut_low, cut_high: whether the picture cuts there
    """

    interval: Interval
    low_s: float
    high_s: float
    cut_low: bool
    cut_high: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all clips.

    budget_s: of all together
    shortest_s, longest_s: of each; a clip that would cut a phrase otherwise may be longer by twice REACH_S
    frame_s: by which edges move
    whole_phrases: whether a clip is left out rather than cut in a phrase beside a pause
    """

    budget_s: float
    shortest_s: float
    longest_s: float
    frame_s: float
    whole_phrases: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an edge may lie, and what that is worth beside what it shows."""

    time_s: float
    worth: float


@dataclass(frozen=True, slots=True)
class _Option:
    """A clip as it may become."""

    interval: Interval
    worth: float


@dataclass(slots=True)
class Settler:
    """Knows the sound and the worth of a video.

    heard: its phrases and onsets
    worth: (n,) of each second, 0 or more
    """

    heard: Heard
    worth: FloatTrack
    _starts: list[float] = field(init=False)
    _ends: list[float] = field(init=False)
    _total: FloatTrack = field(init=False)

    def __post_init__(self) -> None:
        self._starts = [phrase.start_s for phrase in self.heard.phrases]
        self._ends = [phrase.end_s for phrase in self.heard.phrases]
        self._total = np.concatenate([[0.0], np.cumsum(self.worth + WORTH_OF_A_SECOND)])

    def settle(self, choices: Sequence[Choice], limits: Limits) -> list[Interval]:
        """The clips with their edges where a cut goes unnoticed, in the order of `choices`.

        An edge is left inside a phrase only where no pause lies within REACH_S, or a little further inward, of where
        it was; all clips together keep to the budget, and a clip is left out where they can't otherwise.
        """
        options = [row for row in (self._options(choice, limits) for choice in choices) if row]
        return [option.interval for option in allocate(options, limits.budget_s)]

    def whole_phrases(self, start_s: float, end_s: float) -> tuple[float, float]:
        """A stretch without what is left of phrases that begin before it or end after it, where a pause is near.

        Its end lies at or before its start where nothing is left.
        """
        if not self._good_start(start_s):
            pauses = [t for t in self._pause_starts(start_s, start_s + _INWARD_S) if t >= start_s]
            start_s = min(pauses, default=start_s)
        if not self._good_end(end_s):
            pauses = [t for t in self._pause_ends(end_s - _INWARD_S, end_s) if t <= end_s]
            end_s = max(pauses, default=end_s)
        return start_s, end_s

    def _options(self, choice: Choice, limits: Limits) -> list[_Option]:
        """The clip at every sensible pair of places; none where it is better left out."""
        at = choice.interval
        begins = self._places(choice, at.start_s, limits, self._good_start, self._pause_starts)
        ends = self._places(choice, at.end_s, limits, self._good_end, self._pause_ends)
        as_it_is = _Place(at.start_s, 0.0), _Place(at.end_s, 0.0)
        shortest = min(limits.shortest_s, at.duration_s) - 1e-6
        longest = max(limits.longest_s, at.duration_s) + 1e-6
        sources = [[(a, b) for a in begins for b in ends]]
        if not limits.whole_phrases:
            # One good edge is better than none.
            sources.append([(a, as_it_is[1]) for a in begins] + [(as_it_is[0], b) for b in ends])
        for pairs in sources:
            for low, high in ((shortest, longest), (shortest, longest + 2 * REACH_S), (_SHORTEST_S, math.inf)):
                fitting = [(a, b) for a, b in pairs if low <= b.time_s - a.time_s <= high]
                if fitting:
                    return [_Option(Interval(max(0.0, a.time_s), b.time_s), self._shown(a.time_s, b.time_s) + a.worth
                                    + b.worth) for a, b in fitting]
        return [] if limits.whole_phrases else [_Option(at, self._shown(at.start_s, at.end_s))]

    def _shown(self, start_s: float, end_s: float) -> float:
        """What is worth seeing between two instants."""
        return self._until(end_s) - self._until(start_s)

    def _until(self, time_s: float) -> float:
        """What is worth seeing before an instant."""
        second = min(max(int(time_s), 0), len(self.worth) - 1)
        return float(self._total[second] + (time_s - second) * (self._total[second + 1] - self._total[second]))

    def _places(self, choice: Choice, edge_s: float, limits: Limits, good: Callable[[float], bool],
                pauses: Callable[[float, float], list[float]]) -> list[_Place]:
        """Where an edge may lie: only where no phrase is cut, if there is such a place."""
        is_start = edge_s == choice.interval.start_s
        inward = (edge_s, edge_s + _INWARD_S) if is_start else (edge_s - _INWARD_S, edge_s)
        low = max(choice.low_s, min(inward[0], edge_s - REACH_S))
        high = min(choice.high_s, max(inward[1], edge_s + REACH_S + _GOOD_TAIL_S))
        cut_s = choice.low_s if is_start else choice.high_s
        at_cut = choice.cut_low if is_start else choice.cut_high
        snaps = [onset - _BEFORE_ONSET_S for onset in self._onsets(edge_s - _SNAP_S, edge_s + _SNAP_S)]
        if at_cut and abs(cut_s - edge_s) <= _SNAP_S:
            snaps.append(cut_s)
        found: dict[int, float] = {0: 0.0}
        for time_s, worth in [*((t, 0.0) for t in pauses(low, high)), *((t, _WORTH_OF_A_SNAP) for t in snaps)]:
            frames = round((time_s - edge_s) / limits.frame_s)
            # A place at the very limit may lie between two frames.
            frames += (edge_s + frames * limits.frame_s < choice.low_s - 1e-6)
            frames -= (edge_s + frames * limits.frame_s > choice.high_s + 1e-6)
            if choice.low_s - 1e-6 <= edge_s + frames * limits.frame_s <= choice.high_s + 1e-6:
                found[frames] = max(found.get(frames, 0.0), worth)
        places = [_Place(edge_s + n * limits.frame_s, worth - _COST_OF_MOVING * abs(n) * limits.frame_s)
                  for n, worth in sorted(found.items())]
        return [place for place in places if good(place.time_s)] or [_Place(edge_s, 0.0)]

    def _onsets(self, low_s: float, high_s: float) -> Sequence[float]:
        onsets = self.heard.onsets
        return onsets[bisect_left(onsets, low_s):bisect_right(onsets, high_s)]

    def _gaps(self, low_s: float, high_s: float) -> list[tuple[float, float]]:
        """The pauses that reach into a stretch: where the phrase before ends and the next one starts."""
        first = max(0, bisect_right(self._ends, low_s) - 1)
        last = bisect_left(self._starts, high_s)
        edges = [(self._ends[i - 1] if i else -math.inf, self._starts[i] if i < len(self._starts) else math.inf)
                 for i in range(first, last + 1)]
        return [(a, b) for a, b in edges if a < high_s and b > low_s]

    def _pause_starts(self, low_s: float, high_s: float) -> list[float]:
        """Where a clip may well start in each pause: a little before the next phrase, or right after the last one."""
        gaps = self._gaps(low_s, high_s)
        return [b - min(_LEAD_S, (b - a) / 2) for a, b in gaps if b < math.inf] + [
            a + _LEFT_S for a, b in gaps if b - a > _LONG_S and a > -math.inf]

    def _pause_ends(self, low_s: float, high_s: float) -> list[float]:
        """Where a clip may well end in each pause: when the last phrase has died away, or before the next one."""
        gaps = self._gaps(low_s, high_s)
        return [a + _tail(b - a, _GOOD_TAIL_S) for a, b in gaps if a > -math.inf] + [
            b - _LEAD_S for a, b in gaps if b - a > _LONG_S and b < math.inf]

    def _good_start(self, time_s: float) -> bool:
        """Whether a clip that starts here begins no phrase in its middle, nor with the end of one."""
        return any(a <= time_s <= b - min(_LEAD_S, b - a) / 3 for a, b in self._gaps(time_s - 1e-6, time_s + 1e-6))

    def _good_end(self, time_s: float) -> bool:
        """Whether a clip that ends here lets the last phrase die away and begins no other."""
        return any(a + _tail(b - a, _TAIL_S) - 0.02 <= time_s <= b - min(_LEFT_S, b - a) / 3
                   for a, b in self._gaps(time_s - 1e-6, time_s + 1e-6))


def _tail(pause_s: float, wanted_s: float) -> float:
    """Seconds to keep of a pause after a phrase: of a short one, half or all but the last tenth of a second."""
    return min(wanted_s, max(pause_s / 2, pause_s - _LEFT_S))


def allocate(options: Sequence[Sequence[_Option]], budget_s: float) -> list[_Option]:
    """One option for each clip, of the highest total worth within the budget; clips that can't fit are left out.

    By a price on each second (Lagrange relaxation; Everett 1963), then the upgrades that still fit, best first. The
    worth is below the best possible by less than that of one upgrade of one clip.
    """
    kept = [list(row) for row in options]
    while kept and sum(min(o.interval.duration_s for o in row) for row in kept) > budget_s + 1e-6:
        kept.remove(min(kept, key=lambda row: max(o.worth for o in row)))
    if not kept:
        return []
    price_low, price_high = 0.0, 1e6
    chosen = _at_price(kept, price_low)
    if _length(chosen) > budget_s + 1e-6:
        for _ in range(50):
            price = (price_low + price_high) / 2
            chosen = _at_price(kept, price)
            price_low, price_high = (price, price_high) if _length(chosen) > budget_s + 1e-6 else (price_low, price)
        chosen = _at_price(kept, price_high)
    return _upgraded(kept, chosen, budget_s)


def _at_price(rows: Sequence[Sequence[_Option]], price: float) -> list[_Option]:
    """The best option of each clip where every second costs `price`; the shorter one of equals."""
    return [max(row, key=lambda o: (o.worth - price * o.interval.duration_s, -o.interval.duration_s)) for row in rows]


def _upgraded(rows: Sequence[Sequence[_Option]], chosen: list[_Option], budget_s: float) -> list[_Option]:
    """The choice with what is left of the budget spent on better options, the largest gain first."""
    chosen = list(chosen)
    left_s = budget_s - _length(chosen)
    gains = sorted(((o.worth - chosen[i].worth, -i, o) for i, row in enumerate(rows) for o in row
                    if o.worth > chosen[i].worth), key=lambda gain: gain[:2], reverse=True)
    for _, i, option in gains:
        now = chosen[-i]
        longer_s = option.interval.duration_s - now.interval.duration_s
        if option.worth > now.worth and longer_s <= left_s + 1e-6:
            chosen[-i] = option
            left_s -= longer_s
    return chosen


def _length(options: Sequence[_Option]) -> float:
    return sum(option.interval.duration_s for option in options)
