"""Measures a video file: packets are walked without decoding, one frame is decoded, the header is only quoted."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
import av.stream
import numpy as np
import numpy.typing as npt
from av.buffer import Buffer

from pipeline.errors import InputError
from pipeline.media.files import digest_of
from pipeline.media.limits import check_pace, check_picture, check_streams
from pipeline.media.opening import demux, open_media
from pipeline.media.readable import check_readable
from pipeline.progress import CancelToken, LinkedToken
from pipeline.settings import Limits
from pipeline.types import HeaderClaims, VideoInfo

# A timestamp further out than this is a broken clock, not a video.
_LONGEST_S = 2 * 24 * 3600.0
# Containers that round timestamps to a millisecond make even spacing look uneven by this much.
_JITTER_S = 0.0016
# FFmpeg's numbers (ITU-T H.273) for what its filters call by name; what is not here counts as unknown. The frame is
# asked, not the container: in files that went through an editor the two can disagree, and decoders (so players)
# believe the frame.
_TRANSFERS = {16: "pq", 18: "hlg"}
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}


def probe(path: Path, cancel: CancelToken | None = None, limits: Limits | None = None) -> VideoInfo:
    """Measure a video.

    limits: what it may ask of this machine; the default ones where None

    Raises InputError where the file is no video that can be used (missing, a directory, empty, encrypted, without a
    picture, undecodable, beyond the limits …), Cancelled where `cancel` is set.
    """
    cancel, limits = LinkedToken(cancel or CancelToken()), limits or Limits()
    # The file's bytes are digested beside: neither waits for the other, and what one reads is in memory for both.
    with ThreadPoolExecutor(1, thread_name_prefix="digest") as beside:
        try:
            check_readable(path, path.name)
            digest = beside.submit(digest_of, path, cancel)
            return _measured(path, digest.result, cancel, limits)
        except BaseException:
            cancel.cancel()
            raise


def _measured(path: Path, digest: Callable[[], str], cancel: CancelToken, limits: Limits) -> VideoInfo:
    """As `probe`.

    digest: waits for the digest of the file's bytes
    """
    subject = path.name
    with open_media(path, subject) as container:
        check_streams(len(container.streams), limits, subject)
        stream = _video_stream(container, subject)
        # What the header claims may be too little; what it admits to needn't be decoded.
        check_picture(stream.codec_context.width, stream.codec_context.height, limits, subject)
        times, durations = _walk_packets(container, stream, subject, cancel)
        header = _header(container, stream)
        container_start_s = (container.start_time or 0) / av.time_base
        audio_stream = _audio_stream(container)
        channels = _channels(container, audio_stream)
        # Nothing of a container may be touched once it is closed, so what is needed later is copied here.
        video_stream, claimed, codec = stream.index, stream.average_rate, stream.codec_context.codec.canonical_name
        aspect = float(stream.sample_aspect_ratio or 1)
        container_format = container.format.name
        encrypted = stream.codec_context.codec_tag == "encv"
    if encrypted:
        raise InputError("is encrypted; SmolReel needs an unprotected copy", subject)
    if len(times) == 0:
        raise InputError("has a video track without a single picture in it; record or export it again", subject)

    frame = _first_frame(path, video_stream, subject)
    origin_s = float(frame.time or 0.0)
    times = times[times >= origin_s - 1e-6] if (times >= origin_s - 1e-6).any() else times
    spacing = _measure_spacing(times, durations, claimed)
    length_s = float(times[-1]) - origin_s + spacing.last_s
    if not 0 < length_s < _LONGEST_S:
        raise InputError(f"has broken timestamps ({length_s:.0f} s long by its packets); "
                         "save it again with another program", subject)
    check_pace(length_s, spacing.fps, limits, subject)
    rotation_deg, mirrored = _orientation(frame)
    aspect = aspect if 0.05 <= aspect <= 20 else 1.0
    width, height = _shown_size(frame.width, frame.height, aspect, rotation_deg)
    for size in ((frame.width, frame.height), (width, height)):
        check_picture(*size, limits, subject)
    return VideoInfo(
        path=path.absolute(),
        sha256=digest(),
        size_bytes=path.stat().st_size,
        container=container_format,
        video_stream=video_stream,
        audio_stream=audio_stream,
        codec=codec,
        pixel_format=frame.format.name,
        origin_s=origin_s,
        container_start_s=container_start_s,
        duration_s=length_s,
        fps=spacing.fps,
        frame_count=len(times),
        variable_fps=spacing.variable,
        coded_width=frame.width,
        coded_height=frame.height,
        width=width,
        height=height,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
        sample_aspect=aspect,
        bit_depth=max(c.bits for c in frame.format.components),
        transfer=_TRANSFERS.get(int(frame.color_trc), "sdr"),
        header=header,
        matrix=_MATRICES.get(int(frame.colorspace)),
        primaries=_PRIMARIES.get(int(frame.color_primaries)),
        audio_channels=channels,
    )


def _video_stream(container: av.container.InputContainer, subject: str) -> av.VideoStream:
    """The video stream to use: not an attached picture, the default one before others, one that can be decoded."""
    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams:
        kind = "only sound" if container.streams.audio else "no video track"
        raise InputError(f"has {kind} in it; SmolReel needs a picture", subject)
    decodable = [s for s in streams if s.codec_context is not None]
    if not decodable:
        raise InputError("has a video track of a kind that can't be decoded (encrypted, or an unknown codec); "
                         "save it again as H.264 in MP4", subject)
    return max(decodable, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), -s.index))


def _audio_stream(container: av.container.InputContainer) -> int | None:
    """Index of the audio stream to use, None where there is none that can be decoded."""
    usable = [s for s in container.streams.audio if s.codec_context is not None]
    if not usable:
        return None
    return max(usable, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), -s.index)).index


def _channels(container: av.container.InputContainer, index: int | None) -> int | None:
    """Channels of an audio stream, None where nothing says."""
    codec = None if index is None else container.streams[index].codec_context
    return (codec.channels or None) if isinstance(codec, av.AudioCodecContext) else None


def _walk_packets(container: av.container.InputContainer, stream: av.VideoStream, subject: str,
                  cancel: CancelToken) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Presentation times and durations of the stream's packets in seconds, sorted by time; no decoding."""
    base = stream.time_base or Fraction(1, av.time_base)
    # An hour at 60 frames a second as Python's own numbers would take 40 MB.
    rows = array("q")
    timeless = 0
    packets = demux(container, stream)
    while True:
        cancel.check()
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.error.FFmpegError:
            # The file ends in the middle of something: what came before is still a video.
            break
        at = packet.dts if packet.pts is None else packet.pts
        if packet.size and at is None:
            timeless += 1
        elif packet.size and at is not None and not packet.is_discard:
            rows.extend((at, packet.duration or 0))
    if timeless and not rows:
        raise InputError("is a raw stream without timestamps; save it in a container first, such as MP4", subject)
    table = np.array(rows, dtype=np.float64).reshape(-1, 2) * base.numerator / base.denominator
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return table[:, 0], table[:, 1]


