"""reel.csv: a row a clip, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.timecode import to_timecode
from pipeline.export.timeline import Timeline, timeline_of
from pipeline.export.words import cell
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken
from pipeline.types import Placed

FILE_NAME = "reel.csv"
COLUMNS = ("number", "source_in_s", "source_out_s", "source_in", "source_out", "reel_in_s", "reel_out_s", "reel_in",
           "reel_out", "score", "description", "reason")


def export_csv(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.csv. Raises InputError, OutputError."""
    cancel.check()
    path = material.folder / FILE_NAME
    text = csv_text(timeline_of(material), material.reel.placed)
    # Excel takes a file without this mark for its own old encoding; plain ASCII needs none and other readers no mark.
    write_whole(path, text.encode() if text.isascii() else text.encode("utf-8-sig"))
    return [path]


def csv_text(timeline: Timeline, placed: Sequence[Placed]) -> str:
    """The table as RFC 4180 has it.

    Source times count from the first shown frame in seconds and from the file's start timecode in timecode, as in the
    EDL; reel times from the reel's start. Frames are those of the source's timeline (see `rates.edit_rate`).
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    rate, drop = timeline.rate, timeline.drop

    def code(frames: int) -> str:
        return to_timecode(frames, rate, drop)

    for number, (cut, place) in enumerate(zip(timeline.cuts, placed, strict=True), start=1):
        clip = cut.clip
        writer.writerow([
            number, f"{clip.start_s:.3f}", f"{clip.end_s:.3f}",
            code(timeline.source_start + cut.source_in), code(timeline.source_start + cut.source_out),
            f"{place.start_s:.3f}", f"{place.end_s:.3f}", code(round(place.start_s * rate)),
            code(round(place.end_s * rate)), "" if clip.score is None else f"{clip.score:.3f}",
            cell(clip.description), cell(clip.reason)])
    return out.getvalue()
