"""Folders that several machines see: paths, and whatever fsspec has an address for (s3://, gs://, hf://, memory:// …).

This is the one seam to fsspec: its errors, and those of the stores behind it, become ours here, and a store that stalls
is an error too, since nothing else would ever say so.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pipeline.errors import Cancelled, InputError, OutputError, SmolReelError
from pipeline.media.files import disk_error
from pipeline.progress import CancelToken
from pipeline.waiting import attend

T = TypeVar("T")

STALL_S = 60.0
# What comes or goes in one piece, without a word meanwhile, may take so many times that.
_ONE_PIECE = 10
TRIES = 3
_CHUNK = 1 << 22
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(::|://)")
# There a file shows under its name only when it is whole; elsewhere it is written under another name, and moved.
_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "hf", "r2"})
# There a file is collected on this machine, and sent when it is closed.
_AT_ONCE = ("hf://",)
# What stores say of a file that changes when its bytes do.
_MARKS = ("ETag", "etag", "md5Hash", "blob_id", "mtime", "LastModified", "last_modified", "created")
# Those that are made of the bytes alone.
_DIGESTS = ("ETag", "md5Hash", "blob_id")
# Errors that another try doesn't mend.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, NotImplementedError)
_AGAIN_S = 0.5


def is_url(text: str) -> bool:
    """Whether `text` is an address rather than a path; "C:/films" is none."""
    return _URL.match(text) is not None


@dataclass(frozen=True, slots=True)
class Found:
    """A file in a folder.

    url: its address, or its path where the folder is one
    name: its place in the folder, with slashes
    size_bytes: its length
    mark: what changes when the file does, as far as the store tells
    digest: the same for files of the same bytes alone; empty where the store tells none
    """

    url: str
    name: str
    size_bytes: int
    mark: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A file or a folder that several machines see.

    url: as it was given: a path or an address
    stall_s: seconds without a byte after which the store counts as stalled
    """

    url: str
    stall_s: float = STALL_S

    @property
    def local(self) -> Path | None:
        """Its path, where it is one (or a file:// address); None elsewhere."""
        if not is_url(self.url):
            return Path(self.url).absolute()
        if self.url.startswith(("file://", "local://")):
            return Path(self.url.split("://", 1)[1]).absolute()
        return None

    @property
    def full(self) -> str:
        """Its absolute path, where it is one; its address elsewhere."""
        local = self.local
        return self.url if local is None else str(local)

    def child(self, *names: str) -> Place:
        """What is called so in it."""
        return Place("/".join([self.url.rstrip("/"), *names]), self.stall_s)

    def files(self, cancel: CancelToken, endings: Sequence[str] = ()) -> list[Found]:
        """All files in the folder and those below, by name; hidden ones are passed over. What is a file is its own.

        endings: of names to keep, in lower case; all where there are none

        Raises InputError, Cancelled.
        """
        def work() -> list[Found]:
            fs, path = self._fs()
            known = fs.find(path, detail=True)
            if not known and not fs.exists(path):
                raise FileNotFoundError(path)
            return [_found(self, path, at, facts) for at, facts in known.items() if facts.get("type") == "file"]

        # A folder's list comes so, however long it is.
        patient = replace(self, stall_s=_ONE_PIECE * self.stall_s)
        found = [one for one in patient._reading(work, cancel)
                 if not any(part.startswith(".") for part in PurePosixPath(one.name).parts)
                 and (not endings or one.name.lower().endswith(tuple(endings)))]
        return sorted(found, key=lambda one: one.name)

    def facts(self, cancel: CancelToken) -> Found | None:
        """What the store says of a file; None where there is none. Raises InputError, Cancelled."""
        def work() -> Found | None:
            fs, path = self._fs()
            try:
                facts = fs.info(path)
            except FileNotFoundError:
                return None
            return _found(self, path, path, facts) if facts.get("type") == "file" else None

        return self._reading(work, cancel)

    def read(self, cancel: CancelToken) -> bytes | None:
        """A small file's bytes; None where there is none. Raises InputError, Cancelled."""
        def work() -> bytes | None:
            fs, path = self._fs()
            try:
                return bytes(fs.cat_file(path))
            except FileNotFoundError:
                return None

        return self._reading(work, cancel)

    def fetch(self, target: Path, cancel: CancelToken, size_bytes: int | None = None) -> Path:
        """Copy a file to `target` on this machine, which must not be there before.

        size_bytes: how long it must be; whatever it is where None

        Raises InputError, OutputError where this machine's disk is at fault, Cancelled; nothing is left then.
        """
        def work(moved: Callable[[int], object]) -> None:
            fs, path = self._fs()
            _check_disk(target, size_bytes or 0)
            with fs.open(path, "rb") as source, target.open("wb") as sink:
                _pour(source, sink, moved)
            got = target.stat().st_size
            if size_bytes is not None and got != size_bytes:
                raise OSError(f"{got} of {size_bytes} bytes came")

        try:
            self._moving(work, cancel, self._unread)
        except BaseException:
            with suppress(OSError):
                target.unlink(missing_ok=True)
            raise
        return target

    def write(self, data: bytes, cancel: CancelToken) -> None:
        """Put a small file, which shows under its name only when it is whole. Raises OutputError, Cancelled."""
        def work(moved: Callable[[int], object]) -> None:
            fs, path = self._fs()
            with _appearing(fs, path) as part:
                fs.pipe_file(part, data)
            moved(len(data))

        self._moving(work, cancel, self._unwritten)

    def put(self, source: Path, cancel: CancelToken) -> None:
        """Put a file of this machine, which shows under its name only when it is whole. Raises OutputError, Cancelled.
        """
        def work(moved: Callable[[int], object]) -> None:
            fs, path = self._fs()
            with _appearing(fs, path) as part, source.open("rb") as file, _sink(fs, part) as sink:
                _pour(file, sink, moved)
            got, wanted = fs.size(path), source.stat().st_size
            if got != wanted:
                raise OSError(f"{got} of {wanted} bytes arrived")

        patient = replace(self, stall_s=_ONE_PIECE * self.stall_s) if self.url.startswith(_AT_ONCE) else self
        patient._moving(work, cancel, self._unwritten)

    def publish(self, folder: Path, cancel: CancelToken, last: str) -> None:
        """Put all files of a folder, `last` after all others: whoever finds that finds the rest whole.

        Raises OutputError, Cancelled.
        """
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        mark = self.child(last)
        # What an earlier run put there must not vouch for a mixture of both.
        mark.delete(cancel)
        for name in sorted(names, key=lambda name: name == last):
            self.child(*name.split("/")).put(folder / name, cancel)

    def delete(self, cancel: CancelToken) -> None:
        """Take a file away, if it is there. Raises OutputError, Cancelled."""
        def work(_: Callable[[int], object]) -> None:
            fs, path = self._fs()
            with suppress(FileNotFoundError):
                fs.rm_file(path)

        self._moving(work, cancel, self._unwritten)

    def check_writable(self, cancel: CancelToken) -> None:
        """Put a file and take it away again, so that a long run doesn't end at a closed door.

        Raises OutputError, Cancelled.
        """
        trial = self.child(f".smolreel-{uuid.uuid4().hex[:12]}.trial")
        try:
            trial.write(b"trial", cancel)
            trial.delete(cancel)
        except OutputError as error:
            raise OutputError(error.message, self.url) from error

    def _fs(self) -> tuple[Any, str]:
        """fsspec's file system for it, and the path there; both are cheap to get again.

        What it remembers of what lies there is forgotten: other machines write there, too.
        """
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        # A path may hold what looks like an address.
        local = self.local
        fs, path = (LocalFileSystem(auto_mkdir=True), str(local)) if local is not None else url_to_fs(self.url)
        fs.invalidate_cache(path)
        return fs, path

    def _reading(self, work: Callable[[], T], cancel: CancelToken) -> T:
        """What `work` returns, tried a few times and never waited for longer than a stall takes."""
        return self._moving(lambda _: work(), cancel, self._unread)

    def _moving(self, work: Callable[[Callable[[int], object]], T], cancel: CancelToken,
                error_of: Callable[[BaseException], SmolReelError]) -> T:
        """What `work` returns, tried a few times; it is given a function to call with the bytes that it has moved."""
        for left in reversed(range(TRIES)):
            try:
                return _watched(work, cancel, self.stall_s)
            except (Cancelled, SmolReelError):
                raise
            except Exception as error:
                # Stores raise what they like: botocore's errors are neither OSErrors nor each other's.
                if not left or isinstance(error, (*_FINAL, _Stalled, ValueError)):
                    raise error_of(error) from error
                attend(lambda stop: stop.wait(_AGAIN_S), lambda: None, cancel)
        raise AssertionError

    def _unread(self, error: BaseException) -> InputError:
        """What to tell a person who can't have what is there."""
        if isinstance(error, FileNotFoundError):
            return InputError("there is no such file or folder; check its address", self.url)
        if isinstance(error, PermissionError):
            return InputError("may not be read; check who may read it, and this machine's credentials", self.url)
        return InputError(f"can't be read ({_said(error)}); {_remedy(error)}", self.url)

    def _unwritten(self, error: BaseException) -> OutputError:
        """What to tell a person whose results can't be put there."""
        if isinstance(error, PermissionError):
            return OutputError("may not be written; check who may write there, and this machine's credentials",
                               self.url)
        return OutputError(f"can't be written ({_said(error)}); {_remedy(error)}", self.url)


