"""Writing files so that they are either whole or not there, and temporary ones that go with their run.

Everything temporary is named `.smolreel-<id>...` and has a lock beside it, `.smolreel-<id>.lock`, that its process
holds. A process that is killed can't delete anything; but its lock is free then, and `sweep` deletes what bears its
name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import sys
import time
import unicodedata
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import Cancelled, OutputError
from pipeline.locks import Lock, take
from pipeline.progress import CancelToken

PREFIX = ".smolreel-"
_LOCK = ".lock"
# How often one looks again whether a lock is free.
_AGAIN_S = 0.1
# A child of a process that was killed may still have made a file after it was swept; nobody holds a lock for that.
_STRAY_S = 3600.0

_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# What file systems hold, in bytes.
_LONGEST_NAME = 255
_CHUNK = 1 << 20


def digest_of(path: Path, cancel: CancelToken) -> str:
    """SHA-256 of a file's bytes, as hex digits. Raises OSError, Cancelled."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            cancel.check()
            digest.update(chunk)
    return digest.hexdigest()


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
    known = {alike(name) for name in taken}
    name, number = stem, 1
    while alike(name) in known:
        number += 1
        name = f"{_cut(stem, _LONGEST_NAME - len(str(number)) - 1)}-{number}"
    return name


def _cut(text: str, most: int) -> str:
    """As much of a text as so many bytes of UTF-8 hold."""
    while len(text.encode(errors="surrogatepass")) > most:
        text = text[:-1]
    return text


def alike(name: str) -> str:
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
    trial = folder / f"{PREFIX}{uuid.uuid4().hex[:8]}.trial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, subject) from error


@contextmanager
def claimed(folder: Path, name: str | None = None, wait: Callable[[], object] | None = None) -> Iterator[Path]:
    """The start of names in `folder` that are this block's alone; what bears them is to be deleted before it ends.

    name: to be used where others shall wait for this block; one that nobody else has where None
    wait: called ten times a second while another block has the name; what it raises is raised

    Raises OSError where the folder can't be written.
    """
    lock: Lock | None = None
    while lock is None:
        stem = folder / f"{PREFIX}{name or uuid.uuid4().hex[:12]}"
        lock = take(_with(stem, _LOCK), exact=False)
        if name is None:
            continue
        if lock is None:
            if wait is not None:
                wait()
            time.sleep(_AGAIN_S)
        elif not lock.sure:
            # Without locks there is no waiting: each makes its own.
            lock.release()
            lock = name = None
    try:
        yield stem
    finally:
        lock.release()


@contextmanager
def appearing(path: Path, beside: Path | None = None) -> Iterator[Path]:
    """A file to write beside `path`, which takes its name when the block ends well and is gone when it doesn't.

    beside: the folder to write in, on the same file system; the file's own where None

    Its own name is short, since the target's may be as long as the file system allows. Raises OutputError where the
    disk is at fault.
    """
    try:
        with claimed(beside or path.parent) as stem:
            part = _with(stem, ".part")
            try:
                yield part
                os.replace(part, path)
            finally:
                with contextlib.suppress(OSError):
                    part.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(error, path) from error


@contextmanager
def put_back(path: Path) -> Iterator[None]:
    """When the block is cancelled, what was at `path` before is there again, be it nothing.

    Where the file system has no hard links, a file that was replaced meanwhile is gone then.
    """
    before, old = _identity(path), None
    with contextlib.ExitStack() as stack:
        if before:
            with contextlib.suppress(OSError):
                name = stack.enter_context(working_file(path.parent, path.suffix))
                os.link(path, name)
                old = name
        try:
            yield
        except Cancelled:
            if _identity(path) != before:
                with contextlib.suppress(OSError):
                    if old:
                        os.replace(old, path)
                    else:
                        path.unlink(missing_ok=True)
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that was put in its place; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns


@contextmanager
def working_file(parent: Path, ending: str) -> Iterator[Path]:
    """The path of a file in `parent` that is gone when the block ends. Raises OSError where none can be made there."""
    with claimed(parent) as stem:
        path = _with(stem, ending)
        try:
            yield path
        finally:
            remove(path)


@contextmanager
def working_folder(parent: Path, name: str | None = None, wait: Callable[[], object] | None = None) -> Iterator[Path]:
    """An empty folder in `parent` that is gone when the block ends, if it hasn't been renamed by then.

    name, wait: as for `claimed`; what was left under that name is deleted first

    Raises OutputError where it can't be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            stem = stack.enter_context(claimed(parent, name, wait))
            folder = _with(stem, ".d")
            remove(folder)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise disk_error(error, parent) from error
        try:
            yield folder
        finally:
            remove(folder)


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, then rename, so that nobody ever sees half of it. Raises OutputError."""
    with appearing(path) as part:
        part.write_bytes(data)


def remove(path: Path) -> None:
    """Delete a file, or a folder and all in it; what can't be deleted stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete what processes left in `folder` that ended without doing so; never what belongs to one that lives."""
    try:
        with os.scandir(folder) as found:
            names = [entry.name for entry in found if entry.name.startswith(PREFIX) and _is_ours(entry)]
    except OSError:
        return
    locks = {name for name in names if name.endswith(_LOCK)}
    for name in locks:
        with contextlib.suppress(OSError):
            if lock := take(folder / name):
                try:
                    for other in names:
                        if other not in locks and _stem(other) == _stem(name):
                            remove(folder / other)
                finally:
                    lock.release()
    for name in names:
        if f"{_stem(name)}{_LOCK}" not in locks:
            with contextlib.suppress(OSError):
                if time.time() - (folder / name).lstat().st_mtime > _STRAY_S:
                    remove(folder / name)


def _stem(name: str) -> str:
    """What all names of one block start with."""
    return name[:len(PREFIX)] + name[len(PREFIX):].partition(".")[0]


def _with(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _is_ours(entry: os.DirEntry[str]) -> bool:
    """Whether this user made it: folders for temporary files are shared with others."""
    try:
        return not hasattr(os, "geteuid") or entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except OSError:
        return False
