"""What a run costs when one like it was made before: with another length of reel, and with another query.

    python -m bench.again                         # ten minutes of generated 720p video, the tests' tiny model
    python -m bench.again --minutes 2 --runs 1

  first    with nothing in the cache
  target   once more with another length of reel, which is all to be chosen and rendered anew
  query    once more with another query, by a model: it reads its answers anew, from what it saw before

Scans are counted as they are asked for, and pictures as they go into the model's eye, not by what the runs say.
Rendering is copying, here; a reel that is encoded costs what its new clips cost, whatever was found out before.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.render import SAMPLE
from bench.reporting import paired_ratio, table, verdict
from bench.whole import generated_video
from pipeline import Settings, make_reel, runner
from pipeline.scorers.smolvlm2.model import SmolVLM

MODEL = Path(__file__).parent.parent / "tests" / "tiny_smolvlm" / "model"
BAR = 0.03
TARGETS_S = (60.0, 45.0)
QUERIES = ("a red circle", "a green square")


@dataclass(frozen=True, slots=True)
class Run:
    """A whole run.

    seen: how many scans there were, and how many pictures went through the model
    stages: seconds of each
    way: in which the reel was rendered
    """

    seconds: float
    seen: Counter[str]
    stages: dict[str, float]
    way: str


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Counts scans and pictures that the model encodes while the block runs."""
    seen: Counter[str] = Counter()
    scan, features = runner.scan_video, SmolVLM.features

    def scanning(*given: Any) -> None:
        seen["scans"] += 1
        scan(*given)

    def looking(self: SmolVLM, pixels: Any) -> Any:
        seen["pictures"] += len(pixels)
        return features(self, pixels)

    runner.scan_video, SmolVLM.features = scanning, looking  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        runner.scan_video, SmolVLM.features = scan, features  # type: ignore[method-assign]


def run(path: Path, settings: Settings, folder: Path) -> Run:
    """A whole run, measured."""
    with counting() as seen:
        began = time.perf_counter()
        result = make_reel(path, settings, folder / "out")
        return Run(time.perf_counter() - began, seen, result.plan.timings_s, result.reel.way)


def pairs(path: Path, model: str, rounds: int) -> dict[str, list[Run]]:
    """Every kind of run, by name; first runs have a cache of their own each."""
    found: dict[str, list[Run]] = {"first": [], "target": [], "first, model": [], "query": []}
    measuring = Settings(scorer="signals", render="copy", target_s=TARGETS_S[0])
    seeing = measuring.with_given(scorer="smolvlm2", model=model, query=QUERIES[0])
    for _ in range(rounds):
        for settings, names, changed in ((measuring, ("first", "target"), {"target_s": TARGETS_S[1]}),
                                         (seeing, ("first, model", "query"), {"query": QUERIES[1]})):
            with tempfile.TemporaryDirectory() as name:
                kept = settings.with_given(cache_dir=Path(name) / "cache")
                found[names[0]].append(run(path, kept, Path(name)))
                found[names[1]].append(run(path, replace(kept, **changed), Path(name)))
    return found


def report(found: dict[str, list[Run]]) -> str:
    """A row for each kind of run."""
    rows = [["run", "seconds", "of the first", "scan", "score", "select", "render", "reel", "scans",
             "pictures encoded"]]
    seconds = {name: [one.seconds for one in runs] for name, runs in found.items()}
    for name, first in (("first", "first"), ("target", "first"), ("first, model", "first, model"),
                        ("query", "first, model")):
        last = found[name][-1]
        rows.append([name, f"{statistics.median(seconds[name]):.2f}",
                     f"{100 * paired_ratio(seconds[name], seconds[first]):.1f} %",
                     *(f"{last.stages.get(stage, 0.0):.2f}" for stage in ("scan", "score", "select", "render")),
                     last.way, str(last.seen["scans"]), str(last.seen["pictures"])])
    share = paired_ratio(seconds["target"], seconds["first"])
    seen = sum((one.seen for one in found["query"]), Counter[str]())
    return "\n".join([table(rows), f"another length of reel takes {share:.3f} of the first run ({verdict(share, BAR)})",
                      f"another query scans {seen['scans']} times and encodes {seen['pictures']} pictures"
                      f"{'' if not seen.total() else ': NOT KEPT, neither may be'}"])


def main() -> int:
    """Prints the table; 1 where another query decodes the video again, or encodes a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="generated where none is given")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of that")
    parser.add_argument("--model", default=str(MODEL), help="a SmolVLM2's folder or hub id")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or generated_video(Path(folder) / "generated.mp4", options.minutes)
        # What a process does once is no part of a first run: loading torch and the model.
        with tempfile.TemporaryDirectory() as name:
            for scorer in ("signals", "smolvlm2"):
                make_reel(SAMPLE, Settings(scorer=scorer, model=options.model, render="copy", cache=False), name)
        found = pairs(path, options.model, options.runs)
    print(f"{options.video.name if options.video else f'{options.minutes:g} minutes of generated 720p video'}, "
          f"medians of {options.runs}; stages in seconds, of the last run")
    print(report(found))
    return int(any(one.seen.total() for one in found["query"]))


if __name__ == "__main__":
    sys.exit(main())
