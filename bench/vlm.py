"""What looking at a video with SmolVLM2 costs: the public demo's way beside ours, on this machine, in one run.

    python -m bench.vlm                          # 256M on the best device here, a minute of generated video
    python -m bench.vlm --size 2.2B --video match.mp4

The architectures are full-size with random weights, which cost what trained ones cost; answers are as long as they may
get, since random weights never end one early. All ways give every part of the video a score and a description:

  demo      windows of ten seconds, each cut out by ffmpeg, a frame a second at the model's own side, two prompts each
            with 64 tokens written: as the HighlightGenerator space does
  full      ours, every frame of the demo's at the same side
  default   ours, as it runs when nothing is said on this device; on a CPU that is `--detail fast`
  again     ours, once more with another query, when the default's results are in the cache
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av

from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, Report, silent
from pipeline.scan import scan
from pipeline.scorers.signals import SignalsScorer
from pipeline.scorers.smolvlm2 import prompt, questions
from pipeline.scorers.smolvlm2.loading import Loaded, choose_device, choose_dtype
from pipeline.scorers.smolvlm2.model import SmolVLM
from pipeline.scorers.smolvlm2.pixels import to_pixels
from pipeline.scorers.smolvlm2.questions import Context
from pipeline.scorers.smolvlm2.scorer import SmolVLM2Scorer
from pipeline.segments import split
from pipeline.settings import Settings
from pipeline.types import VideoInfo

TOKENIZER = Path(__file__).parent.parent / "tests" / "tiny_smolvlm" / "model"
WAYS = ("demo", "full", "default", "again")
WINDOW_S, DEMO_TOKENS = 10.0, 64
VOCABULARY, CONTEXT = 49_280, 8192


@dataclass(frozen=True, slots=True)
class Size:
    """An architecture's sizes, of its text model and of its vision tower."""

    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    eye_hidden: int
    eye_layers: int
    eye_heads: int
    eye_inner: int
    side: int
    patch: int
    scale: int


SIZES = {
    "256M": Size(576, 1536, 30, 9, 3, 768, 12, 12, 3072, 512, 16, 4),
    "500M": Size(960, 2560, 32, 15, 5, 768, 12, 12, 3072, 512, 16, 4),
    "2.2B": Size(2048, 8192, 24, 32, 32, 1152, 27, 16, 4304, 384, 14, 3),
}


def random_model(name: str, device: str) -> Loaded:
    """An architecture with random weights, and the tests' tokenizer, which spells prompts in about as many tokens."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.smolvlm import SmolVLMConfig

    size = SIZES[name]
    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    config = SmolVLMConfig(
        scale_factor=size.scale, image_token_id=tokenizer.convert_tokens_to_ids(prompt.IMAGE),
        vision_config={"hidden_size": size.eye_hidden, "num_hidden_layers": size.eye_layers,
                       "num_attention_heads": size.eye_heads, "intermediate_size": size.eye_inner,
                       "image_size": size.side, "patch_size": size.patch},
        text_config={"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": size.hidden,
                     "intermediate_size": size.inner, "num_hidden_layers": size.layers,
                     "num_attention_heads": size.heads, "num_key_value_heads": size.key_heads,
                     "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
                     "pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id})
    dtype = choose_dtype(device)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype)).to(device).eval()
    return Loaded(model, tokenizer, f"random {name}", "0", device, dtype)


class RandomScorer(SmolVLM2Scorer):
    """Ours, with a model that is already here."""

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(SignalsScorer())
        self._given = loaded

    def model(self, settings: Settings, report: Report, cancel: CancelToken) -> Loaded:
        """The model that was given."""
        return self._given


def ours(loaded: Loaded, video: VideoInfo, detail: str) -> str:
    """Scan, split and score; the cache is off."""
    settings = Settings(device=loaded.device, detail=detail, cache=False)
    with tempfile.TemporaryDirectory() as folder:
        scanned = scan(video, settings, Path(folder), silent, CancelToken())
        segments = split(scanned.scenes, scanned.signals, settings)
        scored = RandomScorer(loaded).score(scanned, segments, settings, silent, CancelToken())
    return f"{scored.notes['frames_encoded']} frames at {scored.notes['image_side']}, {len(segments)} segments"


def again(loaded: Loaded, video: VideoInfo, folder: Path) -> Callable[[], str]:
    """A run with another query after a first one, which is done here and left out of the measurement."""
    settings = Settings(device=loaded.device, cache_dir=folder)
    frames = folder / "frames"
    frames.mkdir()
    scanned = scan(video, settings, frames, silent, CancelToken())
    segments = split(scanned.scenes, scanned.signals, settings)
    scorer = RandomScorer(loaded)
    scorer.score(scanned, segments, settings, silent, CancelToken())

    def run() -> str:
        asked = replace(settings, query="the red circle jumps")
        scored = scorer.score(scanned, segments, asked, silent, CancelToken())
        return f"{scored.notes['frames_encoded']} frames, {len(segments)} segments"

    return run


def demo(loaded: Loaded, video: VideoInfo) -> str:
    """The public demo's way."""
    windows, seen = math.ceil(video.duration_s / WINDOW_S), 0
    vlm = SmolVLM(loaded)
    asked = (questions.is_it_there(Context("", "A goal is scored."), None), questions.DESCRIBE)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(windows):
            part = Path(folder) / f"{number}.mp4"
            run_ffmpeg(["-y", "-i", input_url(video.path), "-ss", str(number * WINDOW_S), "-t", str(WINDOW_S), "-an",
                        "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", input_url(part)],
                       cancel=CancelToken(), timeout_s=600)
            for question in asked:
                seen += _demo_answer(vlm, part, question)
    return f"{seen // len(asked)} frames at {vlm.image_side}, each {len(asked)} times, {windows} windows"


