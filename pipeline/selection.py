"""Chooses the clips: a pure function from scores and a budget to intervals. Same input, same clips, always."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

from pipeline.edges import REACH_S, Choice, Limits, Settler
from pipeline.errors import SettingsError
from pipeline.knapsack import Row, best_runs
from pipeline.peaks import lifted
from pipeline.repeats import novelty
from pipeline.settings import Settings
from pipeline.types import Clip, FloatTrack, Heard, Interval, Scene, Scored, ScoredSegment

# The reel is planned in steps of this length at most, and in at least _STEPS of them; in longer ones where the table
# would have more than _MOST_WORK cells to fill otherwise.
_STEP_S = 0.5
_STEPS = 40
_MOST_WORK = 25e6
# Of a long video only the best material is weighed against itself: this many times the budget (of a long reel less,
# since it takes in so much anyway), and the best of every part of the video. Anything beyond could not be in the reel
# but by the spread's bonus. What lies around the best seconds comes along.
_MATERIAL, _LEAST_MATERIAL, _MATERIAL_S = 8, 3, 1500.0
_AROUND_S = 3
# What a second is worth whatever its score, so that the budget is used, and what a clip costs, so that it isn't
# used up in crumbs.
_WORTH_OF_A_SECOND = 0.1
_COST_OF_A_CLIP = 0.1
# Two clips of one scene that are closer than this would be seen as a stumble, and their edges would meet on their way
# to the same pause; one longer clip is better.
_GAP_S = 2 * REACH_S
# A typical clip, from which the number of parts that picks are spread over is derived.
_TYPICAL_CLIP_S = 5.0
# Shots that are too short for an ordinary clip are used where nothing else fills the reel; under this they flicker.
_SHORTEST_CLIP_S = 0.6
# Segments that are looked through for repeats at most, the best ones.
_MOST_COMPARED = 3000
# A reel that fills this much of its budget is full; one that fills less than the second share may cut phrases.
_FILLED_SHARE, _WORDS_BEFORE_LENGTH = 0.9, 0.6
_STANDS_OUT = 0.6
_PINNED = "you chose it"
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
class _Stretch:
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
    material = replace(material, scored=replace(
        material.scored, curve=np.nan_to_num(material.scored.curve, nan=0.0, posinf=1.0, neginf=0.0)))
    pinned = _pinned(settings, material.duration_s)
    stretches = _stretches(material, [*pinned, *_intervals(settings.banned)], 0.5 / material.fps)
    if material.duration_s <= min(settings.whole_below_s, settings.target_s - settings.card_s) and not pinned:
        if not settings.banned:
            return (_clip(Interval(0.0, material.duration_s), material, "the whole video: it is short already"),)
        settings = replace(settings, max_share=1.0)
    budget = budget_s(sum(scene.duration_s for scene in material.scenes), settings)
    budget -= sum(clip.duration_s for clip in pinned)
    intervals: list[Interval] = []
    if budget >= min(_SHORTEST_CLIP_S, settings.target_s / 2) or not pinned:
        intervals = _choose_filling(material, stretches, settings, budget)
    if not intervals and not pinned:
        intervals = [_longest(material, stretches, settings, budget)]
    clips = [_clip(i, material, _PINNED) for i in pinned]
    clips += [_clip(i, material, _reason(i, material, settings)) for i in intervals]
    return tuple(sorted(clips, key=lambda clip: clip.start_s))


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


def _stretches(material: Material, taken: Sequence[Interval], inset_s: float) -> list[_Stretch]:
    """What of the scenes is left to choose from: half a frame away from cuts, and without what is taken."""
    found = []
    at = 0
    taken = sorted(taken, key=lambda i: i.start_s)
    for number, scene in enumerate(material.scenes):
        while at < len(taken) and taken[at].end_s <= scene.start_s:
            at += 1
        inside = taken[at:bisect_left(taken, scene.end_s, key=lambda i: i.start_s)]
        edges = [scene.start_s + inset_s, *(e for i in inside for e in (i.start_s, i.end_s)), scene.end_s - inset_s]
        for k, (a, b) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
            if b - a > inset_s:
                found.append(_Stretch(a, b, number, k == 0, k == len(inside)))
    return found


def _choose_filling(material: Material, stretches: Sequence[_Stretch], settings: Settings,
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


def _whole_phrases(stretch: _Stretch, settler: Settler, frame_s: float) -> _Stretch | None:
    """A stretch that neither begins nor ends inside a phrase, on whole frames; None where nothing is left of it."""
    low, high = settler.whole_phrases(stretch.start_s, stretch.end_s)
    low = stretch.start_s + math.ceil((low - stretch.start_s) / frame_s - 1e-6) * frame_s
    if high - low < frame_s:
        return None
    return replace(stretch, start_s=low, end_s=high, cut_start=stretch.cut_start and low == stretch.start_s,
                   cut_end=stretch.cut_end and high == stretch.end_s)


def _choose(material: Material, stretches: Sequence[_Stretch], settings: Settings, budget: float,
            shortest_s: float, settler: Settler, whole_phrases: bool) -> list[Interval]:
    """The best intervals within a budget, their edges settled."""
    frame_s = 1 / material.fps
    step_s = _step_s(budget, settings, frame_s)
    steps = int(budget / step_s + 1e-6)
    parts = max(1, min(steps, round(budget / _TYPICAL_CLIP_S)))
    worth = settler.worth
    pool = _best_material(material, stretches, worth, parts, _material_s(budget))
    kept = _novelty(material, settings, pool)
    pool = _without_repeats(pool, kept, frame_s)
    rows = _rows(material, pool, worth * kept, step_s, parts, shortest_s)
    runs = best_runs(
        [row for row, _ in rows], budget=steps, shortest=max(1, math.ceil(shortest_s / step_s - 1e-6)),
        longest=max(1, int(settings.max_clip_s / step_s + 1e-6)), gap=max(1, round(_GAP_S / step_s)),
        cost=_COST_OF_A_CLIP, bonus=settings.spread_weight * _TYPICAL_CLIP_S,
    )
    chosen = [(Interval(rows[r][0].start_s + first * step_s, rows[r][0].start_s + last * step_s), rows[r][1])
              for r, first, last in runs]
    limits = Limits(budget, shortest_s, settings.max_clip_s, frame_s, whole_phrases)
    return settler.settle(_with_room(chosen), limits)


def _step_s(budget: float, settings: Settings, frame_s: float) -> float:
    """Seconds of a step, a whole number of frames."""
    step_s = min(_STEP_S, max(budget / _STEPS, 0.1))
    step_s = max(step_s, (_material_s(budget) * budget * settings.max_clip_s / _MOST_WORK) ** (1 / 3))
    return float(max(1, round(step_s / frame_s)) * frame_s)


def _material_s(budget: float) -> float:
    """Seconds of video that are weighed against one another."""
    return budget * min(_MATERIAL, max(_LEAST_MATERIAL, _MATERIAL_S / max(budget, 1e-9)))


def _best_material(material: Material, stretches: Sequence[_Stretch], worth: FloatTrack, parts: int,
                   most_s: float) -> list[tuple[_Stretch, _Stretch]]:
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
    for first, last in gaps[(gaps[:, 1] - gaps[:, 0] < _GAP_S)].tolist():
        kept[first:last] = True
    runs = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))).reshape(-1, 2)
    return _pieces(stretches, runs.tolist(), best, 1 / material.fps)


def _pieces(stretches: Sequence[_Stretch], runs: Sequence[Sequence[int]], best: npt.NDArray[np.bool_],
            frame_s: float) -> list[tuple[_Stretch, _Stretch]]:
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


def _novelty(material: Material, settings: Settings, pool: Sequence[tuple[_Stretch, _Stretch]]) -> FloatTrack:
    """What each second keeps of its worth beside better ones that show the same; 0 for what isn't shown again."""
    count = len(material.scored.curve)
    kept = np.ones(count)
    if material.scored.flat or not pool:
        return kept
    weighed = np.zeros(count, dtype=bool)
    for piece, _ in pool:
        weighed[int(piece.start_s):math.ceil(piece.end_s)] = True
    segments = [s for s in material.scored.segments if weighed[int(s.start_s):math.ceil(s.end_s)].any()]
    scores = [_mean(material.scored.curve, s.interval) for s in segments]
    if len(segments) > _MOST_COMPARED:
        best = sorted(sorted(range(len(segments)), key=lambda i: -scores[i])[:_MOST_COMPARED])
        segments, scores = [segments[i] for i in best], [scores[i] for i in best]
    starts = [scene.start_s for scene in material.scenes]
    scene_of = np.searchsorted(starts, [s.interval.middle_s for s in segments], "right")
    factors = novelty([s.interval for s in segments], np.array(scores), scene_of.tolist(), material.looks,
                      settings.duplicate_similarity, material.rhythm, settings.repeat_weight)
    middles = np.arange(count) + 0.5
    for segment, factor in zip(segments, factors.tolist(), strict=True):
        kept[np.searchsorted(middles, segment.start_s):np.searchsorted(middles, segment.end_s)] = factor
    return kept


