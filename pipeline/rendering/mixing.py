"""Puts encoded edges and copied packets together: in one stream, on one clock, with both kinds' parameter sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
from av.video.stream import VideoStream

from pipeline.media.h264 import ParameterSets, read_avcc, write_avcc
from pipeline.media.packets import PacketReader
from pipeline.progress import CancelToken
from pipeline.rendering.checking import muxing_error
from pipeline.rendering.cutting import Cut, clocked
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, slot_of
from pipeline.rendering.order import Unsuitable

# x264 decodes pictures two frames ahead at most with the settings that we use.
_ENCODER_DELAY = 2
_MOST_DELAY = 16
# Sound is cut to the sample, give or take one.
_SOUND_SLACK_S = 1 / AUDIO_RATE

# Files of a clip's encoded head and tail; None where there is none.
Edges = tuple[Path | None, Path | None]


@dataclass(frozen=True, slots=True)
class Splice:
    """How a clip is put together.

    job: what it would be if it were encoded whole
    head, tail: frames that are encoded before and after those that are copied
    cut: the packets that are copied; None where all frames are encoded, as the head
    """

    job: ClipJob
    head: int
    tail: int
    cut: Cut | None

    @property
    def copied(self) -> int:
        """Frames that are copied."""
        return len(self.cut.pictures) if self.cut else 0


class Mixer:
    """Writes clips, or a whole reel of them.

    delay: frames by which decoding is ahead of showing, everywhere in the reel
    avcc: the parameter sets of the source and of the edges, the same for every clip, as MP4 has them
    """

    def __init__(self, reader: PacketReader, origin_s: float, splices: Sequence[Splice],
                 edges: Sequence[Edges]) -> None:
        """Raises Unsuitable where the two kinds of pictures can't stand in one stream.

        reader: of the source, whose first shown frame is at `origin_s` on its container's clock
        edges: of each of the splices
        """
        self._reader, self._origin_s = reader, origin_s
        self._base = reader.picture.time_base or Fraction(1, av.time_base)
        self.delay = _delay(splices)
        self.avcc = write_avcc(_merged(parameter_sets(reader), [edge for pair in edges for edge in pair if edge]))

    def write_clip(self, splice: Splice, edges: Edges, sound: Path | None, part: Path) -> None:
        """Write a clip as a MOV.

        sound: file of its sound; None for none

        Raises Unsuitable, OutputError.
        """
        with _muxing(part), ExitStack() as stack, av.open(str(part), "w", format="mov",
                                                          options={"write_tmcd": "0"}) as out:
            heard = stack.enter_context(_opened(sound)) if sound else None
            picture = self._picture(out, splice.job)
            track = out.add_stream_from_template(heard.streams.audio[0]) if heard else None
            self._mux(splice, edges, 0, out, picture)
            length_s = Fraction(0)
            for packet in heard.demux(heard.streams.audio[0]) if heard else ():
                if packet.size and track is not None:
                    length_s += (packet.duration or 0) * (packet.time_base or 1)
                    packet.stream = track
                    out.mux_one(packet)
            if heard and abs(length_s - splice.job.frames / splice.job.rate) > _SOUND_SLACK_S:
                raise Unsuitable("a clip with sound of another length")

    def write_reel(self, splices: Sequence[Splice], edges: Sequence[Edges], sounds: Sequence[Sequence[int]],
                   part: Path, cancel: CancelToken) -> None:
        """Write a reel as an MP4, with the source's own sound.

        sounds: presentation times of each clip's sound packets, in the source; empty for a reel without sound

        Raises Unsuitable, OutputError, Cancelled.
        """
        shown = heard = 0
        with _muxing(part), av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as out:
            picture = self._picture(out, splices[0].job)
            track = out.add_stream_from_template(self._reader.sound) if sounds and self._reader.sound else None
            for number, (splice, pair) in enumerate(zip(splices, edges, strict=True)):
                self._mux(splice, pair, shown, out, picture)
                shown += splice.job.frames
                for packet in self._packets(splice.job, self._reader.sound, sounds[number]) if track else ():
                    packet.pts = packet.dts = heard
                    heard += packet.duration or 0
                    packet.stream = track
                    out.mux_one(packet)
            # To bring the index to the front, all of the file is moved.
            cancel.rest()

    def _picture(self, out: av.container.OutputContainer, job: ClipJob) -> VideoStream:
        """A stream for both kinds of pictures."""
        picture = out.add_stream_from_template(self._reader.picture)
        picture.codec_context.extradata = self.avcc
        picture.time_base = 1 / job.rate
        return picture

    def _mux(self, splice: Splice, edges: Edges, start: int, out: av.container.OutputContainer,
             picture: VideoStream) -> None:
        """Write the pictures of a clip that starts at frame `start`."""
        job = splice.job
        with ExitStack() as stack:
            head, tail = (stack.enter_context(_opened(edge)) if edge else None for edge in edges)
            pictures = [*_encoded(head, job, 0), *self._copied(splice), *_encoded(tail, job, job.frames - splice.tail)]
            if sorted(slot for _, slot in pictures) != list(range(job.frames)):
                raise Unsuitable("a clip that didn't come together")
            for decoded, (packet, slot) in enumerate(pictures, start=-self.delay):
                if decoded > slot:
                    raise Unsuitable("edges that are decoded too late")
                packet.time_base, packet.duration = 1 / job.rate, 1
                packet.pts, packet.dts = start + slot, start + decoded
                packet.stream = picture
                out.mux_one(packet)

    def _copied(self, splice: Splice) -> Iterator[tuple[av.Packet[VideoStream], int]]:
        """The packets that are copied, in decoding order, each with its frame in the clip."""
        if splice.cut is not None:
            for packet in self._packets(splice.job, self._reader.picture, splice.cut.pictures):
                yield packet, slot_of(float((packet.pts or 0) * self._base), splice.job)

    def _packets(self, job: ClipJob, stream: Any, times: Sequence[int]) -> Iterator[av.Packet[Any]]:
        """A stream's packets that are shown, or heard, at `times` around a clip, in decoding order."""
        wanted, start_s = set(times), job.start_s - self._origin_s
        for packet in self._reader.packets(start_s, start_s + job.duration_s):
            if packet.stream is stream and packet.pts in wanted:
                wanted.discard(packet.pts)
                yield packet
                if not wanted:
                    return


