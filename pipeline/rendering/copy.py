"""Makes a reel without encoding anything: packets are copied from keyframe to keyframe and joined."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.container

from pipeline.media.files import appearing
from pipeline.media.h264 import nal_length_bytes
from pipeline.media.packets import PacketReader, open_packets
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.checking import Expected, check_reel, muxing_error
from pipeline.rendering.cutting import (
    MOVED_S,
    Cut,
    SoundRun,
    best_cut,
    clocked,
    durations,
    lay_sound,
    moved,
    room_of,
    sound_run,
)
from pipeline.rendering.order import Order, Unsuitable
from pipeline.types import Clip, Placed, Reel, VideoInfo

# Their indexes can be trusted, and their H.264 has its parameter sets in front, as MP4 wants it.
CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv")


def copy_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Copy every clip's packets to one MP4; as `reel.render_reel`.

    Clips start at keyframes, so their bounds can move by up to `Settings.copy_tolerance_s`; they never grow. The
    result has been checked. Raises Unsuitable where a clip can't be copied, or the codecs don't play everywhere.
    """
    check_codec(order.video, order.settings.max_fps)
    with open_packets(order.video, cancel) as reader:
        tape = _plan_tape(order, reader, cancel)
        with appearing(order.target) as part:
            _write(tape, reader, part, lambda share: report(Progress("render", 0.9 * share, "copying clips")), cancel)
            check_reel(part, tape.expected(order.video), cancel)
    return _reel(order, tape)


def check_codec(video: VideoInfo, max_fps: float) -> None:
    """Raise Unsuitable where a video's picture can't be copied into an MP4 that plays everywhere."""
    if video.codec != "h264" or video.pixel_format not in ("yuv420p", "yuvj420p"):
        raise Unsuitable(f"{video.codec} in {video.pixel_format}, which not every browser plays")
    if video.container not in CONTAINERS:
        raise Unsuitable(f"a container ({video.container}) whose packets can't be taken as they are")
    if video.fps > max_fps * 1.01:
        raise Unsuitable(f"{video.fps:.0f} frames a second, where {max_fps:.0f} are wanted at most")


@dataclass(frozen=True, slots=True)
class _Tape:
    """What is copied to where.

    clips: with the bounds that they have when copied
    cuts: their pictures
    sounds: their sound packets' presentation times; empty lists where there is no sound
    picture_base: of the source's stream
    """

    clips: tuple[Clip, ...]
    cuts: tuple[Cut, ...]
    sounds: tuple[Sequence[int], ...]
    picture_base: Fraction

    @property
    def starts(self) -> list[int]:
        """When each clip starts in the reel, and when the last ends, in ticks of the pictures."""
        found = [0]
        for cut in self.cuts:
            found.append(found[-1] + cut.end - cut.start)
        return found

    @property
    def frames(self) -> int:
        """Pictures in the reel."""
        return sum(len(cut.pictures) for cut in self.cuts)

    def expected(self, video: VideoInfo) -> Expected:
        """What a check must find."""
        starts_s = tuple(float(start * self.picture_base) for start in self.starts)
        return Expected(self.frames, starts_s[-1], video.coded_width, video.coded_height, any(self.sounds),
                        seams_s=starts_s[:-1])


def _plan_tape(order: Order, reader: PacketReader, cancel: CancelToken) -> _Tape:
    """Choose the packets of every clip. Raises Unsuitable."""
    if not nal_length_bytes(bytes(reader.picture.codec_context.extradata or b"")):
        raise Unsuitable("H.264 without parameter sets in front")
    base = reader.picture.time_base or Fraction(1, av.time_base)
    origin_s = order.video.origin_s
    clips, cuts, runs = [], [], []
    tolerance_s = order.settings.copy_tolerance_s
    for clip in order.plan.clips:
        cancel.check()
        stretch = reader.stretch(clip.start_s - tolerance_s, clip.end_s)
        cut = best_cut(stretch, clip, room_of(clip, order.plan, tolerance_s), base, origin_s)
        clips.append(moved(clip, cut, base, origin_s))
        cuts.append(cut)
        runs.append(sound_run(stretch))
    sounds = sounds_of(reader, runs, [(cut.start * base, cut.end * base) for cut in cuts])
    return _Tape(tuple(clips), tuple(cuts), tuple(array("q", times) for times in sounds), base)


def sounds_of(reader: PacketReader, runs: Sequence[SoundRun],
              clips: Sequence[tuple[Fraction, Fraction]]) -> list[list[int]]:
    """As `cutting.lay_sound`; nothing for each clip where there is no sound."""
    if reader.sound is None:
        return [[] for _ in clips]
    if reader.sound.codec_context.name != "aac":
        raise Unsuitable(f"{reader.sound.codec_context.name} sound, which browsers don't play in MP4")
    return lay_sound(runs, clips, reader.sound.time_base or Fraction(1, av.time_base))


def _write(tape: _Tape, reader: PacketReader, part: Path, tell: Callable[[float], object],
           cancel: CancelToken) -> None:
    """Write the packets in their new order, on their new clock. Raises OutputError, or Unsuitable where that fails."""
    starts = tape.starts
    # An hour has some hundred thousand: as Python's own numbers they would take ten megabytes.
    shown = array("q", (time - cut.start + start
                        for cut, start in zip(tape.cuts, starts, strict=False) for time in cut.pictures))
    decoded, lasting = array("q", clocked(shown)), array("q", durations(shown, starts[-1]))
    written = heard = 0
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as out:
            picture = out.add_stream_from_template(reader.picture)
            sound = None if reader.sound is None else out.add_stream_from_template(reader.sound)
            for clip, cut, sounds in zip(tape.clips, tape.cuts, tape.sounds, strict=True):
                pictures_left, sounds_left = set(cut.pictures), set(sounds)
                for packet in reader.packets(clip.start_s, clip.end_s):
                    if packet.stream is reader.picture and packet.pts in pictures_left:
                        pictures_left.discard(packet.pts)
                        packet.pts, packet.dts, packet.duration = shown[written], decoded[written], lasting[written]
                        packet.stream = picture
                        written += 1
                    elif sound is not None and packet.stream is reader.sound and packet.pts in sounds_left:
                        sounds_left.discard(packet.pts)
                        packet.pts = packet.dts = heard
                        heard += packet.duration or 0
                        packet.stream = sound
                    else:
                        continue
                    out.mux_one(packet)
                    if not pictures_left and not sounds_left:
                        break
                tell(written / len(shown))
            # To bring the index to the front, all of the file is moved.
            cancel.rest()
    except av.error.FFmpegError as error:
        raise muxing_error(error, part.parent) from error


def _reel(order: Order, tape: _Tape) -> Reel:
    """What was made."""
    starts_s = [float(start * tape.picture_base) for start in tape.starts]
    far = sum(abs(new.start_s - old.start_s) >= MOVED_S
                for new, old in zip(tape.clips, order.plan.clips, strict=True))
    warnings = (f"{far} of {len(tape.clips)} clips start up to {order.settings.copy_tolerance_s:g} s from where they "
                "were chosen, at keyframes, since they are copied; --render encode gives exact bounds",)
    return Reel(
        path=order.target, duration_s=starts_s[-1], width=order.video.width, height=order.video.height,
        fps=tape.frames / starts_s[-1], way="copy", encoder=None,
        placed=tuple(Placed(clip, a, b) for clip, (a, b) in zip(tape.clips, pairwise(starts_s), strict=True)),
        warnings=warnings if far else (), notes={"way": "copy"})
