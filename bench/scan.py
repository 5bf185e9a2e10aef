"""The whole scan of a video beside PySceneDetect's own command, which finds cuts alone: time, and whether both agree.

    python -m bench.scan                              # two minutes of generated 1080p video
    python -m bench.scan --video match.mp4 --runs 3
    python -m bench.scan --media FOLDER               # also the folder's clip of Elephants Dream, which is drawn film

By turns, in one run:

  command   scenedetect -i FILE detect-adaptive list-scenes, in a process of its own, as it is called in a shell
  fresh     ours, in a process of its own: Python's start, probe, and cuts, signals and sampled frames of the scan
  warm      ours again, as a page or a second video of a run gets it: with a decoder that waits for work

Cuts are compared with the command's: one of ours and one of theirs are the same within two frames, each counted once.
The generated video fades through black once a minute, which ours counts as the end of a scene and detect-adaptive does
not. The clip is measured as it is, and over and over at 1080p.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import fresh
from bench.reporting import by_turns, paired_ratio, table
from pipeline import Settings
from pipeline.cache import load_scan
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, silent
from pipeline.sandbox import probe, scan
from pipeline.types import VideoInfo

CLIP = "elephants_dream_72s_2audio.mp4"
WITHIN_FRAMES = 2
COMMAND, FRESH, WARM = "command", "fresh", "warm"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two lists of cuts agree.

    same: how many pairs there are
    ours, theirs: the cuts that are in one list alone, in seconds
    """

    same: int
    ours: tuple[float, ...] = ()
    theirs: tuple[float, ...] = ()

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where neither has any cut."""
        total = 2 * self.same + len(self.ours) + len(self.theirs)
        return 2 * self.same / total if total else 1.0

    def __str__(self) -> str:
        said = f"{self.same} cuts the same within {WITHIN_FRAMES} frames; F1 {self.f1:.3f}"
        for name, alone in (("ours", self.ours), ("the command's", self.theirs)):
            if alone:
                said += f"; {name} alone at {', '.join(f'{cut:.2f}' for cut in alone)} s"
        return said


def agreement(ours: Sequence[float], theirs: Sequence[float], within_s: float) -> Agreement:
    """Pair cuts that are at most `within_s` apart, each with one at most; taken in order, no pairing finds more."""
    left, right, same = deque(sorted(ours)), deque(sorted(theirs)), 0
    alone: tuple[list[float], list[float]] = [], []
    while left and right:
        if abs(left[0] - right[0]) <= within_s + 1e-6:
            left.popleft()
            right.popleft()
            same += 1
        elif left[0] < right[0]:
            alone[0].append(left.popleft())
        else:
            alone[1].append(right.popleft())
    return Agreement(same, (*alone[0], *left), (*alone[1], *right))


def listed(path: Path) -> list[float]:
    """Seconds of the cuts in a file that list-scenes wrote: where each scene but the first starts."""
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    heading = next(i for i, row in enumerate(rows) if row and row[0] == "Scene Number")
    column = rows[heading].index("Start Time (seconds)")
    return [float(row[column]) for row in rows[heading + 2:] if row]


def our_cuts(path: str) -> list[float]:
    """Probe and scan a video as a run does, and return its cuts in seconds."""
    video, settings = probe(Path(path)), Settings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan(video, settings, folder, silent, CancelToken())
        return [scene.start_s for scene in load_scan(folder).scenes[1:]]


def command_cuts(path: Path) -> list[float]:
    """What the command finds."""
    with tempfile.TemporaryDirectory() as name:
        ended = fresh.program("scenedetect", ["-i", str(path.absolute()), "-o", name, "detect-adaptive", "list-scenes"])
        fresh.checked(ended, "scenedetect")
        return listed(next(Path(name).glob("*-Scenes.csv")))


def measured(video: VideoInfo, rounds: int) -> list[str]:
    """A table with a row for each way, and the line on cuts."""
    cuts: dict[str, list[float]] = {}
    path = video.path

    def keep(way: str, found: list[float]) -> None:
        cuts[way] = found

    # The decoder beside is started and has scanned once before it counts as warm.
    our_cuts(str(path))
    seconds = by_turns({
        COMMAND: lambda: keep(COMMAND, command_cuts(path)),
        FRESH: lambda: keep(FRESH, fresh.call("bench.scan:our_cuts", path=str(path.absolute())).result),
        WARM: lambda: keep(WARM, our_cuts(str(path))),
    }, rounds)
    rows = [["way", "seconds", "frames/s", "command / it"]]
    for way, taken in seconds.items():
        median = statistics.median(taken)
        rows.append([way, f"{median:.2f}", f"{video.duration_s * video.fps / median:.0f}",
                     f"{paired_ratio(seconds[COMMAND], taken):.2f} x"])
    return [table(rows), str(agreement(cuts[FRESH], cuts[COMMAND], WITHIN_FRAMES / video.fps))]


def enlarged(clip: Path, target: Path, seconds: float) -> Path:
    """A clip over and over at 1080p, as a file for the same measurement that takes longer to decode than to start."""
    run_ffmpeg(["-y", "-stream_loop", "-1", "-i", input_url(clip), "-t", f"{seconds}", "-vf", "scale=-2:1080",
                "-map", "0:v:0", "-map", "0:a:0", "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-c:a", "aac",
                input_url(target)], cancel=CancelToken(), timeout_s=3600)
    return target


def main() -> int:
    """Prints a table for each video."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, nargs="+", help="generated where none is given")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the generated and the enlarged video")
    parser.add_argument("--media", type=Path, help=f"a folder with {CLIP}, at any depth")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    # Brings rendering along, which a process that only scans shall not wait for.
    from bench.render import generated_video

    with tempfile.TemporaryDirectory() as folder:
        paths = options.video or [generated_video(Path(folder) / "generated.mp4", options.seconds)]
        if options.media:
            found = sorted(options.media.rglob(CLIP))
            if not found:
                parser.error(f"{options.media}: holds no {CLIP}")
            paths = [*paths, enlarged(found[0], Path(folder) / "enlarged.mp4", options.seconds), found[0]]
        for path in paths:
            video = probe(path)
            print(f"{path.name}: {video.duration_s:.0f} s of {video.width}x{video.height} {video.codec} at "
                  f"{video.fps:.5g} frames a second; medians of {options.runs}")
            print("\n".join(measured(video, options.runs)), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
