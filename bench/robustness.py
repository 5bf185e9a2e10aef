"""What becomes of damaged and hostile files: thousands of mutations of small videos, each measured, scanned, rendered.

    python -m bench.robustness ../shared/media             # 2,000 mutations of the small files in a folder
    python -m bench.robustness FOLDER --count 200 --seed 7 --keep bad

Mutations are bit flips (anywhere, or in headers alone), truncations (an end or a middle that is missing), and surgery:
boxes of an MP4 are left out, doubled, swapped, renamed, given other sizes or other numbers; of other files, stretches.
Each goes through probe and scan as in a run, and where it can be read, a reel of two short clips is made of it, in a
process beside that has a minute for it. The same seed makes the same files.

  reel       a reel came out
  refused    one line told what is wrong with the file, before anything was rendered
  unmade     one line told why no reel can be made of what could be scanned
  contained  of those refused: the decoder crashed, hung or took too much memory, and its caller went on
  fault      an error that is not of ours came up; nobody could make anything of it
  crash, hang, left   the process beside died, was not done in time, or left files behind

The exit status is 1 where there are faults, crashes, hangs or files left.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.media.process import PythonChild

MODULE = "bench.robustness_child"
LIMIT_S = 60.0
LARGEST_BYTES = 350_000
CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"edts", b"udta", b"moof", b"traf",
                        b"mvex"})
OUTCOMES = ("reel", "refused", "unmade", "contained", "fault", "crash", "hang", "left")
BAD = ("fault", "crash", "hang", "left")
# Numbers that programs trip over.
_ODD = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0)


@dataclass(frozen=True, slots=True)
class Box:
    """Where an MP4's box lies: bytes [start, end) of the file, and its name."""

    start: int
    end: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one mutation.

    number: which one, of this seed
    source: name of the file that was mutated
    kind: how
    outcome: one of OUTCOMES
    said: the line that was told, or what is known of the mishap
    """

    number: int
    source: str
    kind: str
    outcome: str
    said: str


def boxes(data: bytes, start: int = 0, end: int | None = None) -> list[Box]:
    """All boxes of an MP4, those in others after them; what makes no sense ends the list."""
    found: list[Box] = []
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end or not name.isalnum():
            break
        found.append(Box(start, start + size, name))
        if name in CONTAINERS:
            found += boxes(data, start + 8, start + size)
        start += size
    return found


def flip(data: bytes, rng: random.Random) -> bytes:
    """Up to 64 bits turned, anywhere."""
    return _flipped(data, [rng.randrange(len(data)) for _ in range(rng.randint(1, 64))], rng)


def flip_headers(data: bytes, rng: random.Random) -> bytes:
    """Up to 16 bits turned in what describes the rest: the smaller boxes of an MP4, the first kilobytes else."""
    places = [range(box.start, box.end) for box in boxes(data) if box.name not in (*CONTAINERS, b"mdat")]
    places = places or [range(min(len(data), 4096))]
    return _flipped(data, [rng.choice(rng.choice(places)) for _ in range(rng.randint(1, 16))], rng)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """The end missing, or a middle."""
    first, second = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:max(1, first)] if rng.random() < 0.5 else data[:first] + data[second:] or data[:1]


def operate(data: bytes, rng: random.Random) -> bytes:
    """One to three operations on boxes, or on stretches where there are none."""
    for _ in range(rng.randint(1, 3)):
        found = boxes(data)
        data = (_on_box(data, rng.choice(found), rng.choice(found), rng) if len(found) > 2
                else _on_stretch(data, rng)) or data[:1]
    return data


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits": flip, "header bits": flip_headers, "truncation": truncate, "surgery": operate}


def mutation(sources: Sequence[Path], seed: int, number: int) -> tuple[Path, str, bytes]:
    """The file that is mutated, how, and what comes of it: the same for the same seed and number."""
    rng = random.Random(f"{seed}/{number}")
    source = sources[number % len(sources)]
    kind = rng.choice(list(MUTATIONS))
    return source, kind, MUTATIONS[kind](source.read_bytes(), rng)


def _flipped(data: bytes, places: Sequence[int], rng: random.Random) -> bytes:
    out = bytearray(data)
    for place in places:
        out[place] ^= 1 << rng.randrange(8)
    return bytes(out)


def _on_box(data: bytes, box: Box, other: Box, rng: random.Random) -> bytes:
    """One operation on a box."""
    whole = data[box.start:box.end]
    match rng.randrange(7):
        case 0:
            return data[:box.start] + data[box.end:]
        case 1:
            return data[:box.end] + whole + data[box.end:]
        case 2:
            return data[:other.start] + whole + data[other.end:]
        case 3:
            return data[:box.start + 4] + other.name + data[box.start + 8:]
        case 4:
            size = rng.choice((*_ODD, len(whole) - 1, len(whole) + 1, len(whole) * 2))
            return data[:box.start] + struct.pack(">I", size & 0xFFFFFFFF) + data[box.start + 4:]
        case 5:
            return data[:box.start + 8] + bytes(box.end - box.start - 8) + data[box.end:]
        case _:
            # Counts, sizes and times stand on whole numbers of bytes from the box's start.
            at = box.start + 8 + rng.randrange(max(1, (box.end - box.start - 8) // 4)) * 4
            return data[:at] + struct.pack(">I", rng.choice(_ODD)) + data[at + 4:]


def _on_stretch(data: bytes, rng: random.Random) -> bytes:
    """A stretch left out, doubled, moved, blanked, or an odd number written somewhere."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 4, 16, 188, 1024, 16_384)))
    at = rng.randrange(len(data))
    match rng.randrange(5):
        case 0:
            return data[:start] + data[end:]
        case 1:
            return data[:end] + data[start:end] + data[end:]
        case 2:
            return data[:at] + data[start:end] + data[at:]
        case 3:
            return data[:start] + bytes(end - start) + data[end:]
        case _:
            return data[:at] + struct.pack(">I", rng.choice(_ODD)) + data[at + 4:]


