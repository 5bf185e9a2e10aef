"""The kinds of files, and what writes each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
from pipeline.progress import CancelToken

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
