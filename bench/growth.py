"""Whether cost grows in a straight line with a video's length: time and peak memory of whole runs.

    python -m bench.growth                              # 5, 10, 20 and 40 minutes, by the signals alone
    python -m bench.growth --model tests/tiny_smolvlm/model
    python -m bench.growth --minutes 1 2 4 --video match.mp4

Each run is in a process of its own. All lengths are copies of one clip, over and over, so that a minute holds the same
everywhere. A clip that lasted whole seconds would give the same frames at each turn, of which a model looks at one
alone; so it is cut short by a little. Stages are told apart, so that one sees where it comes from if it isn't straight.
Memory is the most that the process ever held, and the most that the one which decodes ever did; and, where /proc tells
it, the most that all processes held at any one time, those that listen and encode with them, shared memory once.

  a straight line      R² of the seconds over the minutes
  cost of a minute     of the longest against the shortest, what starting takes included
  peak memory          of the longest against the shortest, for those two processes, and for all at one time
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import fresh
from bench.reporting import straight, table, verdict
from pipeline import Settings, make_reel
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.sandbox import probe
from tests.served import children

SAMPLE = Path(__file__).parent.parent / "assets" / "sample.mp4"
STAGES = ("probe", "scan", "score", "select", "render")
MINUTE_BAR, MEMORY_BAR, STRAIGHT_BAR = 1.1, 1.2, 0.99
# By how much of a second turns are out of step with the seconds at which frames are put aside.
_OUT_OF_STEP_S = 0.96
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Length:
    """A whole run of one length.

    minutes: of video
    seconds: from the process's start to its end
    cpu_s: seconds that it kept cores busy, which other programs change least
    stages: seconds of each
    way: in which the reel was rendered
    encoded: pictures that a model looked at; None where there is no model
    own_mb, child_mb: peaks of memory, as `fresh.Ended`
    all_mb: peak of the memory of all processes together; 0 where that can't be told
    """

    minutes: float
    seconds: float
    cpu_s: float
    stages: dict[str, float]
    way: str
    encoded: int | None
    own_mb: float
    child_mb: float
    all_mb: float


def looped(clip: Path, path: Path, minutes: float) -> Path:
    """The clip over and over, copied, so that all lengths hold the same."""
    short = path.with_name(f"turn{clip.suffix}")
    if not short.exists():
        whole_s = probe(clip).duration_s
        turn_s = max(min(whole_s, 1.0), int(whole_s) - 1 + _OUT_OF_STEP_S)
        _copy(["-i", input_url(clip), "-t", f"{turn_s:.3f}"], short)
    _copy(["-stream_loop", "-1", "-i", input_url(short), "-t", f"{60 * minutes}"], path)
    return path


def _copy(given: Sequence[str], target: Path) -> None:
    run_ffmpeg(["-y", *given, "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", input_url(target)],
               cancel=CancelToken(), timeout_s=600)


def whole_run(path: str, model: str | None, folder: str) -> dict[str, Any]:
    """Make a reel, and return the stages' seconds and what a model encoded: called in a process of its own."""
    settings = Settings(scorer="smolvlm2" if model else "signals", render="copy", cache_dir=Path(folder) / "cache")
    result = make_reel(path, settings.with_given(model=model), Path(folder) / "out")
    assert result.analysis is not None
    return {"stages": result.plan.timings_s, "way": result.reel.way,
            "encoded": result.analysis.scored.notes.get("frames_encoded")}


def measured(path: Path, minutes: float, model: str | None) -> Length:
    """A run in a process of its own, with nothing in its cache."""
    most = 0.0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        run = beside.submit(fresh.call, "bench.growth:whole_run", path=str(path), model=model, folder=folder)
        while not run.done():
            most = max(most, sum(map(_share_mb, children(os.getpid()))))
            wait([run], timeout=_LOOK_EVERY_S)
        ended = run.result()
    return Length(minutes, ended.seconds, ended.cpu_s, **ended.result, own_mb=ended.own_mb, child_mb=ended.child_mb,
                  all_mb=most)


