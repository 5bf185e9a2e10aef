"""reel.srt and reel.vtt: the reel's words beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.placing import Cue, cues
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken

# SubRip has no escapes: a character that isn't seen keeps what looks like markup from being taken for it.
_UNSEEN = "\u200b"


def export_srt(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.srt. Raises OutputError."""
    return _export(material, cancel, "reel.srt", srt_text)


def export_vtt(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.vtt. Raises OutputError."""
    return _export(material, cancel, "reel.vtt", vtt_text)


def _export(material: Material, cancel: CancelToken, name: str, text_of: Callable[[Sequence[Cue]], str]) -> list[Path]:
    cancel.check()
    path = material.folder / name
    write_whole(path, text_of(cues(material.captions, material.reel.placed)).encode())
    return [path]


def srt_text(shown: Sequence[Cue]) -> str:
    """Cues as SubRip; an empty file where there is none."""
    return "\n".join(f"{number}\n{_time(cue.start_ms, ',')} --> {_time(cue.end_ms, ',')}\n"
                     + "".join(f"{_srt_line(line)}\n" for line in cue.lines)
                     for number, cue in enumerate(shown, start=1))


def vtt_text(shown: Sequence[Cue]) -> str:
    """Cues as WebVTT (W3C)."""
    return "WEBVTT\n" + "".join(f"\n{_time(cue.start_ms, '.')} --> {_time(cue.end_ms, '.')}\n"
                                + "".join(f"{_vtt_line(line)}\n" for line in cue.lines) for cue in shown)


def _srt_line(line: str) -> str:
    """A line without a time, a tag, an entity, a style override or a number alone in it; it reads as it did."""
    line = line.replace("-->", f"--{_UNSEEN}>").replace("<", f"<{_UNSEEN}").replace("{\\", f"{{{_UNSEEN}\\")
    line = re.sub(r"(\d:\d+:\d+)(?=[.,]\d)", rf"\1{_UNSEEN}", line)
    line = re.sub(r"&(?=#?\w+;)", f"&{_UNSEEN}", line)
    return f"{line}{_UNSEEN}" if line.isdecimal() else line


def _vtt_line(line: str) -> str:
    """A line with what WebVTT gives a meaning to written as entities; `-->` goes with its bracket."""
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(milliseconds: int, point: str) -> str:
    """A time as both formats have it, with hours."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{rest:03d}"
