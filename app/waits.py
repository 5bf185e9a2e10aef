"""Waits in words, short and long: no more exact than they can be known."""

from __future__ import annotations

_FEW_S, _MOMENT_S = 7.5, 2.0
_UNITS = {"s": "second", "min": "minute", "h": "hour"}


def rounded(seconds: float) -> tuple[float, str]:
    """A wait as an amount of "s", "min" or "h", as people round: the longer, the coarser."""
    if seconds < 10:
        return round(seconds), "s"
    if seconds < 52.5:
        return 5 * round(seconds / 5), "s"
    minutes = seconds / 60
    if minutes < 52.5:
        return max(1, round(minutes)) if minutes < 12 else 5 * round(minutes / 5), "min"
    return round(minutes / 30) / 2, "h"


def brief(seconds: float) -> str:
    """A wait in the fewest letters, such as "35 s" or "1.5 h"."""
    if seconds < _MOMENT_S:
        return "a moment"
    amount, unit = rounded(seconds)
    return f"{amount:g} {unit}"


def about(seconds: float) -> str:
    """A wait as it is spoken, such as "about 4 minutes"."""
    if seconds < _FEW_S:
        return "a few seconds"
    amount, unit = rounded(seconds)
    word = _UNITS[unit]
    if amount == 1:
        return f"about {'an' if unit == 'h' else 'a'} {word}"
    return f"about {amount:g} {word}s"
