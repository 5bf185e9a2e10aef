"""Writing files so that they are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import unicodedata
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import OutputError

_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# What file systems hold, in bytes.
_LONGEST_NAME = 255


def folder_name(video: Path, taken: Collection[str] = (), *, windows: bool = sys.platform == "win32") -> str:
    """What a video's folder of results is called: its name without the ending, numbered where that is taken.

    taken: names of folders beside it; those that differ in case or accents' spelling alone are one on many disks
    windows: whether Windows' rules hold: names end in no dot or blank, and those of devices are none

    Always one folder's name: a video called "...mp4" would otherwise have its reel a folder up.
    """
    stem = video.stem
    if windows:
        stem = stem.rstrip(". ")
        stem = f"_{stem}" if _DEVICES.match(stem) else stem
    if not stem.strip("."):
        stem = "video"
    known = {_alike(name) for name in taken}
    name, number = stem, 1
    while _alike(name) in known:
        number += 1
        name = f"{_cut(stem, _LONGEST_NAME - len(str(number)) - 1)}-{number}"
    return name


def _cut(text: str, most: int) -> str:
    """As much of a text as so many bytes of UTF-8 hold."""
    while len(text.encode(errors="surrogatepass")) > most:
        text = text[:-1]
    return text


def _alike(name: str) -> str:
    """The same for names that a disk may hold to be the same."""
    return unicodedata.normalize("NFC", name).casefold()


def users_path(text: str) -> Path:
    """A path as a person writes it, with ~ for a home folder; one of a person that isn't known is taken as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def disk_error(error: OSError, where: Path | str) -> OutputError:
    """What to tell a person whose results can't be written to `where`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("the disk is full; free some space or choose another folder", str(where))
    return OutputError(f"can't be written to ({error.strerror or error}); choose another folder", str(where))


def check_writable(folder: Path, subject: str) -> None:
    """Make `folder` and try to write in it, so that a long run doesn't end at a closed door.

    Raises OutputError.
    """
    trial = folder / f".smolreel-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise disk_error(error, subject) from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its name when the block ends well and is gone when it doesn't.

    Its own name is short, since the target's may be as long as the file system allows. Raises OutputError where the
    disk is at fault.
    """
    part = path.parent / f".smolreel-{uuid.uuid4().hex[:8]}.part"
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, then rename, so that nobody ever sees half of it. Raises OutputError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(error, path) from error