def parameter_sets(reader: PacketReader) -> ParameterSets:
    """The source's. Raises Unsuitable where they can't stand beside others."""
    avcc = bytes(reader.picture.codec_context.extradata or b"")
    try:
        sets = read_avcc(avcc)
    except (ValueError, IndexError) as error:
        raise Unsuitable("H.264 without parameter sets in front") from error
    if avcc[4] & 3 != 3:
        raise Unsuitable("H.264 with short lengths in front of its units")
    return sets


def _merged(sets: ParameterSets, edges: Sequence[Path]) -> ParameterSets:
    """The source's parameter sets and those of the edges."""
    for edge in edges:
        with _opened(edge) as container:
            other = read_avcc(bytes(container.streams.video[0].codec_context.extradata or b""))
        sets = ParameterSets(tuple(dict.fromkeys((*sets.sps, *other.sps))),
                             tuple(dict.fromkeys((*sets.pps, *other.pps))))
    if len(sets.ids) != len(sets.sps) or len(sets.ids) != len(sets.pps):
        raise Unsuitable("edges that were encoded in different ways")
    return sets


def _delay(splices: Sequence[Splice]) -> int:
    """Frames by which decoding must be ahead of showing, everywhere in the reel."""
    delays = [_ENCODER_DELAY]
    for splice in splices:
        if splice.cut:
            ranks = {pts: rank for rank, pts in enumerate(sorted(splice.cut.pictures))}
            delays.append(-min(clocked([ranks[pts] for pts in splice.cut.pictures])))
    if max(delays) > _MOST_DELAY:
        raise Unsuitable("pictures that are decoded long before they are shown")
    return max(delays)


def _encoded(edge: av.container.InputContainer | None, job: ClipJob,
             first: int) -> Iterator[tuple[av.Packet[VideoStream], int]]:
    """The packets of an encoded edge, in decoding order, each with its frame in the clip."""
    found = [packet for packet in edge.demux(edge.streams.video[0]) if packet.size] if edge else []
    start = min((packet.pts or 0 for packet in found), default=0)
    for packet in found:
        yield packet, first + round(((packet.pts or 0) - start) * (packet.time_base or 1) * job.rate)


@contextmanager
def _muxing(part: Path) -> Iterator[None]:
    """Says what an error in writing packets to a file amounts to."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise muxing_error(error, part.parent) from error


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A file of ours."""
    with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
        yield container
