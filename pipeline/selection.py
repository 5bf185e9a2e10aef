"""Chooses the clips: a pure function from scores and a budget to intervals. Same input, same clips, always."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from pipeline.knapsack import Row, best_runs
from pipeline.settings import Settings
from pipeline.types import Clip, FloatTrack, Interval, Scene, Scored, ScoredSegment

# The reel is planned in steps of this length at most, and in at least _STEPS of them.
_STEP_S = 0.5
_STEPS = 40
_MOST_STEPS = 1200
# Of a long video only the best material is weighed against itself: this many times the budget, and the best of every
# part of the video. Anything beyond could not be in the reel but by the spread's bonus.
_MATERIAL = 8
# What a second is worth whatever its score, so that the budget is used, and what a clip costs, so that it isn't
# used up in crumbs.
_WORTH_OF_A_SECOND = 0.1
_COST_OF_A_CLIP = 0.1
# Two clips of one scene that are closer than this would be seen as a stumble; one longer clip is better.
_GAP_S = 2.0
# A typical clip, from which the number of parts that picks are spread over is derived.
_TYPICAL_CLIP_S = 5.0
# Shots that are too short for an ordinary clip are used where nothing else fills the reel; under this they flicker.
_SHORTEST_CLIP_S = 0.6
# How much less a second look at the same thing is worth, and how often the choice is made again for it.
_REPEAT_WORTH = 0.3
_REPEAT_ROUNDS = 8
_FILLED_SHARE = 0.9
_STANDS_OUT = 0.6
# The parts of a score as people would call them.
_PLAIN = {"onset": "sudden sounds", "sharpness": "a crisp picture", "novelty": "an unusual view",
          "vlm": "what is seen", "query": "what you asked for"}


@dataclass(frozen=True, slots=True)
class Material:
    """What clips are chosen from.

    duration_s: of the video
    fps: its frames a second; clips are whole frames long
    scenes: what may be shown: those that tile [0, duration_s), without holes in the file
    scored: segments and curve
    looks: (n, d) unit-norm descriptors, one a second
    """

    duration_s: float
    fps: float
    scenes: Sequence[Scene]
    scored: Scored
    looks: npt.NDArray[np.float32]


def budget_s(duration_s: float, settings: Settings) -> float:
    """How long the clips of a reel may be: the target less a closing card, yet not much more than half of a short
    video.
    """
    room_s = settings.target_s - settings.card_s
    if duration_s <= settings.whole_below_s:
        return min(duration_s, room_s)
    return min(room_s, settings.max_share * duration_s)


def select(material: Material, settings: Settings) -> tuple[Clip, ...]:
    """The clips of the reel, in time order.

    Together they are at most `settings.target_s` long, and within 10 % of the budget where the video has enough.
    None crosses a cut; each keeps half a frame away from it. Their total score is the highest that any such choice
    has (exact by dynamic programming, see `knapsack.best_runs`), with a bonus for every part of the video that is
    represented and a discount for showing the same thing twice.
    """
    if material.duration_s <= min(settings.whole_below_s, settings.target_s - settings.card_s):
        return (_clip(Interval(0.0, material.duration_s), material, "the whole video: it is short already"),)
    budget = budget_s(sum(scene.duration_s for scene in material.scenes), settings)
    shortest = min(settings.min_clip_s, budget)
    intervals = _choose(material, settings, budget, shortest)
    if sum(i.duration_s for i in intervals) < _FILLED_SHARE * budget and shortest > _SHORTEST_CLIP_S:
        intervals = _choose(material, settings, budget, _SHORTEST_CLIP_S)
    if not intervals:
        intervals = [_longest_scene(material, budget)]
    return tuple(_clip(i, material, _reason(i, material, settings)) for i in intervals)


def _choose(material: Material, settings: Settings, budget: float, shortest_s: float) -> list[Interval]:
    """The best intervals; made again while two of them show the same thing and another choice would not."""
    frame_s = 1 / material.fps
    step_s = min(_STEP_S, max(budget / _STEPS, 0.1))
    step_s = max(step_s, budget / _MOST_STEPS)
    step_s = max(1, round(step_s / frame_s)) * frame_s
    steps = int(budget / step_s + 1e-6)
    parts = max(1, min(steps, round(budget / _TYPICAL_CLIP_S)))
    worth = np.array(material.scored.curve, dtype=np.float64)
    intervals: list[Interval] = []
    for _ in range(_REPEAT_ROUNDS):
        rows = _rows(material, worth, step_s, parts, shortest_s, _MATERIAL * budget)
        runs = best_runs(
            rows, budget=steps, shortest=max(1, math.ceil(shortest_s / step_s - 1e-6)),
            longest=max(1, int(settings.max_clip_s / step_s + 1e-6)), gap=max(1, round(_GAP_S / step_s)),
            cost=_COST_OF_A_CLIP, bonus=settings.spread_weight * _TYPICAL_CLIP_S,
        )
        intervals = [Interval(rows[r].start_s + first * step_s, rows[r].start_s + last * step_s)
                     for r, first, last in runs]
        repeat = _repeated(intervals, material, settings)
        if repeat is None or material.scored.flat:
            break
        seconds = slice(int(repeat.start_s), math.ceil(repeat.end_s))
        worth[seconds] *= _REPEAT_WORTH
    return intervals


def _rows(material: Material, worth: FloatTrack, step_s: float, parts: int, shortest_s: float,
          most_s: float) -> list[Row]:
    """Every scene that can hold a clip, in steps, with what each step is worth; only the best of a long video."""
    inset = 0.5 / material.fps
    rows = []
    for scene in material.scenes:
        start_s, length_s = scene.start_s + inset, scene.duration_s - 2 * inset
        count = int(length_s / step_s + 1e-6)
        if count < 1 or count * step_s < shortest_s - 1e-6:
            continue
        middles = start_s + (np.arange(count) + 0.5) * step_s
        value = np.interp(middles, np.arange(len(worth)) + 0.5, worth)
        # A second that the cut divides belongs to both scenes; interpolation must not carry the neighbour's score in.
        inside = np.clip(middles.astype(int), math.floor(scene.start_s), max(math.floor(scene.start_s),
                                                                             math.ceil(scene.end_s) - 1))
        value = np.minimum(value, np.maximum(worth[np.minimum(inside, len(worth) - 1)], 0))
        part = np.minimum((middles / material.duration_s * parts).astype(int), parts - 1)
        rows.append(Row(start_s, (_WORTH_OF_A_SECOND + value) * step_s, part))
    return _best_material(rows, step_s, most_s, parts)


def _best_material(rows: list[Row], step_s: float, most_s: float, parts: int) -> list[Row]:
    """The rows as they are, or, where they are longer than `most_s`, those with the best steps of each part."""
    if sum(len(row.worth) for row in rows) * step_s <= most_s:
        return rows
    share = int(most_s / step_s / parts)
    keep = np.concatenate([row.worth for row in rows])
    part = np.concatenate([row.part for row in rows])
    bar = {p: np.sort(keep[part == p])[-share] for p in range(parts) if (part == p).sum() > share}
    return [row for row in rows if any(w >= bar.get(int(p), 0.0) for w, p in zip(row.worth, row.part, strict=True))]


def _repeated(intervals: Sequence[Interval], material: Material, settings: Settings) -> Interval | None:
    """The weaker of the two clips that look most alike, if they count as the same thing shown twice.

    Two clips of one scene are not: they look alike because nothing was cut between them.
    """
    looks = [_look(i, material.looks) for i in intervals]
    worst, found = settings.duplicate_similarity, None
    for j, b in enumerate(intervals):
        for i, a in enumerate(intervals[:j]):
            similarity = float(looks[i] @ looks[j])
            if similarity >= worst and _scene_at(a, material.scenes) != _scene_at(b, material.scenes):
                weaker = min((a, b), key=lambda x: (_mean(material.scored.curve, x), -x.start_s))
                worst, found = similarity, weaker
    return found


def _look(interval: Interval, looks: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Mean descriptor of an interval, at length 1."""
    first = min(int(interval.start_s), len(looks) - 1)
    mean = looks[first:max(first + 1, math.ceil(interval.end_s))].mean(axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9))


