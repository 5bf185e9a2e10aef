"""Chapters: set into the reel itself, and as the list that YouTube reads in a description."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.placing import windows
from pipeline.export.words import title
from pipeline.media.files import appearing, working_file, write_whole
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.types import Reel

LIST_NAME = "chapters.txt"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A stretch of the reel, in whole milliseconds, and what it is called."""

    start_ms: int
    end_ms: int
    title: str


def export_chapters(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Set chapters into the reel, whose picture and sound stay as they are to the bit, and write chapters.txt.

    Raises OutputError, FFmpegError, Cancelled; the reel is replaced only by a whole one.
    """
    chapters = chapters_of(material.reel)
    _set_into(material.reel, chapters, material.folder, cancel)
    path = material.folder / LIST_NAME
    write_whole(path, youtube_list(chapters).encode())
    return [path]


def chapters_of(reel: Reel) -> tuple[Chapter, ...]:
    """A chapter a clip. They tile the reel: an opening title belongs to the first, a closing card to the last."""
    shown = windows(reel.placed)
    starts = [0, *(round(1000 * window.start_s) for window in shown[1:])]
    ends = [*starts[1:], round(1000 * reel.duration_s)]
    return tuple(Chapter(start, max(start + 1, end), title(window.clip, number))
                 for number, (window, start, end) in enumerate(zip(shown, starts, ends, strict=True), start=1))


def youtube_list(chapters: Sequence[Chapter]) -> str:
    """A line a chapter, such as "0:08 A goal", the first at 0:00; two that share a second share a line.

    YouTube makes chapters of it only where there are three or more and each is 10 s or longer; otherwise it shows
    the times as links, which lead to the clips all the same.
    """
    lines: dict[str, str] = {}
    for chapter in chapters:
        minutes, second = divmod(chapter.start_ms // 1000, 60)
        hours, minute = divmod(minutes, 60)
        at = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
        lines.setdefault(at, chapter.title)
    return "".join(f"{at} {name}\n" for at, name in lines.items())


def ffmetadata(chapters: Sequence[Chapter]) -> str:
    """The chapters as FFmpeg's metadata format has them."""
    text = ";FFMETADATA1\n"
    for chapter in chapters:
        name = re.sub(r"([=;#\\\n])", r"\\\1", chapter.title)
        text += f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={chapter.start_ms}\nEND={chapter.end_ms}\ntitle={name}\n"
    return text


def _set_into(reel: Reel, chapters: Sequence[Chapter], folder: Path, cancel: CancelToken) -> None:
    """Copy the reel's packets beside it with the chapters in front, then put the copy in its place."""
    with appearing(reel.path) as part, working_file(folder, ".txt") as listing:
        listing.write_text(ffmetadata(chapters), encoding="utf-8")
        run_ffmpeg(["-y", "-protocol_whitelist", "file", "-i", input_url(reel.path),
                    "-protocol_whitelist", "file", "-f", "ffmetadata", "-i", input_url(listing),
                    # Chapters of an earlier run are a track of their own, which isn't taken along.
                    "-map", "0:v", "-map", "0:a?", "-map_metadata", "0", "-map_chapters", "1", "-c", "copy",
                    "-movflags", "+faststart", "-f", "mp4", input_url(part)],
                   cancel=cancel, timeout_s=600 + 2 * reel.duration_s, subject=reel.path.name, output=folder)


