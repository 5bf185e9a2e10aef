"""Where on the reel's clock things are: clips with straight cuts between them, and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.export.words import lines_of
from pipeline.types import Caption, Clip, Placed


@dataclass(frozen=True, slots=True)
class Window:
    """A clip's own part of the reel. Where clips crossfade, it changes hands in the middle of the fade.

    clip: what is on show
    placed_s: reel time of the clip's start, which lies before `start_s` where it fades in
    start_s, end_s: of the part, in seconds of the reel
    """

    clip: Clip
    placed_s: float
    start_s: float
    end_s: float

    @property
    def middle_s(self) -> float:
        """The instant halfway through."""
        return (self.start_s + self.end_s) / 2


@dataclass(frozen=True, slots=True)
class Cue:
    """Words on the reel's clock, in whole milliseconds; `lines` holds one or more."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def windows(placed: Sequence[Placed]) -> tuple[Window, ...]:
    """Each clip's part of the reel; in the middle of a crossfade both clips are equally strong."""
    starts = [place.start_s for place in placed]
    ends = [place.end_s for place in placed]
    for i in range(1, len(placed)):
        if starts[i] < ends[i - 1]:
            starts[i] = ends[i - 1] = (placed[i].start_s + placed[i - 1].end_s) / 2
    return tuple(Window(place.clip, place.start_s, start, max(start, end))
                 for place, start, end in zip(placed, starts, ends, strict=True))


def cues(captions: Sequence[Caption], placed: Sequence[Placed]) -> tuple[Cue, ...]:
    """Captions on the reel's clock, sorted, none empty, none overlapping.

    A caption is clipped to the clip that shows it, appears in each clip that does, and is dropped where none does.
    Captions that start together share a cue; one that runs into the next ends where that begins.
    """
    found: list[tuple[int, int, tuple[str, ...]]] = []
    for window in windows(placed):
        for caption in captions:
            shift_s = window.placed_s - window.clip.start_s
            start_s = max(caption.start_s, window.clip.start_s) + shift_s
            end_s = min(caption.end_s, window.clip.end_s) + shift_s
            start_ms = round(1000 * max(start_s, window.start_s))
            end_ms = round(1000 * min(end_s, window.end_s))
            if start_ms < end_ms and (lines := lines_of(caption.text)):
                found.append((start_ms, end_ms, tuple(lines)))
    together: dict[int, tuple[int, tuple[str, ...]]] = {}
    for start_ms, end_ms, said in sorted(found, key=lambda cue: cue[:2]):
        before_ms, before = together.get(start_ms, (end_ms, ()))
        together[start_ms] = (max(before_ms, end_ms), before + said)
    shown = [Cue(start_ms, end_ms, said) for start_ms, (end_ms, said) in together.items()]
    for i, (cue, after) in enumerate(pairwise(shown)):
        shown[i] = replace(cue, end_ms=min(cue.end_ms, after.start_ms))
    return tuple(shown)
