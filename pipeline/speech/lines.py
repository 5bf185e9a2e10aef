"""Breaks spoken words into captions that can be read: pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.types import Caption, Interval, Word

# What subtitlers keep to (the BBC's and Netflix's guides agree within a few characters): two lines of 42, from one
# second to six or seven. A Chinese or Japanese character is as wide as two letters.
LINE_WIDTH = 42
SHORTEST_S = 1.0
LONGEST_S = 6.0
# A speaker who stops for this long has ended a thought, and the words shall not show before they are said.
PAUSE_S = 0.7
# A caption that goes shortly before the next one comes flickers: it stays until then.
CLOSE_S = 0.3
# Eyes need a moment longer than ears.
_LINGER_S = 0.2

_SENTENCE_ENDS = re.compile(r"[.?!\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019)\]\u300d\u300f]*$")
_CLAUSE_ENDS = re.compile(r"[,;:\u2013\u2014\u3001\uff0c\uff1b\uff1a\u060c][\"'\u201d\u2019)\]\u300d\u300f]*$")

# What a break costs, in captions: better one more of them than one that runs over the end of a sentence.
_RUN_ON = 1.5
_TORN_CLAUSE = 0.5
_TOO_SHORT = 1.2


@dataclass(frozen=True, slots=True)
class _Group:
    """Words that one caption shows.

    start_s, end_s: when they are said
    text: in one or two lines
    """

    start_s: float
    end_s: float
    text: str


def to_captions(words: Sequence[Word], stretch: Interval) -> tuple[Caption, ...]:
    """Captions for the words that are said in a stretch of the video.

    words: those of the whole video or of any part of it; a word belongs to the stretch that its middle lies in

    Each has at most two lines of about 42 letters and stands for at most 6 s; none reaches out of the stretch nor
    overlaps another; each stands for 1 s at least where there is room. They break at pauses, and where they can at the
    ends of sentences.
    """
    groups = [group for run in _runs(_tidy(words, stretch)) for group in _broken(run)]
    return _timed(groups, stretch)


def width(text: str) -> int:
    """How wide text is set, in letters."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _tidy(words: Sequence[Word], stretch: Interval) -> list[Word]:
    """The stretch's words in time order, cleaned of what can't be shown, none too wide for a line."""
    tidy: list[Word] = []
    reached_s = stretch.start_s
    for word in sorted(words, key=lambda word: word.start_s):
        if not stretch.start_s <= (word.start_s + word.end_s) / 2 < stretch.end_s:
            continue
        text = re.sub(r"\s+", " ", "".join(c for c in word.text if c.isspace() or _is_shown(c))).rstrip()
        if not text:
            continue
        start_s = max(word.start_s, reached_s)
        end_s = min(max(word.end_s, start_s), stretch.end_s, start_s + LONGEST_S)
        reached_s = end_s
        tidy += _cut(Word(start_s, end_s, text))
    return tidy


def _is_shown(character: str) -> bool:
    """Whether a character is text; joiners, which have no shape of their own, are."""
    return unicodedata.category(character) not in ("Cc", "Cs", "Co", "Cn") and character != "\ufffd"


def _cut(word: Word) -> list[Word]:
    """A word in pieces that fit on a line each: "words" of hundreds of letters are a model's slips."""
    if width(word.text.strip()) <= LINE_WIDTH:
        return [word]
    pieces: list[str] = [""]
    for character in word.text:
        if width((pieces[-1] + character).strip()) > LINE_WIDTH:
            pieces.append("")
        pieces[-1] += character
    step_s = (word.end_s - word.start_s) / len(pieces)
    return [Word(word.start_s + i * step_s, word.start_s + (i + 1) * step_s, piece) for i, piece in enumerate(pieces)]


