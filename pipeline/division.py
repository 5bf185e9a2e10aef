"""Divides a long video into parts that can be looked at side by side; part of the scan, like `parts`, which looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.progress import CancelToken
from pipeline.types import VideoInfo

# What the scan remembers of earlier frames lies no further back than this, so that whoever begins so early knows as
# much at the part's start as if it had begun at the file's. `parts.join` makes sure of it.
RUN_UP_S = 10.0
# Cuts near a part's end are told by what comes after it.
OVERRUN_S = 5.0
# Of fewer frames a second, that isn't enough, and there is little to gain.
_LEAST_FPS = 8.0


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a video, [start_s, end_s).

    start_s: a whole number of seconds
    end_s: likewise; None for the last one, which ends with the video
    enter_s: where decoding begins, as for `frames.decode_pictures`; None for the first one
    """

    start_s: int
    end_s: int | None
    enter_s: float | None

    @property
    def stop_s(self) -> float:
        """Where decoding may end."""
        return math.inf if self.end_s is None else self.end_s + OVERRUN_S

    @property
    def until_s(self) -> float:
        """Where it ends."""
        return math.inf if self.end_s is None else float(self.end_s)


def bounds(duration_s: float, part_s: float) -> list[int]:
    """Whole seconds at which to divide a video into parts of about the same length, about `part_s` each; pure."""
    count = max(1, round(duration_s / max(part_s, 2 * RUN_UP_S)))
    return [round(duration_s * i / count) for i in range(1, count)]


def divide(video: VideoInfo, part_s: float, cancel: CancelToken) -> tuple[Part, ...]:
    """The parts of a video; only one where it can't be entered in its middle, or isn't long enough.

    Raises what `safe_seeks` raises.
    """
    # Brings the decoders, which whoever only speaks of parts needn't wait for.
    from pipeline.media.seeking import safe_seeks

    whole = (Part(0, None, None),)
    if video.fps < _LEAST_FPS:
        return whole
    inside = bounds(video.duration_s, part_s)
    entries = safe_seeks(video, [start_s - RUN_UP_S for start_s in inside], cancel)
    if None in entries:
        return whole
    starts = zip([0, *inside], [*inside, None], [None, *entries], strict=True)
    return tuple(Part(start_s, end_s, enter_s) for start_s, end_s, enter_s in starts)
