"""What is asked of the model, and how what it writes is tidied."""

from __future__ import annotations

import re
from dataclasses import dataclass

DESCRIBE = "Describe in one short sentence what happens in this part of the video."
SUMMARISE = "What kind of video is this, and what does it show? Answer in one short sentence."

# Openings that say nothing: "In this video, we see a frog" is about a frog. The list is what SmolVLM2 writes.
_EMPTY_OPENING = re.compile(
    r"^(?:(?:in|throughout) (?:this|the) (?:part of (?:the )?|short )?(?:video|clip|scene|segment|part|image|frame)s?"
    r",? ?"
    r"|(?:this|the) (?:part of (?:the )?|short )?(?:video|clip|scene|segment|part|image|frame)s? "
    r"(?:show(?:s|cases)?|features?|depicts?|captures?|displays?|begins with|starts with|opens with|is about|is of) "
    r"|(?:we|you) (?:can )?see (?:that )?"
    r"|there (?:is|are) )", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the whole video when a segment is judged.

    summary: what kind of video it is and what it shows; empty where the model said nothing
    highlight: what a highlight of such a video would be; empty where the model said nothing
    """

    summary: str
    highlight: str

    def text(self) -> str:
        """The lines that stand before the question."""
        lines = ""
        if self.summary:
            lines += f"The whole video shows the following: {self.summary}\n"
        if self.highlight:
            lines += f"A highlight of it would be: {self.highlight}\n"
        return lines


def what_is_a_highlight(summary: str, query: str | None) -> str:
    """Asks what to look for in a video like this one."""
    shown = f"This video shows the following: {summary}\n" if summary else ""
    wanted = f'The viewer wants to see "{query}".\n' if query else ""
    return f"{shown}{wanted}What would be a highlight of such a video? Answer in one short sentence."


def _subject(query: str | None) -> str:
    return f'"{query}"' if query else "such a highlight"


def is_it_there(context: Context, query: str | None) -> str:
    """Asks for yes or no: does this part show what is looked for?"""
    return f"{context.text()}Does this part of the video show {_subject(query)}? Answer yes or no."


def how_well(context: Context, query: str | None) -> str:
    """Asks for a rating of 1 to 5."""
    return (f"{context.text()}How well does this part of the video show {_subject(query)}? "
            "Answer with a number from 1 (not at all) to 5 (very well).")


def is_it_shown(thing: str) -> str:
    """Asks for yes or no without a word on the rest of the video: what it shows would be taken for a hint."""
    return is_it_there(Context("", ""), thing)


def tidy(answer: str) -> str:
    """One sentence without an empty opening; empty where nothing is left.

    A model that loops ("a man and a man and a man and …") has said nothing either.
    """
    text = " ".join(answer.split())
    previous = None
    while text != previous:
        previous, text = text, _EMPTY_OPENING.sub("", text)
    sentence = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0].strip(" -*\"'")
    if not re.search(r"\w", sentence) or _loops(sentence):
        return ""
    return sentence[0].upper() + sentence[1:]


def _loops(sentence: str) -> bool:
    """Whether a run of three words stands in it three times."""
    words = re.findall(r"\w+", sentence.lower())
    runs = [tuple(words[i:i + 3]) for i in range(len(words) - 2)]
    return any(runs.count(run) >= 3 for run in set(runs))
