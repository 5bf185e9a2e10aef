"""A person's corrections of a reel, as values: every operation takes a draft and gives a new one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline import Analysis, Clip, Plan, Settings, SettingsError, SmolReelError, choose
from pipeline.export.words import clock
from pipeline.types import Interval, Scene, ScoredSegment

Bounds = tuple[float, float]

MOST_UNDONE = 200
SHORTEST_S = 0.5
_TENTHS = 1
# Times closer than this are the same: plans are written to the microsecond.
_SAME_S = 1e-5
# A segment is on offer where so much of it isn't shown yet: this long, and this share of it.
_LEAST_FREE_S, _LEAST_FREE = 1.0, 0.5
# A person who trims to the tenth is not to be moved to a keyframe further away than this.
_EXACT_S = 0.05
TOOK_IN, TRIMMED, KEPT = "you took it in", "you trimmed it", "you chose it"


class EditError(SmolReelError):
    """A correction can't be made; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A reel as a person wants it.

    plan: what it started from: video, scenes, segments and curve are read from it, its clips are not
    clips: the reel, in the order in which it plays
    settings: to choose and render with
    left_out: stretches of the video that the person doesn't want
    taken_in: stretches that the person took in
    trimmed: stretches that the person trimmed to the tenth
    holes: stretches in which the file shows nothing
    note: what the last operation has to say, for people; empty for nothing
    """

    plan: Plan
    clips: tuple[Clip, ...]
    settings: Settings
    left_out: tuple[Bounds, ...] = ()
    taken_in: tuple[Bounds, ...] = ()
    trimmed: tuple[Bounds, ...] = ()
    holes: tuple[Bounds, ...] = ()
    note: str = ""

    @property
    def duration_s(self) -> float:
        """Seconds of the clips together."""
        return sum(clip.interval.duration_s for clip in self.clips)

    @property
    def video_s(self) -> float:
        """Seconds of the video."""
        ends = [*(scene.end_s for scene in self.plan.scenes), *(segment.end_s for segment in self.plan.segments)]
        return self.plan.video.duration_s or max(ends, default=math.inf)

    @property
    def chosen(self) -> tuple[Bounds, ...]:
        """Stretches that a person took in or trimmed."""
        return (*self.taken_in, *self.trimmed)


@dataclass(frozen=True, slots=True)
class History:
    """Drafts that can be gone back to; every method gives a new history.

    present: the draft in force
    past: earlier ones, oldest first, at most MOST_UNDONE
    future: those that were undone, the next one first
    """

    present: Draft
    past: tuple[Draft, ...] = ()
    future: tuple[Draft, ...] = ()

    def do(self, draft: Draft) -> History:
        """The history after one more step; what was undone before is forgotten."""
        return History(draft, (*self.past, self.present)[-MOST_UNDONE:])

    def undo(self) -> History:
        """The history one step back; the same where there is none."""
        if not self.past:
            return self
        return History(self.past[-1], self.past[:-1], (self.present, *self.future))

    def redo(self) -> History:
        """The history one step forward again; the same where there is none."""
        if not self.future:
            return self
        return History(self.future[0], (*self.past, self.present), self.future[1:])

    @property
    def can_undo(self) -> bool:
        """Whether there is a step back."""
        return bool(self.past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step forward."""
        return bool(self.future)


@dataclass(frozen=True, slots=True)
class _Trimmed:
    """Bounds of a clip after a trim, and what is to be said of them."""

    start_s: float
    end_s: float
    notes: list[str] = field(default_factory=list)


def begin(plan: Plan, settings: Settings | None = None, holes: Sequence[Scene] = ()) -> Draft:
    """A draft that is the plan as it is.

    settings: those in the plan where None
    holes: stretches in which the file shows nothing, as `Scan.holes`
    """
    return Draft(plan, plan.clips, settings or Settings.from_json(plan.settings),
                 holes=tuple((hole.start_s, hole.end_s) for hole in holes))


def leave_out(draft: Draft, i: int) -> Draft:
    """The draft without clip `i`, counted from 0. All may go: `problems` then says what to do."""
    clip = _clip(draft, i)
    gone = (clip.start_s, clip.end_s)
    return replace(_untouched(draft, clip), clips=(*draft.clips[:i], *draft.clips[i + 1:]),
                   left_out=(*draft.left_out, gone), note=f"left out {_spoken(clip.interval)}")


