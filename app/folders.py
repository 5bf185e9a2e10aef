"""Where visitors' files lie: folders of their own under names that nobody can guess, gone when they are let go.

    <root>/<this process>/.lock
    <root>/<this process>/<visitor>/cache/          what their runs share: scans, scores, encoded clips
    <root>/<this process>/<visitor>/<run>/source/   the video
    <root>/<this process>/<visitor>/<run>/<n>/      its n-th reel, with plan and exports
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
import unicodedata
from pathlib import Path

from app.limits import Refused
from pipeline.media.files import disk_error

_LOCK = ".lock"
_LONGEST_NAME = 80
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
# A process that has made its folder may not have locked it yet.
_GRACE_S = 60.0


class Folders:
    """This process's part of the root.

    root: folder for all of them; made if it isn't there
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.home = private_folder(root)
            self._lock = _locked(self.home / _LOCK)
        except OSError as error:
            raise disk_error(error, root) from error
        self._visitors: dict[str, Path] = {}

    def visitor(self, owner: str) -> Path:
        """The visitor's folder. Raises OutputError."""
        if owner not in self._visitors:
            try:
                self._visitors[owner] = private_folder(self.home)
            except OSError as error:
                raise disk_error(error, self._root) from error
        return self._visitors[owner]

    def run(self, owner: str) -> Path:
        """A new folder for a run of the visitor's. Raises OutputError."""
        try:
            return private_folder(self.visitor(owner))
        except OSError as error:
            raise disk_error(error, self._root) from error

    def forget(self, owner: str) -> Path | None:
        """Delete all that there is of a visitor: their folder, as it was called; None where they had none."""
        folder = self._visitors.pop(owner, None)
        if folder is not None:
            remove(folder)
        return folder

    def sweep(self) -> None:
        """Delete what processes left behind that ended without doing so; those that run hold their lock."""
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            if folder != self.home and folder.is_dir() and not folder.is_symlink() and _is_abandoned(folder):
                remove(folder)

    def close(self) -> None:
        """Delete all of this process's folders."""
        with contextlib.suppress(OSError):
            os.close(self._lock)
        remove(self.home)
        self._visitors.clear()


def private_folder(parent: Path) -> Path:
    """A new folder that only this user may enter, under a name that can't be guessed."""
    folder = parent / secrets.token_urlsafe(16).lstrip("-_").ljust(16, "0")
    folder.mkdir(mode=0o700)
    return folder


def remove(folder: Path) -> None:
    """Delete a folder and all in it; what can't be deleted yet is left to the next sweep."""
    shutil.rmtree(folder, ignore_errors=True)


def safe_name(name: str) -> str:
    """A file name without folders, control characters or what any system forbids; close to what the person sees."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    plain = "".join(c if c.isalnum() or c in " ._-()" else "_" for c in last).strip(" .-_")
    stem, dot, ending = plain.rpartition(".")
    if not dot or not stem:
        stem, ending = plain, ""
    ending = ending.encode("ascii", "ignore").decode()[:8]
    # File systems count bytes, and a letter can have four.
    stem = stem.encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip(" .") or "video"
    whole = f"{stem}.{ending}" if ending else stem
    return f"_{whole}" if _RESERVED.match(whole) else whole


def take_over(source: Path, folder: Path, name: str, move: bool) -> Path:
    """Bring a file into `folder` as `name`: moved, or linked where that can be, else copied.

    Raises Refused where it is no file (any more), OutputError where the disk is full or closed to us.
    """
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise Refused("is no file; choose a video", name)
    except OSError as error:
        raise Refused("is not there any more; choose the video again", name) from error
    target = folder / name
    try:
        folder.mkdir(mode=0o700)
        if move:
            shutil.move(source, target)
            return target
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copyfile(source, target)
        return target
    except OSError as error:
        raise disk_error(error, "the folder for videos") from error


def _locked(path: Path) -> int:
    """A file, held until this process ends however it does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _is_abandoned(folder: Path) -> bool:
    """Whether the process that made a folder is gone."""
    lock = folder / _LOCK
    try:
        if not lock.exists():
            return time.time() - folder.stat().st_mtime > _GRACE_S
        if sys.platform == "win32":
            # A file that is open can't be deleted there.
            lock.unlink()
            return True
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