@dataclass(frozen=True, slots=True)
class _Spacing:
    """How frames follow one another: frames a second, whether unevenly, and seconds that the last one stays."""

    fps: float
    variable: bool
    last_s: float


def _measure_spacing(times: npt.NDArray[np.float64], durations: npt.NDArray[np.float64],
                     claimed: Fraction | None) -> _Spacing:
    """Frame rate from packet times; the claimed rate is used only where the packets bear it out."""
    believable = float(claimed) if claimed and 0.01 <= claimed <= 1000 else None
    steps = np.diff(times)
    steps = steps[steps > 1e-6]
    if len(steps) == 0:
        last_s = float(durations[-1]) if durations[-1] > 0 else 1 / (believable or 25.0)
        return _Spacing(fps=1 / last_s, variable=False, last_s=last_s)
    typical = float(np.median(steps))
    uneven = np.abs(steps - typical) > max(_JITTER_S, 0.1 * typical)
    variable = bool(uneven.mean() > 0.02) and len(steps) > 4
    span = float(times[-1] - times[0])
    fps = len(steps) / span if variable else 1 / _mean_step(steps, uneven)
    if believable and abs(fps - believable) <= believable * (0.001 + _JITTER_S / span):
        fps = believable
    last_s = float(durations[-1])
    if not 0 < last_s <= 10 * typical:
        last_s = typical
    return _Spacing(fps=fps, variable=variable, last_s=last_s)


def _mean_step(steps: npt.NDArray[np.float64], uneven: npt.NDArray[np.bool_]) -> float:
    """Mean of the even steps: averages the millisecond rounding out, and a lone gap doesn't count."""
    return float(steps[~uneven].mean()) if (~uneven).any() else float(np.median(steps))


def _first_frame(path: Path, index: int, subject: str) -> av.VideoFrame:
    """The first frame that a player would show."""
    with open_media(path, subject) as container:
        stream = container.streams[index]
        for packet in demux(container, stream):
            try:
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame) and frame.pts is not None:
                        return frame
            except av.error.InvalidDataError:
                continue
    raise InputError("holds no picture that can be decoded (damaged or encrypted); "
                     "if a player can show it, save it again as MP4", subject)


def _header(container: av.container.InputContainer, stream: av.VideoStream) -> HeaderClaims:
    """What the file says of itself, as it says it."""
    base = stream.time_base
    duration_s = None
    if stream.duration is not None and base is not None:
        duration_s = float(stream.duration * base)
    elif container.duration is not None:
        duration_s = container.duration / av.time_base
    return HeaderClaims(
        duration_s=duration_s,
        fps=float(stream.average_rate) if stream.average_rate else None,
        frames=stream.frames or None,
    )


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Clockwise turn in degrees, and whether a left-to-right flip comes before it, from the display matrix.

    The matrix maps a stored point (x, y) to (a x + c y, b x + d y); a negative determinant means a flip.
    """
    try:
        side_data = cast("Mapping[str, Buffer]", frame.side_data)
        data = side_data["DISPLAYMATRIX"]
    except KeyError:
        return 0, False
    except ValueError:
        # PyAV refuses the whole list where it holds a kind newer than itself; the plain turn is still known.
        return -frame.rotation % 360, False
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    turn = math.degrees(math.atan2(b, a))
    return round(turn / 90) * 90 % 360, mirrored


def _shown_size(width: int, height: int, aspect: float, rotation_deg: int) -> tuple[int, int]:
    """Size upright and with square pixels; stretched, never shrunk, so that no detail is lost."""
    if aspect >= 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    return (height, width) if rotation_deg in (90, 270) else (width, height)
