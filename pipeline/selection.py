"""Chooses the clips: a pure function from scores and a budget to intervals. Same input, same clips, always."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np

from pipeline.edges import WORTH_OF_A_SECOND, Choice, Limits, Settler
from pipeline.errors import SettingsError
from pipeline.knapsack import best_runs
from pipeline.peaks import lifted
from pipeline.pool import (
    GAP_S,
    Material,
    Stretch,
    best_material,
    kept_worth,
    left_by,
    material_s,
    mean_over,
    rows_of,
    stretches_of,
    without_repeats,
)
from pipeline.settings import Settings
from pipeline.types import Clip, FloatTrack, Interval, ScoredSegment

# The reel is planned in steps of this length at most, and in at least _STEPS of them; in longer ones where the table
# would have more than _MOST_WORK cells to fill otherwise.
_STEP_S = 0.5
_STEPS = 40
_MOST_WORK = 25e6
# What a clip costs, so that the budget isn't used up in crumbs.
_COST_OF_A_CLIP = 0.1
# A typical clip, from which the number of parts that picks are spread over is derived.
_TYPICAL_CLIP_S = 5.0
# Shots that are too short for an ordinary clip are used where nothing else fills the reel; under this they flicker.
_SHORTEST_CLIP_S = 0.6
# A reel that fills this much of its budget is full; one that fills less than the second share may cut phrases.
_FILLED_SHARE, _WORDS_BEFORE_LENGTH = 0.9, 0.6
_STANDS_OUT = 0.6
_PINNED = "you chose it"
# The parts of a score as people would call them.
_PLAIN = {"onset": "sudden sounds", "sharpness": "a crisp picture", "novelty": "an unusual view",
          "vlm": "what is seen", "query": "what you asked for"}


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

    Together they are at most `settings.target_s` long, unless what a person pinned is longer, and within 10 % of the
    budget where the video has enough. None crosses a cut, and each keeps half a frame away from it; none begins or
    ends inside a spoken phrase where a pause is near (see `edges`). What is pinned is always in, as it is; what is
    banned never.

    Of all such choices on a grid of steps theirs has the highest total score, with a bonus for every part of the video
    that is represented and a discount for what was shown already (exact by dynamic programming, see
    `knapsack.best_runs`; of a long video, exact over the best of every part). Then edges are settled.

    Raises SettingsError where everything is banned.
    """
    material = replace(material, scored=replace(material.scored, curve=_sane(material.scored.curve)))
    pinned = _pinned(settings, material.duration_s)
    stretches = stretches_of(material, [*pinned, *_intervals(settings.banned)], 0.5 / material.fps)
    if material.duration_s <= min(settings.whole_below_s, settings.target_s - settings.card_s) and not pinned:
        if not settings.banned:
            return (_clip(Interval(0.0, material.duration_s), material, "the whole video: it is short already"),)
        settings = replace(settings, max_share=1.0)
    budget = budget_s(sum(scene.duration_s for scene in material.scenes), settings)
    budget -= sum(clip.duration_s for clip in pinned)
    clips = [_clip(i, material, _PINNED) for i in pinned]
    if budget >= min(_SHORTEST_CLIP_S, settings.target_s / 2) or not pinned:
        clips += _free_clips(material, stretches, settings, budget)
    if not clips:
        longest = _longest(material, stretches, settings, budget)
        clips = [_clip(longest, material, _reason(longest, material, settings))]
    return tuple(sorted(clips, key=lambda clip: clip.start_s))


