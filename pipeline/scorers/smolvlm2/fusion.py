"""From the model's answers to scores: pure arithmetic on arrays.

An answer is read as a distribution, since its mean beats its mode (arXiv 2503.03064); the answer to a blank frame is
taken off, since small models say yes too readily; and what is left only orders the segments of one video.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.types import FloatTrack, Interval, Scored, ScoredSegment

# Differences below these are noise of half-precision arithmetic, in nats and in rating points.
YES_NOISE = 0.05
RATING_NOISE = 0.02


def log_odds(options: FloatTrack) -> FloatTrack:
    """How much likelier yes is than no, in nats.

    options: (n, 2) log-probabilities of yes and no, each summed over its spellings
    """
    return np.asarray(options[:, 0] - options[:, 1], dtype=np.float64)


def mean_rating(options: FloatTrack) -> FloatTrack:
    """Mean of each rating's distribution, 1 to k, after Q-Align (arXiv 2312.17090).

    options: (n, k) log-probabilities of the ratings 1 to k, which need not sum to 1
    """
    weights = np.exp(options - options.max(axis=1, keepdims=True))
    ratings = np.arange(1, options.shape[1] + 1)
    return np.asarray((weights * ratings).sum(axis=1) / weights.sum(axis=1), dtype=np.float64)


def soft_rank(values: FloatTrack, noise: float) -> FloatTrack:
    """Where each value stands among all, 0 to 1; 0.5 for each where all are alike.

    Each value is compared with every other, and a comparison counts as much as the two differ: by half a standard
    deviation or more is a clear win. Unlike a plain rank it leaves a gap where the values have one, doesn't spread
    equals apart, and moves little when a value moves little.

    noise: differences of this size mean nothing
    """
    if len(values) < 2:
        return np.full(len(values), 0.5)
    softness = max(noise, 0.5 * float(np.std(values)))
    difference = np.clip((values[:, None] - values[None, :]) / softness, -60, 60)
    wins = 1 / (1 + np.exp(-difference))
    return np.asarray((wins.sum(axis=1) - 0.5) / (len(values) - 1), dtype=np.float64)


def is_flat(values: FloatTrack, noise: float) -> bool:
    """Whether values differ by no more than noise."""
    return len(values) < 2 or float(np.ptp(values)) <= noise


def seen(yes: FloatTrack, rating: FloatTrack, yes_share: float) -> tuple[FloatTrack, bool]:
    """What the model thinks of each segment, 0 to 1, and whether it thinks the same of all.

    yes: log-odds with the blank frames' taken off
    rating: mean ratings with the blank frames' taken off
    yes_share: how much of the result yes makes up, 0 to 1; the rating makes up the rest
    """
    part = yes_share * soft_rank(yes, YES_NOISE) + (1 - yes_share) * soft_rank(rating, RATING_NOISE)
    return part, is_flat(yes, YES_NOISE) and is_flat(rating, RATING_NOISE)


def provisional(readings: Sequence[tuple[float, float]], yes_share: float) -> float:
    """A score of 0 to 1 from one segment's readings alone, before there is anything to compare it with.

    readings: log-odds of yes and mean rating of 1 to 5 for each of what was asked, at least one; the best counts
    """
    return max(yes_share / (1 + math.exp(-min(max(yes, -60), 60))) + (1 - yes_share) * (rating - 1) / 4
               for yes, rating in readings)


def best_of(parts: Sequence[tuple[FloatTrack, bool]]) -> tuple[FloatTrack, bool]:
    """What answers at least one of several wishes well: the highest of their parts.

    parts: of each wish what `seen` returns, at least one; what tells nothing counts only where none tells anything
    """
    telling = [values for values, flat in parts if not flat]
    return np.max(telling or [values for values, _ in parts], axis=0), not telling


def fuse(part: str, values: FloatTrack, flat: bool, signals: Scored, weight: float, signals_weight: float,
         descriptions: Sequence[str]) -> tuple[tuple[ScoredSegment, ...], FloatTrack, bool]:
    """Segments and curve from what the model saw and what the signals measured.

    part: name of the model's part, "vlm" or "query"
    values: the model's part, 0 to 1, one a segment
    flat: whether `values` carry no information; they then count for nothing, and so do flat signals
    weight, signals_weight: of the two; they need not add up to 1
    descriptions: one a segment

    Returns segments, curve (0 to 1, a value a second, as long as the signals') and whether nothing tells them apart.
    """
    weight, signals_weight = 0.0 if flat else weight, 0.0 if signals.flat else signals_weight
    total = weight + signals_weight
    share = weight / total if total > 0 else 0.5
    segments = tuple(
        ScoredSegment(old.start_s, old.end_s, _unit(share * value + (1 - share) * old.score),
                      _parts(part, value, old.parts), text)
        for old, value, text in zip(signals.segments, values.tolist(), descriptions, strict=True))
    curve = share * per_second([old.interval for old in signals.segments], values, len(signals.curve))
    return segments, np.clip(curve + (1 - share) * signals.curve, 0, 1), total <= 0


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _parts(part: str, value: float, others: Mapping[str, float]) -> dict[str, float]:
    return {part: _unit(value), **others}


def per_second(segments: Sequence[Interval], values: FloatTrack, seconds: int) -> FloatTrack:
    """Values of segments as a track of one value a second; a second in two segments gets both by their shares."""
    track, covered = np.zeros(seconds), np.zeros(seconds)
    for segment, value in zip(segments, values.tolist(), strict=True):
        for second in range(int(segment.start_s), min(seconds, int(np.ceil(segment.end_s)))):
            share = segment.overlap_s(Interval(second, second + 1))
            track[second] += share * value
            covered[second] += share
    return np.divide(track, covered, out=np.zeros(seconds), where=covered > 0)