class _Stalled(OSError):
    """No byte came for too long."""


class _Watch:
    """When something was last moved."""

    def __init__(self, stall_s: float) -> None:
        self._stall_s, self._at = stall_s, time.monotonic()

    def moved(self, _: int) -> None:
        """Note that bytes were moved."""
        self._at = time.monotonic()

    def check(self) -> None:
        """Raise _Stalled where none were for too long."""
        if time.monotonic() - self._at > self._stall_s:
            raise _Stalled(f"nothing came for {self._stall_s:g} s")


def _watched(work: Callable[[Callable[[int], object]], T], cancel: CancelToken, stall_s: float) -> T:
    """What `work` returns; it is left behind where it stalls or the run is cancelled."""
    watch = _Watch(stall_s)

    def run(stop: Any) -> T:
        def moved(count: int) -> None:
            # Left behind, it must not go on writing into what another try makes.
            if stop.is_set():
                raise _Stalled("left behind")
            watch.moved(count)

        return work(moved)

    return attend(run, watch.check, cancel, leave=True)


def _pour(source: Any, sink: Any, moved: Callable[[int], object]) -> None:
    """Copy all bytes."""
    while chunk := source.read(_CHUNK):
        sink.write(chunk)
        moved(len(chunk))


@contextmanager
def _appearing(fs: Any, path: str) -> Iterator[str]:
    """The path to write to, which is `path` when the block has ended well."""
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    parent = path.rpartition("/")[0]
    if protocols & _WHOLE:
        yield path
        return
    # A name that begins with a dot is passed over by whoever lists the folder.
    part = f"{parent}/.smolreel-{uuid.uuid4().hex[:12]}.part"
    fs.makedirs(parent, exist_ok=True)
    try:
        yield part
        if "file" in protocols:
            os.replace(part, path)
        else:
            fs.mv(part, path)
    except BaseException:
        with suppress(Exception):
            fs.rm_file(part)
        raise


