"""A crowd at one served page: everybody sends a video of their own at once, and gets their reel or is told to wait.

    python -m bench.crowd                        # 20 visitors, two minutes
    python -m bench.crowd --visitors 50 --seconds 300

Serves the page, has each visitor upload a video whose length is theirs alone and ask for a reel, again and again until
the time is up. A reel is right where its plan is of the visitor's own video and its file plays for as long as the plan
says. "Full" is a polite refusal. Before, during and after, the server's memory, open files and child processes are
counted, and what its own memory grows by with the runs that it has done; decoders that it keeps for the next visitor
count apart, and go after a minute (`--rest 70` waits for that). Exits with 1 where anybody got a wrong reel, an error
or no answer, or where the server holds on to files or processes when all is done. Linux only: what a process holds is
read from /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from tests.served import Served, children, serving

RIGHT, FULL = "own reel", "told to wait"
_POLITE = ("are waiting already", "reels in the making", "Queue is full")
_SHORTEST_S, _STEP_S = 6.0, 0.2
# Open files and threads that a server may keep for its next visitors.
_SPARE_FILES = 24
# Decoders that have done their work wait a minute for more.
_SPARE_CHILDREN = 2
_ANSWER_S = 600.0
# Reels, and looks, from which a trend can be read.
_FEW = 20


@dataclass(frozen=True, slots=True)
class Held:
    """What the server holds: megabytes of its own and of its children, open files of all, processes below it."""

    own_mb: float
    below_mb: float
    files: int
    children: int


@dataclass(slots=True)
class Crowd:
    """What became of the visitors' wishes.

    outcomes: how many had which
    took_s: seconds that each reel took
    grown: megabytes of the server's own after so many reels, again and again
    """

    ends_at: float
    outcomes: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    grown: list[tuple[int, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: str, took_s: float) -> None:
        """Count one."""
        with self.lock:
            self.outcomes[outcome] += 1
            if outcome == RIGHT:
                self.took_s.append(took_s)


def generated_video(path: Path, seconds: float) -> Path:
    """A small moving picture with a tone."""
    run_ffmpeg(["-y", "-f", "lavfi", "-i", f"testsrc2=size=160x90:rate=10:duration={seconds}", "-f", "lavfi", "-i",
                f"sine=440:duration={seconds}", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-pix_fmt",
                "yuv420p", "-c:a", "aac", input_url(path)], cancel=CancelToken(), timeout_s=60)
    return path


def held_by(pid: int) -> Held:
    """What a process and those below it hold."""
    below = children(pid)
    memory, files = dict.fromkeys((pid, *below), 0.0), 0
    for one in memory:
        try:
            memory[one] = int(Path(f"/proc/{one}/statm").read_text().split()[1]) * 4096 / 1e6
            files += len(list(Path(f"/proc/{one}/fd").iterdir()))
        except OSError:
            # It has ended since.
            continue
    own_mb = memory.pop(pid)
    return Held(own_mb, sum(memory.values()), files, len(below))


def visit(served: Served, film: Path, folder: Path, crowd: Crowd) -> None:
    """Be a visitor until the time is up."""
    from gradio_client import Client, handle_file

    try:
        client = Client(served.url, verbose=False, download_files=folder)
        mine = probe(film).sha256
    except Exception as error:
        crowd.note(f"no page: {_line(error)}", 0.0)
        return
    while time.monotonic() < crowd.ends_at:
        began = time.monotonic()
        try:
            job = client.submit(handle_file(film), target_s=3, scorer="signals", api_name="/reel")
            outcome = judged(*job.result(timeout=_ANSWER_S), mine)
        except Exception as error:
            outcome = FULL if any(words in str(error) for words in _POLITE) else _line(error)
        crowd.note(outcome, time.monotonic() - began)
        if outcome == FULL:
            time.sleep(2)


def judged(reel: str, plan: str, mine: str) -> str:
    """What a visitor got."""
    document: dict[str, Any] = json.loads(Path(plan).read_text())
    if document["video"]["sha256"] != mine:
        return "somebody else's reel"
    planned_s = sum(clip["end_s"] - clip["start_s"] for clip in document["clips"])
    if abs(probe(Path(reel)).duration_s - planned_s) > 0.5:
        return "a reel that is not as planned"
    return RIGHT


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"


def growth_mb(grown: Sequence[tuple[int, float]]) -> float | None:
    """Megabytes by which the server grows with 1,000 reels; None where too few were made to tell.

    The first third is left out: libraries are loaded then, and rooms of the allocator filled for the first time.
    """
    most = grown[-1][0] if grown else 0
    later = np.array([(reels, mb) for reels, mb in grown if 3 * reels >= most])
    if most < _FEW or len(np.unique(later[:, 0])) < _FEW:
        return None
    return float(1000 * np.polyfit(later[:, 0], later[:, 1], 1)[0])


def measure(served: Served, visitors: int, seconds: float, rest_s: float,
            folder: Path) -> tuple[Crowd, list[tuple[str, Held]]]:
    """Let the crowd in, and count what the server holds."""
    films = [generated_video(folder / f"film{i}.mp4", _SHORTEST_S + _STEP_S * i) for i in range(visitors)]
    held = [("before", held_by(served.process.pid))]
    crowd = Crowd(time.monotonic() + seconds)
    threads = [threading.Thread(target=visit, args=(served, film, folder / f"taken{i}", crowd), daemon=True)
               for i, film in enumerate(films)]
    for thread in threads:
        thread.start()
    most = held[0][1]
    while any(thread.is_alive() for thread in threads) and time.monotonic() < crowd.ends_at + _ANSWER_S:
        now = held_by(served.process.pid)
        most = Held(max(most.own_mb, now.own_mb), max(most.below_mb, now.below_mb), max(most.files, now.files),
                    max(most.children, now.children))
        crowd.grown.append((crowd.outcomes[RIGHT], now.own_mb))
        time.sleep(0.2)
    crowd.outcomes["never answered"] += sum(thread.is_alive() for thread in threads)
    time.sleep(rest_s)
    return crowd, [*held, ("most", most), ("after", held_by(served.process.pid))]


def table(crowd: Crowd, held: Sequence[tuple[str, Held]]) -> str:
    """What is printed."""
    lines = [f"{'server':<10}{'memory':>10}{'open files':>12}{'children':>10}{'their memory':>15}"]
    lines += [f"{when:<10}{h.own_mb:>7.0f} MB{h.files:>12}{h.children:>10}{h.below_mb:>12.0f} MB" for when, h in held]
    grown_mb = growth_mb(crowd.grown)
    if grown_mb is not None:
        lines.append(f"grows by {grown_mb:.0f} MB with 1,000 reels")
    lines += ["", *(f"{count:>5}  {outcome}" for outcome, count in crowd.outcomes.most_common() if count)]
    if crowd.took_s:
        took = sorted(crowd.took_s)
        lines.append(f"       a reel took {took[len(took) // 2]:.1f} s with the wait, {took[-1]:.1f} s at most")
    return "\n".join(lines)


def faults(crowd: Crowd, held: Sequence[tuple[str, Held]], log: str) -> list[str]:
    """What must not be."""
    before, after = held[0][1], held[-1][1]
    found = [f"{count} times {outcome}" for outcome, count in crowd.outcomes.items()
             if count and outcome not in (RIGHT, FULL)]
    if not crowd.outcomes[RIGHT]:
        found.append("nobody got a reel")
    if after.children > before.children + _SPARE_CHILDREN:
        found.append(f"{after.children - before.children} child processes stayed")
    if after.files > before.files + _SPARE_FILES:
        found.append(f"{after.files - before.files} files stayed open")
    if "Traceback" in log:
        found.append("the server's log has a traceback")
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120.0, help="for which new wishes are uttered")
    parser.add_argument("--rest", type=float, default=3.0, help="seconds after which is looked at what is still held")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smolreel-crowd-") as name:
        folder = Path(name)
        with serving(folder) as served:
            crowd, held = measure(served, given.visitors, given.seconds, given.rest, folder)
        print(f"{given.visitors} visitors for {given.seconds:g} s\n\n{table(crowd, held)}")
        found = [*faults(crowd, held, served.log),
                 *([f"{len(served.media_left())} files were left behind"] if served.media_left() else [])]
        if "Traceback" in served.log:
            print(f"\n{served.log[-3000:]}", file=sys.stderr)
    print("\n" + ("\n".join(f"FAULT: {fault}" for fault in found) or "everybody was served or told to wait"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