def _scene_at(interval: Interval, scenes: Sequence[Scene]) -> int:
    """Index of the scene that an interval lies in."""
    return int(np.searchsorted([scene.start_s for scene in scenes], interval.middle_s, "right"))


def _longest_scene(material: Material, budget: float) -> Interval:
    """What is shown of a video in which no scene can hold a clip: as much of its longest as the budget allows."""
    scene = max(material.scenes, key=lambda s: s.duration_s)
    return Interval(scene.start_s, min(scene.end_s, scene.start_s + budget))


def _mean(curve: FloatTrack, interval: Interval) -> float:
    """Mean of the curve over an interval, by whole seconds."""
    first = min(int(interval.start_s), len(curve) - 1)
    return float(curve[first:max(first + 1, math.ceil(interval.end_s))].mean())


def _clip(interval: Interval, material: Material, reason: str) -> Clip:
    """A clip with the words of the segment that it was chosen for."""
    segment = _segment_of(interval, material)
    return Clip(interval.start_s, interval.end_s, round(_mean(material.scored.curve, interval), 4),
                segment.description, reason)


def _segment_of(interval: Interval, material: Material) -> ScoredSegment:
    """The segment that an interval was chosen for: it shares much time with it, and scores well."""
    return max(material.scored.segments, key=lambda s: s.interval.overlap_s(interval) * (_WORTH_OF_A_SECOND + s.score))


def _reason(interval: Interval, material: Material, settings: Settings) -> str:
    """Why this interval was chosen, in words: the parts of its score that counted most."""
    if material.scored.flat:
        return "nothing stands out in this video; taken to show every part of it"
    weights: dict[str, float] = asdict(settings.weights)
    parts = [(value * weights.get(name, 1.0), name) for name, value in _segment_of(interval, material).parts.items()
             if value >= _STANDS_OUT]
    strong = [_PLAIN.get(name, name) for _, name in sorted(parts, reverse=True)[:2]]
    return f"stands out for {' and '.join(strong)}" if strong else "the best of its part of the video"
