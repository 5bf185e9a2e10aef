"""Decodes a few of a video's keyframes, spread over all of it: what can be seen of it before it is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import av
import av.container
import numpy as np
import numpy.typing as npt
from av.video.stream import VideoStream

from pipeline.media.opening import demux, open_media
from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

# Where no keyframe turns up in this many packets after a jump, none is looked for any further.
_MAX_PACKETS = 600


def keyframe_times(video: VideoInfo) -> npt.NDArray[np.float64]:
    """When its keyframes are shown, (n,) seconds, rising, as far as the file's index says: nothing where it has none.

    Raises InputError where the file can't be opened any more.
    """
    with open_media(video.path, video.path.name) as container:
        stream = container.streams[video.video_stream]
        base = stream.time_base
        if base is None:
            return np.empty(0)
        ticks = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe and not entry.is_discard]
    # Many containers say when pictures are decoded, some frames before they are shown; the first is shown at 0.
    times = np.sort(np.array(ticks, dtype=np.float64)) * base.numerator / base.denominator
    return np.asarray(times - times[0]) if len(times) > 1 else np.empty(0)


def decode_keyframes(video: VideoInfo, times_s: Sequence[float],
                     cancel: CancelToken) -> Iterator[tuple[float, av.VideoFrame]]:
    """The keyframe at or before each of these times, as far as one can be had; none of them twice.

    times_s: seconds from the first shown frame, rising

    Yields the time at which each is shown, and the frame as the decoder gives it. Damaged ones are left out. Raises
    InputError where the file can't be opened any more, Cancelled.
    """
    last_s = -math.inf
    with open_media(video.path, video.path.name) as container:
        stream = container.streams[video.video_stream]
        assert isinstance(stream, VideoStream)
        # Without threads a frame comes out as soon as its packet goes in and the decoder is told that it was the last.
        stream.codec_context.thread_count = 1
        stream.codec_context.skip_frame = "NONKEY"
        for time_s in times_s:
            cancel.check()
            # Jumps count in whole microseconds: one that falls short would lead to the keyframe before.
            frame = _keyframe_at(container, stream, video.origin_s + time_s + video.frame_s / 2, cancel)
            if frame is None or frame.pts is None or frame.is_corrupt:
                continue
            # A decoder that is told that a frame was the last doesn't say in which ticks it counts.
            at_s = max(0.0, float(frame.pts * (stream.time_base or 0)) - video.origin_s)
            if at_s > last_s:
                last_s = at_s
                yield at_s, frame


def _keyframe_at(container: av.container.InputContainer, stream: VideoStream, at_s: float,
                 cancel: CancelToken) -> av.VideoFrame | None:
    """The keyframe at or before a time on the container's clock, or the next one where a jump lands behind it."""
    try:
        container.seek(round(at_s * av.time_base))
        for number, packet in enumerate(demux(container, stream)):
            cancel.check()
            if number > _MAX_PACKETS or not packet.size:
                return None
            if packet.is_keyframe:
                frames = [*stream.codec_context.decode(packet), *stream.codec_context.decode(None)]
                stream.codec_context.flush_buffers()
                return frames[0] if frames else None
    except (av.error.FFmpegError, OverflowError):
        stream.codec_context.flush_buffers()
    return None
