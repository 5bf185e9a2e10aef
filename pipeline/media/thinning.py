"""Leaves out of a video what no other picture is built on: half the work of decoding, where a codec has such pictures.

H.264 and HEVC say of every picture whether others refer to it. Those that none refers to can be left out without any
harm to the rest. They are decoded all the same where a cut may be, so that it is found to the frame: packets are large
where a picture has little in common with those before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.media.h264 import nal_length_bytes

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

    Packet = av.Packet[VideoStream]

# Packets that are held back, so that what comes can tell of what was before; encoders put up to 16 pictures between two
# that are built on each other, nearly all of them 3 at most.
_HELD = 18
# Pictures that are decoded are no further apart than the first, if those between are; then one is decoded that comes at
# least the second after the one before it.
FAR_S, APART_S = 0.17, 0.115
# A packet is large from this many times the mean of those before it.
_LARGE = 2.0
_MEAN_OF = 12
# Types of NAL units that are slices of a picture: ITU-T H.264, table 7-1; H.265, table 7-1.
_H264_SLICES = range(1, 6)
_HEVC_SLICES, _HEVC_SUBLAYER_NON_REFERENCE = range(0, 32), range(0, 16, 2)


@dataclass(frozen=True, slots=True)
class Thinned:
    """A packet, and what to do with it.

    spare: whether no other picture is built on its picture
    wanted: whether it is worth decoding
    """

    packet: Packet
    spare: bool
    wanted: bool


class Thinner:
    """Takes a video stream's packets in file order, and gives those that are worth decoding in the same order."""

    def __init__(self, stream: VideoStream) -> None:
        """`stream`: whose packets they are; of other codecs than H.264 and HEVC nothing is left out."""
        context = stream.codec_context
        self._codec = context.name
        extradata = context.extradata or b""
        self._length_bytes = {"h264": nal_length_bytes, "hevc": _hevc_length_bytes}.get(self._codec, _none)(extradata)
        self._held: deque[Thinned] = deque()
        self._sizes: deque[int] = deque(maxlen=_MEAN_OF)
        self._shown: deque[int] = deque(maxlen=_HELD)
        self._layer = 0
        ticks = 1 / float(stream.time_base or 1)
        self._far, self._apart = FAR_S * ticks, APART_S * ticks
        self._anchor = self._until = -1 << 63

    def push(self, packet: Packet) -> Iterator[Thinned]:
        """Take a packet; gives earlier ones."""
        spare = packet.pts is not None and self._is_spare(packet)
        shown_at = self._anchor if packet.pts is None else packet.pts
        if not spare:
            if packet.is_keyframe or self._is_large(packet.size):
                self._want(shown_at)
            self._anchor = shown_at if packet.is_keyframe else max(self._anchor, shown_at)
        wanted = not spare or shown_at < self._until or self._is_far_off(shown_at)
        if wanted:
            self._shown.append(shown_at)
        self._held.append(Thinned(packet, spare, wanted))
        while len(self._held) > _HELD:
            yield self._held.popleft()

    def flush(self) -> Iterator[Thinned]:
        """Give the rest, all of it worth decoding: it says where the video ends."""
        while self._held:
            yield replace(self._held.popleft(), wanted=True)

    def _want(self, shown_at: int) -> None:
        """Have all pictures decoded that are shown between the last one that others are built on and `shown_at`."""
        self._until = shown_at
        for i, held in enumerate(self._held):
            if held.spare and held.packet.pts is not None and held.packet.pts > self._anchor:
                self._held[i] = replace(held, wanted=True)

    def _is_far_off(self, shown_at: int) -> bool:
        """Whether too much is left out around a picture, so that what moves would be lost sight of."""
        before = max((other for other in self._shown if other < shown_at), default=shown_at)
        after = min((other for other in self._shown if other > shown_at), default=shown_at)
        return after - before > self._far and shown_at - before >= self._apart

    def _is_large(self, size: int) -> bool:
        """Whether a packet is out of the ordinary, of those whose pictures others are built on."""
        mean = sum(self._sizes) / len(self._sizes) if self._sizes else size
        large = size > _LARGE * mean
        # What is large is no measure of what is ordinary.
        self._sizes.append(round(min(size, _LARGE * mean)))
        return large

    def _is_spare(self, packet: Packet) -> bool:
        """Whether the stream says that no other picture is built on this packet's."""
        if packet.is_disposable:
            return True
        if packet.is_keyframe or self._codec not in ("h264", "hevc"):
            return False
        found = False
        for first, second in _unit_heads(memoryview(packet), self._length_bytes):
            if self._codec == "h264":
                if first & 31 in _H264_SLICES:
                    found = True
                    if first >> 5 & 3:
                        return False
            elif (kind := first >> 1 & 63) in _HEVC_SLICES:
                found = True
                layer = second & 7
                self._layer = max(self._layer, layer)
                # Pictures of a higher temporal layer may be built on it, though none of its own is.
                if kind not in _HEVC_SUBLAYER_NON_REFERENCE or layer < self._layer:
                    return False
        return found


def _unit_heads(data: memoryview, length_bytes: int) -> Iterator[tuple[int, int]]:
    """The first two bytes of each NAL unit: with lengths in front (ISO/IEC 14496-15), or with start codes between."""
    if length_bytes:
        at = 0
        while at + length_bytes + 1 < len(data):
            yield data[at + length_bytes], data[at + length_bytes + 1]
            at += length_bytes + int.from_bytes(data[at:at + length_bytes], "big")
        return
    plain = bytes(data)
    at = plain.find(b"\0\0\1")
    while 0 <= at < len(plain) - 4:
        yield plain[at + 3], plain[at + 4]
        at = plain.find(b"\0\0\1", at + 3)


def _hevc_length_bytes(extradata: bytes) -> int:
    """Bytes of the length in front of each NAL unit, from an hvcC record; 0 where it is none."""
    return (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0


def _none(_: bytes) -> int:
    return 0
