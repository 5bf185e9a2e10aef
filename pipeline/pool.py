"""What of a video is weighed when clips are chosen: stretches, the best of them, in steps. Part of selection."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipeline.edges import REACH_S, WORTH_OF_A_SECOND
from pipeline.knapsack import Row
from pipeline.repeats import novelty
from pipeline.settings import Settings
from pipeline.types import FloatTrack, Heard, Interval, Scene, Scored

# Of a long video only the best material is weighed against itself: this many times the budget (of a long reel less,
# since it takes in so much anyway), and the best of every part of the video. Anything beyond could not be in the reel
# but by the spread's bonus. What lies around the best seconds comes along.
_MATERIAL, _LEAST_MATERIAL, _MATERIAL_S = 8, 3, 1500.0
_AROUND_S = 3
# Two clips of one scene that are closer than this would be seen as a stumble, and their edges would meet on their way
# to the same pause; one longer clip is better.
GAP_S = 2 * REACH_S
# Segments that are looked through for repeats at most, the best ones.
_MOST_COMPARED = 3000


@dataclass(frozen=True, slots=True)
class Material:
    """What clips are chosen from.

    duration_s: of the video
    fps: its frames a second; clips are whole frames long
    scenes: what may be shown: those that tile [0, duration_s), without holes in the file
    scored: segments and curve
    looks: (n, d) unit-norm descriptors, one a second; those of a model, where it looked, come before them
    heard: where people speak and sounds set in
    rhythm: as in Signals
    """

    duration_s: float
    fps: float
    scenes: Sequence[Scene]
    scored: Scored
    looks: npt.NDArray[np.float32]
    heard: Heard = field(default_factory=Heard)
    rhythm: FloatTrack | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a scene that clips may be taken from.

    start_s, end_s: its bounds, half a frame away from cuts
    scene: which scene it lies in
    cut_start, cut_end: whether the picture cuts there
    """

    start_s: float
    end_s: float
    scene: int
    cut_start: bool
    cut_end: bool


def stretches_of(material: Material, taken: Sequence[Interval], inset_s: float) -> list[Stretch]:
    """What of the scenes is left to choose from: half a frame away from cuts, and without what is taken."""
    whole = [Stretch(scene.start_s + inset_s, scene.end_s - inset_s, number, True, True)
             for number, scene in enumerate(material.scenes) if scene.duration_s > 2 * inset_s]
    return left_by(taken, whole, inset_s)


def left_by(taken: Sequence[Interval], stretches: Sequence[Stretch], least_s: float) -> list[Stretch]:
    """The stretches without what is taken, where more than `least_s` is left of them."""
    left = []
    at = 0
    taken = sorted(taken, key=lambda i: i.start_s)
    for s in stretches:
        while at < len(taken) and taken[at].end_s <= s.start_s:
            at += 1
        inside = taken[at:bisect_left(taken, s.end_s, key=lambda i: i.start_s)]
        edges = [s.start_s, *(e for i in inside for e in (i.start_s, i.end_s)), s.end_s]
        left += [replace(s, start_s=a, end_s=b, cut_start=s.cut_start and a == s.start_s,
                         cut_end=s.cut_end and b == s.end_s)
                 for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > least_s]
    return left


def material_s(budget: float) -> float:
    """Seconds of video that are weighed against one another."""
    return budget * min(_MATERIAL, max(_LEAST_MATERIAL, _MATERIAL_S / max(budget, 1e-9)))


def best_material(material: Material, stretches: Sequence[Stretch], worth: FloatTrack, parts: int,
                   most_s: float) -> list[tuple[Stretch, Stretch]]:
    """What is weighed, each piece with the stretch that it lies in: all of it, or of a long video the best seconds of
    every part and what lies around them.
    """
    if sum(s.end_s - s.start_s for s in stretches) <= most_s:
        return [(s, s) for s in stretches]
    seconds = np.arange(len(worth))
    free = np.zeros(len(worth), dtype=bool)
    for s in stretches:
        free[int(s.start_s):math.ceil(s.end_s)] = True
    part = np.minimum((seconds + 0.5) / material.duration_s * parts, parts - 1).astype(int)
    order = np.lexsort((seconds, -np.where(free, worth, -1.0), part))
    rank = np.empty(len(worth), dtype=np.int64)
    rank[order] = seconds - np.searchsorted(part, np.arange(parts), "left")[part[order]]
    best = free & (rank < max(1, int(most_s / parts)))
    kept = np.convolve(best, np.ones(2 * _AROUND_S + 1), "same") > 0.5
    # Pieces of one scene keep as far from each other as clips do.
    gaps = np.flatnonzero(np.diff(np.concatenate([[False], ~kept, [False]]).astype(np.int8))).reshape(-1, 2)
    for first, last in gaps[(gaps[:, 1] - gaps[:, 0] < GAP_S)].tolist():
        kept[first:last] = True
    runs = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))).reshape(-1, 2)
    return _pieces(stretches, runs.tolist(), best, 1 / material.fps)


