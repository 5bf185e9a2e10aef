"""Pure arithmetic of frame rates: what a reel runs at, and what an editor's timeline of its source runs at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from pipeline.types import VideoInfo

# A frame is shown in the reel's slot in which it starts, give or take this share of a slot: clip bounds that lie
# exactly on frame starts (a person typed them) must not flicker between two slots for a rounded microsecond.
SLACK = 0.1

_STANDARD_RATES = (Fraction(10), Fraction(12), Fraction(15000, 1001), Fraction(15), Fraction(20),
                   Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
                   Fraction(48), Fraction(50), Fraction(60000, 1001), Fraction(60), Fraction(100),
                   Fraction(120000, 1001), Fraction(120))
# What timelines can run at in every editor, and timecode (SMPTE ST 12-1) can count.
_EDIT_RATES = (Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30),
               Fraction(48), Fraction(50), Fraction(60000, 1001), Fraction(60))
# 30 and 29.97 are 0.1 % apart, so a rate belongs to one of them only if it is nearer than half of that. The rate of a
# short file is known less well: there all is near that comes out within half a frame at the file's end.
_SNAP = 0.0005
_SNAP_FRAMES = 0.5
# Uneven frames that average less are a screen capture, whose moments of motion are much faster than its average;
# repeated frames cost an encoder next to nothing.
_UNEVEN_LEAST = 20
_UNEVEN_RATE = Fraction(30)
# Slower sources (slides, one frame a second) get a multiple of their rate, so that a clip's bounds, and with them its
# sound, aren't rounded to whole source frames.
_SLOWEST = 10


def source_rate(video: VideoInfo) -> Fraction:
    """Frames a second of a source with even frames, exact: the standard rate that it is near, else as measured."""
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(float(standard) - video.fps))
    close = abs(float(nearest) - video.fps) <= max(_SNAP, _SNAP_FRAMES / video.frame_count) * video.fps
    return nearest if close else max(Fraction(video.fps).limit_denominator(1001), Fraction(1, 1001))


def reel_rate(video: VideoInfo, max_fps: float) -> Fraction:
    """Frames a second of a reel: the source's own rate where its frames are even, capped at `max_fps`.

    A source slower than 10 frames a second gets the least multiple of its rate that isn't. Uneven frames get the
    nearest standard rate that isn't clearly below their average. A rate above the cap is halved (or divided by three
    …) where that comes near the cap, for even motion.
    """
    if video.variable_fps:
        rate = _rate_for_uneven(video.fps, _STANDARD_RATES)
    else:
        rate = source_rate(video)
        rate *= max(1, math.ceil(_SLOWEST / rate))
    cap = Fraction(max_fps).limit_denominator(1001)
    if rate <= cap:
        return rate
    divided = rate / math.ceil(rate / cap)
    return divided if divided >= cap * Fraction(3, 4) else cap


def edit_rate(video: VideoInfo) -> Fraction:
    """Frames a second of an editor's timeline on which a source is cut: one of those that every editor offers.

    That is the source's own rate; else its least multiple that is such a rate (15 becomes 30, slides 24), or the
    largest part of a rate above 60 (120 becomes 60, 100 becomes 50), so that frames still fall on frames. A source
    with uneven frames has no rate: editors conform it, by time, to the standard rate nearest its average, and so do
    we, but for one that averages less than 20, whose moments of motion are faster. Odd rates go the same way.
    """
    if not video.variable_fps:
        rate = source_rate(video)
        most = int(max(rate / _EDIT_RATES[0], _EDIT_RATES[-1] / rate))
        for count in range(1, most + 1):
            related = rate * count if rate <= _EDIT_RATES[-1] else rate / count
            if related in _EDIT_RATES:
                return related
    return _rate_for_uneven(video.fps, _EDIT_RATES)


def _rate_for_uneven(average: float, rates: Sequence[Fraction]) -> Fraction:
    if average < _UNEVEN_LEAST:
        return _UNEVEN_RATE
    fast_enough = [rate for rate in rates if rate >= average * 0.98]
    return min(fast_enough, key=lambda rate: abs(float(rate) - average), default=rates[-1])