def _free_clips(material: Material, stretches: Sequence[Stretch], settings: Settings, budget: float) -> list[Clip]:
    """What is chosen beside what is pinned. Several wishes that were found share the budget evenly."""
    found = [wish for wish in material.scored.wishes if wish.found]
    chosen: list[Interval] = []
    clips: list[Clip] = []

    def choose(source: Material, share_s: float) -> list[Interval]:
        left = left_by(chosen, stretches, 0.5 / material.fps)
        return _choose_filling(source, left, settings, share_s)

    for number, wish in enumerate(found if len(found) > 1 else ()):
        wished = replace(material, scored=replace(material.scored, curve=_sane(wish.curve)))
        intervals = choose(wished, (budget - _length(chosen)) / (len(found) - number))
        clips += [_clip(i, wished, f"shows what you asked for: {wish.text}") for i in intervals]
        chosen += intervals
    if not clips or budget - _length(chosen) >= settings.min_clip_s:
        intervals = choose(material, budget - _length(chosen))
        clips += [_clip(i, material, _reason(i, material, settings)) for i in intervals]
    return clips


def _sane(curve: FloatTrack) -> FloatTrack:
    """The curve with numbers where it has none."""
    return np.nan_to_num(curve, nan=0.0, posinf=1.0, neginf=0.0)


def _intervals(bounds: Sequence[tuple[float, float]]) -> list[Interval]:
    """Bounds that a person gave, overlapping ones as one, in time order."""
    joined: list[Interval] = []
    for start_s, end_s in sorted(bounds):
        if joined and start_s < joined[-1].end_s:
            joined[-1] = Interval(joined[-1].start_s, max(joined[-1].end_s, end_s))
        else:
            joined.append(Interval(start_s, end_s))
    return joined


def _pinned(settings: Settings, duration_s: float) -> list[Interval]:
    """What a person wants in the reel, as far as the video has it."""
    return [Interval(i.start_s, min(i.end_s, duration_s)) for i in _intervals(settings.pinned)
            if i.start_s < duration_s]


def _choose_filling(material: Material, stretches: Sequence[Stretch], settings: Settings,
                    budget: float) -> list[Interval]:
    """The best intervals; shorter ones where those leave the reel short, and cut phrases where it is very short."""
    worth = lifted(material.scored.curve, material.scenes)
    settler = Settler(material.heard, worth)
    whole = [_whole_phrases(s, settler, 1 / material.fps) for s in stretches]
    found: list[Interval] = []
    for source, strict in (([s for s in whole if s is not None], True), (stretches, False)):
        for shortest_s in (min(settings.min_clip_s, budget), min(_SHORTEST_CLIP_S, settings.min_clip_s, budget)):
            intervals = _choose(material, source, settings, budget, shortest_s, settler, strict)
            if _length(intervals) > _length(found):
                found = intervals
            if _length(found) >= _FILLED_SHARE * budget:
                return found
        if _length(found) >= _WORDS_BEFORE_LENGTH * budget:
            break
    return found


def _length(intervals: Sequence[Interval]) -> float:
    return sum(i.duration_s for i in intervals)


def _whole_phrases(stretch: Stretch, settler: Settler, frame_s: float) -> Stretch | None:
    """A stretch that neither begins nor ends inside a phrase, on whole frames; None where nothing is left of it."""
    low, high = settler.whole_phrases(stretch.start_s, stretch.end_s)
    low = stretch.start_s + math.ceil((low - stretch.start_s) / frame_s - 1e-6) * frame_s
    if high - low < frame_s:
        return None
    return replace(stretch, start_s=low, end_s=high, cut_start=stretch.cut_start and low == stretch.start_s,
                   cut_end=stretch.cut_end and high == stretch.end_s)


