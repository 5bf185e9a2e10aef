"""What a render is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.plan import Plan
from pipeline.settings import Settings
from pipeline.types import Caption, VideoInfo


@dataclass(frozen=True, slots=True)
class Order:
    """A reel to be rendered.

    video: as measured from the file that `plan` is about
    plan: its clips are the reel, in the order given
    captions: words to set into the picture, in seconds of the video; empty for none
    target: the file to write; it appears, or replaces what is there, only when it is whole
    settings: how to render
    clip_dir: folder where encoded clips are kept for the next render
    """

    video: VideoInfo
    plan: Plan
    captions: tuple[Caption, ...]
    target: Path
    settings: Settings
    clip_dir: Path


class Unsuitable(Exception):
    """A way of rendering can't give what was ordered; the message says why, for people. Another way may."""