def take_in(draft: Draft, segment_index: int) -> Draft:
    """The draft with a segment of the plan put in among its clips by time; of one that is partly shown, the rest.

    segment_index: its place in `plan.segments`

    Raises EditError where there is no such segment, or most of it is shown already.
    """
    segments = draft.plan.segments
    if not 0 <= segment_index < len(segments):
        raise EditError(f"there is no scene number {segment_index + 1}; choose one of the {len(segments)} there are")
    segment = segments[segment_index]
    free = _free_part(draft, segment)
    if free is None:
        shown = next((n for n, clip in enumerate(draft.clips, 1)
                      if clip.interval.overlap_s(segment.interval) > _SAME_S), None)
        why = f"clip {shown} shows it already" if shown else "the file shows nothing there"
        raise EditError(f"{_spoken(segment.interval)} can't be taken in: {why}; choose another")
    clip = Clip(free.start_s, free.end_s, segment.score, segment.description, TOOK_IN)
    place = _place_of(clip, draft.clips)
    bounds = (clip.start_s, clip.end_s)
    return replace(draft, clips=(*draft.clips[:place], clip, *draft.clips[place:]),
                   left_out=_without(draft.left_out, bounds), taken_in=(*draft.taken_in, bounds),
                   note=f"took in {_spoken(free)} as clip {place + 1}")


def trim(draft: Draft, i: int, start_delta_s: float = 0.0, end_delta_s: float = 0.0) -> Draft:
    """The draft with the ends of clip `i` moved, in tenths of a second; below 0 is earlier, above 0 later.

    A bound stops at the end of the video, and at a clip that shows what lies there; the note says so, and also where
    the clip now crosses a cut. Raises EditError where nothing can move, or less than SHORTEST_S would be left.
    """
    clip = _clip(draft, i)
    if not (math.isfinite(start_delta_s) and math.isfinite(end_delta_s)):
        raise EditError("a trim needs a number of seconds, such as 0.3")
    return trim_to(draft, i, clip.start_s + round(start_delta_s, _TENTHS), clip.end_s + round(end_delta_s, _TENTHS))


def trim_to(draft: Draft, i: int, start_s: float, end_s: float) -> Draft:
    """The draft with the ends of clip `i` at these seconds of the video; as `trim`."""
    clip = _clip(draft, i)
    if not (math.isfinite(start_s) and math.isfinite(end_s)):
        raise EditError("a clip starts and ends at a number of seconds, such as 12.3")
    if start_s >= draft.video_s or end_s <= 0:
        raise EditError(f"the video goes from 0 to {clock(draft.video_s)}; keep the clip inside it")
    fitted = _fitted(draft, i, start_s, end_s)
    length_s = fitted.end_s - fitted.start_s
    if length_s < min(SHORTEST_S, clip.interval.duration_s) - _SAME_S:
        raise EditError(f"a clip is at least {SHORTEST_S:g} s long; leave clip {i + 1} out if you don't want it")
    if abs(fitted.start_s - clip.start_s) < _SAME_S and abs(fitted.end_s - clip.end_s) < _SAME_S:
        raise EditError("; ".join(fitted.notes) or f"clip {i + 1} is like that already")
    new = replace(clip, start_s=fitted.start_s, end_s=fitted.end_s, reason=TRIMMED)
    bounds = (new.start_s, new.end_s)
    cuts = [cut_s for cut_s in _cuts(draft) if new.start_s + _frame_s(draft) < cut_s < new.end_s - _frame_s(draft)]
    notes = [*fitted.notes, *([f"clip {i + 1} crosses the cut at {' and '.join(map(clock, cuts))}"] if cuts else [])]
    kept = _untouched(draft, clip)
    return replace(kept, clips=(*draft.clips[:i], new, *draft.clips[i + 1:]),
                   left_out=_without(kept.left_out, bounds), trimmed=(*kept.trimmed, bounds), note="; ".join(notes))


def move(draft: Draft, i: int, by: int) -> Draft:
    """The draft with clip `i` played `by` places later, or earlier where that is below 0; it stops at either end."""
    clip = _clip(draft, i)
    place = max(0, min(len(draft.clips) - 1, i + by))
    if place == i:
        raise EditError(f"clip {i + 1} is {'the last' if by > 0 else 'the first'} already")
    others = [*draft.clips[:i], *draft.clips[i + 1:]]
    return replace(draft, clips=(*others[:place], clip, *others[place:]), note=f"clip {i + 1} is now {place + 1}")


def with_settings(draft: Draft, settings: Settings) -> Draft:
    """The draft with other settings and the same clips, such as for another shape."""
    return replace(draft, settings=settings, note="")


