"""The one door through which a user's file is opened, and where FFmpeg's errors about it become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container

from pipeline.errors import InputError

# Demuxers of real media containers. Playlists, concat scripts, image sequences and devices are left out on purpose:
# they name other files, which a video from a stranger must not make us read.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "live_flv", "kux", "mpegts", "mpeg", "mpegvideo", "asf",
    "asf_o", "ogg", "mxf", "nut", "rm", "ivf", "dv", "h264", "hevc", "vvc", "obu", "av1", "m4v", "wtv", "gxf", "roq",
    "smk", "bink", "swf", "nsv", "vivo", "gif", "apng", "yuv4mpegpipe", "webp",
)

# The same fence for PyAV and for ffmpeg's command line.
INPUT_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
}

_SNIFF_BYTES = 1 << 20


def check_readable(path: Path, subject: str) -> None:
    """Raise InputError where `path` is no file that can be read, before any decoder sees it."""
    try:
        if path.is_dir():
            raise InputError("is a directory; name a video file in it", subject)
        if not path.exists():
            raise InputError("no such file; check the name", subject)
        if not path.is_file():
            raise InputError("is no regular file; copy it to disk first", subject)
        if path.stat().st_size == 0:
            raise InputError("is empty (0 bytes); copy it again", subject)
        with path.open("rb"):
            pass
    except PermissionError as error:
        raise InputError("may not be read; change its permissions", subject) from error
    except (OSError, ValueError) as error:
        raise InputError(f"can't be read ({_reason(error)}); check the name and the disk", subject) from error


@contextmanager
def open_media(path: Path, subject: str) -> Iterator[av.container.InputContainer]:
    """Open a media file for demuxing; every FFmpeg error inside the block that is about the file becomes InputError.

    subject: the file's name as the user gave it, for the message
    """
    check_readable(path, subject)
    try:
        with av.open(str(path.absolute()), options=dict(INPUT_OPTIONS), metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        raise InputError(_why_not(path, error), subject) from error


def _why_not(path: Path, error: av.error.FFmpegError) -> str:
    """What is most likely wrong with a file that FFmpeg refuses, and what to do."""
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space"
    head, tail = _ends(path)
    if b"encv" in head + tail or b"pssh" in head + tail:
        return "is encrypted; SmolReel needs an unprotected copy"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"#EXTM3U", b"ffconcat", b"<?xml", b"[playlist]")):
        return "is a playlist, not a video; give the video file itself"
    if b"\0" not in head[:4096]:
        return "is a text file, not a video, whatever its name says; give a video file"
    return (f"is no video that can be read ({error.strerror or 'unknown format'}); "
            "if a player can open it, save it again as MP4")


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last megabyte, where containers keep their descriptions."""
    with path.open("rb") as file:
        head = file.read(_SNIFF_BYTES)
        file.seek(max(0, path.stat().st_size - _SNIFF_BYTES))
        return head, file.read()


def _reason(error: Exception) -> str:
    """The short text of an OS error."""
    return getattr(error, "strerror", None) or str(error)
