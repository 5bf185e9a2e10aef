"""Decodes a video's sound, all of it in one pass or that of a stretch, and carries on past damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.container
import numpy as np
import numpy.typing as npt

from pipeline.media.damage import Damage
from pipeline.media.opening import demux, open_media
from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

# Decoders of sound need a run-up, and jumps into files without an index (MPEG-TS) can land late: then further back is
# tried, and at last the file is read from its start.
_RUN_UPS_S = (1.0, 5.0, 20.0)
# Packets this long before the stretch are decoded, for the run-up; those before them needn't be.
_LEAD_S = 1.0
# A track's timestamps jitter by less; samples follow each other unless they are further off.
_GAP_S = 0.04


@dataclass(frozen=True, slots=True)
class Sound:
    """A run of samples.

    time_s: when it starts; below 0 where the sound starts before the picture
    samples: (n,) float32, one channel, -1 to 1, at the rate that was asked for
    """

    time_s: float
    samples: npt.NDArray[np.float32]


def decode_sound(video: VideoInfo, sample_rate: int, cancel: CancelToken) -> Iterator[Sound | Damage]:
    """Decode the video's first sound track in one pass; nothing where it has none, or from where it can't be read.

    sample_rate: of the samples in Sound, in Hz

    Raises InputError where the file can't be opened any more, Cancelled where `cancel` is set.
    """
    if video.audio_stream is None:
        return
    with open_media(video.path, video.path.name) as container:
        decoder = SoundDecoder(sample_rate, video.origin_s)
        stream = container.streams[video.audio_stream]
        assert isinstance(stream, av.AudioStream)
        reached_s = 0.0
        for packet in _packets(container, stream, cancel):
            for event in decoder.decode(packet, reached_s):
                reached_s = max(reached_s, event.time_s)
                yield event


def read_sound(video: VideoInfo, start_s: float, end_s: float, sample_rate: int,
               cancel: CancelToken) -> npt.NDArray[np.float32]:
    """The video's sound from `start_s` to `end_s`, one channel, at `sample_rate` Hz, -1 to 1.

    start_s, end_s: seconds from the first shown frame, 0 <= start_s < end_s

    Returns (round((end_s - start_s) * sample_rate),) samples, 0 where the file has none or they can't be decoded. Only
    what lies around the stretch is decoded. Raises InputError where the file can't be opened any more, Cancelled.
    """
    for run_up_s in _RUN_UPS_S:
        target_s = video.origin_s + start_s - run_up_s
        if target_s <= max(video.origin_s, video.container_start_s):
            break
        samples = _read(video, target_s, start_s, end_s, sample_rate, cancel)
        if samples is not None:
            return samples
    samples = _read(video, None, start_s, end_s, sample_rate, cancel)
    assert samples is not None
    return samples


def _read(video: VideoInfo, target_s: float | None, start_s: float, end_s: float, sample_rate: int,
          cancel: CancelToken) -> npt.NDArray[np.float32] | None:
    """As `read_sound`, from a jump to `target_s` on the container's clock; None where that lands too late."""
    assert video.audio_stream is not None
    canvas = _Canvas(start_s, end_s, sample_rate)
    with open_media(video.path, video.path.name) as container:
        stream = container.streams[video.audio_stream]
        assert isinstance(stream, av.AudioStream)
        if target_s is not None:
            try:
                container.seek(int(target_s * av.time_base))
            except av.error.FFmpegError:
                return None
        landed = target_s is None
        decoder = SoundDecoder(sample_rate, video.origin_s)
        for packet in _packets(container, stream, cancel):
            time_s = _time_s(packet)
            if time_s is not None:
                time_s -= video.origin_s
                if not landed and time_s > start_s:
                    return None
                landed = True
                if time_s >= end_s + _LEAD_S:
                    break
                if time_s < start_s - _LEAD_S:
                    continue
            for event in decoder.decode(packet, start_s):
                if isinstance(event, Sound):
                    canvas.put(event)
    return canvas.samples if landed else None


def _packets(container: av.container.InputContainer, stream: av.AudioStream,
             cancel: CancelToken) -> Iterator[av.Packet[av.AudioStream]]:
    """The stream's packets, up to where the file is torn; the picture's pass comes to the same place, and tells of it.
    """
    packets = demux(container, stream)
    while True:
        cancel.check()
        try:
            yield next(packets)
        except av.error.MemoryError:
            raise
        except (StopIteration, av.error.FFmpegError):
            return


def _time_s(packet: av.Packet[av.AudioStream]) -> float | None:
    """When a packet is played, on the container's clock; None for the empty one at the end."""
    at = packet.dts if packet.pts is None else packet.pts
    return None if at is None or packet.time_base is None else float(at * packet.time_base)


class SoundDecoder:
    """Decodes audio packets to mono at one rate; damage is told once and passed over."""

    def __init__(self, sample_rate: int, origin_s: float) -> None:
        self._sample_rate = sample_rate
        self._origin_s = origin_s
        self._resampler = self._new_resampler()
        self._told = False

    def decode(self, packet: av.Packet[av.AudioStream], reached_s: float) -> Iterator[Sound | Damage]:
        """The samples of a packet; `reached_s` says where the picture has got to, for the report of damage."""
        try:
            for frame in packet.decode():
                if frame.pts is None:
                    continue
                time_s = float(frame.time or 0.0) - self._origin_s
                for block in self._resampler.resample(frame):
                    samples = block.to_ndarray().reshape(-1).astype(np.float32, copy=False)
                    yield Sound(time_s, samples)
                    time_s += len(samples) / self._sample_rate
        except (av.error.FFmpegError, ValueError):
            # ValueError: the resampler refuses a track whose format changes midway; a new one takes it up.
            self._resampler = self._new_resampler()
            if not self._told:
                self._told = True
                yield Damage(reached_s, "audio")

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="flt", layout="mono", rate=self._sample_rate)


class _Canvas:
    """Silence of one stretch, onto which samples are put."""

    def __init__(self, start_s: float, end_s: float, sample_rate: int) -> None:
        self.samples = np.zeros(round((end_s - start_s) * sample_rate), np.float32)
        self._start_s, self._sample_rate = start_s, sample_rate
        self._next: int | None = None

    def put(self, sound: Sound) -> None:
        """Put samples where they belong: after those before, unless the track's clock says otherwise by much."""
        at = round((sound.time_s - self._start_s) * self._sample_rate)
        if self._next is not None and abs(at - self._next) <= _GAP_S * self._sample_rate:
            at = self._next
        self._next = at + len(sound.samples)
        first, last = max(0, at), min(len(self.samples), self._next)
        if first < last:
            self.samples[first:last] = sound.samples[first - at:last - at]
