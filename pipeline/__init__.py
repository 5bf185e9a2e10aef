"""SmolReel's core: from a video file to a highlight reel.

    from pipeline import Settings, make_reel
    result = make_reel("match.mp4", Settings(target_s=60), out_dir="out", report=print)

or in three steps, between which a plan can be edited: `analyse`, `choose`, `render`; a whole folder by `make_reels`. It
prints nothing, imports no
user interface, and loads neither torch nor transformers until a model is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.batch.local import BatchProgress, make_reels
    from pipeline.batch.work import Outcome
    from pipeline.errors import (
        Cancelled,
        FFmpegError,
        InputError,
        ModelError,
        OutputError,
        PlanError,
        SettingsError,
        SmolReelError,
    )
    from pipeline.plan import Plan, read_plan
    from pipeline.progress import CancelToken, Progress
    from pipeline.runner import Analysis, Result, analyse, choose, make_reel, remake, render
    from pipeline.settings import Limits, Settings, SignalWeights, Style
    from pipeline.types import Clip, Reel

__all__ = [
    "Analysis",
    "BatchProgress",
    "CancelToken",
    "Cancelled",
    "Clip",
    "FFmpegError",
    "InputError",
    "Limits",
    "ModelError",
    "Outcome",
    "OutputError",
    "Plan",
    "PlanError",
    "Progress",
    "Reel",
    "Result",
    "Settings",
    "SettingsError",
    "SignalWeights",
    "SmolReelError",
    "Style",
    "analyse",
    "choose",
    "make_reel",
    "make_reels",
    "read_plan",
    "remake",
    "render",
]

# Where each name lives. It is fetched when it is first used: processes of ours that need one room needn't load all.
_HOMES = {
    "pipeline.batch.local": ("BatchProgress", "make_reels"),
    "pipeline.batch.work": ("Outcome",),
    "pipeline.errors": ("Cancelled", "FFmpegError", "InputError", "ModelError", "OutputError", "PlanError",
                        "SettingsError", "SmolReelError"),
    "pipeline.plan": ("Plan", "read_plan"),
    "pipeline.progress": ("CancelToken", "Progress"),
    "pipeline.runner": ("Analysis", "Result", "analyse", "choose", "make_reel", "remake", "render"),
    "pipeline.settings": ("Limits", "Settings", "SignalWeights", "Style"),
    "pipeline.types": ("Clip", "Reel"),
}


def __getattr__(name: str) -> Any:
    """A public name, from where it lives."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
