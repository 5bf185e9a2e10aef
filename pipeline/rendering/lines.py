"""Breaks text into lines: pure, given a way to measure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ELLIPSIS = "…"
# Chinese, Japanese (with full-width forms), Korean's neighbours in them: text that breaks between any two characters.
_IDEOGRAPHS = ((0x2E80, 0x2FFF), (0x3001, 0x30FF), (0x3130, 0x318F), (0x31A0, 0xA4CF), (0xF900, 0xFAFF),
               (0xFF01, 0xFF9F), (0x20000, 0x3FFFF))
# What must not begin a line: full stops, commas, closing brackets and quotes, marks of length and repetition.
_CLOSERS = ("\u3001\u3002\uff0c\uff0e\u30fb\uff1a\uff1b\uff1f\uff01\uff09\uff3d\uff5d\u3015"
            "\u3009\u300b\u300d\u300f\u3011\u2019\u201d\u2026\u30fc\u3005")
_JOINERS = "\u200d\u200c"

Measure = Callable[[str, int], float]


@dataclass(frozen=True, slots=True)
class Block:
    """Text as it is set.

    lines: of which none is wider than was allowed
    size: of the font, in pixels
    """

    lines: tuple[str, ...]
    size: int


def fit(text: str, measure: Measure, width: float, sizes: Sequence[int], most_lines: int,
        ellipsis: str = ELLIPSIS) -> Block:
    """Set a text in the largest of `sizes` at which it fits, in lines of about the same length.

    measure: width of a string at a size
    sizes: largest first; at the last of them, text that doesn't fit ends with an `ellipsis`
    most_lines: how many lines there may be at most
    """
    for size in sizes:
        lines = _balanced(text, measure, width, size)
        if len(lines) <= most_lines and all(measure(line, size) <= width for line in lines):
            return Block(tuple(lines), size)
    size = sizes[-1]
    flat = " ".join(text.split())
    lines = _broken(_tokens(flat, lambda part: measure(part, size) <= width), measure, width, size)
    if len(lines) > most_lines:
        rest = lines[most_lines - 1]
        while rest and measure(rest + ellipsis, size) > width:
            rest = rest[:-1].rstrip()
        lines = [*lines[:most_lines - 1], rest.rstrip(" ,.;:-") + ellipsis]
    return Block(tuple(lines), size)


def _balanced(text: str, measure: Measure, width: float, size: int) -> list[str]:
    """The fewest lines that hold the text, each as short as their number allows; line breaks in it are kept."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        tokens = _tokens(paragraph, lambda part: measure(part, size) <= width)
        best = _broken(tokens, measure, width, size)
        low, high = width / max(1, len(best)), width
        while len(best) > 1 and high - low > max(1.0, 0.02 * width):
            middle = (low + high) / 2
            tried = _broken(tokens, measure, middle, size)
            if len(tried) == len(best) and all(measure(line, size) <= middle for line in tried):
                best, high = tried, middle
            else:
                low = middle
        lines += best
    return lines


def _broken(tokens: Sequence[tuple[str, bool]], measure: Measure, width: float, size: int) -> list[str]:
    """Tokens in lines, each filled before the next is begun."""
    lines: list[str] = []
    line = ""
    for token, apart in tokens:
        longer = f"{line} {token}" if line and apart else line + token
        if line and measure(longer, size) > width:
            lines.append(line)
            line = token
        else:
            line = longer
    return [*lines, line] if line else lines


def _tokens(text: str, fits: Callable[[str], bool]) -> list[tuple[str, bool]]:
    """What a line can break between, each with whether a blank stands before it."""
    tokens: list[tuple[str, bool]] = []
    for word in text.split():
        parts = _parts(word, _is_ideograph)
        if any(not fits(part) for part in parts):
            parts = _parts(word, lambda _: True)
        tokens += [(part, i == 0) for i, part in enumerate(parts)]
    return tokens


def _parts(word: str, alone: Callable[[str], bool]) -> list[str]:
    """A word's pieces: characters for which `alone` says so stand by themselves, with their marks and closers."""
    parts: list[str] = []
    for character in word:
        kept = unicodedata.category(character).startswith("M") or character in _CLOSERS or character in _JOINERS
        follows = parts and (kept or parts[-1][-1] in _JOINERS
                             or not (alone(character) or alone(parts[-1][0])))
        if follows:
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _is_ideograph(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in _IDEOGRAPHS)
