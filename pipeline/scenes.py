"""Finds cuts and fades while frames stream by: PySceneDetect decides, and its slips are checked against the picture.

Part of the scan: `scan.py` feeds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, SceneDetector, ThresholdDetector
from scenedetect.common import Timecode
from scenedetect.stats_manager import StatsManager

from pipeline.media.frames import halved
from pipeline.settings import Settings
from pipeline.types import Scene

# What a cut changes: brightness most, saturation half as much, edges a little less. Hue is left out, since it is noise
# in dark and in black-and-white pictures; edges make up for it where only the object changes and the background stays.
_WEIGHTS = ContentDetector.Components(delta_hue=0.0, delta_sat=0.5, delta_lum=1.0, delta_edges=0.4)
# Edges cost more than all else that the detector measures. Of a picture of half the size they are the same ones where
# they are thickened by as little as can be.
_EDGE_PIXELS = 3
_WINDOW = 2
# Over n frames a picture changes by about n to this power of what it does over one.
GROWTH = 0.7
# What a cut has over its neighbours shrinks by as much, where frames are left out.
_DROWNED = 3.0
_TIME_BASE = Fraction(1, 1_000_000)
# Share of pixels that must be dark (or bright) for a picture to count as black (or white), title cards excepted.
_BLANK_SHARE = 0.99
# A picture that is blank for less than this is a flash, or a gun shot.
_SHORTEST_FADE_S = 0.12
# A cut must tell each of this many frames before it from each of as many from it on, by this share of the jump: after
# a flash, or when a car has passed, the picture goes back to where it was. Of those that are seen, two suffice where
# others are left out.
_REACH, _LEAST_REACH = 4, 2
_LASTING_SHARE = 0.5
# Frames on either side by which it is told whether there is a cut.
MARGIN = 10
_TINY = (32, 18)
# Frames between those that are pushed; as many as there can be between those that are remembered.
_REMEMBERED = 256
# Drawn films and screen recordings show each picture several times. Beside pictures that don't change at all, every
# step of a motion looks like a cut, so that this many repeats are kept from the detector. What stands longer is a
# still picture, beside which a change is a cut indeed.
_REPEATS = 4
_STILL_S = 0.2
_REPEAT_CHANGE = 0.3


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a frame for a moment."""

    time_s: float
    tiny: npt.NDArray[np.uint8]
    brightness: float
    left_out: int
    steps: int


@dataclass(frozen=True, slots=True)
class Loose:
    """A cut that lies somewhere between two frames, since those between were left out.

    before_s: of the last frame that is known to lie before it
    after_s: of the first that is known to come after it, and where it is taken to be as long as nobody looks
    """

    before_s: float
    after_s: float


class _Newest(StatsManager):  # type: ignore[misc]
    """Has the detector tell what it measured of the last frame, and keeps no more than that.

    ratio: how many times its neighbours a change was
    """

    ratio = 0.0

    def set_metrics(self, timecode: int | FrameTimecode, metric_kv_dict: dict[str, Any]) -> None:
        """Take what was measured."""
        for key, value in metric_kv_dict.items():
            if key.startswith("adaptive_ratio"):
                self.ratio = value


