"""What the page does when a person does something.

A handler takes widget values and returns what is to be shown, by the names of the page's parts (see `ui.py`); parts
that it doesn't name stay as they are.
"""

from __future__ import annotations

import functools
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache
from gradio.utils import get_upload_folder

from app import cards, edits, telling, timeline
from app.desk import GONE, Desk, Desks, correct
from app.doors import Doors
from app.edits import EditError
from app.estimates import expected
from app.forms import FIELDS, likely, model_note, preset_hint, settings_from
from app.jobs import OUR_FAULT, Jobs, Run
from app.thumbs import poster
from pipeline import Settings, SmolReelError
from pipeline.cache import Cache, load_scan, stage_key
from pipeline.sandbox import probe
from pipeline.types import SampledFrame, VideoInfo

Shown = dict[str, Any]

SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "sample.mp4"
# Alternatives that are offered at once.
_SHELF = 18
# Seconds between two looks at an update, which takes but one or two.
_LOOK_SOON_S = 0.2
_log = logging.getLogger("smolreel")


def _friendly(handler: Callable[..., Shown]) -> Callable[..., Shown]:
    """The handler, but what goes wrong in it is said on the page instead of breaking it."""
    @functools.wraps(handler)
    def careful(*args: Any, **kwargs: Any) -> Shown:
        try:
            return handler(*args, **kwargs)
        except EditError as error:
            return {"said": cards.said(telling.complaint(error), trouble=True)}
        except SmolReelError as error:
            return {"trouble": cards.trouble("That didn't work", telling.complaint(error))}
        except Exception:
            _log.exception("the page failed in %s", handler.__name__)
            return {"trouble": cards.trouble("That didn't work", OUR_FAULT)}

    return careful


