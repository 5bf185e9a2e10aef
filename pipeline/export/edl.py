"""reel.edl: a CMX3600 edit decision list, which every editing and grading program reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.timecode import to_timecode
from pipeline.export.timeline import Cut, Timeline, timeline_of
from pipeline.export.words import one_line, shortened, to_ascii
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken

FILE_NAME = "reel.edl"
# CMX3600 counts events with three digits.
_MOST_EVENTS = 999
_NAME_LENGTH = 60


def export_edl(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.edl. Raises InputError, OutputError."""
    cancel.check()
    path = material.folder / FILE_NAME
    write_whole(path, edl_text(timeline_of(material)).encode())
    return [path]


def edl_text(timeline: Timeline) -> str:
    """The list, with CRLF line ends as the format's own machines wrote them.

    In- and out-points count from the source's start timecode, record times from 01:00:00:00. Reel names are "AX", the
    trade's word for "not from a tape"; which file is meant stands in the comments. All is ASCII but for a file name
    that is not: a program can link the file only by the name that it has.
    """
    name = to_ascii(one_line(timeline.video.path.stem)) or "reel"
    lines = [f"TITLE: {shortened_ascii(name)}", f"FCM: {'DROP FRAME' if timeline.drop else 'NON-DROP FRAME'}", ""]
    for number, cut in enumerate(timeline.cuts[:_MOST_EVENTS], start=1):
        lines += _event(timeline, cut, number)
    return "\r\n".join(lines) + "\r\n"


def _event(timeline: Timeline, cut: Cut, number: int) -> list[str]:
    """A cut of picture and, where there is any, sound, with its comments."""
    channels = {0: "V", 1: "B"}.get(timeline.channels, "AA/V")
    times = (timeline.source_start + cut.source_in, timeline.source_start + cut.source_out,
             timeline.start + cut.record_in, timeline.start + cut.record_out)
    codes = " ".join(to_timecode(frames, timeline.rate, timeline.drop) for frames in times)
    clip_name = shortened_ascii(to_ascii(cut.name)) or f"Clip {number}"
    return [f"{number:03d}  AX       {channels:<5} C        {codes}", f"* FROM CLIP NAME: {clip_name}",
            f"* SOURCE FILE: {one_line(timeline.video.path.name)}", ""]


def shortened_ascii(text: str) -> str:
    """A text short enough for a line, in ASCII to its last character."""
    return to_ascii(shortened(text, _NAME_LENGTH))
