"""What a shared machine lets each visitor have; from options or the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pipeline import Settings, SettingsError, SmolReelError

AUTH_VARIABLE = "SMOLREEL_AUTH"


class Refused(SmolReelError):
    """A visitor asks for more than the machine gives; the message says what to do."""


def _limit(low: float, high: float, default: float, variable: str | None, option: str | None) -> Any:
    """A limit with its bounds, and the environment variable and option that set it."""
    return field(default=default, metadata={"low": low, "high": high, "variable": variable, "option": option})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one visitor may ask for.

    max_upload_mb: megabytes of a video
    max_minutes: its length
    queue: runs that may wait, beside the one that is at work
    keep_minutes: how long a video and its reels are kept once its first reel is done
    stop_seconds: within which the page has ended once the system asks it to; runs that take longer are cancelled.
        Docker gives 10 s
    per_visitor: runs of one visitor that wait or are at work
    cache_gb: gigabytes that the caches of all visitors may hold together
    query_chars: characters of all that a visitor asks for in words; settings bound each wish
    """

    max_upload_mb: float = _limit(1, 1e6, 4000, "SMOLREEL_MAX_UPLOAD_MB", "--max-upload-mb")
    max_minutes: float = _limit(0.1, 1440, 240, "SMOLREEL_MAX_MINUTES", "--max-minutes")
    queue: int = _limit(1, 1000, 20, "SMOLREEL_QUEUE", None)
    keep_minutes: float = _limit(1, 60, 60, "SMOLREEL_KEEP_MINUTES", "--keep-minutes")
    stop_seconds: float = _limit(3, 3600, 9, "SMOLREEL_STOP_SECONDS", None)
    per_visitor: int = _limit(1, 100, 3, None, None)
    cache_gb: float = _limit(0, 1e6, 20, "SMOLREEL_CACHE_GB", None)
    query_chars: int = _limit(1, 10_000, 4100, None, None)

    def __post_init__(self) -> None:
        for f in fields(self):
            value, low, high = getattr(self, f.name), f.metadata["low"], f.metadata["high"]
            whole = f.type == "int"
            fits = isinstance(value, int) if whole else isinstance(value, int | float) and math.isfinite(value)
            if isinstance(value, bool) or not fits or not low <= value <= high:
                raise _out_of_bounds(str(value), f.metadata, whole, f.metadata["option"] or f.name)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Limits:
        """Limits by SMOLREEL_MAX_UPLOAD_MB, SMOLREEL_MAX_MINUTES, SMOLREEL_QUEUE, SMOLREEL_KEEP_MINUTES,
        SMOLREEL_STOP_SECONDS and SMOLREEL_CACHE_GB.

        Raises SettingsError, with the variable's name, for one that is no number or out of bounds.
        """
        found = os.environ if environment is None else environment
        given: dict[str, float] = {}
        for f in fields(cls):
            variable = f.metadata["variable"]
            text = found.get(variable, "").strip() if variable else ""
            if not text:
                continue
            whole = f.type == "int"
            try:
                value = int(text) if whole else float(text)
            except ValueError:
                value = math.nan
            if not f.metadata["low"] <= value <= f.metadata["high"]:
                raise _out_of_bounds(text, f.metadata, whole, variable)
            given[f.name] = value
        return cls(**given)  # type: ignore[arg-type]

    def with_given(self, **given: float | None) -> Limits:
        """A copy with what a person gave; None means "not given"."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]

    def check_size(self, size_bytes: int, name: str) -> None:
        """Raise Refused for a file that is too large."""
        if size_bytes > self.max_upload_mb * 1e6:
            raise Refused(f"is {megabytes(size_bytes / 1e6)} and this page takes at most "
                          f"{megabytes(self.max_upload_mb)}; cut it, or save it smaller", name)

    def check_length(self, duration_s: float, name: str) -> None:
        """Raise Refused for a video that is too long."""
        if duration_s > self.max_minutes * 60 + 1:
            raise Refused(f"is {_minutes(duration_s)} minutes long and this page takes at most {self.max_minutes:g}; "
                          "cut it into parts", name)

    def check_query(self, query: str | None) -> None:
        """Raise Refused for a query that no model would read to its end."""
        length = len(query or "")
        if length > self.query_chars:
            raise Refused(f"what you look for is {length:,} characters long; say it in at most {self.query_chars:,}")

    def check(self, settings: Settings) -> None:
        """Raise Refused for settings that ask for too much."""
        self.check_query(settings.query)


def _minutes(duration_s: float) -> str:
    """Minutes of a length, no more exact than they are said."""
    return f"{duration_s / 60:.0f}" if duration_s >= 90 else f"{duration_s / 60:.1g}"


def megabytes(amount: float) -> str:
    """An amount of data in words."""
    return f"{amount / 1000:.1f} GB" if amount >= 1000 else f"{amount:.0f} MB"


def parse_auth(text: str | None, source: str = "--auth") -> tuple[str, str] | None:
    """User name and password from USER:PASSWORD; None where nothing is given.

    source: where it was given, for the error

    Raises SettingsError, which never quotes it: it may end in a log.
    """
    if text is None:
        return None
    user, colon, password = text.partition(":")
    if not user.strip() or not colon or not password:
        raise SettingsError("is not of the form USER:PASSWORD, both with at least one character", source)
    return user, password


def auth_from_environment(environment: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """User name and password by SMOLREEL_AUTH; None where it is empty or not set."""
    found = os.environ if environment is None else environment
    return parse_auth(found.get(AUTH_VARIABLE) or None, AUTH_VARIABLE)


def _out_of_bounds(text: str, metadata: Mapping[str, Any], whole: bool, name: str) -> SettingsError:
    kind = "a whole number" if whole else "a number"
    return SettingsError(f"{text!r} is not {kind} from {metadata['low']:g} to {metadata['high']:g}", name)
