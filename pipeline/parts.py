"""Scans a video in parts, which may be looked at on several machines, and joins them: the same as in one go.

Part of the scan. Each part is entered early and left late. What it says of the stretch around its bounds must be what
its neighbour says of it, down to the pixel: where a decoder that came in midway shows something else, the parts can't
be joined.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.division import Part
from pipeline.listening import Listener
from pipeline.media.damage import Damage
from pipeline.media.frames import decode_pictures
from pipeline.progress import CancelToken, Progress, Report
from pipeline.scan import Eye, Seen, concluded, gap_between, is_thinned, watch
from pipeline.scenes import CutFinder
from pipeline.settings import Settings
from pipeline.signals import PictureMeter
from pipeline.types import SampledFrame, Scan, VideoInfo

# What two parts say is compared from so long before the bound between them to so long after it, and there must be as
# many frames, or they don't know enough of each other.
BEFORE_S, AFTER_S, _LEAST_FRAMES = 5.0, 2.0, 20
# Kinds of frames, and what stands for a brightness that was not measured.
_PUSHED, _GLIMPSED, _UNKNOWN = 1, 0, -1

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """What looking at a part left behind.

    part: which it was
    whole: whether it can be joined to others; what is damaged must be scanned in one go
    trace: every frame, (n, 6): when it is shown, frames left out before it, whether it was measured or only glimpsed,
        how dark and how bright it is, and, near the part's bounds, a checksum of what it shows
    cuts: within the part
    measured: `PictureMeter.kept` of the part
    frames: that were put aside within the part
    """

    part: Part
    whole: bool
    trace: Table
    cuts: tuple[float, ...]
    measured: dict[str, Table]
    frames: tuple[SampledFrame, ...]


class _Tracer(CutFinder):
    """A cut finder that writes down every frame that it is shown."""

    def __init__(self, fps: float, settings: Settings, part: Part) -> None:
        super().__init__(fps, settings)
        self._bounds = [float(part.start_s), part.until_s]
        self.trace: list[tuple[float, ...]] = []
        self._shades = (_UNKNOWN, _UNKNOWN)

    def push(self, time_s: float, image: npt.NDArray[np.uint8], left_out: int = 0) -> None:
        """As for any cut finder."""
        super().push(time_s, image, left_out)
        self.trace.append((time_s, left_out, _PUSHED, *self._shades, self._sum(time_s, image)))

    def glimpse(self, time_s: float, image: npt.NDArray[np.uint8], left_out: int = 0) -> None:
        """As for any cut finder."""
        super().glimpse(time_s, image, left_out)
        self.trace.append((time_s, left_out, _GLIMPSED, _UNKNOWN, _UNKNOWN, self._sum(time_s, image)))

    def shade(self, time_s: float, dark: int, bright: int) -> None:
        """Fades are found when the parts are joined: a dark stretch may begin in a part and end in another."""
        self._shades = (dark, bright)

    def _sum(self, time_s: float, image: npt.NDArray[np.uint8]) -> int:
        near = any(bound - BEFORE_S <= time_s < bound + AFTER_S for bound in self._bounds)
        return zlib.crc32(image.tobytes()) if near else 0


def look(video: VideoInfo, part: Part, settings: Settings, frame_dir: Path, report: Report,
         cancel: CancelToken) -> Look:
    """Look at a part's pictures.

    frame_dir: an existing folder that takes the sampled frames

    Raises what `scan.scan` raises.
    """
    tracer = _Tracer(video.fps, settings, part)
    eye = Eye(video, settings, frame_dir, cuts=tracer)
    length_s = min(part.until_s, video.duration_s) - part.start_s

    def tell(progress: Progress) -> None:
        share = ((progress.fraction or 0.0) * video.duration_s - part.start_s) / length_s
        report(Progress("scan", min(1.0, max(0.0, share)), progress.message))

    pictures = decode_pictures(video, cancel, settings.limits, thin=is_thinned(video), enter_s=part.enter_s)
    wanted = takewhile(lambda event: isinstance(event, Damage) or event.time_s < part.stop_s, pictures)
    damage = watch(eye, wanted, tell)
    eye.tighten(cancel, part.start_s, part.until_s)
    report(Progress("scan", 1.0, "looking for scenes"))
    frames = []
    for frame in eye.frames:
        if _within(part, frame.time_s):
            frames.append(frame)
        else:
            frame.path.unlink()
    return Look(part, not damage, np.array(tracer.trace).reshape(-1, 6),
                tuple(cut for cut in tracer.cuts if _within(part, cut)),
                eye.pictures.kept(part.start_s, part.until_s), tuple(frames))


def join(video: VideoInfo, looks: Sequence[Look], heard: Listener, settings: Settings) -> Scan | None:
    """The scan of a video from what was seen of its parts, in their order, and what was heard of all of it.

    None where it must be scanned in one go: it is damaged, or shows something else when it is entered midway.
    """
    if not all(look.whole for look in looks) or not all(_agree(a, b) for a, b in pairwise(looks)):
        return None
    seen = Seen(CutFinder(video.fps, settings), PictureMeter(video.rotation_deg, video.mirrored))
    for look in looks:
        times = look.trace[:, 0]
        for time_s, _, kind, dark, bright, _ in look.trace[(times >= look.part.start_s)
                                                                  & (times < look.part.until_s)].tolist():
            if gap := gap_between(seen.last_s, time_s, video.frame_s):
                seen.gaps.append(gap)
            if kind == _PUSHED:
                seen.cuts.shade(time_s, int(dark), int(bright))
            seen.count += 1
            seen.last_s = time_s
        for cut in look.cuts:
            seen.cuts.break_at(cut)
        seen.pictures.take(look.measured)
        seen.frames += look.frames
    return concluded(video, seen, heard, heard.damage)


def _agree(first: Look, second: Look) -> bool:
    """Whether two neighbours saw the same around the bound between them."""
    bound_s = second.part.start_s
    mine, theirs = (look.trace[(look.trace[:, 0] >= bound_s - BEFORE_S) & (look.trace[:, 0] < bound_s + AFTER_S)]
                    for look in (first, second))
    return len(mine) >= _LEAST_FRAMES and np.array_equal(mine, theirs)


def _within(part: Part, time_s: float) -> bool:
    return part.start_s <= time_s < part.until_s
