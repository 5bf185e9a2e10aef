"""The one owner of defaults and bounds: shells forward what a person gave and read the rest from here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from pipeline.errors import SettingsError

SCORERS = ("auto", "smolvlm2", "signals")
# "auto" copies where it can, else encodes what it must.
RENDERS = ("auto", "copy", "encode", "styled")
ENCODERS = ("auto", "x264", "nvenc", "videotoolbox", "qsv", "vaapi")
ASPECTS = ("source", "16:9", "9:16", "1:1", "4:5")
FRAMINGS = ("auto", "crop", "bars")
CAPTIONS = ("auto", "none", "descriptions", "speech")
EXPORTS = ("clips", "srt", "vtt", "chapters", "csv", "edl", "fcpxml", "otio", "contact-sheet", "gif", "html")
# Codes that Whisper knows; "yue" (Cantonese) only since its third version.
SPEECH_LANGUAGES = (
    "af", "am", "ar", "as", "az", "ba", "be", "bg", "bn", "bo", "br", "bs", "ca", "cs", "cy", "da", "de", "el",
    "en", "es", "et", "eu", "fa", "fi", "fo", "fr", "gl", "gu", "ha", "haw", "he", "hi", "hr", "ht", "hu", "hy",
    "id", "is", "it", "ja", "jw", "ka", "kk", "km", "kn", "ko", "la", "lb", "ln", "lo", "lt", "lv", "mg", "mi",
    "mk", "ml", "mn", "mr", "ms", "mt", "my", "ne", "nl", "nn", "no", "oc", "pa", "pl", "ps", "pt", "ro", "ru",
    "sa", "sd", "si", "sk", "sl", "sn", "so", "sq", "sr", "su", "sv", "sw", "ta", "te", "tg", "th", "tk", "tl",
    "tr", "tt", "uk", "ur", "uz", "vi", "yi", "yo", "zh", "yue",
)
# A reel is about its clips: a closing card is at most this share of it.
_CARD_SHARE = 0.25
# Words for a model: more of them would crowd out what is seen.
_MOST_QUERIES, _MOST_LETTERS = 8, 500
# No system knows longer paths, and no picture has room for more words than the letters above.
_LONGEST_PATH = 4096
DEVICES = ("auto", "cpu", "cuda", "mps")
DETAILS = ("auto", "fast", "balanced", "full")


def _number(low: float, high: float, default: float, unit: str) -> Any:
    """A numeric setting with its legal range, both ends included."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit})


def _choice(options: tuple[str, ...], default: str) -> Any:
    """A setting that is one of a few words."""
    return field(default=default, metadata={"options": options})


def _colour(default: str) -> Any:
    """A colour, written #rrggbb."""
    return field(default=default, metadata={"colour": True})


@dataclass(frozen=True, slots=True)
class SignalWeights:
    """How much each signal counts in a score; they need not add up to 1. Loudness and motion carry most, since
    cheers, impacts, speech and action are what people keep; the look breaks ties.
    """

    motion: float = _number(0, 10, 0.30, "")
    loudness: float = _number(0, 10, 0.30, "")
    onset: float = _number(0, 10, 0.10, "")
    novelty: float = _number(0, 10, 0.12, "")
    colour: float = _number(0, 10, 0.10, "")
    sharpness: float = _number(0, 10, 0.08, "")

    def __post_init__(self) -> None:
        _validate(self)
        if sum(asdict(self).values()) <= 0:
            raise SettingsError("all weights are 0; give at least one signal a weight above 0", "weights")


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """How much what a vision language model sees counts beside the signals; they need not add up to 1. What a viewer
    asked for in words counts more than a guess at what may please, but signals still tell equals apart.
    """

    vlm: float = _number(0, 10, 0.75, "")
    query: float = _number(0, 10, 0.85, "")
    signals: float = _number(0, 10, 0.25, "")
    yes_share: float = _number(0, 1, 0.6, "of the model's part that is its yes or no; its 1-to-5 rating is the rest")
    found_share: float = _number(0, 1, 0.6, "of how sure the model is of its own descriptions, that it must be of what "
                                            "was asked for, or that counts as not there; 0 takes it for there")

    def __post_init__(self) -> None:
        _validate(self)
        if min(self.vlm, self.query) + self.signals <= 0:
            raise SettingsError("the model and the signals both weigh 0; give one a weight above 0", "fusion")