def alternatives(draft: Draft) -> tuple[ScoredSegment, ...]:
    """Segments that are not in the reel, best first: those that `take_in` would take.

    What a person left out comes last.
    """
    def rank(segment: ScoredSegment) -> tuple[bool, float, float]:
        unwanted = any(_overlap_s(segment.interval, bounds) > _LEAST_FREE * segment.interval.duration_s
                       for bounds in draft.left_out)
        return unwanted, -segment.score, segment.start_s

    return tuple(sorted((s for s in draft.plan.segments if _free_part(draft, s) is not None), key=rank))


def index_of(draft: Draft, segment: ScoredSegment) -> int:
    """The segment's place in `plan.segments`, as `take_in` wants it."""
    return draft.plan.segments.index(segment)


def problems(draft: Draft) -> tuple[str, ...]:
    """What must be changed before the draft can be rendered, for people; empty where nothing must."""
    if not draft.clips:
        return ("every clip is left out; take one in, or undo",)
    return tuple(f"clip {n} lies outside the video; trim it or leave it out" for n, clip in enumerate(draft.clips, 1)
                 if clip.start_s >= draft.video_s)


def plan_of(draft: Draft) -> Plan:
    """The plan to render. Raises EditError where the draft has problems."""
    for problem in problems(draft):
        raise EditError(problem)
    return replace(draft.plan, clips=draft.clips, settings=draft.settings.to_json())


def is_exact(draft: Draft) -> bool:
    """Whether a person chose a clip's bounds, so that no clip may start elsewhere to be copied."""
    return any(_is_among(clip, draft.chosen) for clip in draft.clips)


def render_settings(draft: Draft) -> Settings:
    """What to render the draft with: where a person chose bounds, copying must not move them."""
    if not is_exact(draft):
        return draft.settings
    return replace(draft.settings, copy_tolerance_s=min(_EXACT_S, draft.settings.copy_tolerance_s))


def retarget(draft: Draft, analysis: Analysis, settings: Settings) -> Draft:
    """The draft chosen anew, for another length or query; what a person left out stays out, what they chose stays in.

    analysis: of the draft's video, with the scores that `settings` ask for

    The person's order of clips that stay is kept; new ones come in by time. Raises EditError where all is left out.
    """
    try:
        plan = choose(analysis, replace(settings, banned=draft.left_out, pinned=draft.chosen))
    except SettingsError as error:
        if error.subject != "banned":
            raise
        raise EditError("nothing of the video is left to choose from; take a moment in, or undo") from error
    # Only this draft is bound by what was left out; the plan is written with what the person set.
    plan = replace(plan, settings=settings.to_json())
    touched = {bounds: reason for which, reason in ((draft.taken_in, TOOK_IN), (draft.trimmed, TRIMMED))
               for bounds in which}
    clips = [_claimed(clip, touched) for clip in plan.clips]
    holes = tuple((hole.start_s, hole.end_s) for hole in analysis.scan.holes)
    return Draft(plan, _in_order_of(clips, draft.clips), settings, draft.left_out, draft.taken_in, draft.trimmed,
                 holes)


def _clip(draft: Draft, i: int) -> Clip:
    """Clip `i`; EditError where there is none."""
    if not 0 <= i < len(draft.clips):
        raise EditError(f"there is no clip {i + 1}; the reel has {len(draft.clips)}")
    return draft.clips[i]


def _spoken(interval: Interval) -> str:
    """A stretch of the video for people."""
    return f"{clock(interval.start_s)} to {clock(interval.end_s)}"


def _frame_s(draft: Draft) -> float:
    """Seconds of a frame of the video."""
    return 1 / (draft.plan.video.fps or 25.0)


def _cuts(draft: Draft) -> list[float]:
    """Where the video cuts."""
    return [scene.start_s for scene in draft.plan.scenes[1:]]


def _fitted(draft: Draft, i: int, start_s: float, end_s: float) -> _Trimmed:
    """Wanted bounds of clip `i`, inside the video and outside of the other clips."""
    clip, notes = draft.clips[i], []
    # A rendered clip may end a fraction of a frame after the last one starts to be shown: it need not shrink for it.
    lowest, highest = 0.0, max(draft.video_s, clip.end_s)
    below = above = ""
    for number, other in enumerate(draft.clips, 1):
        if number == i + 1:
            continue
        if lowest < other.end_s <= clip.start_s + _SAME_S:
            lowest, below = other.end_s, f"clip {number}"
        if clip.end_s - _SAME_S <= other.start_s < highest:
            highest, above = other.start_s, f"clip {number}"
    if start_s < lowest - _SAME_S:
        notes.append(f"clip {i + 1} starts where {below} ends, which shows what lies before" if below
                     else f"clip {i + 1} starts at the beginning of the video")
    if end_s > highest + _SAME_S:
        notes.append(f"clip {i + 1} ends where {above} starts, which shows what lies after" if above
                     else f"clip {i + 1} ends at the end of the video")
    return _Trimmed(min(max(start_s, lowest), highest), max(min(end_s, highest), lowest), notes)


