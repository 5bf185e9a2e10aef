"""Measures how loud an audio file is, and with that whether it can be played at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import av
import av.container
import numpy as np

from pipeline.errors import InputError
from pipeline.media.opening import demux, open_media
from pipeline.progress import CancelToken

# As long as a listener's ear takes to judge (ITU-R BS.1770's blocks).
_BLOCK_S = 0.4
_RATE = 16000
# Blocks this far under the loudest are pauses, which say nothing about the level of the rest.
_PAUSE_DB = 30.0
_SILENT_DB = -70.0
# Later parts of a long file are taken to be like its first.
_MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound track as measured.

    stream: its index in the file
    rms_db: level of what isn't a pause, dBFS, mean of its channels
    mono: whether it has one channel
    """

    stream: int
    rms_db: float
    mono: bool


def check_sound(path: Path) -> None:
    """Raise InputError where a file has no sound that can be played, by its header alone."""
    with open_media(path, path.name, "audio") as container:
        _track(container, path.name)


def measure(path: Path, seconds: float, cancel: CancelToken) -> Sound:
    """Measure the first `seconds` of an audio file, or of a video's sound.

    Raises InputError where there is no sound that can be played; Cancelled.
    """
    subject = path.name
    with open_media(path, subject, "audio") as container:
        stream = _track(container, subject)
        index, mono = stream.index, stream.codec_context.channels == 1
        powers = list(islice(_powers(container, stream, cancel), math.ceil(min(seconds, _MOST_S) / _BLOCK_S)))
    if not powers:
        raise InputError("has a sound track that can't be decoded; save it again as MP3", subject)
    loudest = max(powers)
    if loudest <= 10 ** (_SILENT_DB / 10):
        raise InputError("is silent; name another audio file", subject)
    loud = [power for power in powers if power >= loudest * 10 ** (-_PAUSE_DB / 10)]
    return Sound(index, 10 * math.log10(sum(loud) / len(loud)), mono)


def _track(container: av.container.InputContainer, subject: str) -> av.AudioStream:
    """The first track of sound that can be decoded. Raises InputError where there is none."""
    streams = [s for s in container.streams.audio if s.codec_context is not None]
    if not streams:
        raise InputError("has no sound in it that can be played; name an audio file, such as an MP3", subject)
    return streams[0]


def _powers(container: av.container.InputContainer, stream: av.AudioStream, cancel: CancelToken) -> Iterator[float]:
    """Mean square of each block of the track; damage ends it, or is passed over."""
    size = int(_BLOCK_S * _RATE)
    held = np.zeros(0)
    # The channels as they are: in a downmix, what they have apart from one another would count less.
    resampler = av.AudioResampler("fltp", None, _RATE)
    packets = cast("Iterator[av.Packet[av.AudioStream]]", demux(container, stream))
    while True:
        cancel.check()
        try:
            made = [part for frame in next(packets).decode() for part in resampler.resample(frame)]
        except (StopIteration, av.error.EOFError):
            break
        except av.error.InvalidDataError:
            continue
        except (av.error.FFmpegError, ValueError):
            # ValueError: the track changes its channels midway.
            break
        held = np.concatenate([held, *(np.square(part.to_ndarray(), dtype=np.float64).mean(axis=0) for part in made)])
        while len(held) >= size:
            yield float(held[:size].mean())
            held = held[size:]
    if len(held):
        yield float(held.mean())
