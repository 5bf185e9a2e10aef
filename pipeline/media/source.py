"""What a renderer must know of a source beyond `VideoInfo`: the colours of its frames and its sound's channels."""

from __future__ import annotations

from dataclasses import dataclass

import av

from pipeline.media.opening import open_media
from pipeline.types import VideoInfo

# FFmpeg's numbers (ITU-T H.273) for what its filters call by name; what is not here counts as unknown.
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
_PRIMARIES = {1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020", 12: "smpte432"}


@dataclass(frozen=True, slots=True)
class SourceLook:
    """How a source's samples are meant.

    matrix: FFmpeg's name of the YUV matrix, such as "bt709"; None where the file doesn't say
    primaries: FFmpeg's name of the colour primaries; None where the file doesn't say
    mono: whether the sound has one channel
    """

    matrix: str | None
    primaries: str | None
    mono: bool


def look_at(video: VideoInfo) -> SourceLook:
    """Read the tags of a video's first frame and the layout of its sound.

    The frame is asked, not the container: in files that went through an editor the two can disagree, and decoders
    (so players) believe the frame. Raises InputError where the file can't be opened any more.
    """
    with open_media(video.path, video.path.name) as container:
        mono = False
        if video.audio_stream is not None:
            codec = container.streams[video.audio_stream].codec_context
            mono = isinstance(codec, av.AudioCodecContext) and codec.channels == 1
        stream = container.streams[video.video_stream]
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    if isinstance(frame, av.VideoFrame):
                        return SourceLook(_MATRICES.get(int(frame.colorspace)),
                                          _PRIMARIES.get(int(frame.color_primaries)), mono)
            except av.error.InvalidDataError:
                continue
    return SourceLook(None, None, mono)
