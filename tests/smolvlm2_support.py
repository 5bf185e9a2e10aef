"""What the SmolVLM2 tests share: the tiny model, drawn frames as files, and a scan made of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pipeline.progress import CancelToken, Report, silent
from pipeline.scorers.smolvlm2.loading import Loaded, load
from pipeline.scorers.smolvlm2.model import SmolVLM
from pipeline.settings import Settings
from pipeline.types import Clip, SampledFrame, Scan, Scene, Scored, ScoredSegment, ScorerInfo, Segment, Signals

TINY = Path(__file__).parent / "tiny_smolvlm" / "model"
RED, GREEN, BLUE, YELLOW = (225, 30, 30), (30, 190, 60), (40, 60, 220), (240, 220, 40)


@functools.cache
def tiny() -> Loaded:
    """The tiny model on the CPU in float32."""
    return load(str(TINY), "cpu", silent, CancelToken(), dtype="float32")


@functools.cache
def tiny_vlm() -> SmolVLM:
    """The same, ready to be asked."""
    return SmolVLM(tiny())


def backdrop(seed: int, width: int = 320, height: int = 180) -> Image.Image:
    """A soft, uneven background without shapes, other than those the model learned from."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 190, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def draw(image: Image.Image, shape: str, colour: tuple[int, int, int], x: float = 0.5, y: float = 0.5,
         size: float = 0.5) -> Image.Image:
    """A copy with a shape on it; x and y from 0 to 1, size as a share of the height."""
    image = image.copy()
    half = size * image.height / 2
    centre_x, centre_y = x * image.width, y * image.height
    box = (centre_x - half, centre_y - half, centre_x + half, centre_y + half)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, fill=colour)
    elif shape == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.polygon([(centre_x, box[1]), (box[2], box[3]), (box[0], box[3])], fill=colour)
    return image


def as_array(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(height, width, 3) bytes."""
    return np.asarray(image, dtype=np.uint8)


def flat_signals(seconds: int) -> Signals:
    """Signals of a video in which nothing is to be measured."""
    still = np.zeros(seconds)
    return Signals(motion=still, sharpness=still, brightness=still + 0.5, contrast=still, colour=still, novelty=still,
                   loudness_db=None, onset=None, looks=np.ones((seconds, 1), dtype=np.float32))


def scan_of(images: Sequence[Image.Image], folder: Path, step_s: float = 1.0) -> Scan:
    """A scan of a video that shows each image for `step_s`."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for index, image in enumerate(images):
        path = folder / f"{index:05d}.jpg"
        image.save(path, "JPEG", quality=90)
        frames.append(SampledFrame((index + 0.5) * step_s, path))
    duration_s = len(images) * step_s
    return Scan(duration_s, len(images), (Scene(0, duration_s),), flat_signals(int(np.ceil(duration_s))), tuple(frames))


def tiles(duration_s: float, length_s: float) -> list[Segment]:
    """Segments of one length."""
    starts = np.arange(0, duration_s - 1e-6, length_s).tolist()
    return [Segment(start, min(start + length_s, duration_s)) for start in starts]


class Measured:
    """A scorer of signals that finds the same everywhere, or what it is told."""

    name = "signals"

    def __init__(self, scores: Sequence[float] | None = None) -> None:
        self._scores = scores

    def score(self, scan: Scan, segments: Sequence[Segment], settings: Settings, report: Report,
              cancel: CancelToken) -> Scored:
        """As every scorer."""
        scores = self._scores or [0.5] * len(segments)
        found = tuple(ScoredSegment(segment.start_s, segment.end_s, score, {"motion": score}, f"moving {number}")
                      for number, (segment, score) in enumerate(zip(segments, scores, strict=True)))
        curve = np.full(int(np.ceil(scan.duration_s)), 0.5)
        return Scored(found, curve, ScorerInfo("signals"), flat=self._scores is None)


def nearly_same(clips: Sequence[Clip], others: Sequence[Clip]) -> bool:
    """Whether clips are the same but for the last digits of a model's scores, which bfloat16 doesn't hold still."""
    return ([replace(clip, score=None) for clip in clips] == [replace(clip, score=None) for clip in others]
            and all(abs((a.score or 0) - (b.score or 0)) < 0.005 for a, b in zip(clips, others, strict=True)))
