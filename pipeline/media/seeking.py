"""Finds out whether a jump into a file lands where it should: files without an index land late, or anywhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import chain, islice

import av
import av.container

from pipeline.media.opening import demux, open_media
from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

# Sound that belongs to a keyframe can lie a little before it in the file, and decoders of sound need a run-up. Files
# without an index (MPEG-TS) land anywhere, so that the next keyframe can come too late: then further back is tried.
_RUN_UPS_S = (0.5, 3.0, 12.0)
# Where no keyframe turns up in this many packets, the jump went wrong.
_MAX_PACKETS = 2000
# AVFMT_NOTIMESTAMPS of FFmpeg's avformat.h.
_NO_TIMESTAMPS = 0x80
# An hour's index takes ten megabytes, and is read in a moment: those who seek for several clips at once take turns.
_TURN = threading.Lock()


def safe_seeks(video: VideoInfo, starts_s: Sequence[float], cancel: CancelToken) -> tuple[float | None, ...]:
    """For each start, the time to jump to, so that decoding from there shows what decoding from the file's start does.

    starts_s: seconds from the first shown frame

    Returns times on the container's clock in seconds, None where the file must be decoded from its start. Only the
    first frame after each jump is decoded. Raises Cancelled, or InputError where the file can't be opened any more.
    """
    found: list[float | None] = []
    for start_s in starts_s:
        cancel.check()
        targets_s = [video.origin_s + start_s - run_up_s for run_up_s in _RUN_UPS_S]
        found.append(next((target_s for target_s in targets_s
                           if target_s > max(video.origin_s, video.container_start_s)
                           and _lands_well(video, target_s, video.origin_s + start_s)), None))
    return tuple(found)


def _lands_well(video: VideoInfo, target_s: float, start_s: float) -> bool:
    """Whether a jump to `target_s` is followed by a sound keyframe shown at or before `start_s`.

    Sound, because a decoder may need what only the file's first packet says: H.264 in 4:4:4 from old x264 decodes to
    rubbish without the version number that x264 wrote there. So each jump gets a decoder that has seen nothing yet.
    """
    with _TURN, open_media(video.path, video.path.name) as container:
        # A raw stream has no timestamps: after a jump its clock would start anywhere.
        if container.format.flags & _NO_TIMESTAMPS:
            return False
        stream = container.streams[video.video_stream]
        assert isinstance(stream, av.VideoStream)
        # Without threads a frame comes out as soon as its packet goes in.
        stream.codec_context.thread_count = 1
        return _keyframe_follows(container, stream, target_s, start_s)


def _keyframe_follows(container: av.container.InputContainer, stream: av.VideoStream, target_s: float,
                      start_s: float) -> bool:
    try:
        container.seek(int(target_s * av.time_base))
        packets = islice(demux(container, stream), _MAX_PACKETS)
        first = next((packet for packet in packets if packet.is_keyframe), None)
        if first is None or first.time_base is None:
            return False
        # Old containers such as AVI have decoding times only.
        at = first.dts if first.pts is None else first.pts
        if at is None or at * first.time_base > start_s:
            return False
        for packet in chain((first,), packets):
            for frame in packet.decode():
                return not frame.is_corrupt and (frame.time is None or frame.time <= start_s)
    except av.error.FFmpegError:
        return False
    return False
