"""What the command line shows: bars and a summary for people, one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import rich.console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from app.presenters import exports_line, one_line, reel_facts, summary_lines
from pipeline import Progress as Event
from pipeline import Reel, Result
from pipeline.batch.local import BatchProgress
from pipeline.batch.summary import PAGE, TABLE
from pipeline.batch.work import DONE, DUPLICATE, FAILED, SKIPPED, STATES, Outcome
from pipeline.export.words import clock, shortened

_STAGES = {"probe": "Opening", "scan": "Scanning", "score": "Scoring", "speech": "Listening", "render": "Rendering",
           "export": "Exporting", "batch": "Reels"}

_LONGEST_TITLE = 40


def complaint(subject: str, message: str) -> str:
    """One line on what went wrong with what."""
    return one_line(f"smolreel: {subject}: {message}" if subject else f"smolreel: {message}")


class Console(Protocol):
    """Where a run shows how it is going."""

    def running(self, subject: str) -> Any:
        """A context in which `progress` is called."""

    def progress(self, event: Event) -> None:
        """Show how far the run is."""

    def result(self, subject: str, result: Result | Reel) -> None:
        """Show what was made."""

    def outcome(self, outcome: Outcome) -> None:
        """Show what came of a video of many."""

    def batch(self, event: BatchProgress) -> None:
        """Show how far many videos are, and what came of one."""

    def summary(self, outcomes: Sequence[Outcome], out: str) -> None:
        """Show what came of all of them, and where that is to be seen."""

    def error(self, subject: str, message: str) -> None:
        """Say in one line what went wrong."""


class RichConsole:
    """Bars with time left on standard error where that is a terminal; a summary on standard output."""

    def __init__(self) -> None:
        self._errors = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        self._output = rich.console.Console(highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, Any] = {}

    @contextmanager
    def running(self, subject: str) -> Iterator[None]:
        """Show bars for `subject` while the block runs."""
        self._tasks = {}
        self._bars = Progress(TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(),
                              TimeRemainingColumn(compact=True), TextColumn("[dim]{task.fields[message]}"),
                              console=self._errors, disable=not self._errors.is_terminal, transient=True,
                              # What goes to a file must not be drawn on the terminal instead.
                              redirect_stdout=self._output.is_terminal)
        with self._bars:
            yield
        self._bars = None

    def progress(self, event: Event) -> None:
        """Move the stage's bar."""
        if self._bars is None or event.stage not in _STAGES:
            return
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(_STAGES[event.stage], total=1.0, message="")
        self._bars.update(self._tasks[event.stage], completed=event.fraction or 0.0, message=event.message)

    def result(self, subject: str, result: Result | Reel) -> None:
        """Say where the reel is and what is in it."""
        reel = result.reel if isinstance(result, Result) else result
        self._output.print(one_line(f"{subject}: {clock(reel.duration_s)} reel in {reel.path}"), markup=False)
        if isinstance(result, Result):
            for line in summary_lines(result.plan):
                self._output.print(f"  {line}", markup=False)
            if line := exports_line(result):
                self._output.print(f"  {line}", markup=False)
        for warning in result.plan.warnings if isinstance(result, Result) else reel.warnings:
            self._errors.print(complaint(subject, f"note: {warning}"), markup=False)

    def outcome(self, outcome: Outcome) -> None:
        """A line for each: on standard output where there is a reel, on standard error where there is none."""
        title = outcome.item.title
        if outcome.state == FAILED:
            self.error(title, outcome.message)
            return
        if outcome.state == DUPLICATE:
            self._output.print(one_line(f"{title}: {outcome.message}"), markup=False)
            return
        before = ", made before" if outcome.state == SKIPPED else ""
        self._output.print(one_line(f"{title}: {clock(outcome.reel_s)} reel in {outcome.reel}{before}"), markup=False)
        for warning in outcome.warnings if outcome.state == DONE else ():
            self._errors.print(complaint(title, f"note: {warning}"), markup=False)

    def batch(self, event: BatchProgress) -> None:
        """A bar for all, one for each that is at work, and a line for each that is done."""
        if self._bars is not None:
            self._draw(self._bars, event)
        if event.outcome is not None:
            self.outcome(event.outcome)

    def _draw(self, bars: Progress, event: BatchProgress) -> None:
        if "" not in self._tasks:
            self._tasks[""] = bars.add_task("All", total=1.0, message="")
        counts = f"{event.done} of {event.total} videos" if event.total else event.message
        bars.update(self._tasks[""], completed=event.fraction, message=escape(one_line(counts)))
        name = event.item.name if event.item else ""
        if event.outcome is not None and name in self._tasks and name:
            bars.remove_task(self._tasks.pop(name))
        elif event.item is not None and event.progress is not None:
            if name not in self._tasks:
                title = escape(one_line(shortened(event.item.title, _LONGEST_TITLE)))
                self._tasks[name] = bars.add_task(f"  {title}", total=1.0, message="")
            doing = event.progress.message or _STAGES.get(event.progress.stage, "")
            bars.update(self._tasks[name], completed=event.share, message=escape(one_line(doing)))

    def summary(self, outcomes: Sequence[Outcome], out: str) -> None:
        """A line with the counts and the page's path."""
        made = sum(outcome.state in (DONE, SKIPPED) for outcome in outcomes)
        counts = "1 reel" if made == 1 else f"{made} reels"
        self._output.print(one_line(f"{counts} of {len(outcomes)} videos: {out}/{PAGE}"), markup=False)

    def error(self, subject: str, message: str) -> None:
        """One line on standard error."""
        self._errors.print(complaint(subject, message), markup=False)


