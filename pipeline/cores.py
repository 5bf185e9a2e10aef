"""What this machine has to give, and by how many runs of this process it is shared."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_at_work = 0
_sharers = 1


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores() -> int:
    """Cores for one run: its share of those that this process may use."""
    return max(1, math.ceil(usable_cores() / sharers()))


@contextmanager
def at_work() -> Iterator[None]:
    """A run that others run beside, which shares the cores with them while the block lasts."""
    global _at_work
    with _lock:
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1


def sharers() -> int:
    """Runs that share the cores, at least 1."""
    return max(_sharers, _at_work)


def share_with(runs: int) -> None:
    """Count that many runs as sharing the cores: what a process that works for others was told by them."""
    global _sharers
    _sharers = max(1, runs)


def free_ram_bytes() -> int | None:
    """Memory that a program may still take; None where the system doesn't say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
