"""What editors must know of a source beyond `VideoInfo`: where its timecode starts, and its sound's channels."""

from __future__ import annotations

from dataclasses import dataclass

import av

from pipeline.media.opening import open_media
from pipeline.types import VideoInfo


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What a source's container says.

    timecode: of its first frame, as written there; None where it has none
    channels: of the sound in use; 0 without sound
    sample_rate: of the sound in use, in Hz; 0 without sound
    """

    timecode: str | None = None
    channels: int = 0
    sample_rate: int = 0


def read_facts(video: VideoInfo) -> SourceFacts:
    """Read a source's header. Raises InputError where the file can't be opened any more."""
    with open_media(video.path, video.path.name) as container:
        # The picture's own timecode before the file's: a file can hold several tracks.
        tagged = [container.streams[video.video_stream].metadata, container.metadata,
                  *(stream.metadata for stream in container.streams)]
        channels = sample_rate = 0
        if video.audio_stream is not None:
            codec = container.streams[video.audio_stream].codec_context
            if isinstance(codec, av.AudioCodecContext):
                channels, sample_rate = codec.channels, codec.sample_rate
        # Matroska writes its names in capitals.
        timecodes = [value for tags in tagged for key, value in tags.items() if key.lower() == "timecode"]
        return SourceFacts(timecodes[0] if timecodes else None, channels, sample_rate)
