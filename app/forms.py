"""Widget values to settings; bounds and defaults come from settings."""

from __future__ import annotations

from pipeline import Settings
from pipeline.settings import bounds

# A page's slider over the whole legal range would be too coarse to aim with.
_LONGEST_ON_PAGE_S = 300.0

DEFAULT_TARGET_S = Settings().target_s
TARGET_BOUNDS_S = (max(5.0, bounds("target_s")[0]), min(_LONGEST_ON_PAGE_S, bounds("target_s")[1]))


def settings_from(target_s: float) -> Settings:
    """Settings from what the page's widgets hold. Raises SettingsError."""
    return Settings().with_given(target_s=target_s)
