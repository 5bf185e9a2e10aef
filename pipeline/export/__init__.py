"""Takes a reel to where people work: editors, players, spreadsheets, chats. One module a kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.export.material import Material
from pipeline.progress import CancelToken, Progress, Report

__all__ = ["EXPORTERS", "Material", "export"]

Exporter = Callable[[Material, CancelToken], Sequence[Path]]

EXPORTERS: Mapping[str, Exporter] = {}


def export(names: Sequence[str], material: Material, report: Report, cancel: CancelToken) -> tuple[Path, ...]:
    """Write the files that `names` ask for (see `settings.EXPORTS`) beside the reel.

    Each appears under its final name only when it is whole. Raises OutputError, FFmpegError, Cancelled.
    """
    written: list[Path] = []
    for number, name in enumerate(names):
        cancel.check()
        report(Progress("export", number / len(names), f"writing {name}"))
        written += EXPORTERS[name](material, cancel)
    if names:
        report(Progress("export", 1.0, "exported"))
    return tuple(written)