@dataclass(frozen=True, slots=True)
class Style:
    """How a styled reel looks and sounds. Sizes of text count for every reel that has captions in its picture.

    title, closing: texts of the opening title and the closing card; None for none
    font: a font's file or its family's name; None for the best that this machine has for the text
    music: an audio file that plays under the reel; None for none
    """

    title: str | None = None
    closing: str | None = None
    font: str | None = None
    music: str | None = None
    crossfade_s: float = _number(0, 3, 0.5, "s that neighbouring clips overlap")
    title_s: float = _number(0.5, 20, 3.0, "s that the opening title is shown; it adds no length")
    closing_s: float = _number(0.5, 20, 3.0, "s that the closing card adds, at most a quarter of the reel")
    title_fade_s: float = _number(0, 5, 0.5, "s that title and closing text take to appear and to go")
    title_size: float = _number(0.02, 0.3, 0.1, "of the reel's height")
    caption_size: float = _number(0.02, 0.1, 0.046, "of the reel's height")
    caption_fade_s: float = _number(0, 2, 0.16, "s that a caption takes to appear and to go")
    text_colour: str = _colour("#ffffff")
    shade_colour: str = _colour("#000000")
    accent_colour: str = _colour("#ffb454")
    title_shade: float = _number(0, 1, 0.6, "opacity of the shade behind the title")
    caption_shade: float = _number(0, 1, 0.58, "opacity of the box behind a caption")
    closing_shade: float = _number(0, 1, 0.6, "how much darker the closing card's background is than the reel")
    music_db: float = _number(-60, 0, -20, "dBFS RMS of the music where the reel is quiet")
    duck_db: float = _number(0, 40, 12, "dB that the music gives way by under the reel's own sound")
    duck_above_db: float = _number(-60, 0, -38, "dBFS of the reel's own sound from which the music gives way")
    music_fade_s: float = _number(0, 10, 1.5, "s that the music takes to go at the end; it comes in half of it")

    def __post_init__(self) -> None:
        _validate(self)
        for name in ("title", "closing"):
            _check_text(getattr(self, name), name, _MOST_LETTERS)
        for name in ("font", "music"):
            _check_text(getattr(self, name), name, _LONGEST_PATH)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a video may ask of this machine; one that asks for more is refused. They change no result. The defaults let
    all through that cameras make (8K pictures, slow motion, a day), and keep out what would bring a machine down.
    """

    max_side: int = _number(16, 65_536, 8192, "pixels on the longer side of the picture")
    max_megapixels: float = _number(0.001, 1000, 36.0, "million pixels of the picture")
    max_fps: float = _number(1, 100_000, 1000.0, "frames a second")
    max_streams: int = _number(1, 1000, 128, "tracks of any kind")
    max_hours: float = _number(0.0001, 48, 24.0, "hours")
    stall_s: float = _number(1, 3600, 60.0, "s that decoding may go without getting any further")
    memory_mb: int = _number(2048, 1_048_576, 8192, "MB of address space for decoding, where the system can limit it")

    def __post_init__(self) -> None:
        _validate(self)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run can be told. Fields are grouped by the stage that reads them, and each stage's result is
    cached under its own group (`STAGE_FIELDS`), so that a change re-runs only what reads it.
    """

    # scan
    sample_fps: float = _number(0.1, 4, 1.0, "frames a second put aside")
    sample_side: int = _number(64, 1024, 512, "pixels on the longer side of a frame put aside")
    cut_ratio: float = _number(1.5, 20, 2.8, "times its neighbours that a change must be to be a cut")
    cut_change: float = _number(2, 200, 20.0, "least change of a pixel, 0 to 255, at a cut")
    fade_level: float = _number(0, 60, 10.0, "mean luma, 0 to 255, under which a picture is black")
    min_scene_s: float = _number(0.1, 5, 0.3, "s")

    # segments
    min_segment_s: float = _number(1, 10, 2.0, "s")
    max_segment_s: float = _number(2, 30, 8.0, "s")

    # score
    scorer: str = _choice(SCORERS, "auto")
    model: str | None = None
    # What to look for, in words: one query, or several that ";" parts.
    query: str | None = None
    # What a highlight is, in words, where no query says what to look for; a model that sees finds out where None.
    highlight: str | None = None
    device: str = _choice(DEVICES, "auto")
    weights: SignalWeights = field(default_factory=SignalWeights)
    fusion: FusionWeights = field(default_factory=FusionWeights)
    detail: str = _choice(DETAILS, "auto")

    # select
    target_s: float = _number(1, 7200, 30.0, "s")
    max_share: float = _number(0.05, 1, 0.6, "of a video that is shorter than about twice the target")
    whole_below_s: float = _number(0, 60, 5.0, "s; a video this short is its own reel")
    min_clip_s: float = _number(0.5, 10, 1.5, "s")
    max_clip_s: float = _number(1, 60, 10.0, "s")
    spread_weight: float = _number(0, 1, 0.15, "score given up to pick from another part of the video")
    duplicate_similarity: float = _number(0.5, 1, 0.985, "cosine above which two looks are one")
    duplicate_similarity_seen: float = _number(0.5, 1, 0.985, "cosine above which a model's two looks are one")
    repeat_weight: float = _number(0, 1, 1.0, "of its score that a repeated shot loses; at 1 it is left out")
    # (start_s, end_s) of what a person wants in the reel as it is, and of what they don't want to see.
    pinned: tuple[tuple[float, float], ...] = ()
    banned: tuple[tuple[float, float], ...] = ()

    # speech
    speech_model: str | None = None
    speech_language: str | None = None

    # render
    render: str = _choice(RENDERS, "auto")
    copy_tolerance_s: float = _number(0, 10, 1.0, "s that a copied clip's start may move to reach a keyframe")
    encoder: str = _choice(ENCODERS, "auto")
    aspect: str = _choice(ASPECTS, "source")
    framing: str = _choice(FRAMINGS, "auto")
    captions: str = _choice(CAPTIONS, "auto")
    style: Style = field(default_factory=Style)
    crf: int = _number(0, 51, 20, "x264 constant rate factor, lower is better")
    preset: str = _choice(("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"), "veryfast")
    audio_kbps: int = _number(32, 512, 160, "kbit/s")
    audio_fade_ms: float = _number(0, 500, 8.0, "ms at each end of a clip")
    max_fps: float = _number(1, 240, 60.0, "frames a second of the reel")

    # export
    export: tuple[str, ...] = ()

    # where results are kept between runs
    cache: bool = True
    cache_dir: Path = field(default_factory=lambda: Path(platformdirs.user_cache_dir("smolreel")))
    cache_max_bytes: int = _number(0, 1e15, 20_000_000_000, "bytes that are kept after a run")

    # what a video may ask of this machine
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        _validate(self)
        object.__setattr__(self, "cache_dir", Path(self.cache_dir))
        object.__setattr__(self, "export", _exports(self.export))
        for name in ("pinned", "banned"):
            object.__setattr__(self, name, _stretches(getattr(self, name), name))
        for a, b in ((a, b) for a in self.pinned for b in self.banned):
            if max(a[0], b[0]) < min(a[1], b[1]):
                raise SettingsError(f"{a[0]:g} to {a[1]:g} s can't be both pinned and banned", "pinned")
        for name in ("model", "speech_model"):
            _check_text(getattr(self, name), name, _LONGEST_PATH)
        _check_text(self.query, "query")
        _check_text(self.highlight, "highlight", _MOST_LETTERS)
        if len(self.queries) > _MOST_QUERIES:
            raise SettingsError(f"{len(self.queries)} queries are more than {_MOST_QUERIES}; give fewer", "query")
        for query in self.queries:
            _check_text(query, "query", _MOST_LETTERS)
        if self.speech_language is not None and self.speech_language not in SPEECH_LANGUAGES:
            raise SettingsError(f"{self.speech_language!r} is no language code that Whisper knows; give one such as "
                                "en, de or ja", "speech_language")
        if self.min_segment_s * 2 > self.max_segment_s:
            raise SettingsError(f"{self.max_segment_s:g} is less than twice min_segment_s "
                                f"({self.min_segment_s:g}); long scenes could not be tiled", "max_segment_s")
        if self.min_clip_s > self.max_clip_s:
            raise SettingsError(f"{self.min_clip_s:g} is above max_clip_s ({self.max_clip_s:g})", "min_clip_s")

    @property
    def queries(self) -> tuple[str, ...]:
        """What to look for, each once, in the order given; empty where nothing was asked for."""
        first: dict[str, str] = {}
        for part in (self.query or "").split(";"):
            if words := " ".join(part.split()):
                first.setdefault(words.casefold(), words)
        return tuple(first.values())

    @property
    def card_s(self) -> float:
        """Seconds of the reel that the closing card takes; 0 where there is none."""
        if self.render != "styled" or not (self.style.closing or "").strip():
            return 0.0
        return min(self.style.closing_s, _CARD_SHARE * self.target_s)

    def part(self, stage: str) -> dict[str, Any]:
        """The settings that `stage` reads, as JSON values: what its cache key is made of."""
        return {name: value for name, value in self.to_json().items() if name in STAGE_FIELDS[stage]}

    def to_json(self) -> dict[str, Any]:
        """Every setting that shapes the result, as JSON values; where the cache lies and what is refused don't."""
        values = asdict(self) | {"export": list(self.export), "pinned": [list(bounds) for bounds in self.pinned],
                                 "banned": [list(bounds) for bounds in self.banned]}
        return {name: value for name, value in values.items() if name not in _SHAPELESS}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Settings:
        """Settings from what `to_json` wrote; unknown names are passed over, absent ones take their defaults.

        Raises SettingsError for a value outside its range or of the wrong kind.
        """
        known = {f.name for f in fields(cls)} - _SHAPELESS
        given = {name: value for name, value in values.items() if name in known}
        for name, kind in (("weights", SignalWeights), ("fusion", FusionWeights), ("style", Style)):
            if name in given:
                given[name] = _from_mapping(kind, given[name], name)
        return cls(**given)

    def with_given(self, **given: Any) -> Settings:
        """A copy with what a person gave; None means "not given"."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})


# Settings that leave the result as it is.
_SHAPELESS = frozenset({"cache", "cache_dir", "cache_max_bytes", "limits"})

STAGE_FIELDS: dict[str, frozenset[str]] = {
    "scan": frozenset({"sample_fps", "sample_side", "cut_ratio", "cut_change", "fade_level", "min_scene_s"}),
    "segment": frozenset({"min_segment_s", "max_segment_s"}),
    "score": frozenset({"scorer", "model", "query", "highlight", "device", "weights", "fusion", "detail"}),
    "select": frozenset({"target_s", "max_share", "whole_below_s", "min_clip_s", "max_clip_s", "spread_weight",
                         "duplicate_similarity", "duplicate_similarity_seen", "repeat_weight", "pinned", "banned"}),
    "speech": frozenset({"speech_model", "speech_language"}),
    "render": frozenset({"render", "copy_tolerance_s", "encoder", "aspect", "framing", "captions", "style", "crf",
                         "preset", "audio_kbps", "audio_fade_ms", "max_fps"}),
    "export": frozenset({"export"}),
}


def bounds(name: str) -> tuple[float, float]:
    """Lowest and highest legal value of a numeric setting, for sliders and help texts."""
    metadata = next(f.metadata for f in fields(Settings) if f.name == name)
    return metadata["low"], metadata["high"]


def _check_text(value: Any, name: str, most: int | None = None) -> None:
    """Raise SettingsError unless `value` is None or a text of at most `most` letters."""
    if value is None:
        return
    if not isinstance(value, str) or "\0" in value:
        raise SettingsError(f"{value!r} is no text", name)
    if most is not None and len(value) > most:
        raise SettingsError(f"{len(value)} letters are more than {most}; say it in fewer words", name)


def _exports(names: Any) -> tuple[str, ...]:
    """The exports asked for, each once, in the order of EXPORTS."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise SettingsError(f"{names!r} is no list of exports", "export")
    for name in names:
        if name not in EXPORTS:
            raise SettingsError(f"{name!r} is none of {', '.join(EXPORTS)}", "export")
    return tuple(name for name in EXPORTS if name in names)