def _choose(material: Material, stretches: Sequence[Stretch], settings: Settings, budget: float,
            shortest_s: float, settler: Settler, whole_phrases: bool) -> list[Interval]:
    """The best intervals within a budget, their edges settled."""
    frame_s = 1 / material.fps
    step_s = _step_s(budget, settings, frame_s)
    steps = int(budget / step_s + 1e-6)
    parts = max(1, min(steps, round(budget / _TYPICAL_CLIP_S)))
    worth = settler.worth
    pool = best_material(material, stretches, worth, parts, material_s(budget))
    kept = kept_worth(material, settings, pool)
    pool = without_repeats(pool, kept, frame_s)
    rows = rows_of(material, pool, worth * kept, step_s, parts, shortest_s)
    runs = best_runs(
        [row for row, _ in rows], budget=steps, shortest=max(1, math.ceil(shortest_s / step_s - 1e-6)),
        longest=max(1, int(settings.max_clip_s / step_s + 1e-6)), gap=max(1, round(GAP_S / step_s)),
        cost=_COST_OF_A_CLIP, bonus=settings.spread_weight * _TYPICAL_CLIP_S,
    )
    chosen = [(Interval(rows[r][0].start_s + first * step_s, rows[r][0].start_s + last * step_s), rows[r][1])
              for r, first, last in runs]
    limits = Limits(budget, shortest_s, settings.max_clip_s, frame_s, whole_phrases)
    return settler.settle(_with_room(chosen), limits)


def _step_s(budget: float, settings: Settings, frame_s: float) -> float:
    """Seconds of a step, a whole number of frames."""
    step_s = min(_STEP_S, max(budget / _STEPS, 0.1))
    step_s = max(step_s, (material_s(budget) * budget * settings.max_clip_s / _MOST_WORK) ** (1 / 3))
    return float(max(1, round(step_s / frame_s)) * frame_s)


def _with_room(chosen: Sequence[tuple[Interval, Stretch]]) -> list[Choice]:
    """The intervals with how far their edges may go: to the ends of their stretch, and halfway to a neighbour in it."""
    low = [stretch.start_s for _, stretch in chosen]
    high = [stretch.end_s for _, stretch in chosen]
    for i, ((a, in_a), (b, in_b)) in enumerate(pairwise(chosen)):
        if in_a == in_b:
            high[i] = low[i + 1] = (a.end_s + b.start_s) / 2
    return [Choice(interval, low[i], high[i], stretch.cut_start and low[i] == stretch.start_s,
                   stretch.cut_end and high[i] == stretch.end_s)
            for i, (interval, stretch) in enumerate(chosen)]


def _longest(material: Material, stretches: Sequence[Stretch], settings: Settings, budget: float) -> Interval:
    """What is shown of a video in which no scene can hold a clip: as much of its longest as the budget allows."""
    options: Sequence[Interval] = [Interval(s.start_s, s.end_s) for s in stretches]
    if not options and settings.banned:
        raise SettingsError("leaves nothing of the video; allow a part of it again", "banned")
    longest = max(options or material.scenes, key=lambda i: i.duration_s)
    return Interval(longest.start_s, min(longest.end_s, longest.start_s + budget))


def _clip(interval: Interval, material: Material, reason: str) -> Clip:
    """A clip with the words of the segment that it was chosen for."""
    segment = _segment_of(interval, material)
    return Clip(interval.start_s, interval.end_s, round(mean_over(material.scored.curve, interval), 4),
                segment.description, reason)


def _segment_of(interval: Interval, material: Material) -> ScoredSegment:
    """The segment that an interval was chosen for: it shares much time with it, and scores well."""
    segments = material.scored.segments
    first = max(0, bisect_right(segments, interval.start_s, key=lambda s: s.start_s) - 1)
    last = max(first + 1, bisect_left(segments, interval.end_s, key=lambda s: s.start_s))
    return max(segments[first:last],
               key=lambda s: s.interval.overlap_s(interval) * (WORTH_OF_A_SECOND + s.score))


def _reason(interval: Interval, material: Material, settings: Settings) -> str:
    """Why this interval was chosen, in words: the parts of its score that counted most."""
    if material.scored.flat:
        return "nothing stands out in this video; taken to show every part of it"
    weights: dict[str, float] = asdict(settings.weights)
    parts = [(value * weights.get(name, 1.0), name) for name, value in _segment_of(interval, material).parts.items()
             if value >= _STANDS_OUT]
    strong = [_PLAIN.get(name, name) for _, name in sorted(parts, reverse=True)[:2]]
    return f"stands out for {' and '.join(strong)}" if strong else "the best of its part of the video"
