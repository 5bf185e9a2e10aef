"""What people are correcting: the history of each run's drafts, for as long as the run is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from app import edits
from app.edits import Draft, EditError, History, retarget
from app.jobs import Jobs, Run
from pipeline import Analysis, Settings
from pipeline.types import Interval

# Undoing past a change of what to look for needs the scores of then, which are large.
_MOST_ANALYSES = 4
_DESK = "desk"
GONE = "this reel is no longer here; choose the video again to make another"


@dataclass(frozen=True, slots=True)
class Desk:
    """A run's corrections.

    version: of the reel that they are about
    rendered: the draft that this reel shows
    history: the drafts, of which the present one is on show
    analyses: what is known of the video, for each set of settings that scores were asked for with
    """

    version: int
    rendered: Draft
    history: History
    analyses: tuple[tuple[Settings, Analysis], ...]

    @property
    def draft(self) -> Draft:
        """The draft on show."""
        return self.history.present

    @property
    def changed(self) -> bool:
        """Whether the draft on show isn't what the reel shows."""
        now, then = self.draft, self.rendered
        return (now.clips, now.settings) != (then.clips, then.settings)

    def analysis_for(self, settings: Settings) -> Analysis | None:
        """The analysis that has the scores which `settings` ask for; None where that must be made first."""
        wanted = settings.part("score")
        return next((analysis for made, analysis in reversed(self.analyses) if made.part("score") == wanted), None)


class Desks:
    """The corrections of all runs of this process."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()

    def of(self, run: Run) -> Desk:
        """The run's corrections, up to date with its last reel. Raises EditError where it has none (any more)."""
        with self._lock:
            return self._of(run)

    def edit(self, run: Run, operation: Callable[[Draft], Draft]) -> Desk:
        """Do one correction. Raises EditError where it can't be done, or the reel is at work."""
        with self._lock:
            desk = self._of(self._idle(run))
            return self._keep(run, replace(desk, history=desk.history.do(operation(desk.draft))))

    def step(self, run: Run, forward: bool) -> Desk:
        """Undo a correction, or redo one. Raises EditError where the reel is at work."""
        with self._lock:
            desk = self._of(self._idle(run))
            history = desk.history.redo() if forward else desk.history.undo()
            return self._keep(run, replace(desk, history=history))

    def aim(self, run: Run, settings: Settings) -> Desk | None:
        """Choose anew for other settings; None where that needs scores that are yet to be made."""
        with self._lock:
            desk = self._of(self._idle(run))
            analysis = desk.analysis_for(settings)
            if analysis is None:
                return None
            draft = retarget(desk.draft, analysis, settings)
            return self._keep(run, replace(desk, history=desk.history.do(draft)))

    def _idle(self, run: Run) -> Run:
        if run.busy:
            raise EditError("the reel is being updated; wait a moment, or cancel that")
        return run

    def _of(self, run: Run) -> Desk:
        outcome = run.outcome
        if outcome is None:
            raise EditError(GONE)
        known = self._jobs.shelf.get(run.folder / _DESK)
        made = (outcome.analysed, outcome.analysis)
        if not isinstance(known, Desk):
            return self._keep(run, Desk(run.version, outcome.draft, History(outcome.draft), (made,)))
        if known.version == run.version:
            return known
        # The reel is newer: what was rendered may differ from what was asked for by where clips could be copied.
        history = (known.history.do(outcome.draft) if run.kind == "retarget"
                   else replace(known.history, present=outcome.draft))
        return self._keep(run, Desk(run.version, outcome.draft, history, (*known.analyses, made)[-_MOST_ANALYSES:]))

    def _keep(self, run: Run, desk: Desk) -> Desk:
        self._jobs.shelf.put(run.folder / _DESK, desk)
        return desk


def correct(draft: Draft, wanted: dict[str, Any]) -> Draft:
    """The draft after what a button or a field of a card asks for. Raises EditError."""
    try:
        act, index = str(wanted["act"]), int(wanted["index"])
        card = Interval(float(wanted["start"]), float(wanted["end"]))
        by, value = float(wanted.get("by") or 0.0), float(wanted.get("value") or 0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise EditError("that is no correction; load the page again") from error
    if act == "take":
        return edits.take_in(draft, index)
    i = _on(card, draft)
    clip = draft.clips[i]
    if act in ("start", "end") and "value" not in wanted:
        raise EditError("a clip starts and ends at a number of seconds, such as 12.3")
    operations: dict[str, Callable[[], Draft]] = {
        "leave": lambda: edits.leave_out(draft, i),
        "earlier": lambda: edits.move(draft, i, -1),
        "later": lambda: edits.move(draft, i, 1),
        "start-by": lambda: edits.trim(draft, i, start_delta_s=by),
        "end-by": lambda: edits.trim(draft, i, end_delta_s=by),
        "start": lambda: edits.trim_to(draft, i, value, clip.end_s),
        "end": lambda: edits.trim_to(draft, i, clip.start_s, value),
    }
    if act not in operations:
        raise EditError("that is no correction; load the page again")
    return operations[act]()


def _on(card: Interval, draft: Draft) -> int:
    """The clip that a card shows; EditError where there is none any more.

    Of two quick clicks, the second may come from a card that was drawn before the first one's correction: its clip may
    have another place by now, or other ends. No two clips show the same, so what it shows tells which one it is.
    """
    shared_s = [clip.interval.overlap_s(card) for clip in draft.clips]
    if not any(shared_s):
        raise EditError("that clip is gone already")
    return shared_s.index(max(shared_s))
