"""Peak memory of rendering a plan of many clips: what we hold ourselves, and the largest ffmpeg that we start.

    python -m bench.memory --clips 20
    python -m bench.memory --clips 200           # an hour of reel
    python -m bench.memory --clips 200 --way styled

Both plans are cut from the same hour of small video. Peaks are those of a whole process, so each call measures one
plan in a fresh one. Memory must not grow with the plan: 200 clips may take 1.3 times as much as 20 at most. (A child
starts as a copy of its parent, so that Linux counts the parent's size as the least that a child had.)
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from bench.reporting import peak_mb
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import CancelToken, silent
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.settings import RENDERS, Settings
from pipeline.types import Clip, Reel, VideoInfo

CLIP_S = 18.0
# A clip and the pause after it.
STEP_S = 18.5
MOST_CLIPS = 200


def generated_video(path: Path, seconds: float) -> Path:
    """A small moving picture with a tone, a keyframe every half second; copied over and over to its length."""
    short, one_s = path.with_name("short.mp4"), 37.0
    run_ffmpeg(["-y", "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={one_s}", "-c:v", "libx264",
                "-preset", "ultrafast", "-g", "12", "-pix_fmt", "yuv420p", input_url(short)], cancel=CancelToken(),
               timeout_s=600)
    # Sound can't be looped by copying: encoders leave a gap at the front.
    run_ffmpeg(["-y", "-stream_loop", "-1", "-i", input_url(short), "-f", "lavfi", "-i", "sine=r=48000",
                "-t", f"{seconds}", "-c:v", "copy", "-c:a", "aac", input_url(path)], cancel=CancelToken(),
               timeout_s=3600)
    return path


def plan_of(video: VideoInfo, count: int) -> Plan:
    """Clips of 18 s, one after another."""
    clips = [Clip(i * STEP_S + 0.13, i * STEP_S + 0.13 + CLIP_S, None, f"scene {i}", "") for i in range(count)]
    return Plan(PlanVideo(str(video.path), video.sha256), tuple(clips))


def rendered(video: VideoInfo, plan: Plan, way: str, folder: Path) -> Reel:
    """The reel."""
    settings = Settings(render=way, encoder="x264", preset="ultrafast", crf=30)
    return render_reel(Order(video, plan, (), folder / "reel.mp4", settings, folder / "clips"), silent, CancelToken())


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20, choices=range(1, MOST_CLIPS + 1), metavar="1-200")
    parser.add_argument("--way", choices=RENDERS, default="encode")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = probe(generated_video(folder / "generated.mp4", MOST_CLIPS * STEP_S + 1))
        before = peak_mb(resource.RUSAGE_SELF)
        began = time.perf_counter()
        reel = rendered(video, plan_of(video, options.clips), options.way, folder)
        print(f"{options.way} (came out {reel.way}), {options.clips} clips, {reel.duration_s:.0f} s of reel in "
              f"{time.perf_counter() - began:.0f} s: {peak_mb(resource.RUSAGE_SELF):.0f} MB ourselves "
              f"({before:.0f} before rendering), {peak_mb(resource.RUSAGE_CHILDREN):.0f} MB the largest ffmpeg")


if __name__ == "__main__":
    main()
