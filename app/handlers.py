"""Runs a job for the page and turns progress, results and errors into Gradio's."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from app.forms import settings_from
from app.presenters import clip_rows
from pipeline import Progress, SmolReelError, make_reel
from pipeline.export.words import clock

_SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "sample.mp4"
# How much of the whole each stage takes, for one bar over all of them.
_SHARES = {"probe": (0.0, 0.02), "scan": (0.02, 0.6), "score": (0.6, 0.65), "speech": (0.64, 0.65),
           "render": (0.65, 0.95), "export": (0.95, 1.0)}
# Results go when the server stops; Gradio keeps copies of its own for as long as the page says.
_RUNS = tempfile.TemporaryDirectory(prefix="smolreel-page-")
_log = logging.getLogger("smolreel")


def sample_path() -> str:
    """The sample video, for the player."""
    return str(_SAMPLE)


def make(video: str | None, target_s: float, style: str, shape: str, exports: list[str],
         bar: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
    """Make a reel of `video`: what goes into the reel's player, status, clips and files.

    (Gradio finds the progress bar by its default value, hence the call there.)
    """
    if not video:
        raise gr.Error("Choose a video first, or try the sample.", title="No video yet")

    def report(event: Progress) -> None:
        start, end = _SHARES.get(event.stage, (0.0, 1.0))
        bar(start + (end - start) * (event.fraction or 0.0), desc=event.message)

    folder = Path(tempfile.mkdtemp(dir=_RUNS.name))
    try:
        result = make_reel(video, settings_from(target_s, style, shape, exports), folder, report=report)
    except SmolReelError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise gr.Error(str(error), title="That didn't work", print_exception=False) from error
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        _log.exception("a run failed")
        raise gr.Error("Something went wrong on our side. The log has the details.", title="Sorry",
                       print_exception=False) from error
    plan, reel = result.plan, result.reel
    count = f"{len(plan.clips)} clips" if len(plan.clips) > 1 else "one clip"
    files = (reel.path, reel.path.with_name("plan.json"), *result.exports)
    lines = [f"**{clock(reel.duration_s)}** from {count}.", *plan.warnings]
    return (str(reel.path), "\n\n".join(lines), gr.Dataframe(value=clip_rows(plan), visible=True),
            gr.File(value=[str(path) for path in files], visible=True))