def _pieces(stretches: Sequence[Stretch], runs: Sequence[Sequence[int]], best: npt.NDArray[np.bool_],
            frame_s: float) -> list[tuple[Stretch, Stretch]]:
    """The parts of stretches that lie in runs of seconds and hold one of the best, starting on whole frames."""
    found = []
    at = 0
    for s in stretches:
        while at < len(runs) and runs[at][1] <= s.start_s:
            at += 1
        for first, last in islice(runs, at, None):
            if first >= s.end_s:
                break
            start_s = s.start_s + max(0, math.ceil((first - s.start_s) / frame_s - 1e-6)) * frame_s
            end_s = min(s.end_s, float(last))
            if end_s > start_s and best[int(start_s):math.ceil(end_s)].any():
                found.append((replace(s, start_s=start_s, end_s=end_s), s))
    return found


def kept_worth(material: Material, settings: Settings, pool: Sequence[tuple[Stretch, Stretch]]) -> FloatTrack:
    """What each second keeps of its worth beside better ones that show the same; 0 for what isn't shown again."""
    count = len(material.scored.curve)
    kept = np.ones(count)
    if material.scored.flat or not pool:
        return kept
    weighed = np.zeros(count, dtype=bool)
    for piece, _ in pool:
        weighed[int(piece.start_s):math.ceil(piece.end_s)] = True
    segments = [s for s in material.scored.segments if weighed[int(s.start_s):math.ceil(s.end_s)].any()]
    scores = [mean_over(material.scored.curve, s.interval) for s in segments]
    if len(segments) > _MOST_COMPARED:
        best = sorted(sorted(range(len(segments)), key=lambda i: -scores[i])[:_MOST_COMPARED])
        segments, scores = [segments[i] for i in best], [scores[i] for i in best]
    starts = [scene.start_s for scene in material.scenes]
    scene_of = np.searchsorted(starts, [s.interval.middle_s for s in segments], "right")
    looks, alike = material.looks, settings.duplicate_similarity
    if material.scored.looks is not None:
        looks, alike = material.scored.looks, settings.duplicate_similarity_seen
    factors = novelty([s.interval for s in segments], np.array(scores), scene_of.tolist(), looks, alike,
                      material.rhythm, settings.repeat_weight)
    middles = np.arange(count) + 0.5
    for segment, factor in zip(segments, factors.tolist(), strict=True):
        kept[np.searchsorted(middles, segment.start_s):np.searchsorted(middles, segment.end_s)] = factor
    return kept


def without_repeats(pool: Sequence[tuple[Stretch, Stretch]], kept: FloatTrack,
                     frame_s: float) -> list[tuple[Stretch, Stretch]]:
    """The pieces without seconds that keep nothing; edges may not go there either. All of them if nothing is left."""
    fresh = []
    for piece, stretch in pool:
        first, last = math.floor(piece.start_s), math.ceil(piece.end_s)
        shown = (kept[first:last] > 0).astype(np.int8)
        runs = np.flatnonzero(np.diff(np.concatenate([[0], shown, [0]]))).reshape(-1, 2) + first
        for begin, end in runs.tolist():
            if (begin, end) == (first, last):
                fresh.append((piece, stretch))
                continue
            low = piece.start_s + max(0, math.ceil((begin - piece.start_s) / frame_s - 1e-6)) * frame_s
            high = min(piece.end_s, float(end))
            if high - low > frame_s:
                part = replace(stretch, start_s=low, end_s=high, cut_start=False, cut_end=False)
                fresh.append((part, part))
    return fresh or list(pool)


def rows_of(material: Material, pool: Sequence[tuple[Stretch, Stretch]], worth: FloatTrack, step_s: float, parts: int,
          shortest_s: float) -> list[tuple[Row, Stretch]]:
    """Every piece that can hold a clip, in steps, with what each step is worth, and the stretch that it lies in."""
    rows = []
    for piece, stretch in pool:
        count = int((piece.end_s - piece.start_s) / step_s + 1e-6)
        if count < 1 or count * step_s < shortest_s - 1e-6:
            continue
        middles = piece.start_s + (np.arange(count) + 0.5) * step_s
        value = np.interp(middles, np.arange(len(worth)) + 0.5, worth)
        # A second that the cut divides belongs to both scenes; interpolation must not carry the neighbour's score in.
        scene = material.scenes[stretch.scene]
        inside = np.clip(middles.astype(int), math.floor(scene.start_s), max(math.floor(scene.start_s),
                                                                             math.ceil(scene.end_s) - 1))
        value = np.minimum(value, np.maximum(worth[np.minimum(inside, len(worth) - 1)], 0))
        part = np.minimum((middles / material.duration_s * parts).astype(int), parts - 1)
        rows.append((Row(piece.start_s, (WORTH_OF_A_SECOND + value) * step_s, part), stretch))
    return rows


def mean_over(curve: FloatTrack, interval: Interval) -> float:
    """Mean of the curve over an interval, by whole seconds."""
    first = min(int(interval.start_s), len(curve) - 1)
    return float(curve[first:max(first + 1, math.ceil(interval.end_s))].mean())
