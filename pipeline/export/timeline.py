"""The reel as an editor's timeline: which frames of the source follow one another, in whole frames.

Editors count frames on an even grid that starts at the file's first shown frame, whatever the container's clock says
there and whatever stands before it: frame 0 is what SmolReel calls 0 s, and carries the file's start timecode where
it has one. On sources with uneven frames that grid is the one that an editor lays over them (see `rates.edit_rate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.export.material import Material
from pipeline.export.source import SourceFacts, read_facts
from pipeline.export.timecode import can_drop, parse, to_frames
from pipeline.export.words import title
from pipeline.rates import SLACK, edit_rate, source_rate
from pipeline.types import Clip, Placed, VideoInfo

# Where timelines start by the custom of the trade: nothing lies before it, yet there's room for bars and tone.
START_H = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """A clip on the timeline. Frames are the timeline's, intervals half-open.

    clip: what it was made of
    name: what editors show
    source_in, source_out: in the source, counted from its first shown frame
    record_in, record_out: on the timeline, counted from its start
    """

    clip: Clip
    name: str
    source_in: int
    source_out: int
    record_in: int
    record_out: int

    @property
    def frames(self) -> int:
        """Its length."""
        return self.source_out - self.source_in


@dataclass(frozen=True, slots=True)
class Timeline:
    """Straight cuts from one source.

    rate: frames a second
    drop: whether its timecode drops
    video: the source
    source_start: timecode of the source's first frame, in frames from 00:00:00:00
    source_frames: length of the source
    channels, sample_rate: of the source's sound; 0 without sound
    cuts: in the order of the reel, without gaps
    """

    rate: Fraction
    drop: bool
    video: VideoInfo
    source_start: int
    source_frames: int
    channels: int
    sample_rate: int
    cuts: tuple[Cut, ...]

    @property
    def start(self) -> int:
        """Timecode of the timeline's first frame, in frames from 00:00:00:00."""
        return to_frames(START_H, 0, 0, 0, self.rate, self.drop)

    @property
    def frames(self) -> int:
        """Length of the timeline."""
        return self.cuts[-1].record_out


def timeline_of(material: Material) -> Timeline:
    """The reel's timeline. Raises InputError where the source can't be opened any more."""
    return lay_out(material.video, read_facts(material.video), material.reel.placed, material.reel.fps)


def lay_out(video: VideoInfo, facts: SourceFacts, placed: Sequence[Placed], reel_fps: float) -> Timeline:
    """The timeline of clips in their places.

    reel_fps: frames a second of the reel, by whose slots it is decided which frame a clip begins with
    """
    rate = edit_rate(video)
    grid, each = _grid(video, rate, reel_fps)
    total = max(1, round(video.duration_s * grid))
    cuts: list[Cut] = []
    at = 0
    for number, place in enumerate(placed, start=1):
        first, after = (each * frame for frame in shown_frames(place, grid, reel_fps, total))
        cuts.append(Cut(place.clip, title(place.clip, number), first, after, at, at + after - first))
        at += after - first
    start, drop = _start(video, rate, facts.timecode)
    return Timeline(rate, drop, video, start, each * total, facts.channels, facts.sample_rate, tuple(cuts))


def shown_frames(place: Placed, grid: Fraction, reel_fps: float, total: int) -> tuple[int, int]:
    """The frames `[first, after)` of the source that a clip shows, decided as the renderer decides it.

    grid: frames of the source a second, evenly spaced
    total: frames of the source

    A frame is in the reel where it starts within the clip, give or take `SLACK` of one of the reel's frames: clips
    from the selection start half a frame before their first frame, those that a person typed right on it. The reel
    ends a clip after whole frames of its own, so a clip can lose the last frame of the source that it touches.
    """
    slack_s = Fraction(SLACK).limit_denominator(1000) / Fraction(reel_fps)
    start_s = Fraction(place.clip.start_s) - slack_s
    shown_s = Fraction(place.end_s) - Fraction(place.start_s)
    end_s = min(Fraction(place.clip.end_s) - slack_s, start_s + shown_s)
    first = min(max(0, _ceil(start_s * grid)), total - 1)
    return first, min(max(first + 1, _ceil(end_s * grid)), total)


def _ceil(frames: Fraction) -> int:
    """The next whole number, but for the dust of floating point."""
    return math.ceil(frames - Fraction(1, 10_000))


def _grid(video: VideoInfo, rate: Fraction, reel_fps: float) -> tuple[Fraction, int]:
    """The source's frames a second, and how many of the timeline's frames each of them is.

    A camera's clock can be a little off its nominal rate. Editors count frames and call each of them 1/30 s, so in an
    hour of 29.99 frames a second, seconds times 30 would be 36 frames out. Where the timeline is faster than the
    source, a source frame is several of its frames, and cuts fall between source frames; not so for slides, which are
    slower than the reel too: of them the reel shows parts, and so does the timeline.
    """
    if video.variable_fps:
        return rate, 1
    nominal = source_rate(video)
    ratio = rate / nominal
    if ratio.numerator != 1 and ratio.denominator != 1:
        return rate, 1
    each = int(ratio) if ratio.denominator == 1 and reel_fps < 1.01 * nominal else 1
    drift = abs(float(nominal) - video.fps) * video.duration_s
    return (rate if drift < 0.5 else Fraction(video.fps) * ratio) / each, each


def _start(video: VideoInfo, rate: Fraction, timecode: str | None) -> tuple[int, bool]:
    """The source's first frame in frames from 00:00:00:00, and whether timecode drops.

    It drops as the file's own does; without one, at 29.97 and 59.94, so that it tells the time of day.
    """
    found = parse(timecode) if timecode else None
    if found is None:
        return 0, can_drop(rate)
    hours, minutes, seconds, frame, dropping = found
    drop = dropping and can_drop(rate)
    # The file counts its own frames, of which the timeline may show each twice, or every second.
    own = round(rate if video.variable_fps else source_rate(video))
    frame = min(frame * round(rate) // max(1, own), round(rate) - 1)
    return to_frames(hours, minutes, seconds, frame, rate, drop), drop
