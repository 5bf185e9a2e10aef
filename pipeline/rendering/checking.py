"""Holds a reel that was put together from packets against what it should be, before anybody gets it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import av.container

from pipeline.errors import OutputError
from pipeline.media.files import disk_error
from pipeline.progress import CancelToken
from pipeline.rendering.order import Unsuitable

# Sound and picture may end this far apart: a sound packet lasts about 20 ms, and a source's last one may be missing.
_SOUND_SLACK_S = 0.06
_LENGTH_SLACK_S = 0.02
# Frames decoded from each seam on. What lies further inside a clip is as it was in the source.
_SEAM_FRAMES = 4
_READERS = 2
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a sound reel is like.

    frames: pictures in it
    duration_s: its length
    coded_width, coded_height: pixels as stored
    sound: whether it has any
    seams_s: where its clips start
    thorough: whether every frame is to be decoded, not only those at the seams
    """

    frames: int
    duration_s: float
    coded_width: int
    coded_height: int
    sound: bool
    seams_s: tuple[float, ...]
    thorough: bool = False


def check_reel(path: Path, expected: Expected, cancel: CancelToken) -> None:
    """Raise Unsuitable, with what is wrong, where a file isn't a sound reel: packets, clocks, pictures, sound."""
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as reel:
            _check_packets(reel, expected, cancel)
        if expected.thorough:
            with _decoding(path) as reel:
                reel.streams.video[0].codec_context.thread_type = "AUTO"
                _check_frames(_frames(reel, cancel), expected, 0.0, expected.frames)
        else:
            # A person who took one clip out waits for this: half of the seams each.
            shares = [expected.seams_s[i::_READERS] for i in range(_READERS)]
            cancel.rest()
            with ThreadPoolExecutor(_READERS) as readers:
                list(readers.map(lambda seams_s: _check_seams(path, seams_s, expected, cancel), shares))
    except av.error.FFmpegError as error:
        raise Unsuitable(f"joined packets that don't decode ({error.strerror})") from error


def muxing_error(error: av.error.FFmpegError, folder: Path) -> OutputError | Unsuitable:
    """What an error in writing packets amounts to: the disk's fault, or the packets'."""
    if error.errno in _DISK:
        return disk_error(OSError(error.errno, error.strerror), folder)
    return Unsuitable(f"packets that can't be joined as they are ({error.strerror})")


@contextmanager
def _decoding(path: Path) -> Iterator[av.container.InputContainer]:
    """A file whose damaged frames are errors, not something made up in their place."""
    with av.open(str(path), options={"protocol_whitelist": "file"}) as reel:
        reel.streams.video[0].codec_context.options = {"err_detect": "explode"}
        yield reel


def _check_seams(path: Path, seams_s: Sequence[float], expected: Expected, cancel: CancelToken) -> None:
    """Raise Unsuitable where the frames after one of the seams aren't as they should be."""
    try:
        with _decoding(path) as reel:
            picture = reel.streams.video[0]
            for seam_s in seams_s:
                reel.seek(round(seam_s / (picture.time_base or 1)), stream=picture)
                _check_frames(_frames(reel, cancel), expected, seam_s, _SEAM_FRAMES)
    finally:
        cancel.rest()


def _check_packets(reel: av.container.InputContainer, expected: Expected, cancel: CancelToken) -> None:
    """Counts and clocks, without decoding."""
    pictures = reel.streams.video[0]
    sounds = reel.streams.audio[0] if reel.streams.audio else None
    if (sounds is not None) != expected.sound:
        raise Unsuitable("a reel that lost its sound")
    shown: list[float] = []
    decoded, heard_s = -1e9, 0.0
    for packet in reel.demux(*([pictures] if sounds is None else [pictures, sounds])):
        cancel.check()
        if packet.pts is None or packet.dts is None or packet.time_base is None:
            continue
        if packet.stream is pictures:
            if packet.dts <= decoded or packet.dts > packet.pts:
                raise Unsuitable("a clock that doesn't rise")
            decoded = packet.dts
            shown.append(float(packet.pts * packet.time_base))
        else:
            heard_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
    if len(shown) != expected.frames or len(set(shown)) != expected.frames:
        raise Unsuitable(f"{len(set(shown))} of {expected.frames} frames")
    length_s = float((pictures.duration or 0) * (pictures.time_base or 0))
    if abs(length_s - expected.duration_s) > _LENGTH_SLACK_S:
        raise Unsuitable(f"a reel of {length_s:.2f} s instead of {expected.duration_s:.2f} s")
    if expected.sound and abs(heard_s - expected.duration_s) > _SOUND_SLACK_S:
        raise Unsuitable(f"sound of {heard_s:.2f} s for {expected.duration_s:.2f} s of picture")


def _frames(reel: av.container.InputContainer, cancel: CancelToken) -> Iterator[av.VideoFrame]:
    """Decoded frames from where the reel stands."""
    for frame in reel.decode(reel.streams.video[0]):
        cancel.check()
        yield frame


def _check_frames(frames: Iterator[av.VideoFrame], expected: Expected, start_s: float, count: int) -> None:
    """Raise Unsuitable where the next frames aren't whole, of the right size and in order from `start_s` on."""
    found = 0
    last_s = -1.0
    for found, frame in enumerate(islice(frames, count), start=1):
        at_s = float(frame.time or 0.0)
        if found == 1 and abs(at_s - start_s) > _LENGTH_SLACK_S:
            raise Unsuitable(f"a clip that can't be entered at {start_s:.2f} s")
        if frame.is_corrupt or at_s <= last_s:
            raise Unsuitable(f"a damaged frame at {at_s:.2f} s")
        if (frame.width, frame.height) != (expected.coded_width, expected.coded_height):
            raise Unsuitable(f"a frame of another size at {at_s:.2f} s")
        last_s = at_s
    if expected.thorough and found != expected.frames:
        raise Unsuitable(f"{found} of {expected.frames} frames that decode")
