"""SMPTE timecode (ST 12-1): frames as hours, minutes, seconds and frames, dropping or not."""

from __future__ import annotations

import re
from fractions import Fraction

# Rates at which timecode may drop numbers (never frames) to stay with the clock.
_DROPPING = (Fraction(30000, 1001), Fraction(60000, 1001))
_DAY_H = 24


def can_drop(rate: Fraction) -> bool:
    """Whether drop-frame timecode exists at this rate: at 29.97 and 59.94."""
    return rate in _DROPPING


def to_timecode(frames: int, rate: Fraction, drop: bool) -> str:
    """The timecode of a frame, such as "01:00:00:12", or "01:00:00;12" where it drops; a day wraps round.

    frames: counted from 00:00:00:00, 0 or more
    rate: frames a second
    drop: whether the numbers of the first frames of every minute but each tenth are left out: 2 of 30, 4 of 60
    """
    base = round(rate)
    if drop:
        dropped = _dropped(base)
        tens, rest = divmod(frames, 600 * base - 9 * dropped)
        # The first minute of ten keeps its numbers; each of the other nine lacks some.
        minutes = max(0, (rest - dropped) // (60 * base - dropped))
        frames += dropped * (9 * tens + minutes)
    seconds, frame = divmod(frames, base)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours % _DAY_H:02d}:{minute:02d}:{second:02d}{';' if drop else ':'}{frame:02d}"


def to_frames(hours: int, minutes: int, seconds: int, frame: int, rate: Fraction, drop: bool) -> int:
    """Frames from 00:00:00:00 to a timecode; the reverse of `to_timecode`. Dropped numbers mean the next frame."""
    base = round(rate)
    total = 60 * hours + minutes
    if drop and seconds == 0 and total % 10:
        frame = max(frame, _dropped(base))
    counted = (60 * total + seconds) * base + frame
    return counted - (_dropped(base) * (total - total // 10) if drop else 0)


def _dropped(base: int) -> int:
    """Numbers left out of a minute: 2 at 30 frames a second, 4 at 60."""
    return base // 15


def parse(text: str) -> tuple[int, int, int, int, bool] | None:
    """Hours, minutes, seconds, frame and whether it drops, of a timecode in a file's metadata; None for no timecode."""
    found = re.fullmatch(r"\s*(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})\s*", text)
    if not found:
        return None
    hours, minutes, seconds, frame = (int(found[i]) for i in (1, 2, 3, 5))
    if hours >= _DAY_H or minutes >= 60 or seconds >= 60:
        return None
    return hours, minutes, seconds, frame, found[4] != ":"
