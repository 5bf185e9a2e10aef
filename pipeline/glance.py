"""A first look at a video, a second after it was opened: a few of its keyframes, and where its scenes may change.

It is a guess, to be looked at while the scan finds out: nothing is chosen by it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.media.frames import shown_bgr
from pipeline.media.keyframes import decode_keyframes, keyframe_times
from pipeline.progress import CancelToken
from pipeline.signals import look_of
from pipeline.types import Glance, VideoInfo

# So many keyframes are looked at: about a second's work at 1080p.
_MOST = 48
# Between two views of one scene, so many seconds apart, there is more likeness than this (as a cosine).
_ALIKE = 0.65
# An encoder that sets keyframes at cuts sets the others at this distance or further, by the clock of its own.
_IN_TIME = 0.98
# Where fewer keyframes than this share come before their time, they do so at cuts.
_RARE = 0.7
_QUALITY = 70
# Times closer than this are the same, whoever says them.
_CLOSE_S = 0.02


def glance(video: VideoInfo, side: int, cancel: CancelToken) -> Glance:
    """Look at keyframes all over a video.

    side: pixels of the pictures' longer side, at most

    Raises InputError where the file can't be opened any more, Cancelled.
    """
    keyframes_s = keyframe_times(video)
    times_s, pictures, looks = list[float](), list[bytes](), list[npt.NDArray[np.float64]]()
    for time_s, frame in decode_keyframes(video, moments(video.duration_s, keyframes_s), cancel):
        image = shown_bgr(frame, video, side)
        done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if done:
            times_s.append(time_s)
            pictures.append(data.tobytes())
            looks.append(look_of(image))
    return Glance(tuple(times_s), tuple(pictures), tuple(guess_marks(times_s, looks, keyframes_s)))


def moments(duration_s: float, keyframes_s: npt.NDArray[np.float64]) -> list[float]:
    """Where to look: evenly spread, at keyframes where it is known where they are; pure."""
    wanted = (np.arange(_MOST) + 0.5) * duration_s / _MOST
    if not len(keyframes_s):
        return [float(time_s) for time_s in wanted]
    nearest = np.searchsorted((keyframes_s[1:] + keyframes_s[:-1]) / 2, wanted)
    return [float(time_s) for time_s in keyframes_s[np.unique(nearest)]]


def guess_marks(times_s: Sequence[float], looks: Sequence[npt.NDArray[np.float64]],
                keyframes_s: npt.NDArray[np.float64]) -> list[float]:
    """Where scenes may begin; pure.

    times_s: (n,) when pictures are shown
    looks: (n,) what they look like, as `signals.look_of` has it
    keyframes_s: (m,) when all keyframes are shown, as far as that is known

    A scene begins somewhere between two pictures that are unlike. Encoders that look for cuts set a keyframe at each,
    before its time.
    """
    early = _early(keyframes_s)
    marks_s: list[float] = []
    for i in range(1, len(times_s)):
        if not _alike(looks[i - 1], looks[i]):
            between = (keyframes_s > times_s[i - 1] + _CLOSE_S) & (keyframes_s <= times_s[i] + _CLOSE_S)
            at_cuts = keyframes_s[between & early].tolist()
            # With no keyframe between the two, the second may well be one that was set at a cut.
            at_cuts = at_cuts or ([times_s[i]] if between.sum() == 1 else [(times_s[i - 1] + times_s[i]) / 2])
            marks_s += at_cuts
    return marks_s


def _early(keyframes_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which keyframes come before their time; none where that says nothing."""
    early = np.zeros(len(keyframes_s), dtype=bool)
    if len(keyframes_s) > 2:
        steps_s = np.diff(keyframes_s)
        early[1:] = steps_s < _IN_TIME * steps_s.max()
    return early if early.sum() < _RARE * len(early) else np.zeros_like(early)


def _alike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    """Whether two pictures may show one scene."""
    size = float(np.linalg.norm(one) * np.linalg.norm(other))
    return size < 1e-6 or float(one @ other) >= _ALIKE * size