class Handlers:
    """The page's handlers, on one set of runs.

    any_model: whether visitors may name models that the page doesn't offer, such as folders of this machine
    """

    def __init__(self, jobs: Jobs, *, any_model: bool) -> None:
        self.jobs = jobs
        self._desks = Desks(jobs)
        self._doors = Doors(jobs)
        self._any_model = any_model

    # ---- arriving, and choosing a video ----

    @_friendly
    def opened(self, visitor: str | None, request: gr.Request) -> Shown:
        """The page was opened, or loaded again: the run in its address is shown."""
        shown: Shown = {"visitor": visitor or secrets.token_urlsafe(18), "earlier": self._earlier(visitor)}
        self._doors.enter(str(request.session_hash), shown["visitor"])
        run_id = request.query_params.get("run")
        if not run_id:
            return shown
        run = self.jobs.get(run_id)
        if run is None:
            return {**shown, **self._gone()}
        return {**shown, **self._standing(run)}

    def left(self, request: gr.Request) -> None:
        """The page was closed, or is about to be loaded again."""
        self._doors.leave(str(request.session_hash))

    @_friendly
    def chosen(self, path: str | None) -> Shown:
        """A video was chosen, or taken away: what it is, or why it can't be used."""
        if not path:
            return {"video": None, "facts": "", "trouble": ""}
        try:
            video = self._measured(Path(path))
        except SmolReelError as error:
            return {"video": None, "facts": "", "trouble": _unusable(error)}
        return {"video": video, "trouble": "", "facts": _facts(Path(path).name, video)}

    @_friendly
    def foreseen(self, video: VideoInfo | None, *values: Any) -> Shown:
        """How long a run would take, before it is started."""
        given = dict(zip(FIELDS, values, strict=True))
        shown: Shown = {"hint": telling.line(preset_hint(given["preset"]))}
        try:
            settings = self._settings(given)
            self.jobs.limits.check(settings)
        except SmolReelError as error:
            return {**shown, "estimate": telling.line(telling.complaint(error))}
        if video is None:
            return {**shown, "estimate": "", "speed": telling.speed(None, None, model_note(settings))}
        seconds = [expected(video, replace(settings, scorer=name), self.jobs.rates).seconds
                   for name in ("smolvlm2", "signals")]
        estimate = expected(video, likely(settings), self.jobs.rates)
        if likely(settings).scorer == "signals" and self.jobs.rates.of("scan"):
            # Measuring is over in no time; what a run takes is known once scans are.
            estimate = replace(estimate, measured=True)
        return {**shown, "estimate": telling.takes(estimate, model_note(settings)),
                "speed": telling.speed(*seconds, "")}

    @_friendly
    def sample(self) -> Shown:
        """The sample was asked for."""
        path = save_file_to_cache(str(SAMPLE), cache_dir=get_upload_folder())
        return {"source": path, **self.chosen(path)}

    # ---- a run ----

    @_friendly
    def start(self, path: str | None, video: VideoInfo | None, visitor: str | None, *values: Any) -> Shown:
        """Make a reel."""
        if not path:
            return {"trouble": cards.trouble("No video yet", "Choose a video first, or try the sample.")}
        try:
            video = video if video is not None and str(video.path) == str(Path(path)) else self._measured(Path(path))
        except SmolReelError as error:
            return {"trouble": _unusable(error)}
        settings = likely(self._settings(dict(zip(FIELDS, values, strict=True))))
        run = self.jobs.submit(visitor or secrets.token_urlsafe(18), path, Path(path).name, settings, video=video)
        return self._standing(run)

    @_friendly
    def tick(self, run_id: str | None, told: Sequence[Any] | None) -> Shown:
        """See how the run is getting on.

        told: what the last tick showed that need not be sent again
        """
        run = self.jobs.get(run_id) if run_id else None
        if run is None:
            return self._gone() if run_id else {"timer": gr.Timer(active=False)}
        if run.busy and run.made is None:
            return self._working(run, told)
        if run.busy:
            return {"updating": gr.HTML(telling.progress(run), visible=True)}
        return self._standing(run)

    @_friendly
    def cancel(self, run_id: str | None) -> Shown:
        """Stop what is being made."""
        run = self.jobs.cancel(run_id) if run_id else None
        return self._standing(run) if run is not None else _setup()

    @_friendly
    def again(self, visitor: str | None) -> Shown:
        """Make another reel; the one there is stays at its address for as long as it is kept."""
        return {**_setup(), "reel": None, "original": "", "story": "", "earlier": self._earlier(visitor)}

    # ---- corrections ----

    @_friendly
    def act(self, run_id: str | None, event: gr.EventData) -> Shown:
        """A button or a field of a clip, or of a moment that could be taken in, was used."""
        run = self._run(run_id)
        wanted = event._data or {}
        shown = self._corrected(run, self._desks.edit(run, lambda draft: correct(draft, wanted)))
        # What is being typed below the clips must not be lost over a correction above.
        return {name: value for name, value in shown.items() if name not in ("new_target", "new_query")}

    @_friendly
    def undo(self, run_id: str | None) -> Shown:
        """Take the last correction back."""
        run = self._run(run_id)
        return self._corrected(run, self._desks.step(run, forward=False))

    @_friendly
    def redo(self, run_id: str | None) -> Shown:
        """Do a correction again that was taken back."""
        run = self._run(run_id)
        return self._corrected(run, self._desks.step(run, forward=True))

    @_friendly
    def aim(self, run_id: str | None, target_s: float) -> Shown:
        """Another length was asked for: the clips are chosen anew at once."""
        run = self._run(run_id)
        settings = self._desks.of(run).draft.settings
        if abs(settings.target_s - float(target_s)) < 1e-9:
            return {}
        desk = self._desks.aim(run, settings.with_given(target_s=float(target_s)))
        return self._corrected(run, desk) if desk is not None else {}

    @_friendly
    def update(self, run_id: str | None, query: str | None, exports: list[str] | None) -> Shown:
        """Make the reel that is on show, with what to look for as it stands."""
        run = self._run(run_id)
        if run.busy:
            # Somebody clicked twice.
            return _busy(run)
        draft = self._desks.of(run).draft
        settings = replace(draft.settings, export=tuple(exports or ()))
        asked = replace(settings, query=(query or "").strip() or None)
        try:
            if asked.query != settings.query:
                run = self.jobs.retarget(run.id, run.owner, draft, asked)
            else:
                run = self.jobs.update(run.id, run.owner, edits.with_settings(draft, settings))
        except EditError as error:
            return {"notice": cards.trouble("The reel can't be made like this", telling.complaint(error))}
        except SmolReelError as error:
            return {"notice": cards.trouble("That didn't work", telling.complaint(error))}
        return {**_busy(run), "notice": ""}

    # ---- what is shown ----

    def _standing(self, run: Run) -> Shown:
        """The page for a run, however it stands."""
        if run.made is not None:
            return self._result(run)
        if run.busy:
            return {**_view("running"), "at_work": _facts(run.name, run.video), "cancel": gr.Button(interactive=True),
                    **self._working(run, None), "trouble": "", "run_id": run.id, "address": _address(run.id),
                    "timer": gr.Timer(active=True)}
        if run.error:
            return {**_setup(), "trouble": cards.trouble("No reel could be made", telling.sentence(run.error))}
        return {**_setup(), "trouble": ""}

    def _working(self, run: Run, told: Sequence[Any] | None) -> Shown:
        """How far a first run is, and what it has found."""
        shown: Shown = {"progress": telling.progress(run)}
        if run.cancelling:
            shown["cancel"] = gr.Button(interactive=False)
        now = [run.id, len(run.scored), run.glance is not None]
        if not told or told[0] != now[0] or told[1] != now[1]:
            shown |= {"found": telling.found(run, self._frames(run)), "told": now}
        if not told or told[0] != now[0] or told[2] != now[2]:
            shown |= {"look": telling.first_look(run), "told": now}
        return shown

    def _result(self, run: Run) -> Shown:
        """A reel and everything around it."""
        outcome, video = run.outcome, run.video
        if outcome is None or video is None:
            return self._gone()
        desk, files = self._desks.of(run), [str(path) for path in run.files]
        length_s = outcome.plan.video.duration_s or video.duration_s
        shown: Shown = {
            **_view("result"), "run_id": run.id, "address": _address(run.id), "trouble": "", "told": None,
            "reel": files[0], "summary": telling.summary(run), "download": gr.DownloadButton(value=files[0]),
            "download_plan": gr.DownloadButton(value=files[1]),
            "files": gr.File(value=files[2:] or None, visible=bool(files[2:])),
            "new_exports": list(desk.draft.settings.export),
            "moments": cards.shareable(outcome.plan.clips, run.name),
            "notes": cards.notes(telling.notes(outcome.plan.warnings)),
            "plot": timeline.figure(outcome.plan, length_s),
            "story": timeline.story(outcome.plan, outcome.analysis.scan.frames, length_s),
            "original": cards.original(str(run.source), run.name),
            "notice": cards.trouble("The reel could not be updated", telling.sentence(run.error)) if run.error else "",
            **self._corrected(run, desk),
        }
        return {**shown, **(_busy(run) if run.busy else _idle())}

    def _corrected(self, run: Run, desk: Desk) -> Shown:
        """The clips as they stand, and what could be taken in."""
        draft, frames = desk.draft, self._frames(run)
        others = edits.alternatives(draft)[:_SHELF]
        return {
            "strip": cards.strip(draft.clips, draft.plan.segments, frames, draft.video_s, edits.SHORTEST_S),
            "shelf": cards.alternatives([(edits.index_of(draft, segment), segment) for segment in others], frames),
            "bands": timeline.bands(draft.clips, draft.video_s),
            "said": cards.said(telling.sentence(draft.note)),
            "total": cards.length(draft.duration_s, len(draft.clips), draft.settings.target_s, desk.changed),
            "undo": gr.Button(interactive=desk.history.can_undo), "redo": gr.Button(interactive=desk.history.can_redo),
            "new_target": draft.settings.target_s, "new_query": draft.settings.query or "",
            "update": gr.Button(variant="primary" if desk.changed else "secondary", interactive=not run.busy),
        }

    # ---- odds and ends ----

    def _earlier(self, visitor: str | None) -> str:
        """What else the visitor has made, or has in the making."""
        runs = self.jobs.runs_of(visitor) if visitor else ()
        return cards.earlier([(run.id, run.name, telling.standing(run)) for run in reversed(runs)
                              if run.made is not None or run.busy])

    def _gone(self) -> Shown:
        """The first view, for a run that is kept no longer."""
        kept = f"Videos and reels are kept for {self.jobs.limits.keep_minutes:g} minutes."
        return {**_setup(), "trouble": cards.trouble("This reel is no longer here", kept,
                                                     "Choose the video again to make another.")}

    def _settings(self, given: dict[str, Any]) -> Settings:
        return settings_from(given, any_model=self._any_model)

    def _run(self, run_id: str | None) -> Run:
        """A run that can be corrected. Raises EditError where there is none."""
        run = self.jobs.get(run_id) if run_id else None
        if run is None or run.made is None:
            raise EditError(GONE)
        return run

    def _measured(self, path: Path) -> VideoInfo:
        """A video as measured. Raises SmolReelError where it can't be used, or is more than this page takes."""
        if not path.is_file():
            raise edits.EditError("the video is not here any more; choose it again")
        self.jobs.limits.check_size(path.stat().st_size, path.name)
        video = probe(path)
        self.jobs.limits.check_length(video.duration_s, path.name)
        return video

    def _frames(self, run: Run) -> Sequence[SampledFrame]:
        """Frames that were sampled of the run's video; none before it was scanned."""
        if run.analysis is not None:
            return run.analysis.scan.frames
        if run.video is None or not run.scored:
            return ()
        key = stage_key("scan", run.video.sha256, run.settings.part("scan"))
        try:
            return load_scan(Cache(run.settings.cache_dir).folder("scan", key)).frames
        except (OSError, ValueError, KeyError, EOFError):
            return ()