def _stretches(values: Any, name: str) -> tuple[tuple[float, float], ...]:
    """Stretches of the video, in the order given."""
    found = []
    for value in values if isinstance(values, Sequence) and not isinstance(values, str) else [values]:
        try:
            start_s, end_s = map(float, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise SettingsError(f"{value!r} is no stretch of a video; give its start and end in seconds",
                                name) from error
        if not (0 <= start_s < end_s < math.inf):
            raise SettingsError(f"{start_s:g} to {end_s:g} s is no stretch of a video; its end must be above its "
                                "start", name)
        found.append((start_s, end_s))
    return tuple(found)


def _from_mapping(kind: type[Any], values: Any, name: str) -> Any:
    """A set of weights from JSON values; names it doesn't know are passed over."""
    if not isinstance(values, Mapping):
        raise SettingsError(f"{values!r} is no set of weights", name)
    known = {f.name for f in fields(kind)}
    return kind(**{key: value for key, value in values.items() if key in known})


def _validate(settings: Any) -> None:
    """Raise SettingsError for the first field outside the range that its declaration gives."""
    for f in fields(settings):
        value = getattr(settings, f.name)
        if "low" in f.metadata:
            low, high, unit = f.metadata["low"], f.metadata["high"], f.metadata["unit"]
            # Both comparisons are false for what is no number, and a whole number may be too large for a float.
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise SettingsError(f"{value!r} is outside {low:g} to {high:g} {unit}".rstrip(), f.name)
        elif "options" in f.metadata and value not in f.metadata["options"]:
            raise SettingsError(f"{value!r} is none of {', '.join(f.metadata['options'])}", f.name)
        elif "colour" in f.metadata and not (isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value)):
            raise SettingsError(f"{value!r} is no colour; write it as #rrggbb", f.name)
