"""Widget values to settings, and settings in the words of the page; bounds and defaults come from settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import Settings, SettingsError, Style, presets
from pipeline.scorers.smolvlm2.loading import LARGE, MIDDLE, SMALL
from pipeline.settings import EXPORTS, bounds

# A page's slider over the whole legal range would be too coarse to aim with.
_LONGEST_ON_PAGE_S = 300.0

DEFAULT_TARGET_S = Settings().target_s
TARGET_BOUNDS_S = (max(5.0, bounds("target_s")[0]), min(_LONGEST_ON_PAGE_S, bounds("target_s")[1]))

# What a person may choose, in their words, and what settings call it.
ANYTHING = ""
STYLES = [("Plain cuts", "auto"), ("Crossfades and captions", "styled")]
SHAPES = [("As the video", "source"), ("Wide 16:9", "16:9"), ("Upright 9:16", "9:16"), ("Square 1:1", "1:1"),
          ("Portrait 4:5", "4:5")]
SCORERS = [("Automatic", "auto"), ("Look at it", "smolvlm2"), ("Measure only", "signals")]
MODELS = [("Automatic", ""), ("Small, 256M: the quickest", SMALL), ("Middle, 500M: twice the time", MIDDLE),
          ("Large, 2.2B: for a graphics card", LARGE)]
DETAILS = [("Automatic", "auto"), ("Quick", "fast"), ("Closer", "balanced"), ("Closest", "full")]
FRAMINGS = [("Automatic", "auto"), ("Fill it, cut the sides", "crop"), ("Keep all, add bars", "bars")]
CAPTIONS = [("With the style", "auto"), ("None", "none"), ("What is seen", "descriptions"),
            ("What is said", "speech")]
_EXPORT_NAMES = {"clips": "Every clip as a file", "srt": "Subtitles (SRT)", "vtt": "Subtitles (WebVTT)",
                 "chapters": "Chapters for YouTube", "csv": "Table (CSV)", "edl": "EDL for editors",
                 "fcpxml": "Final Cut Pro (FCPXML)", "otio": "OpenTimelineIO", "contact-sheet": "Contact sheet",
                 "gif": "Preview (GIF)", "html": "A page of its own (HTML)"}
EXPORT_CHOICES = [(_EXPORT_NAMES.get(name, name), name) for name in EXPORTS]

# What the page asks for, in the order in which its handlers get it.
FIELDS = ("target_s", "preset", "query", "style", "shape", "scorer", "model", "detail", "framing", "captions", "title",
          "closing", "exports")


def settings_from(given: Mapping[str, Any], *, any_model: bool = False) -> Settings:
    """Settings from what the page's widgets hold, by the names in FIELDS; what is missing keeps its default.

    any_model: whether a model may be named that the page doesn't offer, such as a folder of this machine

    Raises SettingsError.
    """
    preset = given.get("preset")
    settings = presets.with_preset(Settings(), preset) if preset else Settings()
    model = _text(given.get("model"))
    if model and not any_model and model not in dict(MODELS).values():
        raise SettingsError("is not offered here; choose one from the list", "model")
    style = Style(title=_text(given.get("title")), closing=_text(given.get("closing")))
    return settings.with_given(
        target_s=_number(given.get("target_s")), query=_text(given.get("query")), render=given.get("style"),
        aspect=given.get("shape"), scorer=given.get("scorer"), model=model, detail=given.get("detail"),
        framing=given.get("framing"), captions=given.get("captions"), style=style,
        export=tuple(given.get("exports") or ()))


def preset_choices() -> list[tuple[str, str]]:
    """Kinds of video, as a person would call them."""
    return [("Anything", ANYTHING), *((name.capitalize(), name) for name in presets.NAMES)]


def preset_hint(name: str | None) -> str:
    """Why a preset looks for what it looks for, one line."""
    return presets.why(name) if name else "Whatever stands out in picture and sound."


def is_here(model: str) -> bool:
    """Whether a model lies on this machine, by a look at folders alone."""
    if Path(model).expanduser().is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    try:
        return all(isinstance(try_to_load_from_cache(model, name), str) for name in ("config.json", "tokenizer.json"))
    except ValueError:
        return False


def may_fetch() -> bool:
    """Whether models may be fetched from the hub, as far as the environment says."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() not in ("1", "ON", "YES", "TRUE")


def likely(settings: Settings) -> Settings:
    """The settings, without hope for a model that is neither here nor may be fetched."""
    if settings.scorer != "auto" or may_fetch() or _is_some_model_here(settings):
        return settings
    return replace(settings, scorer="signals")


def _is_some_model_here(settings: Settings) -> bool:
    wanted = [settings.model] if settings.model else [model for _, model in MODELS if model]
    return any(is_here(model) for model in wanted)


def model_note(settings: Settings) -> str:
    """What to know of the model before it is used."""
    if settings.scorer == "signals" or _is_some_model_here(settings):
        return ""
    if may_fetch():
        return "The model that looks isn't on this machine yet; it is fetched once, 0.5 to 4.5 GB."
    if settings.scorer == "smolvlm2":
        return "The model that looks isn't on this machine, and may not be fetched."
    return "The model that looks isn't on this machine: picture and sound are measured instead."


def _text(value: Any) -> str | None:
    """What a person wrote; None for nothing."""
    return str(value).strip() or None if value is not None else None


def _number(value: Any) -> float | None:
    """A number from a slider or a field. Raises SettingsError."""
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{value!r} is no number of seconds", "target_s") from error
