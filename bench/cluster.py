"""Many videos on three raylets of this machine, one of them lost halfway; then one worker's wall time against two.

    python -m bench.cluster                              # 6 generated videos of a minute
    python -m bench.cluster --videos 12 --seconds 120

Each raylet has one CPU, a small object store and a cache of its own, so that only shared storage joins them. A reel is
right where its clips are those that this machine chooses alone and its file plays for as long as they say. What was
done twice is read from the journal, in which every stage of every video is noted as it begins and ends. Exits with 1
where a reel is wrong or missing, or anything was done again that had not been on the lost machine. Linux only. Two
workers are twice as fast only where each has a CPU to itself: the load of the machine is printed with the ratio.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import av

from pipeline import Settings, make_reel
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.joining import joined
from pipeline.batch.shared import Execution, twice
from pipeline.batch.work import DONE, Item, Outcome
from pipeline.progress import CancelToken
from tests.cluster_support import executions, losing, machines, watching
from tests.making import story

SHOT_S = 5


def films_in(folder: Path, count: int, seconds: int, size: tuple[int, int]) -> list[Item]:
    """Videos with a loud moment each, at a place of its own."""
    folder.mkdir()
    paths = [story(folder / f"film{n:02}.mp4", loud=range(3 * n % (seconds - 8) + 2, 3 * n % (seconds - 8) + 8),
                   shots=seconds // SHOT_S, shot_s=SHOT_S, size=size) for n in range(count)]
    return [Item(str(path), path.stem, path.name) for path in paths]


def settings_of() -> Settings:
    """The built-in scorer: what is measured here is how work is shared out."""
    return Settings(target_s=10.0, scorer="signals")


def alone(films: Sequence[Item], folder: Path) -> list[tuple[object, float]]:
    """Each video's clips and reel length, as this process makes them."""
    made = [make_reel(film.source, settings_of().with_given(cache_dir=folder / "cache"), folder / "out")
            for film in films]
    return [(result.plan.clips, result.reel.duration_s) for result in made]


def is_right(outcome: Outcome, expected: tuple[object, float]) -> bool:
    """Whether a reel is the one that one machine makes, and plays to its end."""
    if outcome.state != DONE or outcome.reel is None or outcome.clips != expected[0]:
        return False
    with av.open(outcome.reel) as container:
        last = [frame.time or 0.0 for frame in container.decode(video=0)][-1]
    return abs(last - expected[1]) < 0.2


def with_a_loss(films: Sequence[Item], folder: Path,
                count: int = 3) -> tuple[list[Outcome], list[Execution], list[str]]:
    """The reels by three raylets of which one is lost halfway, the journal, and the lost machine's name in it."""
    store, lost = f"{folder}/out/.stages", []
    with machines(folder, count) as made, joined(made.address, CancelToken()):
        look = losing(made, store, after=max(1, len(films) // 3))

        def lose() -> bool:
            lost.extend(filter(None, [look()]))
            return bool(lost)

        with watching(lose):
            outcomes = reels_on_cluster(films, f"{folder}/out", settings_of(), ClusterSettings(made.address))
    return outcomes, executions(store), lost


def seconds_with(films: Sequence[Item], folder: Path, workers: int) -> float:
    """Wall time of all reels with so many workers of one CPU, which are up and warm before."""
    with machines(folder, workers) as made, joined(made.address, CancelToken()):
        # The first task of a worker imports everything.
        warm = [Item(film.source, f"warm{n}", film.title) for n, film in enumerate(films[:2 * workers])]
        reels_on_cluster(warm, f"{folder}/warm", settings_of().with_given(cache=False), ClusterSettings(made.address))
        began = time.perf_counter()
        reels_on_cluster(films, f"{folder}/out", settings_of().with_given(cache=False), ClusterSettings(made.address))
        return time.perf_counter() - began


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=60, help="length of each")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--no-ratio", action="store_true", help="only the loss, not the two timed runs")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    # Each worker shall use one core, as on a machine of its own.
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="smolreel-cluster-") as name:
        folder = Path(name)
        films = films_in(folder / "films", given.videos, given.seconds, (width, height))
        expected = alone(films, folder / "alone")
        began = time.perf_counter()
        outcomes, known, lost = with_a_loss(films, folder / "loss")
        took_s = time.perf_counter() - began
        right = sum(map(is_right, outcomes, expected))
        again = twice(known, tuple(lost))
        repeated = [one for one in known if not one.done]
        print(f"{given.videos} videos of {given.seconds} s, {given.size}, on three raylets of one CPU each\n")
        print(f"{'machines lost halfway':<40}{len(lost):>8}")
        print(f"{'right reels':<40}{right:>8} of {len(films)}")
        done = Counter(one.stage for one in known if one.done)
        print(f"{'stages done':<40}{sum(done.values()):>8} ({', '.join(f'{n} {s}' for s, n in sorted(done.items()))})")
        print(f"{'begun on the lost machine, done again':<40}{len(repeated):>8} "
              f"({', '.join(one.stage for one in repeated) or 'none'})")
        print(f"{'done twice otherwise':<40}{len(again):>8}")
        print(f"{'wall time, start of the raylets included':<40}{took_s:>8.1f} s", flush=True)
        if not given.no_ratio:
            one_s, two_s = (seconds_with(films, folder / f"with{n}", n) for n in (1, 2))
            load = os.getloadavg()[0]
            print(f"\n{'one worker':<40}{one_s:>8.1f} s\n{'two workers':<40}{two_s:>8.1f} s\n"
                  f"{'ratio':<40}{one_s / two_s:>8.2f}   ({os.cpu_count()} cores, load {load:.1f})")
    return 0 if right == len(films) and not again and lost else 1


if __name__ == "__main__":
    sys.exit(main())
