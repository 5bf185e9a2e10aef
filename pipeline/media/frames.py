"""Decodes a video once, picture and sound in step, and carries on past damage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation

from pipeline.media.colour import to_sdr
from pipeline.media.limits import check_picture
from pipeline.media.opening import open_media
from pipeline.progress import CancelToken
from pipeline.settings import Limits
from pipeline.types import VideoInfo

# A clock that goes back by more than this isn't rounding: the file was cut together without being made one.
_BACKWARDS_S = 1.0

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame.

    time_s: when it is shown
    frame: as the decoder gave it: neither upright nor with square pixels yet
    """

    time_s: float
    frame: av.VideoFrame


@dataclass(frozen=True, slots=True)
class Sound:
    """A run of samples.

    time_s: when it starts; below 0 where the sound starts before the picture
    samples: (n,) float32, one channel, -1 to 1, at the rate that was asked for
    """

    time_s: float
    samples: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that can't be decoded.

    time_s: where it begins
    kind: "video"; "audio"; "clock" where time goes backwards, and frames that were shown before are left out
    """

    time_s: float
    kind: str


def decode(video: VideoInfo, sample_rate: int, cancel: CancelToken,
           limits: Limits | None = None) -> Iterator[Picture | Sound | Damage]:
    """Decode the video's picture and first sound track in one pass, in file order.

    sample_rate: of the samples in Sound, in Hz
    limits: what it may ask of this machine; the default ones where None

    After damage in the picture, frames are left out until the next key frame: those between are built on
    references that were lost, and show smears. Raises InputError where the file can't be opened any more or grows
    beyond the limits midway, Cancelled where `cancel` is set.
    """
    limits = limits or Limits()
    with open_media(video.path, video.path.name) as container:
        picture = container.streams[video.video_stream]
        picture.codec_context.thread_type = "AUTO"
        wanted = [picture]
        if video.audio_stream is not None:
            wanted.append(container.streams[video.audio_stream])
        sound = SoundDecoder(sample_rate, video.origin_s)
        reached_s, whole, backwards = -1e-6, True, False
        packets = container.demux(*wanted)
        while True:
            cancel.check()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                yield Damage(reached_s, "video")
                return
            if packet.stream is not picture:
                yield from sound.decode(cast("av.Packet[av.AudioStream]", packet), reached_s)
                continue
            try:
                frames = cast("list[av.VideoFrame]", packet.decode())
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                if whole:
                    yield Damage(reached_s, "video")
                whole = False
                continue
            for frame in frames:
                whole = whole or frame.key_frame
                if not whole or frame.pts is None:
                    continue
                check_picture(frame.width, frame.height, limits, video.path.name)
                time_s = float(frame.time or 0.0) - video.origin_s
                if time_s > reached_s:
                    reached_s = time_s
                    yield Picture(time_s, frame)
                elif time_s < reached_s - _BACKWARDS_S and not backwards:
                    backwards = True
                    yield Damage(reached_s, "clock")


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


def small_bgr(frame: av.VideoFrame, width: int, height: int) -> Image:
    """The frame squeezed to (height, width, 3) BGR, as stored: for measuring, not for looking at."""
    small = frame.reformat(width=width, height=height, format="bgr24", interpolation=Interpolation.AREA)
    return cast("Image", small.to_ndarray())


def shown_bgr(frame: av.VideoFrame, video: VideoInfo, side: int) -> Image:
    """The frame as a viewer sees it, BGR: upright, square pixels, SDR; the longer side has at most `side` pixels."""
    scale = min(1.0, side / max(video.width, video.height))
    width, height = max(1, round(video.width * scale)), max(1, round(video.height * scale))
    if video.rotation_deg in (90, 270):
        width, height = height, width
    if video.is_hdr:
        deep = frame.reformat(width=width, height=height, format="rgb48le", interpolation=Interpolation.AREA)
        rgb = to_sdr(cast("npt.NDArray[np.uint16]", deep.to_ndarray()), video.transfer)
        image = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    else:
        image = small_bgr(frame, width, height)
    if video.mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -(video.rotation_deg // 90)), dtype=np.uint8)
