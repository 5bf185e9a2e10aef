"""Keeps the cache within its size: what was used longest ago goes first, and never what a run is using.

    <root>/sessions/<id>.lock            held by each run from its first use of the cache to its end
    <root>/<stage>/<key>/                a stage's result; its manifest's time is when it was last used
    <root>/clips/<key>.mov               a clip; its time is when it was last used
    <root>/smolvlm2/<xx>/<key>.npy|json  what a model saw and said, likewise

A run touches what it uses, and what was touched since the oldest run that lives has begun stays. Touching and taking
away pass one gate, the lock of the folder that both are in, so that nothing is taken between being found and being
touched. There is no index: a folder can't disagree with itself, and whatever a person deletes is gone and no more.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.locks import Unlockable, gate, take
from pipeline.media.files import disk_error, remove, sweep, working_folder, write_whole
from pipeline.sealing import MANIFEST

RESULTS = ("scan", "part", "sound", "score", "speech")
CLIPS, SEEN = "clips", "smolvlm2"
PARTS = (*RESULTS, CLIPS, SEEN)
_SESSIONS, _NOTE = "sessions", "size.txt"
# Where a file system has no locks, a run's mark counts for this long.
_LONGEST_RUN_S = 7 * 86_400.0

# How long a look at a cache counts that was no fuller than this.
_LOOK_EVERY_S, _FULL_SHARE = 600.0, 0.5


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be taken away by itself.

    path: a file, or a folder with a manifest
    part: which of PARTS it belongs to
    size_bytes: of all its files
    used_ns: when it was last used, by its file system's clock, in nanoseconds
    """

    path: Path
    part: str
    size_bytes: int
    used_ns: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken away, and what would have been but is in use."""

    entries: int = 0
    size_bytes: int = 0
    in_use: int = 0


@contextmanager
def session(root: Path) -> Iterator[None]:
    """Nothing that is used while the block runs is taken away. What crashed runs left is, as it begins.

    Raises OutputError where the cache can't be written.
    """
    folder = root / _SESSIONS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = None
        while lock is None:
            lock = take(folder / f"{uuid.uuid4().hex}.lock", exact=False)
        # The time of the file system, which need not be this machine's, is what touched files will have.
        os.write(lock.descriptor, str(os.fstat(lock.descriptor).st_mtime_ns).encode())
    except OSError as error:
        raise disk_error(error, root) from error
    try:
        _oldest_ns(root)
        for place in (root, *(root / part for part in PARTS)):
            sweep(place)
        yield
    finally:
        lock.release()


def use(path: Path, mark: Path | None = None) -> bool:
    """Note that an entry is used now, so that it stays; False where it isn't there.

    mark: the file whose time is the entry's; the entry itself where None
    """
    with gate(path.parent):
        try:
            os.utime(mark or path)
        except FileNotFoundError:
            return False
        except OSError:
            # A cache that can only be read is not tidied either.
            return path.exists()
    return True


def entries(root: Path) -> list[Entry]:
    """All that is kept, what was used longest ago first."""
    found = [entry for part in PARTS for entry in _entries_of(root, part)]
    return sorted(found, key=lambda entry: entry.used_ns)


def evict(root: Path, most_bytes: int) -> Taken:
    """Take away what was used longest ago until no more than `most_bytes` are left, or only what is in use."""
    return _take(root, entries(root), most_bytes)


def _take(root: Path, kept: list[Entry], most_bytes: int) -> Taken:
    """`evict`, from what is kept, what was used longest ago first."""
    excess = sum(entry.size_bytes for entry in kept) - most_bytes
    count = freed = in_use = 0
    if excess <= 0:
        return Taken()
    with working_folder(root) as away:
        for entry in kept:
            if freed >= excess:
                break
            with gate(entry.path.parent):
                # Looked at again: it may have been used, or a run begun, while others were taken away.
                used_ns = _used_ns(entry.path)
                if used_ns is None:
                    freed += entry.size_bytes
                elif used_ns >= _oldest_ns(root) or not _moved(entry.path, away / str(count)):
                    in_use += 1
                else:
                    count, freed = count + 1, freed + entry.size_bytes
    return Taken(count, freed, in_use)


def tidy(root: Path, most_bytes: int) -> None:
    """`evict`, after a run. A cache of which little was full a short while ago isn't looked through again: with what a
    model saw of many hours that takes seconds. Raises OutputError where the cache can't be written.
    """
    note = root / _NOTE
    with contextlib.suppress(OSError, ValueError):
        full = int(note.read_text()) > _FULL_SHARE * most_bytes
        if not full and 0 <= time.time() - note.stat().st_mtime < _LOOK_EVERY_S:
            return
    kept = entries(root)
    left_bytes = sum(entry.size_bytes for entry in kept) - _take(root, kept, most_bytes).size_bytes
    write_whole(note, str(left_bytes).encode())


def _moved(path: Path, target: Path) -> bool:
    """Whether an entry could be moved."""
    try:
        path.rename(target)
    except OSError:
        return False
    return True


def _oldest_ns(root: Path) -> float:
    """When the oldest run that lives has begun; infinite where none does. The marks of those that don't are deleted.
    """
    begun = []
    for path in (root / _SESSIONS).glob("*.lock"):
        with contextlib.suppress(OSError):
            started_ns = path.stat().st_mtime_ns
            try:
                lock = take(path)
            except Unlockable:
                if time.time() - started_ns / 1e9 > _LONGEST_RUN_S:
                    remove(path)
                    continue
                lock = None
            if lock is not None:
                lock.release()
                continue
            with contextlib.suppress(OSError, ValueError):
                started_ns = int(path.read_text())
            begun.append(started_ns)
    return min(begun, default=float("inf"))


def _used_ns(path: Path) -> int | None:
    """When an entry was last used; None where it is gone."""
    for place in (path / MANIFEST, path):
        with contextlib.suppress(OSError):
            return place.stat().st_mtime_ns
    return None


def _entries_of(root: Path, part: str) -> Iterator[Entry]:
    """What is kept of one part."""
    for found in _shown(root / part):
        path = Path(found.path)
        with contextlib.suppress(OSError):
            if not found.is_dir(follow_symlinks=False):
                facts = found.stat(follow_symlinks=False)
                yield Entry(path, part, facts.st_size, facts.st_mtime_ns)
            elif part == SEEN:
                for inner in _shown(path):
                    facts = inner.stat(follow_symlinks=False)
                    yield Entry(Path(inner.path), part, facts.st_size, facts.st_mtime_ns)
            else:
                yield Entry(path, part, _size_of(path), _used_ns(path) or 0)


def _shown(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder and isn't temporary; nothing where there is no folder."""
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except OSError:
        return []


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(at, name)).st_size
    return total
