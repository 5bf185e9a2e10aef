"""How a picture fills a reel of another shape: a window that follows what happens, or the whole between blurred bars.

Decisions are pure; the last functions put them into ffmpeg's filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import ffmpeg

from pipeline.rendering.follow import Piece, Target, path_of, position, reach
from pipeline.types import Clip, Focus, VideoInfo

# Platforms that ask for these shapes show no more lines than this.
_MOST_SIDE = 1080
# A source whose shape is this near to the one asked for has it.
_SAME_SHAPE = 0.01
# The spread of what happens is too wide for a window where it takes up this much of what the window leaves out, for
# this share of the clip.
_WIDE = 0.36
_WIDE_TIME = 0.6
# Nor is a window any good that doesn't get to where things happen for this share of the clip.
_MISSED_TIME = 0.3
# What merely stands out counts this much beside what moves.
_SALIENT = 0.1
# Where to look when nothing is known: people are filmed with their heads in the upper part, above all by phones.
_USUAL_ACROSS = 0.5
_USUAL_DOWN = 0.45
_USUAL_DOWN_PORTRAIT = 1 / 3
# Heads are above what moves; where all doesn't fit, what is below is given up first. Shares of the window, of the rest.
_HEADROOM = 0.08
_TOP_FIRST = 0.35

# A moving window is placed to this part of a pixel of the reel, since whole pixels make slow pans stutter …
_FINE = 4
# … as far as the picture that is cut from doesn't grow beyond this many pixels.
_LARGEST = 8e6
# The blurred picture behind the bars is made this many times smaller than the reel: no detail is left in it anyway.
_BLUR_SHRINK = 12
_BLUR_SIGMA = 3
_BLUR_LIGHT = 0.55


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the picture that fills the reel.

    picture: width and height of the whole, upright, in stored pixels
    size: of the window, in the same
    across: whether it moves from left to right; else up and down
    path: of its middle, in shares of the side along which it moves
    end_s: when the clip ends
    begin_s: when, in the clip, the part of it starts that is encoded
    """

    picture: tuple[int, int]
    size: tuple[int, int]
    across: bool
    path: tuple[Piece, ...]
    end_s: float
    begin_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Bars:
    """The whole picture before a blurred copy of itself.

    size: of the whole in the reel, even
    """

    size: tuple[int, int]


Frame = Window | Bars


def keeps_shape(video: VideoInfo, aspect: str) -> bool:
    """Whether a reel of this shape shows the source's picture as it is: nothing has to be cropped or filled."""
    return aspect == "source" or abs(_ratio(aspect) / (video.width / video.height) - 1) <= _SAME_SHAPE


def canvas(video: VideoInfo, aspect: str) -> tuple[int, int]:
    """Width and height of a reel of another shape than its source's: even, and the shorter side no longer."""
    ratio, side = _ratio(aspect), min(video.width, video.height, _MOST_SIDE)
    width, height = (side * ratio, side) if ratio >= 1 else (side, side / ratio)
    return _even(width), _even(height)


def frame_of(video: VideoInfo, clip: Clip, cuts_s: Sequence[float], focus: Focus | None, aspect: str,
             framing: str) -> Frame | None:
    """How a clip's picture fills a reel of this shape; None where it does so by itself.

    cuts_s: when the picture changes from one scene to another, in the clip, each inside it
    focus: where things happen; None where that isn't known
    framing: "crop"; "bars"; "auto" for bars where the action is too wide for a window
    """
    if keeps_shape(video, aspect):
        return None
    share = _ratio(aspect) / (video.width / video.height)
    across, side = share < 1, min(share, 1 / share)
    bars = _bars(video, aspect)
    if framing == "bars":
        return bars
    usual = _USUAL_ACROSS if across else _USUAL_DOWN_PORTRAIT if video.height > video.width else _USUAL_DOWN
    runs = _runs(clip, cuts_s, focus, across, side, usual)
    step_s = focus.step_s if focus is not None else clip.interval.duration_s
    path = path_of(runs, step_s, side)
    if framing == "auto" and focus is not None and _too_wide([t for _, run in runs for t in run], step_s, path, side):
        return bars
    picture = (video.coded_width, video.coded_height)
    if video.rotation_deg in (90, 270):
        picture = picture[::-1]
    width, height = picture
    size = (min(width, _even(width * side)), height) if across else (width, min(height, _even(height * side)))
    return Window(picture, size, across, path, clip.interval.duration_s)


def cut_out(stream: Any, frame: Frame | None, reel: tuple[int, int]) -> Any:
    """The part of the picture that the reel shows; the caller brings it to the reel's size.

    reel: width and height of the reel
    """
    if not isinstance(frame, Window):
        return stream
    # Nothing to do as a rule; but a picture that changes its size midway must not be cut beyond its edge.
    stream = stream.filter("scale", *frame.picture)
    whole, size = (frame.picture[0], frame.size[0]) if frame.across else (frame.picture[1], frame.size[1])
    low, high = ((edge * whole - size / 2) for edge in reach(frame.path, frame.end_s))
    first = min(max(0, 2 * math.floor(low / 2)), whole - size)
    if high - low < 0.5:
        # Even, so that colours, which have half as many pixels, aren't shifted against the rest.
        first = min(2 * round((low + high) / 4), whole - size)
        return _crop(stream, frame, frame.size, first)
    hull = min(whole - first, 2 * math.ceil((high - first) / 2) + size)
    beside = frame.picture[1] if frame.across else frame.picture[0]
    enlarged = reel[0 if frame.across else 1] / size
    fine = max(1, min(math.ceil(_FINE * enlarged), round(_LARGEST / (hull * beside))))
    narrow, wide = ((hull, beside), (hull * fine, beside)) if frame.across else ((beside, hull), (beside, hull * fine))
    stream = _crop(stream, frame, narrow, first).filter("scale", *wide, flags="bicubic")
    cut = (size * fine, beside) if frame.across else (beside, size * fine)
    clock = f"(t+{frame.begin_s:.6f})" if frame.begin_s else "t"
    return _crop(stream, frame, cut, expression(frame.path, whole * fine, -(size / 2 + first) * fine, clock))


