"""The words a SmolVLM2 prompt is made of, as its training and transformers' `processing_smolvlm.py` lay them out.

A prompt is cut in two at its last special token of the last frame: the prefix (system turn and frames) is long and
shared by every question about a segment, the suffix is the question. Special tokens part a text before anything else
does, so tokens of prefix and suffix, joined, are the tokens of the whole; a cut elsewhere would not be safe, since
"\\n\\n" is one token at the end of a text and two before a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

START = "<|im_start|>"
END_OF_TURN = "<end_of_utterance>"
IMAGE = "<image>"
AROUND_IMAGE = "<fake_token_around_image>"
WHOLE_IMAGE = "<global-img>"

# What training always began with; transformers leaves it out at inference, and the model is then a little off its road.
SYSTEM = ("You are a helpful language and vision assistant. You are able to understand the visual content that the "
          "user provides, and assist the user with a variety of tasks using natural language.")

_VIDEO_INTRO = "You are provided the following series of {count} frames from a {duration} [H:MM:SS] video.\n"
_FRAME_INTRO = "\nFrame from {minutes:02d}:{seconds:02d}:"
_VIDEO_OUTRO = "\n\n"

_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
          "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")

# Encodes text without adding tokens of its own, special tokens in it becoming one id each.
Encode = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """Where in a distribution an answer with a few options is read.

    lead: ids that every option begins with, to be put after the prompt (a tokenizer that splits digits off writes
        " 3" as a space and a "3")
    options: for each option the ids, one of which stands for it
    """

    lead: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


def in_words(count: int) -> str:
    """`count` in English words, as num2words spells it, for 0 to 999."""
    if not 0 <= count <= 999:
        raise ValueError(f"{count} frames can't be counted in words; give 0 to 999")
    if count < 20:
        return _SMALL[count]
    if count < 100:
        tens, ones = divmod(count, 10)
        return _TENS[tens] + (f"-{_SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(count, 100)
    return f"{_SMALL[hundreds]} hundred" + (f" and {in_words(rest)}" if rest else "")


def image_block(image_tokens: int) -> str:
    """The place of one frame in the text, `image_tokens` wide."""
    return AROUND_IMAGE + WHOLE_IMAGE + IMAGE * image_tokens + AROUND_IMAGE


def prefix(times_s: Sequence[float], duration_s: float, image_tokens: int) -> str:
    """The prompt up to and with the last frame.

    times_s: when each frame is shown in the video, in order, at least one
    duration_s: length of the whole video
    image_tokens: tokens that a frame takes
    """
    if not times_s:
        raise ValueError("a prompt needs at least one frame")
    intro = _VIDEO_INTRO.format(count=in_words(len(times_s)), duration=timedelta(seconds=int(duration_s)))
    block = image_block(image_tokens)
    frames = "".join(_FRAME_INTRO.format(minutes=int(time_s // 60), seconds=int(time_s % 60)) + block
                     for time_s in times_s)
    return f"{START}System: {SYSTEM}{END_OF_TURN}\nUser: {intro}{frames}"


def suffix(question: str) -> str:
    """The prompt from after the last frame to where the answer begins."""
    return f"{_VIDEO_OUTRO}{question}{END_OF_TURN}\nAssistant:"


def plain(text: str, special: Iterable[str]) -> str:
    """`text` on one line and without special tokens, which in a prompt would stand for what they are."""
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, " ")
    return " ".join(text.split())


def shared_length(sequences: Sequence[Sequence[int]]) -> int:
    """How many leading ids all sequences share, at least one id of each being left over."""
    shortest = min(len(sequence) for sequence in sequences) - 1
    first = sequences[0]
    for index in range(max(shortest, 0)):
        if any(sequence[index] != first[index] for sequence in sequences):
            return index
    return max(shortest, 0)


def spellings(encode: Encode, word: str) -> tuple[int, ...]:
    """Ids that each alone spell `word`, with or without a space before it, in any of the usual cases.

    The answer stands behind "Assistant:", so the one with its space is likely, but small models stray.
    """
    written = {space + form for space in (" ", "") for form in (word.lower(), word.capitalize(), word.upper())}
    ids = {encoded[0] for text in written if len(encoded := encode(text)) == 1}
    return tuple(sorted(ids))


def yes_no_tokens(encode: Encode) -> AnswerTokens:
    """Where yes (first) and no are read; ValueError where the tokenizer has no single token for one of them."""
    yes, no = spellings(encode, "yes"), spellings(encode, "no")
    if not yes or not no:
        raise ValueError("the tokenizer has no single token for yes or for no")
    return AnswerTokens((), (yes, no))


def rating_tokens(encode: Encode, highest: int = 5) -> AnswerTokens:
    """Where a rating of 1 to `highest` is read; ValueError where two of them can't be told by one token."""
    spelled = [encode(f" {rating}") for rating in range(1, highest + 1)]
    lead = shared_length(spelled)
    if any(len(ids) != lead + 1 for ids in spelled) or len({ids[lead] for ids in spelled}) != highest:
        raise ValueError("the tokenizer has no single token for a rating")
    bare = [encode(str(rating)) for rating in range(1, highest + 1)]
    options = [{ids[lead]} | ({alone[0]} if lead == 0 and len(alone) == 1 else set())
               for ids, alone in zip(spelled, bare, strict=True)]
    return AnswerTokens(tuple(spelled[0][:lead]), tuple(tuple(sorted(ids)) for ids in options))
