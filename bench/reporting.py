"""What the scripts of this folder share: tables, medians of runs by turns, straight lines, facts of the machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("av", "scenedetect", "torch", "transformers", "numpy", "opencv-python")


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through points.

    slope, start: y = start + slope * x
    r2: share of y's variance that it explains; 1 where y doesn't vary
    """

    slope: float
    start: float
    r2: float


def table(rows: Sequence[Sequence[str]], words: Collection[int] = (0,)) -> str:
    """Lines with columns that stand under one another.

    rows: cells, the heading's first; a row may be shorter than others
    words: columns that begin at the left; all others are figures and end at the right
    """
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines = []
    for row in rows:
        cells = [cell.ljust(widths[i]) if i in words else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def by_turns(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds that each way took, round after round; by turns, so that what else the machine does meets all alike."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            began = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - began)
    return found


def paired_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Median of first / second over the rounds in which both were measured. Raises ValueError where they don't pair."""
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} runs are no pairs")
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def straight(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """The line of least squares. Raises ValueError where there is none: fewer than two different x."""
    if len(xs) != len(ys) or len(set(xs)) < 2:
        raise ValueError("a line needs two different places at least, and a value at each")
    slope, start = statistics.linear_regression(xs, ys)
    mean = statistics.fmean(ys)
    total = sum((y - mean) ** 2 for y in ys)
    rest = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    return Line(slope, start, 1 - rest / total if total > 0 else 1.0)


def verdict(value: float, bar: float) -> str:
    """How a figure compares with the most that it may be."""
    return f"at most {bar:g}: {'kept' if value <= bar else 'NOT KEPT'}"


def peak_mb(who: int = resource.RUSAGE_SELF) -> float:
    """Peak of resident memory in MB, of this process or of the largest of its children that have ended."""
    peak = resource.getrusage(who).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def machine() -> list[tuple[str, str]]:
    """What this machine is: nothing that tells which one, or whose."""
    memory = ""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [("system", f"{platform.system()} {platform.machine()}"), ("processor", _processor()),
            ("cores", str(cores)), ("memory", memory or "unknown")]


def _processor() -> str:
    """The processor's model, as Linux tells it; elsewhere what Python knows."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def versions(ffmpeg: str) -> list[tuple[str, str]]:
    """Versions of what figures rest on.

    ffmpeg: that program's
    """
    found = [("Python", platform.python_version()), ("ffmpeg", ffmpeg)]
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            found.append((name, "not installed"))
    return found
