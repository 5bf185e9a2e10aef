"""What exporters are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.plan import Plan
from pipeline.types import Caption, Reel, VideoInfo


@dataclass(frozen=True, slots=True)
class Material:
    """A finished reel and all that is known of it.

    plan: its clips are those of the reel, in the order in which they play
    video: what they are cut from
    reel: the rendered file, and where in it each clip is
    captions: words in seconds of the video: what is said, or what each clip shows
    folder: where exports go
    """

    plan: Plan
    video: VideoInfo
    reel: Reel
    captions: tuple[Caption, ...]
    folder: Path
