"""Widget values to settings; bounds and defaults come from settings."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline import Settings
from pipeline.settings import bounds

# A page's slider over the whole legal range would be too coarse to aim with.
_LONGEST_ON_PAGE_S = 300.0

DEFAULT_TARGET_S = Settings().target_s
TARGET_BOUNDS_S = (max(5.0, bounds("target_s")[0]), min(_LONGEST_ON_PAGE_S, bounds("target_s")[1]))


# What a person may choose, in their words, and what settings call it.
STYLES = [("Plain cuts", "auto"), ("Crossfades and captions", "styled")]
SHAPES = [("As the video", "source"), ("Upright, 9:16", "9:16"), ("Square, 1:1", "1:1"), ("Portrait, 4:5", "4:5"),
          ("Wide, 16:9", "16:9")]


def settings_from(target_s: float, style: str = "auto", shape: str = "source", exports: Sequence[str] = ()) -> Settings:
    """Settings from what the page's widgets hold. Raises SettingsError."""
    return Settings().with_given(target_s=target_s, render=style, aspect=shape, export=tuple(exports))