def from_later(frame: Frame | None, seconds: float) -> Frame | None:
    """How a part of a clip that starts `seconds` after it fills the reel: as it does in the whole clip."""
    return replace(frame, begin_s=frame.begin_s + seconds) if isinstance(frame, Window) else frame


def put_bars(stream: Any, frame: Frame | None, reel: tuple[int, int]) -> Any:
    """The picture, 8-bit YUV at `frame`'s size, amid a blurred and darkened copy that fills the reel."""
    if not isinstance(frame, Bars):
        return stream
    width, height = reel
    small = max(2, round(width / _BLUR_SHRINK)), max(2, round(height / _BLUR_SHRINK))
    both = stream.filter_multi_output("split", 2)
    behind = both[1].filter("scale", *small, flags="area", force_original_aspect_ratio="increase")
    behind = behind.filter("crop", *small, exact=1).filter("gblur", sigma=_BLUR_SIGMA)
    behind = behind.filter("lutyuv", y=f"16+(val-16)*{_BLUR_LIGHT}").filter("scale", width, height, flags="bicubic")
    left, top = ((whole - part) // 4 * 2 for whole, part in zip(reel, frame.size, strict=True))
    return ffmpeg.overlay(behind, both[0], x=left, y=top)


def expression(path: Sequence[Piece], scale: float, shift: float, clock: str = "t") -> str:
    """A path as ffmpeg computes it from `clock`: times `scale`, plus `shift`.

    A tree of comparisons, since a long chain of them would be too deep for ffmpeg.
    """
    if len(path) > 1:
        half = len(path) // 2
        early, late = (expression(part, scale, shift, clock) for part in (path[:half], path[half:]))
        return f"if(lt({clock},{path[half].start_s:.4f}),{early},{late})"
    piece = path[0]
    start = f"{piece.at * scale + shift:.3f}"
    if not piece.speed and not piece.bend:
        return start
    past = f"({clock}-{piece.start_s:.4f})"
    return f"{start}+{past}*({piece.speed * scale:.3f}+{past}*({piece.bend * scale:.3f}))"


def _ratio(aspect: str) -> float:
    """Width over height."""
    width, height = aspect.split(":")
    return int(width) / int(height)


def _even(value: float) -> int:
    """The nearest even number, 2 or more."""
    return max(2, 2 * round(value / 2))


def _bars(video: VideoInfo, aspect: str) -> Bars:
    """The whole picture, as large as the reel lets it be."""
    width, height = canvas(video, aspect)
    scale = min(width / video.width, height / video.height)
    return Bars((min(width, _even(video.width * scale)), min(height, _even(video.height * scale))))


def _runs(clip: Clip, cuts_s: Sequence[float], focus: Focus | None, across: bool, side: float,
          usual: float) -> list[tuple[float, list[Target]]]:
    """For each stretch of the clip between cuts, its start in the clip and where to look, step by step."""
    bounds = [0.0, *cuts_s, clip.interval.duration_s]
    runs = []
    for start_s, end_s in pairwise(bounds):
        if focus is None:
            runs.append((start_s, [Target(start_s, usual, 0.0, 0.0)]))
            continue
        step_s = focus.step_s
        first, last = (math.floor((clip.start_s + start_s) / step_s),
                       math.ceil((clip.start_s + end_s) / step_s - 1e-6))
        targets = []
        for index in range(first, max(first + 1, last)):
            begin_s = index * step_s - clip.start_s
            inside = (min(end_s, begin_s + step_s) - max(start_s, begin_s)) / step_s
            targets.append(_target(focus, index, begin_s, inside, across, side, usual))
        runs.append((start_s, targets))
    return runs


def _target(focus: Focus, index: int, start_s: float, inside: float, across: bool, side: float,
            usual: float) -> Target:
    """Where to look in one step, of which the share `inside` belongs to the stretch at hand."""
    if not 0 <= index < len(focus.boxes):
        return Target(start_s, usual, 0.0, 0.0)
    x, y, width, height = focus.boxes[index]
    weight = focus.weights[index]
    at, size = x, width
    if not across:
        at, size = y - _HEADROOM * side - _TOP_FIRST * max(0.0, height - side), height
    sure = 1 - (1 - weight) * size
    # A step that lies mostly beyond a cut tells of another scene.
    counts = inside if inside >= 0.5 else 0.0
    return Target(start_s, usual + sure * (at - usual), size, (weight + _SALIENT) * counts)


def _too_wide(targets: Sequence[Target], step_s: float, path: Sequence[Piece], side: float) -> bool:
    """Whether what happens is wider than the window, or elsewhere, for most of the clip."""
    total = sum(target.weight for target in targets)
    limit = side + _WIDE * (1 - side)
    wide = sum(target.weight for target in targets if target.size > limit)
    missed = 0.0
    for target in targets:
        nearest = min(max(target.at, side / 2), 1 - side / 2)
        if abs(nearest - position(path, max(0.0, target.start_s + step_s / 2))) > side / 2:
            missed += target.weight
    return total > 0 and (wide >= _WIDE_TIME * total or missed >= _MISSED_TIME * total)


def _crop(stream: Any, frame: Window, size: tuple[int, int], at: int | str) -> Any:
    """Cut `size` out of the picture, at a place along the side on which the window moves."""
    x, y = (at, 0) if frame.across else (0, at)
    return stream.filter("crop", *size, x, y, exact=1)
