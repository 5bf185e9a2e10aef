"""Small pictures of a video's moments, as data that stands in the page itself: no cached path reaches a browser."""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline import sandbox
from pipeline.types import SampledFrame, VideoInfo

CARD_WIDTH, PEEK_WIDTH = 320, 176
_QUALITY = 72
# Many videos begin black; a second in, they show something.
_POSTER_S = 1.0


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
    jpeg = sandbox.still(video, min(_POSTER_S, video.duration_s / 2), CARD_WIDTH, _QUALITY)
    return data_uri(jpeg) if jpeg else ""


@lru_cache(maxsize=2048)
def _small(path: Path, width: int) -> str:
    """A picture, made smaller; empty where the cache no longer has it."""
    picture = cv2.imread(str(path))
    if picture is None:
        return ""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    return _small_uri(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))


def _small_uri(picture: npt.NDArray[np.generic]) -> str:
    """A BGR picture as a JPEG in a data URI."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    return data_uri(data.tobytes()) if done else ""


def data_uri(jpeg: bytes) -> str:
    """JPEG data as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
