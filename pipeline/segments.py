"""Splits scenes into segments: what is scored."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from pipeline.settings import Settings
from pipeline.types import Scene, Segment, Signals

# What one more segment must explain, in squared standard deviations of the signals over a second: with less, a long
# even stretch would be chopped at random.
_PENALTY = 1.0


def split(scenes: Sequence[Scene], signals: Signals, settings: Settings) -> tuple[Segment, ...]:
    """Tile the scenes with segments: a short scene whole, a long one in windows that change where its signals do.

    Windows are from `min_segment_s` to `max_segment_s` long; a scene that lies between those is one segment, and so
    is one that is shorter. No segment crosses a cut.
    """
    features = _features(signals)
    segments: list[Segment] = []
    for scene in scenes:
        bounds = _bounds(scene, features, settings)
        segments += [Segment(a, b) for a, b in pairwise(bounds)]
    return tuple(segments)


def _features(signals: Signals) -> npt.NDArray[np.float64]:
    """(n, d) tracks that tell one part of a shot from another, each with unit spread over the video."""
    tracks = [signals.motion, signals.sharpness, signals.brightness, signals.colour]
    if signals.loudness_db is not None and signals.onset is not None:
        tracks += [signals.loudness_db, signals.onset]
    table = np.stack(tracks, axis=1)
    spread = table.std(axis=0)
    return np.asarray((table - table.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0))


def _bounds(scene: Scene, features: npt.NDArray[np.float64], settings: Settings) -> list[float]:
    """Where the scene's segments begin, and its end.

    Optimal partitioning (Jackson et al. 2005): of all tilings with windows of legal length, the one whose windows
    are the most even inside, found by dynamic programming over whole seconds.
    """
    if scene.duration_s <= settings.max_segment_s:
        return [scene.start_s, scene.end_s]
    # Candidate bounds are the whole seconds at which a signal's value begins to hold, and the scene's own ends.
    first, last = int(np.ceil(scene.start_s)), int(np.floor(scene.end_s))
    times = np.array([scene.start_s, *(t for t in range(first, last + 1) if scene.start_s < t < scene.end_s),
                      scene.end_s])
    cost = _Evenness(features, times)
    best = np.full(len(times), np.inf)
    best[0] = 0.0
    came_from = np.zeros(len(times), dtype=np.int64)
    for j in range(1, len(times)):
        i = j - 1
        while i >= 0 and times[j] - times[i] <= settings.max_segment_s:
            if times[j] - times[i] >= settings.min_segment_s:
                total = best[i] + cost.between(i, j) + _PENALTY
                if total < best[j]:
                    best[j], came_from[j] = total, i
            i -= 1
    if not np.isfinite(best[-1]):
        # Whole seconds are too coarse for windows as short as these: even ones always fit.
        count = int(np.ceil(scene.duration_s / settings.max_segment_s))
        return [float(t) for t in np.linspace(scene.start_s, scene.end_s, count + 1)]
    bounds = [len(times) - 1]
    while bounds[-1] > 0:
        bounds.append(int(came_from[bounds[-1]]))
    return [float(times[i]) for i in reversed(bounds)]


class _Evenness:
    """Sum of squared deviations of the features from their mean between two candidate bounds, in constant time."""

    def __init__(self, features: npt.NDArray[np.float64], times: npt.NDArray[np.float64]) -> None:
        seconds = np.minimum((times[:-1] + 1e-9).astype(int), len(features) - 1)
        weights = np.diff(times)
        rows = features[seconds]
        self._weight = np.concatenate([[0.0], np.cumsum(weights)])
        self._sum = np.vstack([np.zeros(rows.shape[1]), np.cumsum(rows * weights[:, None], axis=0)])
        self._square = np.concatenate([[0.0], np.cumsum((rows**2).sum(axis=1) * weights)])

    def between(self, i: int, j: int) -> float:
        """The sum over [times[i], times[j])."""
        weight = self._weight[j] - self._weight[i]
        total = self._sum[j] - self._sum[i]
        return float(self._square[j] - self._square[i] - (total**2).sum() / weight)
