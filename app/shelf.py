"""What finished runs and their corrections are made of: what was used last is in memory, the rest in files.

A run's analysis, drafts and plans are megabytes where its video is long, and hardly anybody looks at a reel again once
they have taken it home.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import pickle
import threading
from collections import OrderedDict
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from pipeline import OutputError
from pipeline.media.files import write_whole

# What those who are at the page at the same time look at and correct.
_MOST_NEAR = 8
_OURS = ("app", "pipeline")
_PATHS = {"Path", "PosixPath", "WindowsPath"}
# What NumPy's arrays are read by; its modules have moved from core to _core.
_ARRAYS = {(f"numpy{core}.{module}", name) for core in (".core", "._core")
           for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))}
_ARRAYS |= {("numpy", "ndarray"), ("numpy", "dtype")}


class Shelf:
    """Values by the files that they go to, in folders that only this user may enter.

    most: values that stay in memory, 1 or more
    """

    def __init__(self, most: int = _MOST_NEAR) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._near: OrderedDict[Path, Any] = OrderedDict()
        self._unwritten: set[Path] = set()

    def put(self, path: Path, value: Any) -> None:
        """Keep a value, which goes to `path` once others are used more."""
        with self._lock:
            self._near[path] = value
            self._near.move_to_end(path)
            self._unwritten.add(path)
            self._put_away()

    def get(self, path: Path) -> Any:
        """The value; None where there is none (any more)."""
        with self._lock:
            if path not in self._near:
                value = _read(path)
                if value is None:
                    return None
                self._near[path] = value
            self._near.move_to_end(path)
            self._put_away()
            return self._near[path]

    def forget(self, folder: Path) -> None:
        """Let go of all that belongs into a folder, which is about to be deleted."""
        with self._lock:
            for path in [path for path in self._near if path.is_relative_to(folder)]:
                del self._near[path]
                self._unwritten.discard(path)

    def _put_away(self) -> None:
        """Take from memory what was used longest ago; where the disk is full, it stays."""
        for path in list(self._near)[:max(0, len(self._near) - self._most)]:
            if path in self._unwritten and path.parent.is_dir():
                try:
                    write_whole(path, pickle.dumps(self._near[path], protocol=5))
                except OutputError:
                    continue
            del self._near[path]
            self._unwritten.discard(path)


class _Reader(pickle.Unpickler):
    """Reads data alone: dataclasses of ours, paths and arrays. A file that names anything else runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in a file stands for. Raises UnpicklingError."""
        if (module, name) in _ARRAYS or (module.split(".")[0] == "pathlib" and name in _PATHS):
            return getattr(pathlib, name) if name in _PATHS else super().find_class(module, name)
        if module.split(".")[0] in _OURS and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no data")


def _read(path: Path) -> Any:
    """A value from its file; None where that is gone or no such file."""
    with contextlib.suppress(OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError,
                             TypeError, ValueError, KeyError):
        return _Reader(io.BytesIO(path.read_bytes())).load()
    return None
