"""The words that go with a reel: pure functions from clips and settings to captions."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.settings import Settings
from pipeline.types import Caption, Clip


def of_descriptions(clips: Sequence[Clip]) -> tuple[Caption, ...]:
    """A caption a clip that says what is in it; none for a clip without a description."""
    return tuple(Caption(clip.start_s, clip.end_s, clip.description) for clip in clips if clip.description.strip())


def are_burned(settings: Settings) -> bool:
    """Whether captions are set into the picture: where they are asked for, and in styled reels unless refused."""
    if settings.captions == "auto":
        return settings.render == "styled"
    return settings.captions != "none"