def _facts(name: str, video: VideoInfo | None) -> str:
    """A video's picture, name and measures."""
    return cards.video_facts(name, poster(video) if video else "", telling.facts(video) if video else ())


def _view(name: str) -> Shown:
    """One of the page's three views."""
    return {view: gr.Column(visible=view == name) for view in ("setup", "running", "result")}


def _setup() -> Shown:
    """The first view, with nothing at work."""
    return {**_view("setup"), "timer": gr.Timer(active=False), "run_id": "", "address": _address(""), "told": None,
            "found": "", "look": ""}


def _busy(run: Run) -> Shown:
    """A reel that is being updated."""
    return {"updating": gr.HTML(telling.progress(run), visible=True), "stop": gr.Button(visible=True),
            "update": gr.Button(interactive=False), "timer": gr.Timer(_LOOK_SOON_S, active=True)}


def _idle() -> Shown:
    """A reel on which nothing is at work."""
    return {"updating": gr.HTML("", visible=False), "stop": gr.Button(visible=False), "timer": gr.Timer(active=False)}


def _address(run_id: str) -> str:
    return f'<i hidden data-run="{run_id}"></i>'


def _unusable(error: SmolReelError) -> str:
    return cards.trouble("This file can't be used", telling.complaint(error), "Choose another, or try the sample.")
