"""Asks the model about views, remembering every answer, and takes off what it says of blank frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.progress import CancelToken
from pipeline.scorers.smolvlm2 import fusion, prompt, questions
from pipeline.scorers.smolvlm2.model import Choice, SmolVLM, View, in_batches
from pipeline.scorers.smolvlm2.questions import Context
from pipeline.scorers.smolvlm2.store import Store, digest
from pipeline.types import FloatTrack

# What a short sentence needs at most.
MOST_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Subject:
    """A view with a name.

    view: what is shown
    name: of the frames in it, as the store knows it
    """

    view: View
    name: str


@dataclass(frozen=True, slots=True)
class Asked:
    """By what subjects are judged.

    context: what is known of the whole video
    query: what is looked for, in words; None for what the context says of highlights
    """

    context: Context
    query: str | None

    def choices(self, vlm: SmolVLM) -> tuple[Choice, Choice]:
        """The questions: for yes or no, and for a rating."""
        return (Choice(prompt.suffix(questions.is_it_there(self.context, self.query)), vlm.yes_no),
                Choice(prompt.suffix(questions.how_well(self.context, self.query)), vlm.rating))


@dataclass(slots=True)
class _Open:
    """A subject with what is still to be asked of it.

    number: of the subject; None for a blank one
    readings: yes and rating for each of what is asked, as far as known
    """

    subject: Subject
    number: int | None
    readings: list[tuple[float, float] | None]
    text: str | None = None

    @property
    def needs(self) -> tuple[tuple[int, ...], bool]:
        """Numbers of what is still to be asked, and whether a description is missing."""
        missing = tuple(index for index, reading in enumerate(self.readings) if reading is None)
        return missing, self.number is not None and self.text is None


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered about one subject, as it comes, nothing taken off.

    number: of the subject
    readings: log-odds of yes and mean rating of 1 to 5, for each of what was asked
    text: its description
    """

    number: int
    readings: tuple[tuple[float, float], ...]
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What the model thinks of subjects.

    yes: (asked, subjects) log-odds of yes, less the blank frames'
    rating: (asked, subjects) mean rating of 1 to 5, less the blank frames'
    texts: what it writes of each subject
    """

    yes: FloatTrack
    rating: FloatTrack
    texts: tuple[str, ...]


@dataclass(slots=True)
class Asker:
    """One model with its memory.

    vlm: the model
    store: answers of earlier runs
    side: pixels of the frames, which is part of what an answer rests on
    """

    vlm: SmolVLM
    store: Store
    side: int
    _describe: str = field(default=prompt.suffix(questions.DESCRIBE), init=False)
    # Writing takes longest; a second look at the same subjects needs none of it, whether a store remembers or not.
    _written: dict[str, str] = field(default_factory=dict, init=False)

    def _key(self, kind: str, subject: Subject, *texts: str) -> str:
        loaded = self.vlm.loaded
        return digest(kind, loaded.name, loaded.revision, loaded.dtype, self.side, subject.name, subject.view.text,
                      texts)

    def understand(self, subject: Subject, query: str | None, highlight: str | None = None) -> Context:
        """What the video is that the subject's frames are of, and what a highlight in it would be.

        query: what the viewer asked for, in words
        highlight: what a highlight would be, where that is known; the model is not asked for it then
        """
        summary, session = self._write(subject, questions.SUMMARISE, None)
        if highlight:
            return Context(summary, highlight)
        highlight, _ = self._write(subject, questions.what_is_a_highlight(summary, query), session)
        return Context(summary, highlight)

    def _write(self, subject: Subject, question: str, session: Any) -> tuple[str, Any]:
        text = prompt.suffix(question)
        key = self._key("overview", subject, text)
        answer = self.store.answer(key)
        if not isinstance(answer, str):
            session = session or self.vlm.open([subject.view])
            answer = session.write(text, MOST_TOKENS)[0]
            self.store.keep_answer(key, answer)
        return questions.tidy(self.vlm.plain(answer)), session

    def _room(self, subjects: Sequence[Subject], choices: Sequence[Choice]) -> int:
        """How many subjects are run together: each question is taken back before the next is asked."""
        longest = max(len(self.vlm.encode(subject.view.text)) for subject in subjects)
        asked = max((len(self.vlm.encode(choice.text)) for choice in choices), default=0)
        return self.vlm.room(longest + max(asked, len(self.vlm.encode(self._describe))) + MOST_TOKENS)

    def odds(self, subjects: Sequence[Subject], things: Sequence[str], cancel: CancelToken) -> FloatTrack:
        """Log-odds of yes to whether each thing is shown, (subjects, things), nothing taken off."""
        choices = [Choice(prompt.suffix(questions.is_it_shown(thing)), self.vlm.yes_no) for thing in things]
        keys = [[self._key("odds", subject, choice.text) for choice in choices] for subject in subjects]
        found = [[self.store.answer(key) for key in row] for row in keys]
        open_rows = [row for row, answers in enumerate(found) if not all(isinstance(a, float) for a in answers)]

        def ask(rows: Sequence[int]) -> None:
            answers = self.vlm.open([subjects[row].view for row in rows]).choose(choices)
            for row, values in zip(rows, np.stack([fusion.log_odds(a) for a in answers], axis=1).tolist(), strict=True):
                found[row] = values
                for key, value in zip(keys[row], values, strict=True):
                    self.store.keep_answer(key, value)

        if open_rows:
            rows = self._room([subjects[row] for row in open_rows], choices)
            for _ in in_batches(open_rows, rows, ask, self.vlm.loaded.name):
                cancel.check()
        return np.asarray(found, dtype=np.float64).reshape(len(subjects), len(things))

    def judge(self, subjects: Sequence[Subject], blanks: Sequence[Subject], asked: Sequence[Asked],
              cancel: CancelToken, judged: list[Judged]) -> Iterator[tuple[float, list[Answer]]]:
        """Asks for yes or no and for a rating by all that is asked, and for a description; appends the result.

        blanks: for each number of frames among the subjects, a view of as many blank ones

        Yields the share done, with the answers that came since.
        """
        choices = [one.choices(self.vlm) for one in asked]
        tasks = [_Open(subject, number, [None] * len(asked)) for number, subject in enumerate(subjects)]
        tasks += [_Open(blank, None, [None] * len(asked)) for blank in blanks]
        for task in tasks:
            self._recall(task, choices)
        pending = [task for task in tasks if task.needs != ((), False)]
        pending.sort(key=lambda task: (task.needs, len(self.vlm.encode(task.subject.view.text))))
        done = len(tasks) - len(pending)
        if done:
            yield done / len(tasks), _answers([task for task in tasks if task.needs == ((), False)])
        for needs in sorted({task.needs for task in pending}):
            group = [task for task in pending if task.needs == needs]
            wanted = [choices[number] for number in needs[0]]
            rows = self._room([task.subject for task in group], [choice for pair in wanted for choice in pair])
            told = 0
            for count in in_batches(group, rows, lambda batch: self._fetch(batch, choices), self.vlm.loaded.name):
                cancel.check()
                yield (done + count) / len(tasks), _answers(group[told:count])
                told = count
            done += len(group)
        judged.append(_judged(tasks[:len(subjects)], tasks[len(subjects):], len(asked)))

    def _recall(self, task: _Open, choices: Sequence[tuple[Choice, Choice]]) -> None:
        for number, pair in enumerate(choices):
            reading = self.store.answer(self._judge_key(task.subject, pair))
            if isinstance(reading, list) and len(reading) == 2:
                task.readings[number] = float(reading[0]), float(reading[1])
        if task.needs[1]:
            key = self._key("describe", task.subject, self._describe)
            text = self._written.get(key) or self.store.answer(key)
            task.text = text if isinstance(text, str) else None

    def _judge_key(self, subject: Subject, pair: Sequence[Choice]) -> str:
        return self._key("judge", subject, *(choice.text for choice in pair))

    def _fetch(self, batch: Sequence[_Open], choices: Sequence[tuple[Choice, Choice]]) -> None:
        """Has the model answer what a batch lacks; nothing is kept unless all of it is there."""
        missing, describe = batch[0].needs
        session = self.vlm.open([task.subject.view for task in batch])
        found = session.choose([choice for number in missing for choice in choices[number]]) if missing else []
        texts = session.write(self._describe, MOST_TOKENS) if describe else []
        for number, yes_no, rating in zip(missing, found[::2], found[1::2], strict=True):
            readings = np.stack([fusion.log_odds(yes_no), fusion.mean_rating(rating)], axis=1)
            for task, reading in zip(batch, readings.tolist(), strict=True):
                task.readings[number] = reading[0], reading[1]
                self.store.keep_answer(self._judge_key(task.subject, choices[number]), reading)
        for task, text in zip(batch, texts, strict=describe):
            key = self._key("describe", task.subject, self._describe)
            task.text = self._written[key] = text
            self.store.keep_answer(key, text)


def _answers(tasks: Sequence[_Open]) -> list[Answer]:
    """What is known of those that are no blank ones."""
    return [Answer(task.number, tuple(reading for reading in task.readings if reading), task.text or "")
            for task in tasks if task.number is not None]


def _judged(tasks: Sequence[_Open], blanks: Sequence[_Open], asked: int) -> Judged:
    """Readings with those of as many blank frames taken off."""
    habit = {len(blank.subject.view.features): np.asarray(blank.readings) for blank in blanks}
    readings = np.asarray([np.asarray(task.readings) - habit[len(task.subject.view.features)] for task in tasks])
    readings = readings.reshape(-1, asked, 2)
    return Judged(readings[:, :, 0].T, readings[:, :, 1].T, tuple(task.text or "" for task in tasks))
