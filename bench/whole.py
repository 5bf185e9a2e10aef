"""A whole run without a model beside one plain decode of the same file by ffmpeg: how much there is beside decoding.

    python -m bench.whole                         # ten minutes of generated 720p video
    python -m bench.whole --video match.mp4 --runs 1

By turns, in one run:

  decode   ffmpeg -i FILE -f null -
  shell    python -m app reel FILE --scorer signals --render copy --no-cache, from Python's start to its end
  warm     the same in a process that has made a reel before, with a decoder that waits for work: as a page does
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import fresh
from bench.growth import looped
from bench.render import SAMPLE
from bench.reporting import by_turns, paired_ratio, table, verdict
from pipeline import Settings, make_reel
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.sandbox import probe
from pipeline.types import VideoInfo

BAR = 1.3
DECODE, SHELL, WARM = "decode", "shell", "warm"


def generated_video(path: Path, minutes: float) -> Path:
    """The sample at 720p30 as a phone would have written it: with grain, and a keyframe a second wherever cuts are."""
    turn = path.with_name("scaled.mp4")
    run_ffmpeg(["-y", "-i", input_url(SAMPLE), "-vf", "scale=1280:720:flags=bicubic,fps=30,noise=alls=6:allf=t,"
                "format=yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-g", "30", "-sc_threshold",
                "0", "-c:a", "aac", "-b:a", "160k", input_url(turn)], cancel=CancelToken(), timeout_s=600)
    return looped(turn, path, minutes)


def decode(path: Path) -> None:
    """What ffmpeg needs to decode all of it, picture and sound."""
    run_ffmpeg(["-i", input_url(path), "-f", "null", "-"], cancel=CancelToken(), timeout_s=3600)


def shell(path: Path) -> None:
    """The command, as it is called in a shell."""
    with tempfile.TemporaryDirectory() as out:
        fresh.checked(fresh.program("app", ["reel", "--scorer", "signals", "--render", "copy", "--no-cache", "-o", out,
                                            "--", str(path.absolute())]), "app reel")


def warm(path: Path) -> tuple[dict[str, float], str]:
    """The same in this process; seconds of each stage, and in which way the reel was rendered."""
    with tempfile.TemporaryDirectory() as out:
        result = make_reel(path, Settings(scorer="signals", render="copy", cache=False), out)
        return result.plan.timings_s, result.reel.way


def measured(video: VideoInfo, rounds: int) -> str:
    """A row for each way, and the stages of a warm run."""
    path = video.path
    # The first of all loads what is needed, and starts the decoder.
    last = [warm(path)]
    seconds = by_turns({DECODE: lambda: decode(path), SHELL: lambda: shell(path),
                        WARM: lambda: last.append(warm(path))}, rounds)
    rows, bars = [["way", "seconds", "it / decode"]], list[str]()
    for way, taken in seconds.items():
        ratio = paired_ratio(taken, seconds[DECODE])
        rows.append([way, f"{statistics.median(taken):.2f}", f"{ratio:.2f} x"])
        if way != DECODE:
            bars.append(f"{way}: {verdict(ratio, BAR)}")
    stages, rendered = last[-1]
    told = ", ".join(f"{stage} {took:.2f}" for stage, took in stages.items())
    return f"{table(rows)}\n{'; '.join(bars)}\nthe last warm run, in seconds: {told}; reel by {rendered}"


def run(about: str | None, tell: Callable[[VideoInfo, int], str]) -> int:
    """A measurement of one video, as a program.

    about: what it is, for its help
    tell: measures so many rounds, and says what there is to say
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="generated where none is given")
    parser.add_argument("--minutes", type=float, default=10.0, help="length of the generated video")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or generated_video(Path(folder) / "generated.mp4", options.minutes)
        video = probe(path)
        print(f"{video.duration_s:.0f} s of {video.width}x{video.height} {video.codec} at {video.fps:.5g} frames a "
              f"second; medians of {options.runs}", flush=True)
        print(tell(video, options.runs))
    return 0


if __name__ == "__main__":
    sys.exit(run(__doc__, measured))
