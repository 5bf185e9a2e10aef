"""Makes small videos for tests: drawn frames and synthesised sound, encoded with PyAV; and reads them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

from pipeline.types import Clip

Draw = Callable[[int], np.ndarray]
RATE = 48_000
BITS = 10
TICKS = 90_000


def textured(seed: int, width: int = 160, height: int = 90) -> np.ndarray:
    """A still picture unlike that of any other seed: (height, width, 3) RGB."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(20, 235, (9, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def tone(seconds: float, amplitude: float, hertz: float = 440.0) -> np.ndarray:
    """A sine: (n,) float32 at RATE."""
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def write_video(path: Path, frames: Sequence[np.ndarray] | Draw, count: int | None = None, *, fps: float = 25.0,
                sound: np.ndarray | None = None, times_s: Sequence[float] | None = None, codec: str = "libx264",
                pixel_format: str = "yuv420p", options: dict[str, str] | None = None,
                shape: tuple[int, int] | None = None) -> Path:
    """Encode RGB frames.

    frames: the pictures, or a function from index to picture (with `count`)
    sound: (n,) float32 at RATE, from the first frame on
    times_s: when each frame is shown; evenly at `fps` where None
    shape: sample aspect ratio
    """
    draw: Draw = frames if callable(frames) else frames.__getitem__
    total = count if count is not None else len(frames)  # type: ignore[arg-type]
    first = draw(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options or {})
        stream.width, stream.height = first.shape[1], first.shape[0]
        stream.pix_fmt = pixel_format
        if shape:
            stream.codec_context.sample_aspect_ratio = Fraction(*shape)
        base = Fraction(1, 90_000)
        if times_s is not None:
            stream.codec_context.time_base = base
        audio = None
        if sound is not None:
            audio = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=RATE, layout="mono")
        for i in range(total):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(draw(i)), format="rgb24")
            if times_s is not None:
                frame.time_base, frame.pts = base, round(times_s[i] / base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None and sound is not None:
            block = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts = RATE, 0
            fifo = av.AudioFifo()
            fifo.write(block)
            while part := fifo.read(960, partial=True):
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


def story(path: Path, *, loud: range, shots: int = 8, shot_s: int = 4, size: tuple[int, int] = (160, 90),
          fps: float = 25.0) -> Path:
    """A video of still shots with hard cuts; seconds in `loud` shake and sound, the others are calm.

    Its cuts lie at multiples of `shot_s`.
    """
    pictures = [textured(seed, *size) for seed in range(shots)]
    per_shot = round(shot_s * fps)

    def draw(i: int) -> np.ndarray:
        picture = pictures[i // per_shot]
        return np.roll(picture, 3 * i, axis=1) if int(i / fps) in loud else np.roll(picture, i // 12, axis=1)

    seconds = shots * shot_s
    sound = np.concatenate([tone(1, 0.5 if s in loud else 0.01) for s in range(seconds)])
    return write_video(path, draw, shots * per_shot, fps=fps, sound=sound)


def picture(number: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A grey frame whose upper half spells its number in white and black bars; the lower is dark at its left."""
    image = np.full((height, width), 60, np.uint8)
    image[:, width // 2:] = 140
    for bit in range(BITS):
        image[:height // 2, bit * width // BITS:(bit + 1) * width // BITS] = 230 if number >> bit & 1 else 20
    return image


def read_number(image: npt.NDArray[np.uint8]) -> int:
    """The number that a frame spells."""
    height, width = image.shape
    step = width / BITS
    middles = [image[height // 8:height * 3 // 8, int(step * (b + 0.3)):int(step * (b + 0.7)) + 1].mean()
               for b in range(BITS)]
    return sum(1 << bit for bit, value in enumerate(middles) if value > 128)


def beeps(start_s: float, end_s: float, rate: int, channels: int) -> npt.NDArray[np.float32]:
    """Silence with 60 ms of 1 kHz at every whole second, of source time."""
    at = np.arange(round(start_s * rate), round(end_s * rate)) / rate
    wave = np.where(at % 1 < 0.06, 0.5 * np.sin(2 * np.pi * 1000 * at), 0)
    return np.tile(wave.astype(np.float32), (channels, 1))


def make_source(path: Path, times: Sequence[Fraction], *, size: tuple[int, int] = (160, 96), codec: str = "libx264",
                pixels: str = "yuv420p", sound: tuple[float, float] | None = None, layout: str = "stereo",
                sar: Fraction | None = None, gop: int = 24, options: dict[str, str] | None = None) -> Path:
    """Write a file with a numbered frame at each of `times` and beeps over [sound[0], sound[1]), both in seconds."""
    with av.open(str(path), "w", options=options or {}) as out:
        video = out.add_stream(codec, rate=25, options={"preset": "ultrafast", "bf": "2"} if "264" in codec else {})
        video.width, video.height, video.pix_fmt = *size, pixels
        video.codec_context.time_base = Fraction(1, TICKS)
        video.codec_context.gop_size = gop
        if sar:
            video.codec_context.sample_aspect_ratio = sar
        track = out.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48000, layout=layout) \
            if sound else None
        packets: list[av.Packet] = []
        for number, at in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = round(at * TICKS), Fraction(1, TICKS)
            packets += video.encode(frame)
        packets += video.encode()
        if track is not None and sound is not None:
            samples = beeps(*sound, 48000, {"mono": 1, "stereo": 2, "5.1": 6}[layout])
            for first in range(0, samples.shape[1], 960):
                block = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, first:first + 960]), format="fltp",
                                                   layout=layout)
                block.sample_rate, block.time_base = 48000, Fraction(1, 48000)
                block.pts = round(sound[0] * 48000) + first
                if path.suffix == ".webm":
                    block = next(iter(av.AudioResampler("flt", layout, 48000).resample(block)))
                packets += track.encode(block)
            packets += track.encode()
        for packet in sorted(packets, key=lambda p: float((p.dts if p.dts is not None else p.pts) * p.time_base)):
            out.mux(packet)
    return path


def even(count: int, rate: Fraction | int, start: Fraction | int = 0) -> list[Fraction]:
    """Times of evenly spaced frames."""
    return [start + Fraction(i) / rate for i in range(count)]


def frames_of(path: Path) -> tuple[list[int], list[Fraction]]:
    """Numbers and exact times of all frames of a reel."""
    with av.open(str(path)) as container:
        frames = [(read_number(f.to_ndarray(format="gray")), f.pts * f.time_base)
                  for f in container.decode(video=0)]
    return [number for number, _ in frames], [at for _, at in frames]


def sound_of(path: Path) -> npt.NDArray[np.float32]:
    """Left and right samples of a reel at 48 kHz."""
    with av.open(str(path)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate(blocks, axis=1)


def snapped(first: int, after: int, rate: Fraction | int) -> Clip:
    """The clip of frames [first, after), with bounds half a frame before each, as the selection makes them."""
    half = Fraction(1, 2) / rate
    return Clip(max(0.0, float(Fraction(first) / rate - half)), float(Fraction(after) / rate - half), None, "", "")
