"""Text on its way into files of other programs: never a control character, never half of a surrogate pair."""

from __future__ import annotations

import re
import unicodedata

from pipeline.types import Clip

# C0 and C1 controls, which XML, EDL and subtitles can't hold, and what can't be written in UTF-8 at all.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_ELLIPSIS = "\u2026"
# What spreadsheets take for the start of a formula, which could do anything on the machine of who opens the table.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_PLAIN = {ord(fancy): plain for fancy, plain in (
    ("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2013", "-"), ("\u2014", "-"),
    (_ELLIPSIS, "..."), ("\u00df", "ss"), ("\u00d7", "x"))}


def lines_of(text: str) -> list[str]:
    """The lines of a text that hold something, stripped and fit for any file."""
    whole = _CONTROLS.sub("", _SURROGATES.sub("\ufffd", text.replace("\t", " ")))
    return [line.strip() for line in whole.splitlines() if line.strip()]


def one_line(text: str) -> str:
    """A text on one line, with single spaces."""
    return " ".join(" ".join(lines_of(text)).split())


def shortened(text: str, most: int) -> str:
    """A text of at most `most` characters, cut between words where that is possible."""
    if len(text) <= most:
        return text
    head = text[:most - 1]
    at_word = head.rsplit(" ", 1)[0] if " " in head[most // 2:] else head
    return at_word.rstrip(" ,;:-") + _ELLIPSIS


def title(clip: Clip, number: int, most: int = 80) -> str:
    """What a clip is called in lists: its description, else its number."""
    text = shortened(one_line(clip.description), most)
    return text[:1].upper() + text[1:] if text else f"Clip {number}"


def to_ascii(text: str) -> str:
    """A text in plain ASCII: letters lose their accents, and what has no counterpart becomes nothing."""
    usual = text.translate(_PLAIN)
    plain = unicodedata.normalize("NFKD", usual).encode("ascii", "ignore").decode()
    return " ".join(plain.split())


def clock(seconds: float) -> str:
    """A time as people write it: 0:07.5, 12:31.0, 1:02:03.4."""
    tenths = round(seconds * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{tenths // 10:02d}.{tenths % 10}"


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe in front makes it text."""
    text = "\n".join(lines_of(text))
    return f"'{text}" if text.startswith(_FORMULA) else text
