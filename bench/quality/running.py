"""Scores the videos of a folder through the public interface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline import Analysis, InputError, Settings, analyse

ENDINGS = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v")
# The only scorer that reads the query.
READS_QUERY = "smolvlm2"


def videos_in(folder: Path) -> dict[str, Path]:
    """The folder's videos by their names without ending. Raises InputError where it is none, or holds none."""
    if not folder.is_dir():
        raise InputError("is no folder; give the one that holds the data set's videos", str(folder))
    found = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS}
    if not found:
        raise InputError(f"holds no video ({', '.join(ENDINGS)})", str(folder))
    return found


def missing(names: Iterable[str], found: dict[str, Path]) -> list[str]:
    """Names, each once, that no video has."""
    return [name for name in dict.fromkeys(names) if name not in found]


def said(absent: list[str], total: int) -> str:
    """What to tell of videos that are passed over."""
    shown = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
    return f"passed over, since the folder hasn't them: {len(absent)} of {total} videos ({shown})"


class Runner:
    """Analyses videos with one scorer; what doesn't depend on the query is done once a video."""

    def __init__(self, base: Settings) -> None:
        # Each query of a data set is answered somewhere in its video.
        self._base = replace(base, fusion=replace(base.fusion, found_share=0.0))
        self._last: tuple[tuple[Path, str], Analysis] | None = None

    def analysis(self, path: Path, query: str = "") -> Analysis:
        """What is known of a video. Raises SmolReelError."""
        asked = query if self._base.scorer == READS_QUERY else ""
        if self._last is None or self._last[0] != (path, asked):
            self._last = (path, asked), analyse(path, replace(self._base, query=asked or None))
        return self._last[1]
