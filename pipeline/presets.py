"""Sets of weights and questions for kinds of videos; `presets.toml` beside this file has them and says why."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.settings import FusionWeights, Settings, SignalWeights

_FILE = Path(__file__).with_name("presets.toml")
_KINDS = {"weights": SignalWeights, "fusion": FusionWeights}


def _read() -> Mapping[str, Mapping[str, Any]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


_PRESETS = _read()
NAMES: tuple[str, ...] = tuple(_PRESETS)


def why(name: str) -> str:
    """One line for people on why a preset is as it is. Raises SettingsError where there is no such preset."""
    return str(_preset(name)["why"])


def with_preset(settings: Settings, name: str) -> Settings:
    """A copy with what the preset says; settings that it says nothing of stay as they are.

    What a person gave beside the preset is to be put over it: `with_preset(Settings(), name).with_given(...)`.

    Raises SettingsError where there is no such preset.
    """
    given = {key: _KINDS[key](**value) if key in _KINDS else value
             for key, value in _preset(name).items() if key != "why"}
    return replace(settings, **given)


def _preset(name: str) -> Mapping[str, Any]:
    if name not in _PRESETS:
        raise SettingsError(f"{name!r} is none of {', '.join(NAMES)}", "preset")
    return _PRESETS[name]
