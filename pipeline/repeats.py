"""Recognises what is shown again: replays, loops, the same view once more. Part of selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipeline.types import RHYTHM_STEP_S, FloatTrack, Interval

# The same view in which something else is heard and done loses this share of what a repeat loses.
_SAME_VIEW = 0.2
# Rhythms are the same where they correlate this well at any shift; two different sentences reach about 0.7.
_SAME_RHYTHM = 0.85
# A rhythm needs so many steps to be told from another, and so much change: of a pixel in shares, of loudness in dB.
_LEAST_STEPS = 15
_LEAST_CHANGE = (0.002, 2.0)
# Of the views that look alike, so many are compared by their rhythm: it is the costly part.
_COMPARED = 6


def novelty(segments: Sequence[Interval], scores: FloatTrack, scene_of: Sequence[int], looks: npt.NDArray[np.float32],
            alike: float, rhythm: FloatTrack | None, weight: float) -> FloatTrack:
    """How much of its worth each segment keeps beside the better ones, 0 to 1.

    segments: n of them
    scores: (n,)
    scene_of: (n,) the scene that each lies in; what is in one scene is no repeat of itself
    looks: (m, d) unit-norm descriptors, one a second
    alike: cosine from which two looks are one
    rhythm: (k, 2) motion and loudness, one row every RHYTHM_STEP_S; None where unknown
    weight: share of its worth that a repeat loses, 0 to 1

    The best of those that are alike keeps all its worth. Another that also sounds or moves as a better one did is a
    repeat; one that only looks so is the same view, in which something else may happen.
    """
    kept = np.ones(len(segments))
    if weight <= 0 or len(segments) < 2:
        return kept
    views = np.stack([_look(segment, looks) for segment in segments])
    similar = views @ views.T >= alike
    scenes = np.asarray(scene_of)
    first = np.zeros(len(segments), dtype=bool)
    starts = np.array([segment.start_s for segment in segments])
    for i in np.lexsort((starts, -np.asarray(scores).round(6))).tolist():
        same_view = np.flatnonzero(first & similar[i] & (scenes != scenes[i]))
        if len(same_view):
            closest = same_view[np.argsort(-(views[same_view] @ views[i]), kind="stable")[:_COMPARED]]
            if any(same_rhythm(segments[i], segments[j], rhythm) for j in closest.tolist()):
                kept[i] = 1 - weight
                continue
            kept[i] = 1 - _SAME_VIEW * weight
        first[i] = True
    return kept


def _look(segment: Interval, looks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Mean descriptor of a segment, at length 1, of the seconds that lie in it for the most part."""
    first = min(round(segment.start_s), len(looks) - 1)
    mean = looks[first:max(first + 1, round(segment.end_s))].mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9))


def same_rhythm(a: Interval, b: Interval, rhythm: FloatTrack | None) -> bool:
    """Whether two stretches that look alike also sound or move alike, at whatever shift.

    Where neither has any rhythm (a still picture, an even hum), looks decide alone.
    """
    if rhythm is None:
        return True
    told = False
    for channel, least in enumerate(_LEAST_CHANGE):
        x, y = (rhythm[round(s.start_s / RHYTHM_STEP_S):round(s.end_s / RHYTHM_STEP_S), channel] for s in (a, b))
        if min(len(x), len(y)) < _LEAST_STEPS:
            continue
        varied = [float(track.std()) >= least for track in (x, y)]
        if all(varied) and _correlation(x, y) >= _SAME_RHYTHM:
            return True
        told = told or any(varied)
    return not told


def _correlation(x: FloatTrack, y: FloatTrack) -> float:
    """The highest correlation of two tracks at any shift at which at least two thirds of the shorter overlap."""
    short, long = sorted((x, y), key=len)
    least = max(_LEAST_STEPS, -(-2 * len(short) // 3))
    best = -1.0
    for shift in range(least - len(short), len(long) - least + 1):
        first, last = max(0, shift), min(len(long), shift + len(short))
        p, q = long[first:last], short[first - shift:last - shift]
        p, q = p - p.mean(), q - q.mean()
        size = float(np.sqrt((p @ p) * (q @ q)))
        best = max(best, float(p @ q) / size if size > 1e-12 else -1.0)
    return best
