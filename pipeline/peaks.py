"""Gives a moment its whole extent: the run-up and the result count, not only the loudest second. Part of selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.types import FloatTrack, Interval

# A peak rises at least this far out of what is around it; less is noise of the curve.
PROMINENCE = 0.15
# It reaches down by this share of its prominence, on either side, and no further than this.
_EXTENT = 0.65
FURTHEST_S = 6
# Its slopes are lifted by this share of what they lack to its top.
LIFT = 0.3


def lifted(curve: FloatTrack, scenes: Sequence[Interval]) -> FloatTrack:
    """The curve with the slopes of each peak lifted towards its top, so that a clip holds what led up to it.

    curve: (n,) interest, 0 to 1, one value a second
    scenes: in time order; no peak reaches over a cut

    Prominence is that of topography: how far one must go down from a peak before one can climb higher, here within
    twice the distance that a peak may reach.
    """
    scene = np.searchsorted([s.start_s for s in scenes], np.arange(len(curve)) + 0.5, "right")
    base = _base(curve, scene)
    prominence = curve - base
    level = curve - _EXTENT * prominence
    is_peak = prominence >= PROMINENCE
    result = curve.copy()
    for side in (-1, 1):
        reaching = is_peak.copy()
        for distance in range(1, FURTHEST_S + 1):
            there, inside = _neighbour(curve, scene, side * distance)
            reaching &= inside & (there >= level)
            at = np.flatnonzero(reaching)
            raised = there[at] + LIFT * np.maximum(curve[at] - there[at], 0)
            np.maximum.at(result, at + side * distance, raised)
    return result


def _base(curve: FloatTrack, scene: npt.NDArray[np.int64]) -> FloatTrack:
    """What each second's prominence is measured from; its own value where it is no peak.

    On each side, that is the lowest second before a higher one. A scene that begins at its best has one side only.
    """
    bases, open_ended = [], []
    for side in (-1, 1):
        lowest, going, met_higher = curve.copy(), np.ones(len(curve), dtype=bool), np.zeros(len(curve), dtype=bool)
        for distance in range(1, 2 * FURTHEST_S + 1):
            there, inside = _neighbour(curve, scene, side * distance)
            # Of equals the first is the peak.
            higher = (there > curve) | ((there == curve) & (side < 0))
            met_higher |= going & inside & higher
            going &= inside & ~higher
            lowest = np.where(going, np.minimum(lowest, there), lowest)
        bases.append(lowest)
        open_ended.append(~met_higher & (lowest == curve))
    left, right = bases
    base = np.maximum(left, right)
    base = np.where(open_ended[0], right, base)
    return np.asarray(np.where(open_ended[1] & ~open_ended[0], left, base))


def _neighbour(curve: FloatTrack, scene: npt.NDArray[np.int64], by: int) -> tuple[FloatTrack, npt.NDArray[np.bool_]]:
    """The value `by` seconds later (earlier where below 0), and whether that is in the same scene at all."""
    at = np.arange(len(curve)) + by
    inside = (at >= 0) & (at < len(curve))
    at = np.clip(at, 0, len(curve) - 1)
    return curve[at], inside & (scene[at] == scene)