class Bench:
    """Tries mutations in processes beside, several at once."""

    def __init__(self, sources: Sequence[Path], seed: int, folder: Path, keep: Path | None, limit_s: float) -> None:
        self._sources, self._seed, self._folder = sources, seed, folder
        self._keep, self._limit_s = keep, limit_s

    def run(self, numbers: Sequence[int], jobs: int, tell: Callable[[Tried], object]) -> list[Tried]:
        """Try them; `tell` is called from several threads, one at a time."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in numbers:
            waiting.put(number)
        done: list[Tried] = []
        lock = threading.Lock()

        def work(place: Path) -> None:
            child: PythonChild | None = None
            try:
                while True:
                    try:
                        number = waiting.get_nowait()
                    except queue.Empty:
                        return
                    child, tried = self._try(child or PythonChild(MODULE), number, place)
                    with lock:
                        done.append(tried)
                        tell(tried)
            finally:
                if child is not None:
                    child.close()

        threads = [threading.Thread(target=work, args=(self._folder / str(k),)) for k in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(done, key=lambda tried: tried.number)

    def _try(self, child: PythonChild, number: int, place: Path) -> tuple[PythonChild | None, Tried]:
        """Try one; the child is None where it is no more."""
        source, kind, data = mutation(self._sources, self._seed, number)
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"m{number}{source.suffix}"
        path.write_bytes(data)
        child.send(json.dumps({"path": str(path), "folder": str(place / "out")}).encode())
        deadline = time.monotonic() + self._limit_s
        outcome, said = "hang", f"not done after {self._limit_s:g} s"
        try:
            line = child.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            if line is None:
                outcome, said = "crash", f"ended with status {child.status}; {child.tail[-500:]}"
            else:
                outcome, said = json.loads(line)
        except queue.Empty:
            pass
        if outcome in BAD and self._keep is not None:
            self._keep.mkdir(parents=True, exist_ok=True)
            (self._keep / path.name).write_bytes(data)
        path.unlink()
        tried = Tried(number, source.name, kind, outcome, said)
        if outcome in ("crash", "hang"):
            child.close()
            return None, tried
        return child, tried


def table(tried: Sequence[Tried]) -> str:
    """How often each outcome came of each kind of mutation."""
    counts = Counter((each.kind, each.outcome) for each in tried)
    rows = [["mutation", "files", *OUTCOMES]]
    for kind in MUTATIONS:
        files = sum(each.kind == kind for each in tried)
        rows.append([kind, f"{files:,}", *(f"{counts[kind, outcome]:,}" for outcome in OUTCOMES)])
    totals = Counter(each.outcome for each in tried)
    rows.append(["all", f"{len(tried):,}", *(f"{totals[outcome]:,}" for outcome in OUTCOMES)])
    return "\n".join(f"{row[0]:<12}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def small_files(folder: Path) -> list[Path]:
    """Videos in a folder and those in it that are small enough to be tried often."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".md", ".txt")
                  and 0 < path.stat().st_size <= LARGEST_BYTES)


def main() -> int:
    """Prints what went wrong as it comes, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000, help="mutations, 1 or more")
    parser.add_argument("--first", type=int, default=0, help="number of the first one: to try one again")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="files tried at once")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that one file may take")
    parser.add_argument("--keep", type=Path, help="folder that takes the files that went wrong")
    options = parser.parse_args()
    sources = small_files(options.folder)
    if not sources or options.count < 1 or options.jobs < 1:
        parser.error(f"{options.folder}: nothing to try; name a folder with videos of at most {LARGEST_BYTES:,} bytes, "
                     "and a count above 0")
    began = time.perf_counter()

    def tell(tried: Tried) -> None:
        if tried.outcome in (*BAD, "contained"):
            print(f"{tried.outcome}: {tried.kind} number {tried.number} of {tried.source}: {tried.said}", flush=True)

    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        bench = Bench(sources, options.seed, Path(folder), options.keep, options.limit)
        tried = bench.run(range(options.first, options.first + options.count), options.jobs, tell)
    print(f"{len(sources)} files, {len(tried):,} mutations, seed {options.seed}, {time.perf_counter() - began:.0f} s\n")
    print(table(tried))
    return 1 if any(each.outcome in BAD for each in tried) else 0


if __name__ == "__main__":
    sys.exit(main())