class CutFinder:
    """Takes frames in order and gives the scenes at the end; remembers only the last few frames.

    Not every frame need be shown to it: a cut between two that were lies where those between, if they were glimpsed,
    change most; it is one of `loose` if some of them were not.

    loose: cuts that are not known to the frame
    steps: frames from the last but one that was pushed to the last
    """

    def __init__(self, fps: float, settings: Settings) -> None:
        self._fps = Fraction(fps).limit_denominator(100_000)
        # Timecodes take their rate from one that has it more quickly than from a number.
        self._rate = FrameTimecode(0, fps=self._fps)
        self._settings = settings
        # PySceneDetect's own minimum length is off: it would drop the second of two close cuts, whatever they are.
        self._hard = AdaptiveDetector(adaptive_threshold=settings.cut_ratio, min_content_val=settings.cut_change,
                                      window_width=_WINDOW, weights=_WEIGHTS, min_scene_len=0,
                                      kernel_size=_EDGE_PIXELS)
        dark, bright = settings.fade_level * 3, 255 - settings.fade_level * 3
        self._fades: list[SceneDetector] = [
            ThresholdDetector(threshold=dark, min_scene_len=settings.min_scene_s, min_out_length=_SHORTEST_FADE_S),
            ThresholdDetector(threshold=bright, min_scene_len=settings.min_scene_s, min_out_length=_SHORTEST_FADE_S,
                              method=ThresholdDetector.Method.CEILING),
        ]
        self.loose: list[Loose] = []
        self.steps = self._passed = 0
        self._recent: deque[_Seen] = deque(maxlen=2 * _REACH + (_REPEATS + 1) * _WINDOW)
        self._glimpsed: deque[_Seen] = deque(maxlen=_REMEMBERED)
        self._hard.stats_manager = self._newest = _Newest()
        self._waiting: list[tuple[float, bool]] = []
        self._repeats = 0
        self._fed_s = -1.0
        self._cuts: list[float] = []
        self._fade_cuts: list[float] = []

    def glimpse(self, time_s: float, image: npt.NDArray[np.uint8], left_out: int = 0) -> None:
        """Take a frame by which cuts are only placed, not found; all as for `push`."""
        self._passed += 1 + left_out
        self._glimpsed.append(_seen(time_s, image, left_out, 1 + left_out))

    def push(self, time_s: float, image: npt.NDArray[np.uint8], left_out: int = 0) -> None:
        """Take the next frame.

        time_s: when it is shown, above the last frame's
        image: (h, w, 3) BGR, small
        left_out: frames that were neither pushed nor glimpsed since the last one that was
        """
        self.steps, self._passed = 1 + left_out + self._passed, 0
        seen = _seen(time_s, image, left_out, self.steps)
        repeat = bool(self._recent) and _difference(seen, self._recent[-1]) < _REPEAT_CHANGE
        self._recent.append(seen)
        self._repeats = self._repeats + 1 if repeat else 0
        if not 0 < self._repeats <= _REPEATS or time_s - self._fed_s >= _STILL_S:
            self._fed_s = time_s
            self._hard.adaptive_threshold = self._ratio()
            self._waiting += [(cut.seconds, self._newest.ratio >= self._settings.cut_ratio)
                              for cut in self._hard.process_frame(self._code(time_s), halved(image))]
        # The detector compares the mean of what it is shown with its threshold. The mean of the whole picture would
        # call a lit face in the dark "black", so it is shown the level that nearly all pixels stay under, or over.
        ranks = [int(share * seen.tiny.size) for share in (_BLANK_SHARE, 1 - _BLANK_SHARE)]
        self.shade(time_s, *np.partition(seen.tiny, ranks, axis=None)[ranks])
        self._settle(final=False)

    def shade(self, time_s: float, dark: int, bright: int) -> None:
        """Take how bright a frame is, which is all that fades are told by; `push` does that.

        dark, bright: 0 to 255; nearly all of its pixels are at most as bright as the one, and at least as the other
        """
        code = self._code(time_s)
        for detector, level in zip(self._fades, (dark, bright), strict=True):
            self._fade_cuts += [cut.seconds for cut in detector.process_frame(code, np.full((1, 1), level))]

    def _code(self, time_s: float) -> FrameTimecode:
        return FrameTimecode(Timecode(round(time_s / _TIME_BASE), _TIME_BASE), fps=self._rate)

    def look_again(self, loose: Loose, pictures: Iterable[tuple[float, npt.NDArray[np.uint8]]]) -> list[float] | None:
        """Where one of `loose` is to the frame: no cut, one or several; None where there is nothing to see.

        pictures: all frames from `MARGIN` before `loose.before_s` to as many after `loose.after_s`, as for `push`

        Nothing changes by it, and several threads may do it at once.
        """
        finder, seen = CutFinder(float(self._fps), self._settings), 0
        for time_s, image in pictures:
            finder.push(time_s, image)
            seen += loose.before_s <= time_s <= loose.after_s
        if seen <= 2:
            return None
        finder._settle(final=True)
        return [cut for cut in finder.cuts if loose.before_s < cut <= loose.after_s]

    def replace(self, loose: Loose, cuts: Sequence[float]) -> None:
        """Put what `look_again` found in the place of one of `loose`."""
        self._cuts.remove(loose.after_s)
        self._cuts += cuts

    def break_at(self, time_s: float) -> None:
        """Put a cut at `time_s` whatever the picture says: frames are missing there."""
        self._cuts.append(time_s)

    @property
    def cuts(self) -> tuple[float, ...]:
        """The cuts that were found so far, fades left out; in no order."""
        return tuple(self._cuts)

    @property
    def newest_s(self) -> float:
        """The last cut that was found so far, 0 where there is none."""
        return self._cuts[-1] if self._cuts else 0.0

    def finish(self, duration_s: float) -> tuple[Scene, ...]:
        """The scenes; they tile [0, duration_s)."""
        self._settle(final=True)
        bounds = [0.0]
        fades = [t for t in self._fade_cuts if not _near(t, self._cuts, self._settings.min_scene_s)]
        for cut in sorted({*self._cuts, *fades}):
            if cut - bounds[-1] >= self._settings.min_scene_s and duration_s - cut >= self._settings.min_scene_s:
                bounds.append(cut)
        return tuple(Scene(a, b) for a, b in zip(bounds, [*bounds[1:], duration_s], strict=True))

    def _settle(self, final: bool) -> None:
        """Judge the cuts whose aftermath has been seen."""
        frames = list(self._recent)
        undecided = []
        for cut, sure in self._waiting:
            at = next((i for i, frame in enumerate(frames) if frame.time_s >= cut - 1e-5), len(frames) - 1)
            if len(frames) - at < _REACH and not final:
                undecided.append((cut, sure))
            elif self._is_cut(frames, at) and (sure or self._stands_out(frames, at)):
                self._cuts.append(self._place(frames[at - 1], frames[at]))
        self._waiting = undecided

    def _ratio(self) -> float:
        """How many times its neighbours a change must be for the detector to propose a cut.

        Changes between frames that are further apart drown a cut more; there, `_stands_out` judges what is below the
        ratio that counts otherwise.
        """
        near = list(self._recent)[-2 * _WINDOW - 1:]
        thin = any(seen.steps > 1 for seen in near)
        return 1 + (self._settings.cut_ratio - 1) / (_DROWNED if thin else 1)

    def _place(self, before: _Seen, after: _Seen) -> float:
        """When the first frame of what `after` belongs to is shown."""
        row = self._row(before, after)
        first = max(range(1, len(row)), key=lambda i: _difference(row[i - 1], row[i]))
        if sum(seen.left_out for seen in row[1:]):
            self.loose.append(Loose(before.time_s, row[first].time_s))
        return row[first].time_s

    def _is_cut(self, frames: list[_Seen], at: int) -> bool:
        """Whether the change into frame `at` lasts and can be seen at all."""
        if at == 0:
            return False
        earlier, later = frames[max(0, at - _REACH):at], frames[at:at + _REACH]
        reach_s = (_REACH - 0.5) / float(self._fps)
        before = [seen for i, seen in enumerate(reversed(earlier))
                  if i < _LEAST_REACH or seen.time_s >= earlier[-1].time_s - reach_s][::-1]
        after = [seen for i, seen in enumerate(later)
                 if i < _LEAST_REACH or seen.time_s <= later[0].time_s + reach_s]
        if max(before[-1].brightness, after[0].brightness) < self._settings.fade_level:
            return False
        lasting = min(_difference(a, b) for a in before for b in after)
        return lasting >= _LASTING_SHARE * _difference(before[-1], after[0])

    def _stands_out(self, frames: list[_Seen], at: int) -> bool:
        """Whether the change into frame `at` is sudden among all frames, of which only some are pushed."""
        row = self._row(frames[at - 1], frames[at])
        changes = [_difference(a, b) for a, b in pairwise(row)]
        jump = max(changes)
        others = [change / seen.steps ** GROWTH for change, seen in zip(changes, row[1:], strict=True) if change < jump]
        others += [_difference(frames[i - 1], frames[i]) / frames[i].steps ** GROWTH
                   for i in range(max(1, at - _WINDOW), min(len(frames), at + _WINDOW + 1)) if i != at]
        return bool(jump * len(others) >= self._settings.cut_ratio * sum(others))

    def _row(self, before: _Seen, after: _Seen) -> list[_Seen]:
        """Two frames that were pushed one after the other, and those between that were glimpsed."""
        return [before, *(seen for seen in self._glimpsed if before.time_s < seen.time_s < after.time_s), after]


def _seen(time_s: float, image: npt.NDArray[np.uint8], left_out: int, steps: int) -> _Seen:
    """What is remembered of a frame."""
    tiny = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), _TINY, interpolation=cv2.INTER_AREA)
    return _Seen(time_s, tiny.astype(np.uint8, copy=False), cv2.mean(tiny)[0], left_out, steps)


def _difference(a: _Seen, b: _Seen) -> float:
    """Mean absolute difference of two tiny pictures, 0 to 255."""
    return cv2.norm(a.tiny, b.tiny, cv2.NORM_L1) / a.tiny.size


def _near(time_s: float, others: list[float], within_s: float) -> bool:
    """Whether one of `others` lies close to `time_s`."""
    return any(abs(time_s - other) < within_s for other in others)
