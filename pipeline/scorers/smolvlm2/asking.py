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


@dataclass(slots=True)
class _Open:
    """A subject with what is still to be asked of it."""

    subject: Subject
    describe: bool
    reading: tuple[float, float] | None = None
    text: str | None = None

    @property
    def needs(self) -> tuple[bool, bool]:
        return self.reading is None, self.describe and self.text is None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the model thinks of subjects, one value each.

    yes: log-odds of yes, less the blank frames'
    rating: mean rating of 1 to 5, less the blank frames'
    texts: what it writes of each
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

    def judge(self, subjects: Sequence[Subject], blanks: Sequence[Subject], context: Context, query: str | None,
              cancel: CancelToken, judged: list[Judged]) -> Iterator[float]:
        """Asks for yes or no, for a rating and for a description, yields the share done, and appends the result.

        blanks: for each number of frames among the subjects, a view of as many blank ones
        """
        choices = (Choice(prompt.suffix(questions.is_it_there(context, query)), self.vlm.yes_no),
                   Choice(prompt.suffix(questions.how_well(context, query)), self.vlm.rating))
        tasks = [_Open(subject, True) for subject in subjects] + [_Open(blank, False) for blank in blanks]
        for task in tasks:
            self._recall(task, choices)
        pending = [task for task in tasks if any(task.needs)]
        pending.sort(key=lambda task: (task.needs, len(self.vlm.encode(task.subject.view.text))))
        asked = sum(len(self.vlm.encode(choice.text)) for choice in choices) + MOST_TOKENS
        done = len(tasks) - len(pending)
        for needs in sorted({task.needs for task in pending}):
            group = [task for task in pending if task.needs == needs]
            rows = self.vlm.room(len(self.vlm.encode(group[-1].subject.view.text)) + asked)
            batches = in_batches(group, rows, lambda batch: self._fetch(batch, choices), self.vlm.loaded.name)
            for count in batches:
                cancel.check()
                yield (done + count) / len(tasks)
            done += len(group)
        judged.append(_judged(tasks[:len(subjects)], tasks[len(subjects):]))

    def _recall(self, task: _Open, choices: Sequence[Choice]) -> None:
        reading = self.store.answer(self._key("judge", task.subject, *(choice.text for choice in choices)))
        if isinstance(reading, list) and len(reading) == 2:
            task.reading = float(reading[0]), float(reading[1])
        text = self.store.answer(self._key("describe", task.subject, self._describe)) if task.describe else None
        task.text = text if isinstance(text, str) else None

    def _fetch(self, batch: Sequence[_Open], choices: Sequence[Choice]) -> None:
        """Has the model answer what a batch lacks; nothing is kept unless all of it is there."""
        judge, describe = batch[0].needs
        session = self.vlm.open([task.subject.view for task in batch])
        readings = np.zeros((len(batch), 0))
        if judge:
            yes_no, rating = session.choose(choices)
            readings = np.stack([fusion.log_odds(yes_no), fusion.mean_rating(rating)], axis=1)
        texts = session.write(self._describe, MOST_TOKENS) if describe else []
        for task, reading in zip(batch, readings.tolist() if judge else [], strict=judge):
            task.reading = reading[0], reading[1]
            self.store.keep_answer(self._key("judge", task.subject, *(choice.text for choice in choices)), reading)
        for task, text in zip(batch, texts, strict=describe):
            task.text = text
            self.store.keep_answer(self._key("describe", task.subject, self._describe), text)


def _judged(tasks: Sequence[_Open], blanks: Sequence[_Open]) -> Judged:
    """Readings with those of as many blank frames taken off."""
    habit = {len(blank.subject.view.features): np.asarray(blank.reading) for blank in blanks}
    readings = np.asarray([np.asarray(task.reading) - habit[len(task.subject.view.features)] for task in tasks])
    readings = readings.reshape(-1, 2)
    return Judged(readings[:, 0], readings[:, 1], tuple(task.text or "" for task in tasks))
