"""The first look at a video beside its scan: when there is something to see, what it costs, and how good the guess is.

    python -m bench.glance                       # ten minutes of generated 720p video
    python -m bench.glance --video match.mp4 --runs 1

By turns, in one run, each with decoders that wait for work:

  scan      the scan alone
  beside    the scan with the first look beside it, as the page has both done

A mark is right where a scene of the scan begins within a second of it, and one between two pictures that are further
apart wherever one begins between those.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from bench.reporting import by_turns, paired_ratio, table
from bench.whole import run
from pipeline import Settings
from pipeline.cache import load_scan
from pipeline.progress import CancelToken, silent
from pipeline.sandbox import glance, scan
from pipeline.types import Glance, VideoInfo

SIDE = 176
WITHIN_S = 1.0


def right(seen: Glance, starts_s: Sequence[float]) -> int:
    """How many marks are right."""
    found = 0
    for mark_s in seen.marks_s:
        before_s = max((at_s for at_s in seen.times_s if at_s < mark_s), default=0.0)
        after_s = min((at_s for at_s in seen.times_s if at_s >= mark_s), default=mark_s)
        low_s, high_s = min(before_s, mark_s - WITHIN_S), max(after_s, mark_s + WITHIN_S)
        found += any(low_s <= start_s <= high_s for start_s in starts_s)
    return found


def measured(video: VideoInfo, rounds: int) -> str:
    """What there is to say."""
    settings, waits = Settings(), list[float]()
    seen, starts_s = list[Glance](), list[float]()

    def scanned() -> None:
        with tempfile.TemporaryDirectory() as folder:
            scan(video, settings, Path(folder), silent, CancelToken())
            starts_s[:] = [scene.start_s for scene in load_scan(Path(folder)).scenes[1:]]

    def look() -> None:
        began = time.perf_counter()
        seen[:] = [glance(video, SIDE, settings.limits, CancelToken())]
        waits.append(time.perf_counter() - began)

    def beside() -> None:
        looking = threading.Thread(target=look)
        looking.start()
        scanned()
        looking.join()

    # The first of all starts both decoders.
    beside()
    waits.clear()
    seconds = by_turns({"scan": scanned, "beside": beside}, rounds)
    rows = [["way", "seconds", "it / scan"]]
    rows += [[way, f"{statistics.median(taken):.2f}", f"{paired_ratio(taken, seconds['scan']):.3f} x"]
             for way, taken in seconds.items()]
    marks = len(seen[0].marks_s)
    return (f"{table(rows)}\n{len(seen[0].pictures)} pictures after {statistics.median(waits):.2f} s, beside the scan; "
            f"{right(seen[0], starts_s)} of {marks} marks are right, of {len(starts_s) + 1} scenes")


if __name__ == "__main__":
    sys.exit(run(__doc__, measured))
