"""What encoding frames while the scan goes on gains or costs, side by side, on this machine.

    python -m bench.overlap                          # the 256M architecture on the best device here
    python -m bench.overlap --size tiny --rounds 5 --video match.mp4

Each round scans a video and encodes what its segments show, once after the scan and once while it goes on, by turns;
what comes then, questions and answers, is the same for both and left out. Architectures have random weights, which cost
what trained ones cost; "tiny" is the model of the tests.

  scan      seconds that the scan took
  whole     seconds from its start until every frame is encoded that segments show
  ahead     frames that were encoded when the scan was done, whether segments show them or not
  idle      share of the scan's time in which the model had nothing to do
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.vlm import SIZES, TOKENIZER, generated_video, random_model
from pipeline.cache import load_scan
from pipeline.errors import Cancelled
from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.sandbox import probe, scan
from pipeline.scorers.signals import SignalsScorer
from pipeline.scorers.smolvlm2.loading import Loaded, choose_device, load
from pipeline.scorers.smolvlm2.model import SmolVLM
from pipeline.scorers.smolvlm2.pixels import blank_picture, to_pixels
from pipeline.scorers.smolvlm2.scorer import SmolVLM2Scorer
from pipeline.segments import split
from pipeline.settings import Settings
from pipeline.types import VideoInfo

WAYS = {"after": False, "while": True}


@dataclass(frozen=True, slots=True)
class Round:
    """What one way took: seconds, frames and a share, as the module's docstring has them."""

    scan_s: float
    whole_s: float
    ahead: int
    idle: float


class GivenScorer(SmolVLM2Scorer):
    """Ours, with a model that is already here."""

    def __init__(self, loaded: Loaded, eager: bool) -> None:
        super().__init__(SignalsScorer(), eager)
        self._given = loaded

    def model(self, settings: Settings, report: Report, cancel: CancelToken) -> Loaded:
        """The model that was given."""
        return self._given


def run(loaded: Loaded, video: VideoInfo, settings: Settings, eager: bool) -> Round:
    """Scan and encode once."""
    scorer, token = GivenScorer(loaded, eager), CancelToken()
    encoded_at = 0.0

    def stop_when_encoded(event: Progress) -> None:
        nonlocal encoded_at
        if event.message.startswith("finding out"):
            encoded_at = time.perf_counter()
            token.cancel()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        with scorer.ahead(settings, token) as ahead:
            scan(video, settings, folder, silent, token, ahead.take if ahead else None)
            scan_s = time.perf_counter() - began
        found = load_scan(folder)
        count = len(ahead.ready) if ahead else 0
        with contextlib.suppress(Cancelled):
            scorer.score(found, split(found.scenes, found.signals, settings), settings, stop_when_encoded, token)
    return Round(scan_s, encoded_at - began, count, 1 - min(1.0, ahead.busy_s / scan_s) if ahead else 1.0)


def table(loaded: Loaded, video: VideoInfo, settings: Settings, rounds: int) -> None:
    """Runs both ways by turns and prints a line of medians for each."""
    taken: dict[str, list[Round]] = {way: [] for way in WAYS}
    for number in range(rounds):
        # Neither way is always the first.
        for way in (tuple(WAYS), tuple(reversed(WAYS)))[number % 2]:
            taken[way].append(run(loaded, video, settings, WAYS[way]))
    print(f"{Path(loaded.name).name} on {loaded.device} in {loaded.dtype}, {video.duration_s:.0f} s of "
          f"{video.width}x{video.height} video, medians of {rounds}")
    print(f"{'encoded':8} {'scan s':>8} {'whole s':>8} {'ratio':>7} {'ahead':>6} {'idle':>6}")
    base = statistics.median(each.whole_s for each in taken["after"])
    for way, each in taken.items():
        scan_s, whole_s, ahead, idle = (statistics.median(getattr(one, name) for one in each)
                                        for name in ("scan_s", "whole_s", "ahead", "idle"))
        print(f"{way:8} {scan_s:8.2f} {whole_s:8.2f} {base / whole_s:5.2f} x {ahead:6.0f} {idle:6.0%}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("tiny", *SIZES), default="256M")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--detail", choices=("auto", "fast", "balanced", "full"), default="auto")
    parser.add_argument("--video", type=Path, help="a minute of generated video where none is given")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the generated video")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = choose_device(options.device)
    loaded = (load(str(TOKENIZER), device, silent, CancelToken()) if options.size == "tiny"
              else random_model(options.size, device))
    settings = Settings(device=device, detail=options.detail, cache=False)
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or generated_video(Path(folder) / "generated.mp4", options.seconds)
        # What every first run does once is left out of both: processes, threads, kernels.
        vlm = SmolVLM(loaded)
        vlm.features([to_pixels(blank_picture(), vlm.image_side)])
        table(loaded, probe(path), settings, options.rounds)


if __name__ == "__main__":
    main()
