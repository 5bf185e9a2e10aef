"""Every measurement of this folder in turn, into one file: `make bench`.

    python -m bench.all                            # about 80 minutes on two cores, into bench/RESULTS.md
    python -m bench.all --quick --out quick.md     # minutes; only to see that all of them work
    python -m bench.all --only scan whole --media FOLDER

Each is a program of its own, and what it prints is kept as it is; one that the list here hasn't is run without
arguments. One that fails is reported with what it said, the others go on, and the exit status is 1 then. bench.quality
needs annotation files that aren't shipped, and is no part of it.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from bench import fresh
from bench.crowd import generated_video
from bench.reporting import machine, versions

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
MODEL = "tests/tiny_smolvlm/model"
# What is imported by others and measures nothing itself.
PARTS = ("all", "fresh", "reporting")
# Stand for what a run has: a folder of small videos, the folder that was named with --media.
SMALL, MEDIA = "SMALL", "MEDIA"
LIMIT_S, QUICK_LIMIT_S = 1800.0, 600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One measurement.

    script: its module in this folder
    full, quick: its arguments, for figures and for a look whether it works
    """

    script: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()

    def arguments(self, quick: bool, stands_for: Mapping[str, str | None]) -> list[str]:
        """What it is given; an option whose value this run has not is left out."""
        given: list[str] = []
        for word in self.quick if quick else self.full:
            if word not in stands_for:
                given.append(word)
            elif (value := stands_for[word]) is not None:
                given.append(value)
            else:
                given.pop()
        return given


def _call(script: str, full: str, quick: str) -> Call:
    return Call(script, tuple(full.split()), tuple(quick.split()))


CALLS = (
    _call("scan", f"--runs 5 --media {MEDIA}", "--runs 1 --seconds 10"),
    _call("whole", "--runs 3", "--runs 1 --minutes 1"),
    _call("glance", "--runs 3", "--runs 1 --minutes 1"),
    _call("growth", "", "--minutes 0.5 1 2"),
    _call("growth", f"--model {MODEL}", f"--minutes 0.5 1 --model {MODEL}"),
    _call("again", "--runs 3", "--runs 1 --minutes 1"),
    _call("render", "--runs 3", "--runs 1 --seconds 30"),
    _call("memory", "--clips 20", "--clips 2"),
    _call("memory", "--clips 200", "--clips 4"),
    _call("vlm", "", "--seconds 10 --ways default again"),
    _call("overlap", "", "--size tiny --seconds 10 --rounds 1"),
    _call("planted", "--seeds 5", "--seeds 1 --minutes 3"),
    _call("robustness", f"{SMALL} --count 300", f"{SMALL} --count 8"),
    _call("crowd", "--visitors 20 --seconds 120", "--visitors 3 --seconds 10"),
    _call("cluster", "--videos 40", "--videos 2 --seconds 20 --no-ratio"),
    _call("parts", "", "--seconds 60 --part 20 --raylets 2"),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a measurement.

    command: as one would type it
    ended: its process
    printed: all that it printed
    """

    command: str
    ended: fresh.Ended
    printed: str


def scripts() -> list[str]:
    """The measurements that lie in this folder."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in PARTS and "_child" not in path.stem)


def calls(here: Sequence[str], only: Sequence[str] = ()) -> list[Call]:
    """What is run: those that lie here, in the list's order; those that the list hasn't come last, with no arguments.
    """
    known = {call.script for call in CALLS}
    listed = [*(call for call in CALLS if call.script in here), *(Call(name) for name in here if name not in known)]
    return [call for call in listed if not only or call.script in only]


def run(call: Call, quick: bool, stands_for: Mapping[str, str | None], folder: Path) -> Done:
    """One measurement in a process of its own."""
    arguments, output = call.arguments(quick, stands_for), folder / "printed.txt"
    limit_s = QUICK_LIMIT_S if quick else LIMIT_S
    ended = fresh.program(f"bench.{call.script}", arguments, output, limit_s)
    names = {value: word for word, value in stands_for.items() if value is not None}
    command = " ".join(["python -m", f"bench.{call.script}", *(names.get(word, word) for word in arguments)])
    printed = output.read_text(errors="replace") if output.exists() else ""
    return Done(command, ended, printed if not ended.status else f"{printed}\n{ended.said}")


def small_videos(folder: Path) -> Path:
    """A folder with a few small videos, each in another container."""
    folder.mkdir()
    for name in ("one.mp4", "two.mkv", "three.mov"):
        generated_video(folder / name, 6.0)
    return folder


def document(done: Sequence[Done], when: datetime.date, facts: Sequence[tuple[str, str]], quick: bool,
             hidden: Sequence[str] = ()) -> str:
    """RESULTS.md.

    hidden: paths of this machine, which are no one's business; longest first where one holds another
    """
    lines = ["# Measurements", "", f"Made by `make bench` on {when.isoformat()}"
             + (" with `--quick`: too short for figures." if quick else ".")
             + " Times depend on the machine; compare ways that were measured by turns in one run, by their ratio.", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), ""]
    failed = [one.command for one in done if one.ended.status]
    if failed:
        lines += ["**Failed:** " + ", ".join(f"`{command}`" for command in failed), ""]
    for one in done:
        printed = one.printed.strip().replace("```", "'''")
        for path in hidden:
            printed = printed.replace(path, "…")
        status = f"; **ended with status {one.ended.status}**" if one.ended.status else ""
        lines += [f"## `{one.command}`", "", f"{one.ended.seconds:.0f} s{status}", "", "```text", printed, "```", ""]
    return "\n".join(lines)


def main() -> int:
    """Runs all, and writes the file after each, so that what is measured is kept whatever comes then."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small: only to see that they work")
    parser.add_argument("--only", nargs="+", choices=scripts(), default=[], help="these measurements alone")
    parser.add_argument("--media", type=Path, help="a folder of real clips, which aren't shipped")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.media and not options.media.is_dir():
        parser.error(f"{options.media}: is no folder; name the one that holds the clips")
    facts = [*machine(), *versions(imageio_ffmpeg.get_ffmpeg_version())]
    done: list[Done] = []
    with tempfile.TemporaryDirectory() as name:
        stands_for = {SMALL: str(small_videos(Path(name) / "small")),
                      MEDIA: str(options.media.absolute()) if options.media else None}
        hidden = sorted({str(HERE.parent), tempfile.gettempdir(), str(Path.home()), *filter(None, stands_for.values())},
                        key=len, reverse=True)
        for call in calls(scripts(), options.only):
            began = time.strftime("%H:%M:%S")
            print(f"{began}  bench.{call.script}", end="", file=sys.stderr, flush=True)
            done.append(run(call, options.quick, stands_for, Path(name)))
            print(f"  {done[-1].ended.seconds:.0f} s{'  FAILED' if done[-1].ended.status else ''}", file=sys.stderr)
            options.out.write_text(document(done, datetime.date.today(), facts, options.quick, hidden))
    failed = [one.command for one in done if one.ended.status]
    print(f"{len(done)} measurements, {len(failed)} failed; they are in {options.out}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
