"""The process in which `bench.robustness` tries a file: requests and answers are JSON, a line each."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from pipeline import CancelToken, InputError, Limits, Settings, SmolReelError, sandbox
from pipeline.cache import load_scan
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import silent
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.types import Clip, VideoInfo

SETTINGS = Settings(preset="ultrafast", limits=Limits(stall_s=15, memory_mb=4096))
CLIP_S = 0.7
# What the caller is told of a decoder that came to grief.
_CONTAINED = ("makes the decoder crash", "keeps the decoder busy", "more memory", "made the system stop")


def attempt(path: Path, folder: Path) -> tuple[str, str]:
    """Outcome and what was said of one file; `folder` is there while it is tried."""
    scan, out = folder / "scan", folder / "out"
    for each in (scan, out):
        each.mkdir(parents=True)
    try:
        video = sandbox.probe(path, limits=SETTINGS.limits)
        sandbox.scan(video, SETTINGS, scan, silent, CancelToken())
    except SmolReelError as error:
        outcome = "contained" if any(words in str(error) for words in _CONTAINED) else "refused"
        return (outcome if isinstance(error, InputError) else "fault"), str(error)
    try:
        plan = plan_of(video, load_scan(scan).duration_s)
        render_reel(Order(video, plan, (), out / "reel.mp4", SETTINGS, folder / "clips"), silent, CancelToken())
    except SmolReelError as error:
        # A reel that isn't whole is none: nothing may lie where it would have been.
        return _judged(out, (), "unmade", str(error))
    return _judged(out, ("reel.mp4",), "reel", "")


def plan_of(video: VideoInfo, duration_s: float) -> Plan:
    """Two short clips, from the start and from the middle of what can be decoded."""
    clips = [Clip(start_s, start_s + min(CLIP_S, duration_s / 2), None, "", "") for start_s in (0.0, duration_s / 2)]
    return Plan(PlanVideo(str(video.path), video.sha256), tuple(clips))


def _judged(out: Path, wanted: tuple[str, ...], outcome: str, said: str) -> tuple[str, str]:
    """The outcome, or that something was left behind, or is missing."""
    there = sorted(path.name for path in [*out.iterdir(), *out.parent.glob("clips/.*")])
    return (outcome, said) if there == list(wanted) else ("left", f"{there} where {list(wanted)} should be; {said}")


def main() -> None:
    """Try files until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request["folder"])
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "tmp").mkdir(parents=True)
        tempfile.tempdir = str(folder / "tmp")
        before = {path.name for path in Path(request["path"]).parent.iterdir()}
        try:
            outcome, said = attempt(Path(request["path"]), folder)
        except Exception:
            outcome, said = "fault", traceback.format_exc()[-3000:]
        left = [*(folder / "tmp").iterdir(), *({path.name for path in folder.parent.iterdir()} - before)]
        if left:
            outcome, said = "left", f"{left}; {said}"
        answers.write(json.dumps([outcome, said]) + "\n")
        answers.flush()
    sandbox.close_idle()


if __name__ == "__main__":
    main()
