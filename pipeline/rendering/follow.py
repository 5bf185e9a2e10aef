"""The path of a crop window along one side of the picture: still where it can be, smooth where it can't. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Shares of the window. What stays this near the window's middle doesn't move it; what is small and leaves more room
# around it may stray further.
DEAD_ZONE = 0.1
_LOOSE_ZONE = 0.2
# The window stands still where nearly all that happens is in the dead zone, and nothing is further out than this.
_STILL_SHARE = 0.9
_STILL_REACH = 0.35
# A step in which this much less happens than at the busiest times says little about where to look.
_FAINT = 0.25
# The window's fastest pan, in windows and in pictures a second.
_WINDOWS_A_SECOND = 0.8
_PICTURES_A_SECOND = 0.3
# More pieces than this would not fit on Windows' command line; longer clips get coarser steps.
_MOST_PIECES = 240


@dataclass(frozen=True, slots=True)
class Target:
    """Where the window should look during one step.

    start_s: when the step starts, in the clip; may lie before it
    at: middle of what happens, in shares of the picture's side
    size: its extent
    weight: how much that counts, 0 or more
    """

    start_s: float
    at: float
    size: float
    weight: float


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a path: at + speed * u + bend * u * u, where u is in seconds from `start_s` on.

    start_s: in the clip; the piece lasts until the next one starts
    at, speed, bend: in shares of the picture's side
    """

    start_s: float
    at: float
    speed: float = 0.0
    bend: float = 0.0

    def value(self, time_s: float) -> float:
        """Where the window's middle is."""
        past_s = time_s - self.start_s
        return self.at + past_s * (self.speed + past_s * self.bend)


def fastest(window: float) -> float:
    """The most that a window moves in a second, in shares of the picture; `window` is its size in the same."""
    return min(_WINDOWS_A_SECOND * window, _PICTURES_A_SECOND)


def path_of(runs: Sequence[tuple[float, Sequence[Target]]], step_s: float, window: float) -> tuple[Piece, ...]:
    """The path of the window's middle through a clip, always inside the picture.

    runs: stretches between cuts, each with its start in the clip and its steps, one or more, `step_s` apart; the path
        jumps from one to the next
    window: size of the window as a share of the picture's side

    Inside a run it is a quadratic B-spline on the steps, so that it bends evenly, moves no faster than `fastest` and
    speeds up by no more than 0.75 * `fastest` a step.
    """
    group = max(1, math.ceil(sum(len(targets) for _, targets in runs) / _MOST_PIECES))
    pieces: list[Piece] = []
    for start_s, targets in runs:
        grouped = [_merged(targets[i:i + group]) for i in range(0, len(targets), group)]
        aims = control_points(grouped, step_s * group, window)
        pieces += _spline(start_s, [target.start_s for target in grouped], aims, step_s * group)
    return tuple(_without_repeats(pieces))


def position(path: Sequence[Piece], time_s: float) -> float:
    """Where the window's middle is at a time, in shares of the picture's side."""
    return next((piece for piece in reversed(path) if piece.start_s <= time_s), path[0]).value(time_s)


def reach(path: Sequence[Piece], end_s: float) -> tuple[float, float]:
    """The least and the greatest position on a path that ends at `end_s`."""
    found = []
    for piece, until_s in zip(path, [*(piece.start_s for piece in path[1:]), end_s], strict=True):
        found += [piece.value(piece.start_s), piece.value(until_s)]
        turn_s = piece.start_s - piece.speed / (2 * piece.bend) if piece.bend else piece.start_s
        if piece.start_s < turn_s < until_s:
            found.append(piece.value(turn_s))
    return min(found), max(found)


