"""Still pictures out of the finished reel: upright, square pixels, SDR, whatever the source was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation

from pipeline.media.opening import open_media
from pipeline.progress import CancelToken

Picture = npt.NDArray[np.uint8]

_JPEG_QUALITY = 82


def pictures_at(reel: Path, times_s: Sequence[float], side: int, cancel: CancelToken) -> list[Picture]:
    """The reel's frames that are on show at the given times.

    times_s: seconds of the reel, in any order
    side: pixels of the longer side at most

    Returns (height, width, 3) RGB arrays, one a time. Raises InputError where the reel can't be opened, Cancelled.
    """
    with open_media(reel, reel.name) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "AUTO"
        scale = min(1.0, side / max(stream.width, stream.height))
        width, height = max(1, round(stream.width * scale)), max(1, round(stream.height * scale))
        found = []
        for time_s in times_s:
            frame = _frame_at(container, stream, time_s, cancel)
            small = frame.reformat(width=width, height=height, format="rgb24", interpolation=Interpolation.AREA)
            found.append(np.ascontiguousarray(small.to_ndarray(), dtype=np.uint8))
        return found


def _frame_at(container: av.container.InputContainer, stream: av.VideoStream, time_s: float,
              cancel: CancelToken) -> av.VideoFrame:
    """The last frame that starts at or before a time; the first one where none does."""
    # A hair later, so that the time of a frame's own start, rounded, still means that frame.
    time_s += 1e-4
    container.seek(int(max(0.0, time_s) * av.time_base))
    shown: av.VideoFrame | None = None
    for frame in container.decode(stream):
        cancel.check()
        if shown is not None and (frame.time or 0.0) > time_s:
            break
        shown = frame
    assert shown is not None, "a reel holds at least one frame"
    return shown


def jpeg(picture: Picture) -> bytes:
    """A picture as a JPEG file."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                              [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    assert done
    return data.tobytes()