def _share_mb(pid: int) -> float:
    """A process's share of memory (PSS): what it holds with others counts in parts. 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def report(found: Sequence[Length]) -> str:
    """A row for each length, and how cost grows."""
    rows = [["minutes", "seconds", "s a minute", "CPU s", *STAGES, "reel", "encoded", "own MB", "decoder MB",
             "all MB"]]
    for one in found:
        stages = [f"{one.stages.get(stage, 0.0):.2f}" for stage in STAGES]
        rows.append([f"{one.minutes:g}", f"{one.seconds:.1f}", f"{one.seconds / one.minutes:.2f}",
                     f"{one.cpu_s:.1f}", *stages, one.way, "-" if one.encoded is None else f"{one.encoded:,}",
                     f"{one.own_mb:.0f}", f"{one.child_mb:.0f}", f"{one.all_mb:.0f}"])
    return "\n".join([table(rows, words=()), *growth(found)])


def growth(found: Sequence[Length]) -> list[str]:
    """How cost and memory of the longest compare with those of the shortest, and with a straight line."""
    if len({one.minutes for one in found}) < 2:
        return []
    first, last = min(found, key=lambda one: one.minutes), max(found, key=lambda one: one.minutes)
    line = straight([one.minutes for one in found], [one.seconds for one in found])
    minute = (last.seconds / last.minutes) / (first.seconds / first.minutes)
    memory = (last.own_mb + last.child_mb) / (first.own_mb + first.child_mb)
    names = f"{last.minutes:g} minutes against {first.minutes:g}"
    lines = [f"R² of a straight line {line.r2:.4f} ({line.slope:.2f} s a minute and {line.start:.1f} s to start; "
             f"at least {STRAIGHT_BAR:g}: {'kept' if line.r2 >= STRAIGHT_BAR else 'NOT KEPT'})",
             f"cost of a minute, {names}: {minute:.2f} ({verdict(minute, MINUTE_BAR)})",
             f"peak memory, {names}: {memory:.2f} ({verdict(memory, MEMORY_BAR)}; "
             f"{_a_minute(found, 'own_mb')} MB a minute in the process, {_a_minute(found, 'child_mb')} below it)"]
    if first.all_mb:
        everything = last.all_mb / first.all_mb
        lines.append(f"all processes' memory at one time, {names}: {everything:.2f} "
                     f"({verdict(everything, MEMORY_BAR)})")
    busy = straight([one.minutes for one in found], [one.cpu_s for one in found])
    lines.append(f"CPU time: R² {busy.r2:.4f}, {busy.slope:.2f} s a minute, {names} "
                 f"{(last.cpu_s / last.minutes) / (first.cpu_s / first.minutes):.2f} a minute")
    for stage in ("scan", "score"):
        own = straight([one.minutes for one in found], [one.stages.get(stage, 0.0) for one in found])
        lines.append(f"{stage} alone: R² {own.r2:.4f}, {own.slope:.2f} s a minute and {own.start:.1f} s to start")
    return lines


def _a_minute(found: Sequence[Length], what: str) -> str:
    """By how much a figure grows with a minute."""
    return f"{straight([one.minutes for one in found], [getattr(one, what) for one in found]).slope:.2f}"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 10.0, 20.0, 40.0])
    parser.add_argument("--video", type=Path, default=SAMPLE, help="the clip; the sample where none is given")
    parser.add_argument("--model", help="a SmolVLM2's folder or hub id; without, the built-in scorer measures")
    options = parser.parse_args()
    if min(options.minutes) <= 0:
        parser.error("a video lasts more than 0 minutes")
    found = []
    with tempfile.TemporaryDirectory() as name:
        for minutes in sorted(options.minutes):
            path = looped(options.video, Path(name) / f"looped{options.video.suffix}", minutes)
            found.append(measured(path, minutes, options.model))
    video = probe(options.video)
    scorer = "smolvlm2" if options.model else "signals"
    print(f"{scorer} scorer, {video.width}x{video.height} {video.codec} at {video.fps:.5g} frames a second")
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
