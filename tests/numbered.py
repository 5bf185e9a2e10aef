"""Sources whose every frame says its number and whose beeps sound at known times, and how reels of them are read."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from pipeline.media.probe import probe
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import CancelToken, silent
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Clip, Reel, VideoInfo

QUICK = Settings(render="encode", preset="ultrafast", crf=28)
BITS = 10
TICKS = 90000


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


def beep_starts(samples: npt.NDArray[np.float32]) -> list[float]:
    """When beeps start, in seconds."""
    loud = np.abs(samples).max(axis=0) > 0.2
    at = np.flatnonzero(loud) / 48000
    return [float(t) for i, t in enumerate(at) if i == 0 or t - at[i - 1] > 0.2]


def snapped(first: int, after: int, rate: Fraction | int) -> Clip:
    """The clip of frames [first, after), with bounds half a frame before each, as the selection makes them."""
    half = Fraction(1, 2) / rate
    return Clip(max(0.0, float(Fraction(first) / rate - half)), float(Fraction(after) / rate - half), None, "", "")


def render(source: Path | VideoInfo, clips: Sequence[Clip], tmp_path: Path, settings: Settings = QUICK) -> Reel:
    """Render to tmp_path/out/reel.mp4."""
    video = probe(source) if isinstance(source, Path) else source
    return render_reel(order(video, clips, tmp_path, settings), silent, CancelToken())


def order(video: VideoInfo, clips: Sequence[Clip], tmp_path: Path, settings: Settings = QUICK,
          target: Path | None = None) -> Order:
    """What render_reel is asked for."""
    plan = Plan(PlanVideo(str(video.path), video.sha256), tuple(clips))
    return Order(video, plan, (), target or tmp_path / "out" / "reel.mp4", settings, tmp_path / "clips")


def assert_in_step(path: Path, clips: Sequence[Clip], within_s: float, lead_s: float = 0.0) -> None:
    """Every whole second of source time inside a clip, away from its edges, is heard where the plan says."""
    heard, offset_s, expected = beep_starts(sound_of(path)), 0.0, 0
    for clip in clips:
        for second in range(int(clip.start_s) + 1, int(clip.end_s) + 1):
            if clip.start_s + 0.05 < second < clip.end_s - 0.1:
                at = offset_s + second - clip.start_s + lead_s
                assert min(abs(at - other) for other in heard) < within_s, (second, at, heard)
                expected += 1
        offset_s += clip.interval.duration_s
    assert expected


def damaged(source: Path, at_s: float, path: Path) -> Path:
    """A copy of a source with half of a keyframe's bytes gone; its first, by which it is known for one, stay."""
    with av.open(str(source)) as container:
        packet = next(p for p in container.demux(video=0) if p.is_keyframe and float(p.pts * p.time_base) == at_s)
        at, size = packet.pos, packet.size
    data = bytearray(source.read_bytes())
    data[at + size // 2:at + size] = bytes(size - size // 2)
    path.write_bytes(data)
    return path


def files_in(tmp_path: Path) -> list[str]:
    """Names of all files in a folder and below."""
    return sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
