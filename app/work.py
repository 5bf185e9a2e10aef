"""What a worker does for a run, from the file to the reel; knows nothing of queues, owners and threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from app import edits, zero
from app.edits import Draft
from app.firstlook import first_look
from app.limits import Limits
from pipeline import Analysis, CancelToken, Plan, Progress, Reel, Result, Settings, analyse, make_reel, remake
from pipeline.plan import FILE_NAME
from pipeline.progress import Report
from pipeline.sandbox import probe
from pipeline.types import Glance, VideoInfo

_REEL_FOLDER = "reel"


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done.

    kind: "make", "update" or "retarget"
    source: the video
    name: what the person calls it
    folder: where reel, plan and exports go; made if it isn't there
    settings: to work with; their cache is the visitor's own
    video: as measured; None where it wasn't yet
    draft: what to render; None for a first reel
    analysis: of the video; None for a first reel
    analysed: settings that `analysis` was made with
    way: how the reel was rendered that stands, with these settings; None where there is none
    """

    kind: str
    source: Path
    name: str
    folder: Path
    settings: Settings
    video: VideoInfo | None = None
    draft: Draft | None = None
    analysis: Analysis | None = None
    analysed: Settings | None = None
    way: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    analysis: what is known of the video
    analysed: settings that it was made with
    draft: what was rendered, for corrections to start from
    plan: as written to plan.json, but for the video's path, which is its name alone there
    reel, exports: what was made
    """

    analysis: Analysis
    analysed: Settings
    draft: Draft
    plan: Plan
    reel: Reel
    exports: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The reel, its plan and what else was asked for, to take home."""
        return (self.reel.path, self.reel.path.with_name(FILE_NAME), *self.exports)


def is_light(task: Task) -> bool:
    """Whether a task needs no scan and no model."""
    if task.kind == "make":
        return False
    return task.kind == "update" or (task.analysed is not None
                                     and task.settings.part("score") == task.analysed.part("score"))


def carry_out(task: Task, limits: Limits, opened: Callable[[VideoInfo], object], seen: Callable[[Glance], object],
              report: Report, cancel: CancelToken) -> Outcome:
    """Do it.

    opened: called with what was measured of the video, before the long part
    seen: called with the first look at it, from another thread, where there is one

    Raises SmolReelError: what the core raises, and Refused where the video is longer than it may be. Nothing
    half-made is left then.
    """
    video = task.video
    if video is None:
        report(Progress("probe", 0.0, "opening the video"))
        video = probe(task.source, cancel, task.settings.limits)
    limits.check_length(video.duration_s, task.name)
    opened(video)
    if task.draft is None or task.analysis is None or task.analysed is None:
        with first_look(video, task.settings, seen, cancel):
            return _make(task, video, report, cancel)
    draft, analysis, analysed = task.draft, task.analysis, task.analysed
    if task.kind == "retarget":
        if not is_light(task):
            zero.warm(task.source, task.settings, video, report, cancel)
            analysis = analyse(task.source, task.settings, video=video, report=report, cancel=cancel)
            analysed = task.settings
        draft = edits.retarget(draft, analysis, task.settings)
    return _render(task, draft, analysis, analysed, video, report, cancel)


def way_of(outcome: Outcome, settings: Settings) -> str | None:
    """How the reel was rendered that stands; None where other settings would be used now."""
    before = Settings.from_json(outcome.plan.settings).part("render")
    return outcome.reel.way if before == settings.part("render") else None


def _make(task: Task, video: VideoInfo, report: Report, cancel: CancelToken) -> Outcome:
    """The first reel."""
    zero.warm(task.source, task.settings, video, report, cancel)
    result = make_reel(task.source, task.settings, task.folder, name=_REEL_FOLDER, video=video, report=report,
                       cancel=cancel)
    analysis = result.analysis
    assert analysis is not None
    # What a render has to say is about that render; corrections start from what was chosen.
    draft = edits.begin(replace(result.plan, warnings=analysis.warnings), task.settings, analysis.scan.holes)
    return _outcome(task, result, draft, analysis, task.settings)


def _render(task: Task, draft: Draft, analysis: Analysis, analysed: Settings, video: VideoInfo, report: Report,
            cancel: CancelToken) -> Outcome:
    """Another reel of the same video."""
    settings = replace(edits.render_settings(draft), cache=True, cache_dir=task.settings.cache_dir)
    if task.way == "encode" and settings.render == "auto":
        # A better way may have opened up, but the clips that haven't changed are there in this one.
        settings = replace(settings, render="encode")
    result = remake(edits.plan_of(draft), task.folder, settings, name=_REEL_FOLDER, video=video, report=report,
                    cancel=cancel)
    if not edits.is_exact(draft):
        draft = replace(draft, clips=result.plan.clips)
    # The next render goes the same way where it can.
    plan = draft.plan.with_notes(render=dict(result.reel.notes))
    return _outcome(task, result, replace(draft, plan=plan, note=""), analysis, analysed)


def _outcome(task: Task, result: Result, draft: Draft, analysis: Analysis, analysed: Settings) -> Outcome:
    """What was made; the plan that a person takes home finds the video beside it, wherever that is."""
    path = result.reel.path.with_name(FILE_NAME)
    replace(result.plan, video=replace(result.plan.video, path=task.source.name)).write(path)
    return Outcome(analysis, analysed, draft, result.plan, result.reel, result.exports)
