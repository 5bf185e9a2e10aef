"""What programs can call, over HTTP (`gradio_client`) and, where that is switched on, over MCP."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from app.forms import DEFAULT_TARGET_S, settings_from
from app.jobs import OUR_FAULT, Jobs, Run
from pipeline import Plan, Settings, SmolReelError, read_plan
from pipeline import render as render_plan
from pipeline.progress import Progress

_LOOK_EVERY_S = 0.2


def offer(jobs: Jobs) -> None:
    """Add the endpoints `reel` and `render` to the page that is being built."""
    calls = Calls(jobs)
    with gr.Column(visible=False):
        video, plan = gr.File(label="Video"), gr.File(label="Plan")
        target = gr.Number(DEFAULT_TARGET_S, label="Length of the reel at most, in seconds")
        query, preset = gr.Textbox("", label="What to look for"), gr.Textbox("", label="Kind of video")
        style, shape = gr.Textbox("auto", label="Style"), gr.Textbox("source", label="Shape")
        scorer, model = gr.Textbox("auto", label="Scorer"), gr.Textbox("", label="Model")
        reel_file, plan_file = gr.File(label="Reel"), gr.File(label="Plan")
        gr.Button().click(calls.reel, [video, target, query, preset, style, shape, scorer, model],
                          [reel_file, plan_file], api_name="reel", concurrency_limit=4, concurrency_id="reel")
        gr.Button().click(calls.render, [video, plan], [reel_file, plan_file], api_name="render",
                          concurrency_limit=1, concurrency_id="render")


class Calls:
    """The endpoints, on the page's runs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def reel(self, video: str, target_s: float = DEFAULT_TARGET_S, query: str = "", preset: str = "",
             style: str = "auto", shape: str = "source", scorer: str = "auto", model: str = "",
             request: gr.Request | None = None, bar: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
        """Make a highlight reel of a video: the reel as MP4, and its plan as JSON.

        Args:
            video: The video file.
            target_s: Length of the reel at most, in seconds.
            query: What to look for, in words; several things are parted by a semicolon. Empty for anything good.
            preset: Kind of video: sports, travel, family, gaming, talk or cooking. Empty for any.
            style: "auto" for plain cuts, "styled" for crossfades and captions.
            shape: "source", "16:9", "9:16", "1:1" or "4:5".
            scorer: "auto", "smolvlm2" (looks at the video) or "signals" (measures picture and sound, quick).
            model: Name of the SmolVLM2 model; empty for the one that suits the machine.
        """
        try:
            settings = settings_from({"target_s": target_s, "query": query, "preset": preset, "style": style,
                                      "shape": shape, "scorer": scorer, "model": model})
            path = _given(video, "video")
            owner = f"program-{request.session_hash if request else secrets.token_urlsafe(8)}"
            run = self._finished(self._jobs.submit(owner, path, path.name, settings), bar)
        except SmolReelError as error:
            raise gr.Error(str(error), print_exception=False) from error
        if run.made is None:
            raise gr.Error(run.error or "cancelled", print_exception=False)
        return str(run.files[0]), str(run.files[1])

    def render(self, video: str, plan: str,
               bar: gr.Progress = gr.Progress()) -> tuple[str, str]:  # noqa: B008
        """Render a plan again, for example one whose clips were edited: the reel as MP4, and its plan as JSON.

        Args:
            video: The video file that the plan was made of.
            plan: The plan.json that came with a reel, edited or not.
        """
        folder = Path(tempfile.mkdtemp(prefix="render-", dir=get_upload_folder()))
        try:
            source = _given(video, "video")
            chosen = _harmless(read_plan(_given(plan, "plan")), source)
            self._jobs.limits.check_size(source.stat().st_size, source.name)
            self._jobs.limits.check_length(chosen.video.duration_s or 0.0, source.name)
            settings = replace(Settings.from_json(chosen.settings), cache=False)
            with self._jobs.alone():
                reel = render_plan(chosen, folder, settings, name="reel", report=lambda event: _show(bar, event),
                               cancel=self._jobs.closing)
        except SmolReelError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise gr.Error(str(error).replace(str(folder), "the page's folder"), print_exception=False) from error
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise gr.Error(OUR_FAULT) from error
        return str(reel.path), str(reel.path.with_name("plan.json"))

    def _finished(self, run: Run, bar: gr.Progress) -> Run:
        """The run, once it is done; the bar moves meanwhile."""
        while run.busy:
            if run.state == "queued":
                bar(0.0, desc=f"number {run.place or 1} in line")
            else:
                bar(run.fraction, desc=run.progress.message if run.progress else "starting")
            time.sleep(_LOOK_EVERY_S)
            now = self._jobs.get(run.id)
            if now is None:
                break
            run = now
        return run


def _show(bar: gr.Progress, event: Progress) -> None:
    bar(event.fraction or 0.0, desc=event.message)


def _given(path: str | None, what: str) -> Path:
    """The file that was sent. Raises gr.Error where there is none."""
    if not path:
        raise gr.Error(f"Send a {what}.", print_exception=False)
    return Path(path)


def _harmless(plan: Plan, source: Path) -> Plan:
    """The plan about the file that was sent, without settings that name other files of this machine."""
    settings: dict[str, Any] = {name: value for name, value in plan.settings.items()
                                if name not in ("model", "speech_model", "device", "export")}
    style = settings.get("style")
    if isinstance(style, dict):
        settings["style"] = {name: value for name, value in style.items() if name not in ("music", "font")}
    return replace(plan, video=replace(plan.video, path=str(source)), settings=settings)
