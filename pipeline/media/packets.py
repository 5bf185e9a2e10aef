"""Reads the packets around a stretch of a video, for copying them as they are; nothing is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.container

from pipeline.media.h264 import nal_length_bytes, starts_decoding
from pipeline.media.opening import demux, open_media
from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

# (The class is subscriptable in its stubs only.)
Packet: TypeAlias = "av.Packet[Any]"

# Sound lies a little before or after the picture that it belongs to in a file.
_MARGIN_S = 1.0
# A track that has ended is not looked for up to the end of the file.
_LONGEST_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Unit:
    """A packet as its container describes it, in ticks of its stream's time base, on the container's clock.

    pts: when it is shown or heard
    duration: how long, 0 where the container doesn't say
    entry: whether a decoder that has seen nothing before can start here (for H.264: an IDR picture)
    """

    pts: int
    duration: int
    entry: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """The packets around an interval, in file order.

    pictures, sounds: of the two streams in use; sounds is empty where there is no sound
    """

    pictures: tuple[Unit, ...]
    sounds: tuple[Unit, ...]


class PacketReader:
    """An open video whose packets can be read from any point; made by `open_packets`.

    picture, sound: the streams in use; sound is None where there is none
    """

    def __init__(self, video: VideoInfo, container: av.container.InputContainer, cancel: CancelToken) -> None:
        self._video, self._container, self._cancel = video, container, cancel
        picture = container.streams[video.video_stream]
        assert isinstance(picture, av.VideoStream)
        self.picture = picture
        sound = None if video.audio_stream is None else container.streams[video.audio_stream]
        self.sound = sound if isinstance(sound, av.AudioStream) else None
        self._length_bytes = nal_length_bytes(bytes(picture.codec_context.extradata or b""))

    def stretch(self, start_s: float, end_s: float) -> Stretch:
        """Packets that cover [start_s, end_s) and a little on both sides, from the keyframe before it.

        start_s, end_s: seconds from the first shown frame
        """
        pictures: list[Unit] = []
        sounds: list[Unit] = []
        for packet in self.packets(start_s, end_s):
            unit = Unit(packet.pts or 0, packet.duration or 0, self._is_entry(packet))
            (pictures if packet.stream is self.picture else sounds).append(unit)
        return Stretch(tuple(pictures), tuple(sounds))

    def packets(self, start_s: float, end_s: float) -> Iterator[Packet]:
        """The packets of a stretch themselves, in file order."""
        origin_s = self._video.origin_s
        from_s = origin_s + start_s - _MARGIN_S
        behind_s = origin_s + end_s + _MARGIN_S
        streams = [stream for stream in (self.picture, self.sound) if stream is not None]
        reached = {stream.index: False for stream in streams}
        first = True
        # Fractions are slow, and an hour has some hundred thousand packets.
        ticks = {stream.index: float(1 / (stream.time_base or Fraction(1, av.time_base))) for stream in streams}
        self._container.seek(max(0, int(from_s * av.time_base)))
        for packet in demux(self._container, *streams):
            self._cancel.check()
            if packet.pts is None or not packet.size:
                continue
            at_s = (packet.pts if packet.dts is None else packet.dts) / ticks[packet.stream.index]
            if first and packet.stream is self.picture:
                first = False
                if at_s > max(from_s, origin_s) + _MARGIN_S:
                    # A file without an index: the jump went too far, or nowhere.
                    return
            yield packet
            reached[packet.stream.index] |= at_s > behind_s
            if all(reached.values()) or (packet.stream is self.picture and at_s > behind_s + _LONGEST_WAIT_S):
                return

    def _is_entry(self, packet: Packet) -> bool:
        """Whether decoding can start at a packet."""
        return (packet.stream is self.picture and packet.is_keyframe
                and starts_decoding(bytes(packet), self._length_bytes))


@contextmanager
def open_packets(video: VideoInfo, cancel: CancelToken) -> Iterator[PacketReader]:
    """Open a video to read its packets. Raises InputError where it can't be opened any more."""
    with open_media(video.path, video.path.name) as container:
        yield PacketReader(video, container, cancel)