@contextmanager
def _sink(fs: Any, path: str) -> Iterator[Any]:
    """A file to write to; where the block ends early, a store is left without it."""
    from fsspec.spec import AbstractBufferedFile

    sink = fs.open(path, "wb")
    try:
        yield sink
        sink.close()
    except BaseException:
        if isinstance(sink, AbstractBufferedFile):
            with suppress(Exception):
                sink.discard()
            # Closing it would put what it has, under the file's name.
            sink.closed = True
        raise
    finally:
        sink.close()


def _check_disk(target: Path, size_bytes: int) -> None:
    """Raise OutputError where this machine's disk can't take a file: the store is not to blame then."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise disk_error(error, target.parent) from error
    if free <= size_bytes:
        raise OutputError("the disk is full; free some space or choose another folder", str(target.parent))


def _found(place: Place, root: str, at: str, facts: dict[str, Any]) -> Found:
    """What a listing says of a file, which may be the place itself."""
    name = at.rpartition("/")[2] if at == root else at[len(root):].strip("/")
    below = place if at == root else place.child(*name.split("/"))
    return Found(below.full, name, int(facts.get("size") or 0), _first(facts, _MARKS), _first(facts, _DIGESTS))


def _first(facts: dict[str, Any], keys: Sequence[str]) -> str:
    """The first of some facts that there is."""
    return next((str(facts[key]) for key in keys if facts.get(key)), "")


def _said(error: BaseException) -> str:
    """The first line of what an error says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _remedy(error: BaseException) -> str:
    """What to do about it."""
    if isinstance(error, ImportError):
        return "install the package that it names on every machine"
    if isinstance(error, ValueError):
        return "check its address"
    return "check the storage and run the command again: what is done stays done"
