"""What the tests of speech share: a voice, and videos in which it speaks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from tests.making import RATE, textured, write_video

VOICE_S = 11.0


def voice(media: Path) -> np.ndarray:
    """Eleven seconds of a speech: (n,) float32 at RATE."""
    with av.open(str(media / "odd" / "audio_file_jfk.flac")) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        blocks = [block.to_ndarray() for frame in container.decode(audio=0) for block in resampler.resample(frame)]
    return np.concatenate(blocks, axis=1).reshape(-1)


def talk(path: Path, media: Path, *, at_s: float = 8.0, total_s: float = 24.0) -> Path:
    """A video of shots of 4 s in which a man speaks from `at_s` on for VOICE_S, in silence but for a faint hiss."""
    sound = np.random.default_rng(0).normal(0, 1e-4, round(total_s * RATE)).astype(np.float32)
    words = voice(media)
    first = round(at_s * RATE)
    words = words[:len(sound) - first]
    sound[first:first + len(words)] += words
    pictures = [textured(seed) for seed in range(int(total_s // 4) + 1)]

    def draw(i: int) -> np.ndarray:
        return np.roll(pictures[i // 40], i // 4, axis=1)

    return write_video(path, draw, round(total_s * 10), fps=10, sound=sound)
