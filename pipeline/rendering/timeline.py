"""Where everything lies in a reel whose clips overlap: pure arithmetic in frames of the reel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from pipeline.types import Caption, Clip, Placed

# Words that are shown for less than this can't be read and only flicker.
_SHORTEST_CAPTION_S = 0.3


@dataclass(frozen=True, slots=True)
class Timeline:
    """Clips in their places.

    rate: the reel's frames a second
    counts: frames of each clip, what it shares with its neighbours included
    overlaps: frames that each clip shares with the next; the last one's with the closing card
    card: frames of the closing card after the last clip; 0 for none
    """

    rate: Fraction
    counts: tuple[int, ...]
    overlaps: tuple[int, ...]
    card: int = 0

    @property
    def starts(self) -> tuple[int, ...]:
        """The frame at which each clip comes in."""
        return tuple(accumulate((count - overlap for count, overlap in zip(self.counts, self.overlaps, strict=True)),
                                initial=0))[:-1]

    @property
    def clips_end(self) -> int:
        """The frame from which no clip shows any more."""
        return self.starts[-1] + self.counts[-1]

    @property
    def frames(self) -> int:
        """Length of the reel."""
        return self.clips_end + self.card

    def before(self, clip: int) -> int:
        """Frames that a clip shares with the one before it."""
        return self.overlaps[clip - 1] if clip else 0

    def body(self, clip: int) -> tuple[int, int]:
        """Frames of a clip, counted from its own start, from and up to which it alone is on show."""
        return self.before(clip), self.counts[clip] - self.overlaps[clip]

    def placed(self, clips: Sequence[Clip]) -> tuple[Placed, ...]:
        """The clips with the times at which they are on show."""
        return tuple(Placed(clip, float(start / self.rate), float((start + count) / self.rate))
                     for clip, start, count in zip(clips, self.starts, self.counts, strict=True))


def lay_out(counts: Sequence[int], rate: Fraction, crossfade_s: float = 0.0, card_s: float = 0.0) -> Timeline:
    """Clips of these many frames, one after another, each overlapping the next.

    An overlap is shortened so that every clip has a frame to itself at least; a clip of one frame has none.
    """
    wanted = round(crossfade_s * rate)
    card = int(card_s * rate)
    last = len(counts) - 1
    # A clip with a neighbour on both sides gives each half of what it can do without.
    sides = [(i > 0) + (i < last or card > 0) for i in range(len(counts))]
    spare = [(count - 1) // max(1, side) for count, side in zip(counts, sides, strict=True)]
    overlaps = [min(wanted, spare[i], spare[i + 1]) for i in range(last)] + [min(wanted, spare[last], card)]
    return Timeline(rate, tuple(counts), tuple(overlaps), card)


def caption_times(timeline: Timeline, clips: Sequence[Clip], captions: Sequence[Caption],
                  from_frame: int = 0) -> tuple[tuple[str, int, int], ...]:
    """The words of each caption with the frames of the reel from and up to which they are shown.

    from_frame: before which none is: the title has the place

    One hands over to the next in the middle of a crossfade. Where captions overlap, the later one ends the earlier.
    """
    rate = timeline.rate
    middles = [start + timeline.before(i) // 2 for i, start in enumerate(timeline.starts)]
    middles.append(timeline.clips_end - timeline.overlaps[-1] + timeline.overlaps[-1] // 2)
    shown: list[tuple[str, int, int]] = []
    for i, clip in enumerate(clips):
        for caption in sorted(captions, key=lambda c: c.start_s):
            first, after = (timeline.starts[i] + round((at - clip.start_s) * rate)
                            for at in (caption.start_s, caption.end_s))
            first, after = max(first, middles[i], from_frame), min(after, middles[i + 1])
            if shown and shown[-1][2] > first:
                shown[-1] = (shown[-1][0], shown[-1][1], first)
            if after > first:
                shown.append((caption.text, first, after))
    least = _SHORTEST_CAPTION_S * float(rate)
    return tuple(entry for entry in shown if entry[2] - entry[1] >= least)