def _without_repeats(pool: Sequence[tuple[_Stretch, _Stretch]], kept: FloatTrack,
                     frame_s: float) -> list[tuple[_Stretch, _Stretch]]:
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


def _rows(material: Material, pool: Sequence[tuple[_Stretch, _Stretch]], worth: FloatTrack, step_s: float, parts: int,
          shortest_s: float) -> list[tuple[Row, _Stretch]]:
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
        rows.append((Row(piece.start_s, (_WORTH_OF_A_SECOND + value) * step_s, part), stretch))
    return rows


def _with_room(chosen: Sequence[tuple[Interval, _Stretch]]) -> list[Choice]:
    """The intervals with how far their edges may go: to the ends of their stretch, and halfway to a neighbour in it."""
    low = [stretch.start_s for _, stretch in chosen]
    high = [stretch.end_s for _, stretch in chosen]
    for i, ((a, in_a), (b, in_b)) in enumerate(pairwise(chosen)):
        if in_a == in_b:
            high[i] = low[i + 1] = (a.end_s + b.start_s) / 2
    return [Choice(interval, low[i], high[i], stretch.cut_start and low[i] == stretch.start_s,
                   stretch.cut_end and high[i] == stretch.end_s)
            for i, (interval, stretch) in enumerate(chosen)]


