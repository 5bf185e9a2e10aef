"""Finds cuts and fades while frames stream by: PySceneDetect decides, and its slips are checked against the picture.

Part of the scan: `scan.py` feeds it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt
from scenedetect import AdaptiveDetector, ContentDetector, FrameTimecode, SceneDetector, ThresholdDetector
from scenedetect.common import Timecode

from pipeline.settings import Settings
from pipeline.types import Scene

# What a cut changes: brightness most, edges and saturation half. Hue is left out, since it is noise in dark and in
# black-and-white pictures; edges make up for it where only the object changes and the background stays.
_WEIGHTS = ContentDetector.Components(delta_hue=0.0, delta_sat=0.5, delta_lum=1.0, delta_edges=0.5)
_WINDOW = 2
_TIME_BASE = Fraction(1, 1_000_000)
# Share of pixels that must be dark (or bright) for a picture to count as black (or white), title cards excepted.
_BLANK_SHARE = 0.99
# A picture that is blank for less than this is a flash, or a gun shot.
_SHORTEST_FADE_S = 0.12
# A cut must tell each of this many frames before it from each of as many from it on, by this share of the jump: after
# a flash, or when a car has passed, the picture goes back to where it was.
_REACH = 4
_LASTING_SHARE = 0.5
_TINY = (32, 18)
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
    tiny: npt.NDArray[np.int16]
    brightness: float


class CutFinder:
    """Takes frames in order and gives the scenes at the end; remembers only the last few frames."""

    def __init__(self, fps: float, settings: Settings) -> None:
        self._fps = Fraction(fps).limit_denominator(100_000)
        self._settings = settings
        # PySceneDetect's own minimum length is off: it would drop the second of two close cuts, whatever they are.
        self._hard = AdaptiveDetector(adaptive_threshold=settings.cut_ratio, min_content_val=settings.cut_change,
                                      window_width=_WINDOW, weights=_WEIGHTS, min_scene_len=0)
        dark, bright = settings.fade_level * 3, 255 - settings.fade_level * 3
        self._fades: list[SceneDetector] = [
            ThresholdDetector(threshold=dark, min_scene_len=settings.min_scene_s, min_out_length=_SHORTEST_FADE_S),
            ThresholdDetector(threshold=bright, min_scene_len=settings.min_scene_s, min_out_length=_SHORTEST_FADE_S,
                              method=ThresholdDetector.Method.CEILING),
        ]
        self._recent: deque[_Seen] = deque(maxlen=2 * _REACH + (_REPEATS + 1) * _WINDOW)
        self._waiting: list[float] = []
        self._repeats = 0
        self._fed_s = -1.0
        self._cuts: list[float] = []
        self._fade_cuts: list[float] = []

    def push(self, time_s: float, image: npt.NDArray[np.uint8]) -> None:
        """Take the next frame.

        time_s: when it is shown, above the last frame's
        image: (h, w, 3) BGR, small
        """
        code = FrameTimecode(Timecode(round(time_s / _TIME_BASE), _TIME_BASE), fps=self._fps)
        tiny = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), _TINY, interpolation=cv2.INTER_AREA)
        seen = _Seen(time_s, tiny.astype(np.int16), float(tiny.mean()))
        repeat = bool(self._recent) and _difference(seen, self._recent[-1]) < _REPEAT_CHANGE
        self._recent.append(seen)
        self._repeats = self._repeats + 1 if repeat else 0
        if not 0 < self._repeats <= _REPEATS or time_s - self._fed_s >= _STILL_S:
            self._fed_s = time_s
            self._waiting += [cut.seconds for cut in self._hard.process_frame(code, image)]
        for detector, share in zip(self._fades, (_BLANK_SHARE, 1 - _BLANK_SHARE), strict=True):
            # The detector compares the mean of what it is shown with its threshold. The mean of the whole picture
            # would call a lit face in the dark "black", so it is shown the level that nearly all pixels stay under.
            level = np.partition(tiny.reshape(-1), int(share * tiny.size))[int(share * tiny.size)]
            self._fade_cuts += [cut.seconds for cut in detector.process_frame(code, np.full((1, 1), level))]
        self._settle(final=False)

    def break_at(self, time_s: float) -> None:
        """Put a cut at `time_s` whatever the picture says: frames are missing there."""
        self._cuts.append(time_s)

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
        for cut in self._waiting:
            at = next((i for i, frame in enumerate(frames) if frame.time_s >= cut - 1e-5), len(frames) - 1)
            if len(frames) - at < _REACH and not final:
                undecided.append(cut)
            elif self._is_cut(frames, at):
                self._cuts.append(frames[at].time_s)
        self._waiting = undecided

    def _is_cut(self, frames: list[_Seen], at: int) -> bool:
        """Whether the change into frame `at` lasts and can be seen at all."""
        if at == 0:
            return False
        before, after = frames[max(0, at - _REACH):at], frames[at:at + _REACH]
        if max(before[-1].brightness, after[0].brightness) < self._settings.fade_level:
            return False
        lasting = min(_difference(a, b) for a in before for b in after)
        return lasting >= _LASTING_SHARE * _difference(before[-1], after[0])


def _difference(a: _Seen, b: _Seen) -> float:
    """Mean absolute difference of two tiny pictures, 0 to 255."""
    return float(np.abs(a.tiny - b.tiny).mean())


def _near(time_s: float, others: list[float], within_s: float) -> bool:
    """Whether one of `others` lies close to `time_s`."""
    return any(abs(time_s - other) < within_s for other in others)
