"""SmolReel's core: from a video file to a highlight reel.

    from pipeline import Settings, make_reel
    result = make_reel("match.mp4", Settings(target_s=60), out_dir="out", report=print)

or in three steps, between which a plan can be edited: `analyse`, `choose`, `render`. It prints nothing, imports no
user interface, and loads neither torch nor transformers until a model is asked for.
"""

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
    "CancelToken",
    "Cancelled",
    "Clip",
    "FFmpegError",
    "InputError",
    "Limits",
    "ModelError",
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
    "read_plan",
    "remake",
    "render",
]