def _free_part(draft: Draft, segment: ScoredSegment) -> Interval | None:
    """The longest part of a segment that no clip shows, kept half a frame away from cuts; None for too little."""
    inset_s = _frame_s(draft) / 2
    edges = [0.0, draft.video_s, *_cuts(draft)]
    start_s, end_s = segment.start_s, segment.end_s
    start_s += inset_s if any(abs(start_s - edge) < inset_s for edge in edges) else 0.0
    end_s -= inset_s if any(abs(end_s - edge) < inset_s for edge in edges) else 0.0
    pieces: tuple[Bounds, ...] = ((start_s, min(end_s, draft.video_s)),)
    for taken in (*((clip.start_s, clip.end_s) for clip in draft.clips), *draft.holes):
        pieces = _without(pieces, taken)
    best = max(pieces, key=lambda piece: piece[1] - piece[0], default=(0.0, 0.0))
    length_s, whole_s = best[1] - best[0], segment.interval.duration_s
    if length_s < min(_LEAST_FREE_S, 0.9 * whole_s) or length_s < _LEAST_FREE * whole_s:
        return None
    return Interval(*best)


def _overlap_s(interval: Interval, bounds: Bounds) -> float:
    """Seconds that both share."""
    return interval.overlap_s(Interval(*bounds))


def _without(stretches: Sequence[Bounds], taken: Bounds) -> tuple[Bounds, ...]:
    """The stretches less what `taken` covers."""
    left: list[Bounds] = []
    for start_s, end_s in stretches:
        if taken[1] <= start_s or taken[0] >= end_s:
            left.append((start_s, end_s))
            continue
        left += [(a, b) for a, b in ((start_s, taken[0]), (taken[1], end_s)) if b - a > _SAME_S]
    return tuple(left)


def _is_among(clip: Clip, stretches: Sequence[Bounds]) -> bool:
    """Whether the clip is one of these stretches."""
    return any(abs(clip.start_s - a) < _SAME_S and abs(clip.end_s - b) < _SAME_S for a, b in stretches)


def _untouched(draft: Draft, clip: Clip) -> Draft:
    """The draft as if the person had neither taken in nor trimmed what the clip shows."""
    def others(stretches: Sequence[Bounds]) -> tuple[Bounds, ...]:
        return tuple(bounds for bounds in stretches if _overlap_s(clip.interval, bounds) < _SAME_S)

    return replace(draft, taken_in=others(draft.taken_in), trimmed=others(draft.trimmed))


def _place_of(clip: Clip, clips: Sequence[Clip]) -> int:
    """Where a clip goes among others: after the one that starts last before it."""
    before = [n for n, other in enumerate(clips) if other.start_s <= clip.start_s]
    return max(before, key=lambda n: clips[n].start_s) + 1 if before else 0


def _claimed(clip: Clip, touched: dict[Bounds, str]) -> Clip:
    """The clip, with the person's own reason where it is one of theirs."""
    for bounds, reason in touched.items():
        if _overlap_s(clip.interval, bounds) >= 0.9 * (bounds[1] - bounds[0]):
            same = _is_among(clip, (bounds,))
            return replace(clip, reason=reason if same else KEPT)
    return clip


def _in_order_of(clips: Sequence[Clip], old: Sequence[Clip]) -> tuple[Clip, ...]:
    """Clips in the order that a person gave those that stay; new ones come in by time."""
    def rank(clip: Clip) -> int | None:
        shared = [clip.interval.overlap_s(other.interval) for other in old]
        return shared.index(max(shared)) if max(shared, default=0.0) > 0 else None

    ranked = [(rank(clip), clip) for clip in clips]
    staying = sorted(((n, clip) for n, clip in ranked if n is not None), key=lambda pair: (pair[0], pair[1].start_s))
    ordered = [clip for _, clip in staying]
    for clip in sorted((clip for n, clip in ranked if n is None), key=lambda clip: clip.start_s):
        ordered.insert(_place_of(clip, ordered), clip)
    return tuple(ordered)