def _longest(material: Material, stretches: Sequence[_Stretch], settings: Settings, budget: float) -> Interval:
    """What is shown of a video in which no scene can hold a clip: as much of its longest as the budget allows."""
    options: Sequence[Interval] = [Interval(s.start_s, s.end_s) for s in stretches]
    if not options and settings.banned:
        raise SettingsError("leaves nothing of the video; allow a part of it again", "banned")
    longest = max(options or material.scenes, key=lambda i: i.duration_s)
    return Interval(longest.start_s, min(longest.end_s, longest.start_s + budget))


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
    segments = material.scored.segments
    first = max(0, bisect_right(segments, interval.start_s, key=lambda s: s.start_s) - 1)
    last = max(first + 1, bisect_left(segments, interval.end_s, key=lambda s: s.start_s))
    return max(segments[first:last],
               key=lambda s: s.interval.overlap_s(interval) * (_WORTH_OF_A_SECOND + s.score))


def _reason(interval: Interval, material: Material, settings: Settings) -> str:
    """Why this interval was chosen, in words: the parts of its score that counted most."""
    if material.scored.flat:
        return "nothing stands out in this video; taken to show every part of it"
    weights: dict[str, float] = asdict(settings.weights)
    parts = [(value * weights.get(name, 1.0), name) for name, value in _segment_of(interval, material).parts.items()
             if value >= _STANDS_OUT]
    strong = [_PLAIN.get(name, name) for _, name in sorted(parts, reverse=True)[:2]]
    return f"stands out for {' and '.join(strong)}" if strong else "the best of its part of the video"