def control_points(targets: Sequence[Target], step_s: float, window: float) -> Floats:
    """(n + 2,) positions of the window's middle for n steps, with one more at each end."""
    low, high = window / 2, 1 - window / 2
    at = np.clip([target.at for target in targets], low, max(low, high))
    weight = np.array([target.weight for target in targets])
    firm = weight >= _FAINT * weight.max() if weight.max() > 0 else np.ones(len(at), bool)
    at[firm] = _median_of_three(at[firm])
    room = (window - np.array([target.size for target in targets])) / 4
    slack = np.where(firm, np.clip(room, DEAD_ZONE * window, _LOOSE_ZONE * window), math.inf)
    home = weighted_median(at[firm], weight[firm])
    off = np.abs(at - home)[firm]
    calm = float(weight[firm][off <= slack[firm]].sum()) >= _STILL_SHARE * float(weight[firm].sum())
    if calm and off.max() <= max(_STILL_REACH * window, float(slack[firm].max())):
        return np.full(len(at) + 2, round(home, 6))
    lazy = (_lazy(at, slack, home) + _lazy(at[::-1], slack[::-1], home)[::-1]) / 2
    return _eased(_limited(lazy, fastest(window) * step_s), low, max(low, high))


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value that half of the weight lies on either side of; plain where all weigh nothing."""
    order = np.argsort(values, kind="stable")
    weights = weights[order] if weights.sum() > 0 else np.ones(len(values))
    return float(values[order][np.searchsorted(np.cumsum(weights), weights.sum() / 2)])


def _merged(targets: Sequence[Target]) -> Target:
    """Several steps as one."""
    weights = [target.weight for target in targets]
    if len(targets) == 1:
        return targets[0]
    share = weights if sum(weights) > 0 else None
    return Target(targets[0].start_s, float(np.average([target.at for target in targets], weights=share)),
                  float(np.average([target.size for target in targets], weights=share)), sum(weights))


def _median_of_three(values: Floats) -> Floats:
    """Each value, or its neighbours' where it alone sticks out."""
    padded = np.pad(values, 1, mode="edge")
    return np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)


def _lazy(at: Floats, slack: Floats, start: float) -> Floats:
    """A path that moves only when `at` would be more than `slack` away, and then no further than it must.

    No path within that distance moves less in all. It trails behind, so that its mean with one that runs backwards in
    time, which leads by as much, is centred.
    """
    path = np.empty_like(at)
    # Nothing pushed it there yet, so it need not start at the edge of what it may.
    start = min(max(start, at[0] - slack[0] / 2), at[0] + slack[0] / 2)
    for i, (middle, room) in enumerate(zip(at, slack, strict=True)):
        start = path[i] = min(max(start, middle - room), middle + room)
    return path


def _limited(path: Floats, most: float) -> Floats:
    """The path with no step above `most`: the mean of the nearest such paths above and below it."""
    above, below = path.copy(), path.copy()
    for order in (range(1, len(path)), range(len(path) - 2, -1, -1)):
        for i in order:
            before = i - 1 if order.step > 0 else i + 1
            above[i] = max(above[i], above[before] - most)
            below[i] = min(below[i], below[before] + most)
    return (above + below) / 2


def _eased(path: Floats, low: float, high: float) -> Floats:
    """The path with its corners rounded, one step longer at each end: weighted means, so it stays inside [low, high].

    Beyond its ends it is taken to go on as it came, not to stop: a clip often ends amid a move.
    """
    padded = np.clip(np.pad(path, 3, mode="reflect", reflect_type="odd") if len(path) > 1 else np.pad(path, 3, "edge"),
                     low, high)
    for _ in range(2):
        padded = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    # Without the last bits, where the path stands it stands exactly.
    return np.round(padded, 6)


def _spline(start_s: float, starts_s: Sequence[float], aims: Floats, step_s: float) -> list[Piece]:
    """The pieces of a uniform quadratic B-spline, one a step; the first starts at `start_s`, wherever its step does."""
    pieces = []
    for i, step_start_s in enumerate(starts_s):
        before, here, after = aims[i:i + 3].tolist()
        piece = Piece(step_start_s, (before + here) / 2, (here - before) / step_s,
                      (before - 2 * here + after) / (2 * step_s ** 2))
        if i == 0:
            past_s = start_s - step_start_s
            piece = Piece(start_s, piece.value(start_s), piece.speed + 2 * piece.bend * past_s, piece.bend)
        pieces.append(piece)
    return pieces


def _without_repeats(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without those that go on standing where the one before them stood."""
    moves = [not (b.speed == b.bend == a.speed == a.bend == 0 and b.at == a.at) for a, b in pairwise(pieces)]
    return [pieces[0], *(piece for piece, new in zip(pieces[1:], moves, strict=True) if new)]