def _demo_answer(vlm: SmolVLM, part: Path, question: str) -> int:
    """Generates an answer about a file from scratch, and returns how many frames it rests on."""
    import numpy as np
    import torch

    frames, times = [], []
    with av.open(part) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(times):
                frames.append(to_pixels(frame.to_ndarray(format="rgb24"), vlm.image_side))
                times.append(frame.time)
    text = prompt.prefix(times, WINDOW_S, vlm.image_tokens(vlm.image_side)) + prompt.suffix(question)
    ids = torch.tensor([vlm.encode(text)], device=vlm.loaded.device)
    pixels = torch.from_numpy(np.stack(frames))[None].to(vlm.loaded.device)
    with torch.inference_mode():
        vlm.loaded.model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels,
                                  max_new_tokens=DEMO_TOKENS, min_new_tokens=DEMO_TOKENS, do_sample=False)
    return len(frames)


def generated_video(path: Path, seconds: float) -> Path:
    """A video of six scenes in which everything moves, so that no frame is a copy of another."""
    sources = ("testsrc2", "mandelbrot", "life=mold=10:ratio=0.4:death_color=#C83232:life_color=#32C832", "gradients",
               "rgbtestsrc", "cellauto")
    each = seconds / len(sources)
    lines = [f"{source}{'=' if '=' not in source else ':'}size=1280x720:rate=25,trim=duration={each},"
             f"noise=alls=8:allf=t+u,setsar=1,format=yuv420p[v{index}]" for index, source in enumerate(sources)]
    joined = "".join(f"[v{index}]" for index in range(len(sources)))
    graph = f"{';'.join(lines)};{joined}concat=n={len(sources)}[out]"
    run_ffmpeg(["-y", "-filter_complex", graph, "-map", "[out]", "-c:v", "libx264", "-preset", "veryfast", "-crf", "28",
                input_url(path)], cancel=CancelToken(), timeout_s=900)
    return path


def measured(device: str, run: Callable[[], str]) -> tuple[float, float, str]:
    """Seconds, peak memory in GB and what was done."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        # Linux forgets the peak so far; elsewhere the peak is that of the process.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    began = time.perf_counter()
    note = run()
    seconds = time.perf_counter() - began
    return seconds, (torch.cuda.max_memory_allocated() if device == "cuda" else _peak_bytes()) / 1e9, note


def _peak_bytes() -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def table(loaded: Loaded, video: VideoInfo, ways: Sequence[str]) -> None:
    """Runs the ways and prints a line for each."""
    minutes = video.duration_s / 60
    runs: dict[str, Callable[[], str]] = {
        "demo": lambda: demo(loaded, video), "full": lambda: ours(loaded, video, "full"),
        "default": lambda: ours(loaded, video, "auto")}
    print(f"{loaded.name} on {loaded.device} in {loaded.dtype}, {video.duration_s:.0f} s of "
          f"{video.width}x{video.height} video")
    print(f"{'way':8} {'s a minute':>10} {'faster':>8} {'peak GB':>8}  what was done", flush=True)
    base: float | None = None
    for way in ways:
        with tempfile.TemporaryDirectory() as folder:
            run = runs[way] if way in runs else again(loaded, video, Path(folder))
            seconds, peak, note = measured(loaded.device, run)
        base = base or (seconds if way == "demo" else None)
        faster = f"{base / seconds:.1f} x" if base else ""
        print(f"{way:8} {seconds / minutes:10.1f} {faster:>8} {peak:8.2f}  {note}", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(SIZES), default="256M")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--video", type=Path, help="a minute of generated video where none is given")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the generated video")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    options = parser.parse_args()
    loaded = random_model(options.size, choose_device(options.device))
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or generated_video(Path(folder) / "generated.mp4", options.seconds)
        video = probe(path)
        # What every first call does once is left out of all: threads, kernels, caches.
        SmolVLM(loaded).features([to_pixels(_grey(), SIZES[options.size].side)])
        table(loaded, video, options.ways)


def _grey() -> Any:
    import numpy as np

    return np.full((90, 160, 3), 90, dtype=np.uint8)


if __name__ == "__main__":
    main()
