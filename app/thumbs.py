"""Small pictures of a video's moments, as data that stands in the page itself: no cached path reaches a browser."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.media.frames import Picture, decode, shown_bgr
from pipeline.progress import CancelToken
from pipeline.types import SampledFrame, VideoInfo

CARD_WIDTH, PEEK_WIDTH = 320, 176
_QUALITY = 72
# Many videos begin black; a second in, they show something.
_POSTER_S = 1.0
_SAMPLE_RATE = 8000


def thumb_at(frames: Sequence[SampledFrame], time_s: float, width: int = CARD_WIDTH) -> str:
    """The sampled frame nearest to a time as a data URI; empty where there is none.

    frames: in time order
    """
    if not frames:
        return ""
    right = bisect_left(frames, time_s, key=lambda frame: frame.time_s)
    near = frames[max(0, right - 1):right + 1]
    return _small(min(near, key=lambda frame: abs(frame.time_s - time_s)).path, width)


def poster(video: VideoInfo) -> str:
    """A picture from the start of a video as a data URI; empty where none can be decoded."""
    best = None
    with closing(decode(video, _SAMPLE_RATE, CancelToken())) as events:
        for event in events:
            if isinstance(event, Picture):
                best = event.frame
                if event.time_s >= min(_POSTER_S, video.duration_s / 2):
                    break
    return _data_uri(shown_bgr(best, video, CARD_WIDTH)) if best is not None else ""


@lru_cache(maxsize=2048)
def _small(path: Path, width: int) -> str:
    """A picture, made smaller; empty where the cache no longer has it."""
    picture = cv2.imread(str(path))
    if picture is None:
        return ""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return _data_uri(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _data_uri(picture: npt.NDArray[np.generic]) -> str:
    """A BGR picture as a JPEG in a data URI."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}" if done else ""
