"""Writing files so that they are either whole or not there."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import OutputError


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
