"""Makes small videos for tests: drawn frames and synthesised sound, encoded with PyAV."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken

Draw = Callable[[int], np.ndarray]
RATE = 48_000


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
          fps: float = 25.0, options: dict[str, str] | None = None) -> Path:
    """A video of still shots with hard cuts; seconds in `loud` shake and sound, the others are calm.

    Its cuts lie at multiples of `shot_s`. `options` are the encoder's.
    """
    pictures = [textured(seed, *size) for seed in range(shots)]
    per_shot = round(shot_s * fps)

    def draw(i: int) -> np.ndarray:
        picture = pictures[i // per_shot]
        return np.roll(picture, 3 * i, axis=1) if int(i / fps) in loud else np.roll(picture, i // 12, axis=1)

    seconds = shots * shot_s
    sound = np.concatenate([tone(1, 0.5 if s in loud else 0.01) for s in range(seconds)])
    return write_video(path, draw, shots * per_shot, fps=fps, sound=sound, options=options)


def with_other_bytes(source: Path, target: Path, number: int) -> Path:
    """The same MP4 in all that is shown, and another file for each number: a box at its end says nothing else."""
    target.write_bytes(source.read_bytes() + struct.pack(">I4sI", 12, b"free", number))
    return target


def to_av1(source: Path, target: Path) -> Path:
    """The same picture in AV1, by a process of its own.

    Where root runs it, its encoder gives the process that it is in the machine's highest priority; in this one that
    would go on to everything that tests start, and two of those that wait by asking would stop all others.
    """
    run_ffmpeg(["-i", input_url(source), "-an", "-c:v", "libsvtav1", "-preset", "10", "-crf", "35", input_url(target)],
               cancel=CancelToken(), timeout_s=120)
    return target


def replace_box(data: bytes, path: Sequence[str], content: bytes) -> bytes:
    """An MP4's bytes with other contents in the first box at `path`, such as ("moov", "trak"), and in its like.

    Boxes around it grow or shrink with it; what lies behind it moves, so that `moov` should stand last.
    """
    out, at = b"", 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert size >= 8
        inside = data[at + 8:at + size]
        if name.decode() == path[0]:
            inside = replace_box(inside, path[1:], content) if len(path) > 1 else content
        out += struct.pack(">I4s", 8 + len(inside), name) + inside
        at += size
    return out


@contextmanager
def opened_in(folder: Path) -> Iterator[set[str]]:
    """Names of the files in `folder` that anything opens while the block runs, known once it has ended; Linux only."""
    libc = ctypes.CDLL(None, use_errno=True)
    names: set[str] = set()
    watch = libc.inotify_init1(os.O_NONBLOCK)
    try:
        # IN_OPEN of <sys/inotify.h>.
        assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(folder), 0x20) >= 0
        yield names
        try:
            data, at = os.read(watch, 1 << 20), 0
        except BlockingIOError:
            return
        while at < len(data):
            _, _, _, length = struct.unpack_from("iIII", data, at)
            names.add(os.fsdecode(data[at + 16:at + 16 + length].rstrip(b"\0")))
            at += 16 + length
    finally:
        os.close(watch)


@contextmanager
def silent_server() -> Iterator[str]:
    """The address of a web server that nobody may call while the block runs; a call fails the test."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def listen() -> None:
            try:
                calls.append(server.accept())
            except OSError:
                return

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert calls == []
