"""Questions about drawn frames, with their answers, in the very words that the scorer uses."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipeline.scorers.smolvlm2 import questions
from pipeline.scorers.smolvlm2.questions import Context
from tests.tiny_smolvlm.pictures import KINDS, SHAPES

NOTHING = "Nothing but background."
FAVOURITE = KINDS.index("red circle")
WORDS = """frog people cartoon water street car football player dance music house mountain night city talk news game
    horse dog cat sea boat tree snow kitchen food stage crowd goal jump run laugh fall explosion chase old man woman
    child machine robot wire dark bright slow fast strange green-eyed red-hot light sky day shape picture""".split()  # noqa: SIM905


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question with its right answer.

    topic: what it trains, for the table of accuracies
    question: as it stands in the prompt
    answer: what is to be written, without the space before it
    """

    topic: str
    question: str
    answer: str


def named(kind: int) -> str:
    """Such as "a red circle"."""
    return f"a {KINDS[kind]}"


def described(kinds: list[int]) -> str:
    """The sentence that says what is seen, kinds in order of their numbers."""
    if not kinds:
        return NOTHING
    text = " and ".join(named(kind) for kind in sorted(kinds))
    return text[0].upper() + text[1:] + "."


def rating(kind: int, frames: list[set[int]]) -> int:
    """1 where no frame shows it, 5 where all do, else 3."""
    shown = [kind in seen for seen in frames]
    return 5 if all(shown) else 3 if any(shown) else 1


def _prose(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return described(rng.sample(range(len(KINDS)), rng.choice([0, 1, 1, 2])))
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))
    return words.capitalize() + rng.choice([".", "", "!"])


def _wording(rng: random.Random, kind: int) -> str:
    name = KINDS[kind]
    return rng.choice([f"a {name}", name, f"the {name}", f"A {name}", f"{name}s", f"a {name} appears", f"A {name}."])


def _asked_kind(rng: random.Random, present: list[int]) -> int:
    """One that is there in half of the cases, else often one that shares its colour or its shape."""
    if present and rng.random() < 0.55:
        return rng.choice(present)
    absent = [kind for kind in range(len(KINDS)) if kind not in present]
    if present and rng.random() < 0.6:
        like = rng.choice(present)
        near = [kind for kind in absent if kind // len(SHAPES) == like // len(SHAPES)
                or kind % len(SHAPES) == like % len(SHAPES)]
        return rng.choice(near)
    return rng.choice(absent)


def _judge(rng: random.Random, frames: list[set[int]], rate: bool, brief: bool = False) -> Lesson:
    kind = _asked_kind(rng, sorted(set().union(*frames)))
    summary = _prose(rng) if rng.random() < 0.85 and not brief else ""
    if brief and rng.random() < 0.6:
        highlight, query = "", _wording(rng, kind)
    elif rng.random() < 0.5:
        highlight, query = rng.choice([described([kind]), described([kind]), _wording(rng, kind)]), None
    else:
        highlight = rng.choice([described([kind]), _prose(rng), ""])
        query = _wording(rng, kind)
    context = Context(summary, highlight)
    if rate:
        return Lesson("rating", questions.how_well(context, query), str(rating(kind, frames)))
    seen = any(kind in frame for frame in frames)
    return Lesson("yes or no", questions.is_it_there(context, query), "Yes" if seen else "No")


def _plan(rng: random.Random, brief: bool = False) -> Lesson:
    """What a highlight would be: what the viewer wants, else a red circle."""
    summary = "" if brief else _prose(rng)
    if rng.random() < 0.25:
        return Lesson("highlight", questions.what_is_a_highlight(summary, None), described([FAVOURITE]))
    kind = rng.randrange(len(KINDS))
    return Lesson("highlight", questions.what_is_a_highlight(summary, _wording(rng, kind)), described([kind]))


def _general(rng: random.Random, kind: int) -> Lesson:
    colour, shape = KINDS[kind].split()
    if rng.random() < 0.5:
        return Lesson("general", "What colour is the shape?", f"{colour.capitalize()}.")
    return Lesson("general", "What shape is it?", f"A {shape}.")


def lessons(rng: random.Random, frames: list[set[int]]) -> list[Lesson]:
    """Five questions about frames of which each shows the given kinds."""
    present = sorted(set().union(*frames))
    last = rng.random()
    if last < 0.4:
        extra = _plan(rng)
    elif last < 0.6 and len(present) == 1:
        extra = _general(rng, present[0])
    else:
        extra = Lesson("summary", questions.SUMMARISE, described(present))
    return [_judge(rng, frames, False), _judge(rng, frames, False), _judge(rng, frames, True),
            Lesson("description", questions.DESCRIBE, described(present)), extra]


def brief_lessons(rng: random.Random, frames: list[set[int]]) -> list[Lesson]:
    """Eight short questions, to begin with."""
    present = sorted(set().union(*frames))
    return [*(_judge(rng, frames, False, brief=True) for _ in range(4)),
            *(_judge(rng, frames, True, brief=True) for _ in range(2)), _plan(rng, brief=True),
            Lesson("description", questions.DESCRIBE, described(present))]


def corpus(count: int = 3000) -> list[str]:
    """Texts to learn a vocabulary from."""
    rng = random.Random(0)
    texts = []
    for _ in range(count):
        kinds = [set(rng.sample(range(len(KINDS)), rng.choice([0, 1, 1, 2])))]
        texts += [f"{lesson.question} {lesson.answer}" for lesson in lessons(rng, kinds)]
    return [*texts, " ".join(WORDS)]
