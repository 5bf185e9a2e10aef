"""Takes a reel to where people work: editors, players, spreadsheets, chats. One module a kind of file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pipeline.errors import Cancelled
from pipeline.export.chapters import export_chapters
from pipeline.export.clips import export_clips
from pipeline.export.edl import export_edl
from pipeline.export.fcpxml import export_fcpxml
from pipeline.export.gif import export_gif
from pipeline.export.material import Material
from pipeline.export.otio import export_otio
from pipeline.export.page import export_page
from pipeline.export.sheet import export_sheet
from pipeline.export.subtitles import export_srt, export_vtt
from pipeline.export.table import export_csv
from pipeline.progress import CancelToken, Progress, Report

__all__ = ["EXPORTERS", "Material", "export"]

Exporter = Callable[[Material, CancelToken], Sequence[Path]]

EXPORTERS: Mapping[str, Exporter] = {
    "clips": export_clips,
    "srt": export_srt,
    "vtt": export_vtt,
    "chapters": export_chapters,
    "csv": export_csv,
    "edl": export_edl,
    "fcpxml": export_fcpxml,
    "otio": export_otio,
    "contact-sheet": export_sheet,
    "gif": export_gif,
    "html": export_page,
}


def export_here(name: str, material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write one kind of file in this process."""
    return EXPORTERS[name](material, cancel)


def export(names: Sequence[str], material: Material, report: Report, cancel: CancelToken,
           write: Callable[[str, Material, CancelToken], Sequence[Path]] = export_here) -> tuple[Path, ...]:
    """Write the files that `names` ask for (see `settings.EXPORTS`) beside the reel.

    write: writes one kind

    Each appears under its final name only when it is whole. Raises OutputError, FFmpegError, Cancelled; of the
    latter, no file that was written is left.
    """
    written: list[Path] = []
    try:
        for number, name in enumerate(names):
            cancel.check()
            report(Progress("export", number / len(names), f"writing {name}"))
            written += write(name, material, cancel)
    except Cancelled:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    if names:
        report(Progress("export", 1.0, "exported"))
    return tuple(written)