class JsonConsole:
    """One JSON object a line on standard output: progress, then the result or the error."""

    def __init__(self) -> None:
        self._subject = ""

    @contextmanager
    def running(self, subject: str) -> Iterator[None]:
        """Speak of `subject` while the block runs."""
        self._subject = subject
        yield

    def progress(self, event: Event) -> None:
        """A progress object."""
        self._print({"event": "progress", "video": self._subject, "stage": event.stage, "fraction": event.fraction,
                     "message": event.message})

    def result(self, subject: str, result: Result | Reel) -> None:
        """The result object."""
        self._print({"event": "result", "video": subject, **reel_facts(result)})

    def outcome(self, outcome: Outcome) -> None:
        """The result object of a video of many, or its error object."""
        if outcome.state == FAILED:
            self.error(outcome.item.title, outcome.message, name=outcome.item.name)
            return
        facts = {name: value for name, value in outcome.to_json().items() if name not in ("item", "pictures", "clips")}
        self._print({"event": "result", "video": outcome.item.title, "name": outcome.item.name, **facts,
                     "clips": len(outcome.clips)})

    def batch(self, event: BatchProgress) -> None:
        """A progress object with the video's name, or its result object."""
        if event.outcome is not None:
            self.outcome(event.outcome)
            return
        run = event.progress
        self._print({"event": "progress", "video": event.item.title if event.item else "",
                     "name": event.item.name if event.item else "", "stage": run.stage if run else "find",
                     "fraction": run.fraction if run else None, "message": run.message if run else event.message,
                     "all": round(event.fraction, 4), "done": event.done, "total": event.total})

    def summary(self, outcomes: Sequence[Outcome], out: str) -> None:
        """The summary object: how many of each state, and where the summaries are."""
        counts = Counter(outcome.state for outcome in outcomes)
        self._print({"event": "summary", "total": len(outcomes), **{state: counts[state] for state in STATES},
                     "summary": f"{out}/{PAGE}", "table": f"{out}/{TABLE}"})

    def error(self, subject: str, message: str, **facts: Any) -> None:
        """The error object; the same line goes to standard error, as without --json."""
        self._print({"event": "error", "video": subject, **facts, "message": message})
        print(complaint(subject, message), file=sys.stderr)

    def _print(self, values: dict[str, Any]) -> None:
        print(json.dumps(values), flush=True)
