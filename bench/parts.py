"""One long video scanned in one go, part by part, and by several workers of a cluster: time, and whether plans agree.

    python -m bench.parts                          # ten minutes of generated 1080p video, parts of 150 s
    python -m bench.parts --video match.mp4 --part 600 --raylets 4

  in one go   the scan of the whole video by one process
  part N      what looking at that part takes a machine that does nothing else; here they take turns
  sound       listening to all of it
  joining     making one scan of them
  raylets     the whole run, reel included, by as many raylets of one CPU each, beside one process's

Where each part has a machine to itself, a scan takes as long as its longest part and joining; what it costs in all is
the sum. Raylets of one machine share its cores, so that theirs is no speed-up: it is here for the plan. Exits with 1
where a plan differs from one process's. Linux only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.render import generated_video
from bench.reporting import table
from pipeline import Plan, Settings, make_reel
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.joining import joined
from pipeline.batch.shared import twice
from pipeline.batch.work import Item
from pipeline.cache import open_cache
from pipeline.plan import FILE_NAME, read_plan
from pipeline.progress import CancelToken, silent
from pipeline.sandbox import divide, probe, scan
from pipeline.splitting import listen_to, look_at, scan_parts
from tests.cluster_support import executions, machines


def timed(do: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def part_by_part(path: Path, part_s: float, folder: Path) -> list[tuple[str, float]]:
    """What each step takes, one after the other."""
    video, settings, cancel = probe(path), Settings(cache_dir=folder / "parts"), CancelToken()
    whole, parted = folder / "whole", folder / "joined"
    for made in (whole, parted):
        made.mkdir()
    # The decoder beside is started before it counts.
    parts = divide(video, part_s, settings.limits, cancel)
    steps = [("in one go", timed(lambda: scan(video, settings, whole, silent, cancel)))]
    with open_cache(settings) as cache:
        for number, part in enumerate(parts, start=1):
            took_s = timed(lambda part=part: look_at(video, part, settings, cache, silent, cancel))  # type: ignore[misc]
            steps.append((f"part {number}", took_s))
        steps.append(("sound", timed(lambda: listen_to(video, settings, cache, silent, cancel))))
        steps.append(("joining", timed(lambda: scan_parts(video, parts, settings, parted, cache, silent, cancel))))
    return steps


def by_raylets(path: Path, part_s: float, raylets: int, folder: Path) -> tuple[Plan, float, str]:
    """The plan, the whole run's time, and what the journal says."""
    item, out = Item(str(path.absolute()), "video", path.name), folder / "by raylets"
    with machines(folder / "machines", raylets) as made, joined(made.address, CancelToken()):
        took_s = timed(lambda: reels_on_cluster([item], str(out), Settings(scorer="signals"),
                                                ClusterSettings(made.address, part_s=part_s)))
    known = executions(str(out / ".stages"))
    looked = [one for one in known if one.stage == "part"]
    said = (f"{len(looked)} parts by {len({one.worker for one in looked})} workers, "
            f"{len(twice(known))} stages done twice")
    return read_plan(out / "video" / FILE_NAME), took_s, said


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="generated where none is given")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the generated video")
    parser.add_argument("--part", type=float, default=150.0, help="length of a part, in seconds")
    parser.add_argument("--raylets", type=int, default=4)
    given = parser.parse_args()
    # Each worker shall use one core, as on a machine of its own.
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="smolreel-parts-") as name:
        folder = Path(name)
        path = given.video or generated_video(folder / "generated.mp4", given.seconds)
        steps = part_by_part(path, given.part, folder)
        whole_s, parts_s = steps[0][1], [took_s for step, took_s in steps if step.startswith("part ")]
        joining_s = steps[-1][1]
        print(table([["step", "seconds"], *([step, f"{took_s:.2f}"] for step, took_s in steps)]))
        print(f"in one go / (longest part + joining): {whole_s / (max(parts_s) + joining_s):.2f} x; "
              f"all steps / in one go: {sum(took_s for _, took_s in steps[1:]) / whole_s:.2f} x", flush=True)
        settings = Settings(scorer="signals", cache_dir=folder / "alone")
        alone_s = timed(lambda: make_reel(path, settings, folder / "alone", name="video"))
        alone = read_plan(folder / "alone" / "video" / FILE_NAME)
        plan, took_s, said = by_raylets(path, given.part, given.raylets, folder)
        names = [field for field in ("clips", "scenes", "segments", "curve", "focus", "phrases", "warnings")
                 if getattr(plan, field) != getattr(alone, field)]
        print(f"one process {alone_s:.1f} s, {given.raylets} raylets on {os.cpu_count()} cores {took_s:.1f} s; {said}")
        print(f"plans: {'equal' if not names else 'NOT EQUAL in ' + ', '.join(names)}")
    return int(bool(names))


if __name__ == "__main__":
    sys.exit(main())