def _runs(words: Sequence[Word]) -> list[list[Word]]:
    """Words between pauses."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and word.start_s - runs[-1][-1].end_s < PAUSE_S:
            runs[-1].append(word)
        else:
            runs.append([word])
    return runs


def _broken(run: Sequence[Word]) -> list[_Group]:
    """The cheapest way to break a run of words into captions, found exactly, from the last word to the first."""
    best: list[tuple[float, list[_Group]]] = [(0.0, [])]
    for first in range(len(run) - 1, -1, -1):
        options: list[tuple[float, int, list[_Group]]] = []
        for after in range(first + 1, len(run) + 1):
            words = run[first:after]
            text = _laid_out(words)
            if after > first + 1 and (text is None or words[-1].end_s - words[0].start_s > LONGEST_S):
                break
            assert text is not None
            cost, rest = best[len(run) - after]
            group = _Group(words[0].start_s, words[-1].end_s, text)
            options.append((cost + _cost(words, after == len(run)), len(options), [group, *rest]))
        cheapest = min(options, key=lambda option: option[:2])
        best.append((cheapest[0], cheapest[2]))
    return best[-1][1]


def _cost(words: Sequence[Word], is_last: bool) -> float:
    """What one caption costs: 1, and more where it breaks or joins what it shouldn't, or is gone too soon."""
    run_on = sum(bool(_SENTENCE_ENDS.search(word.text)) for word in words[:-1])
    ends_well = is_last or _SENTENCE_ENDS.search(words[-1].text)
    torn = 0.0 if ends_well else _TORN_CLAUSE / 5 if _CLAUSE_ENDS.search(words[-1].text) else _TORN_CLAUSE
    short = max(0.0, 1 - (words[-1].end_s - words[0].start_s) / SHORTEST_S)
    # Of two ways that are equal otherwise, the more even one.
    unevenness = (_joined_width(words) / (2 * LINE_WIDTH)) ** 2 / 4
    return 1 + _RUN_ON * run_on + torn + _TOO_SHORT * short + unevenness


def _joined_width(words: Sequence[Word]) -> int:
    return width("".join(word.text for word in words).strip())


def _laid_out(words: Sequence[Word]) -> str | None:
    """The words in one line, or in the two that look best; None where they don't fit."""
    whole = "".join(word.text for word in words).strip()
    if width(whole) <= LINE_WIDTH:
        return whole
    if width(whole) > 2 * LINE_WIDTH + 1:
        return None
    ways = []
    for i in range(1, len(words)):
        upper = "".join(word.text for word in words[:i]).strip()
        lower = "".join(word.text for word in words[i:]).strip()
        if upper and lower and max(width(upper), width(lower)) <= LINE_WIDTH:
            at_stop = _SENTENCE_ENDS.search(upper) or _CLAUSE_ENDS.search(upper)
            ways.append((abs(width(upper) - width(lower)) - (10 if at_stop else 0), f"{upper}\n{lower}"))
    return min(ways)[1] if ways else None


def _timed(groups: Sequence[_Group], stretch: Interval) -> tuple[Caption, ...]:
    """Groups with the times at which they show."""
    captions: list[Caption] = []
    for i, group in enumerate(groups):
        room_s = groups[i + 1].start_s if i + 1 < len(groups) else stretch.end_s
        end_s = max(group.end_s + _LINGER_S, group.start_s + SHORTEST_S)
        if room_s - end_s < CLOSE_S:
            end_s = room_s
        end_s = min(end_s, room_s, group.start_s + LONGEST_S)
        start_s = group.start_s
        if end_s - start_s < SHORTEST_S:
            # No room behind: it comes a little early instead, as far as the one before allows.
            free_s = captions[-1].end_s if captions else stretch.start_s
            start_s = max(free_s, end_s - SHORTEST_S)
        if end_s - start_s > 1e-3:
            captions.append(Caption(start_s, end_s, group.text))
        elif captions:
            # Said in no time at all, as far as is known: it goes with the words before.
            captions[-1] = _with_more(captions[-1], group.text)
    return tuple(captions)


def _with_more(caption: Caption, text: str) -> Caption:
    """The caption with more words, if they fit; else as it is."""
    more = _laid_out([Word(0, 0, f" {part}") for part in f"{caption.text} {text}".split()])
    return caption if more is None else replace(caption, text=more)
