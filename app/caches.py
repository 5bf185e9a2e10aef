"""One limit for the caches of all visitors: what those left who made nothing for longest goes first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from pipeline import OutputError
from pipeline.keeping import entries, evict


class Caches:
    """The visitors' caches, by their folders.

    most_bytes: that all of them may hold together
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._used_at: dict[Path, float] = {}
        self._sizes: dict[Path, int] = {}

    def use(self, root: Path) -> None:
        """A visitor's cache is wanted now, and may grow."""
        with self._lock:
            self._used_at[root] = time.monotonic()
            self._sizes.pop(root, None)

    def forget(self, root: Path) -> None:
        """A visitor's cache is deleted."""
        with self._lock:
            self._used_at.pop(root, None)
            self._sizes.pop(root, None)

    def bound(self, in_use: Callable[[], Collection[Path]]) -> None:
        """Take away from caches that nobody uses what is too much, from those first that were used longest ago.

        in_use: the caches of visitors who have a run that waits or is at work; asked again before each is touched
        """
        with self._lock:
            roots = sorted(self._used_at, key=lambda root: self._used_at[root])
            sizes = dict(self._sizes)
        for root in roots:
            if root not in sizes:
                # What is being written is measured again next time.
                sizes[root] = self._measured(root, settled=root not in in_use())
        excess = sum(sizes.values()) - self._most_bytes
        for root in roots:
            if excess <= 0:
                break
            if sizes[root] and root not in in_use():
                # A run that begins meanwhile is safe all the same: what it uses is not taken away.
                with contextlib.suppress(OutputError, OSError):
                    excess -= evict(root, max(0, sizes[root] - excess)).size_bytes
                with self._lock:
                    self._sizes.pop(root, None)

    def _measured(self, root: Path, settled: bool) -> int:
        """Bytes that a cache holds."""
        with self._lock:
            used_at = self._used_at.get(root)
        size = sum(entry.size_bytes for entry in entries(root))
        with self._lock:
            if settled and used_at is not None and self._used_at.get(root) == used_at:
                self._sizes[root] = size
        return size
