"""Locks between processes: a file that one holds until it lets go, or ends however it does.

The system drops them with the process, so that a lock that is free tells that its owner is gone: no process number
that another may have by now, no clock, and it holds between containers that share a folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Where Windows, whose locks keep others from reading, shall lock: far behind all that is written.
_BYTE = 1 << 30


class Unlockable(OSError):
    """This file system has no locks, as some network shares."""


class Lock:
    """A file that is held; `release` deletes it.

    sure: whether the file system has locks, so that no other holds it
    """

    def __init__(self, path: Path, descriptor: int, sure: bool = True) -> None:
        self.path = path
        self.descriptor = descriptor
        self.sure = sure

    def release(self) -> None:
        """Delete the file, then let go: nobody can hold what is about to vanish."""
        if sys.platform == "win32":
            # What is open can't be deleted there.
            os.close(self.descriptor)
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
            return
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def take(path: Path, *, exact: bool = True) -> Lock | None:
    """Hold the file at `path`, which is made where it isn't there; None where another holds it.

    exact: raise Unlockable where the file system has no locks; else the file alone must do

    Raises OSError where the file can't be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            held = _lock(descriptor)
            if held and _is_at(path, descriptor):
                return Lock(path, descriptor)
        except Unlockable:
            if not exact:
                return Lock(path, descriptor, sure=False)
            os.close(descriptor)
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not held:
            return None
        # The one who held it has deleted it since: begin again with a new one.


@contextmanager
def gate(folder: Path) -> Iterator[None]:
    """Alone among those that pass this folder's gate; for moments only, since others wait.

    It is the folder itself that is locked, so that no file stands around. Where that can't be (Windows, and file
    systems without locks) all pass: on Windows what is open can't be renamed, which guards it as well.
    """
    descriptor = None
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file that is open; False where another has. Raises Unlockable."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            return False
        raise Unlockable(*error.args) from error
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except OSError:
        return False
