"""Measures where in the picture things happen, while it streams by; no model.

Part of the scan: `signals.py` feeds it.
"""

from __future__ import annotations

import functools
import math
from array import array
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.media.frames import halved
from pipeline.types import FOCUS_STEP_S, FloatTrack

Grid = npt.NDArray[np.float64]
_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]

# Pixels a cell is high and wide: activity is placed to a fraction of a cell by where it lies in its neighbours.
_CELL = 5
# With this many changes in a step, the largest among them is left out: it may be a cut.
_ROBUST_COUNT = 4
# Every cell has this much texture (grey levels a pixel): noise in a flat one is no motion.
_LEAST_TEXTURE = 2.0
# A cell that changes by half to one and a half times what the camera's motion makes of its texture moves with it.
_CAMERA_SLACK = 0.5
_DIRECTIONS = np.radians([0, 22.5, 45, 67.5, 90]).reshape(-1, 1, 1)
# What is left over in a pan is this much noise.
_CAMERA_DOUBT = 0.1
# Grey levels a pixel and frame, over the whole picture, at which motion counts as much as what merely stands out.
_MOTION_LEVEL = 0.02
_NOISE_LEVEL = 0.25
# Below 1, so that a waving hand doesn't outdo the face that belongs to it; and what moves draws the eye most where it
# also stands out.
_EVENNESS = 0.6
_MOTION_SHARE = 0.9
# Side of the picture of which the spectrum is taken (Hou and Zhang use 64).
_SPECTRUM = (64, 36)
# Share of the activity that a box is large enough to hold, and share of it that is densest, where the box's middle is:
# where two people talk, the middle of both is a wall.
_HELD = 0.8
_CORE = 0.5
_AS_SHORT = 1.15
# What happens at the border counts this much of what happens in the middle: people film what they mean.
_BORDER = 0.35


@dataclass(slots=True)
class _Step:
    """What one step of time showed.

    frames: how many, with those that are left out
    changes: how many neighbouring pairs are summed up
    change: sum of their absolute differences, (h, w) float32; None before the first
    texture: what a shift by a pixel across and one down would change, two grids; None where nothing was looked at
    salient: how much each cell stands out, its sum is 1; None where nothing was looked at
    """

    frames: int = 0
    changes: int = 0
    change: _Floats | None = None
    held: _Bytes | None = None
    held_size: float = -1.0
    texture: tuple[Grid, Grid] | None = None
    salient: Grid | None = None


@dataclass(slots=True)
class FocusMeter:
    """Takes frames in order; keeps five numbers for each step of time and of the frames only the last.

    rotation_deg, mirrored: how the picture has to be turned, as in VideoInfo; boxes are in the upright one
    """

    rotation_deg: int = 0
    mirrored: bool = False
    # Of each step which it is, its box and its weight.
    _rows: array[float] = field(default_factory=lambda: array("d"))
    _step: _Step = field(default_factory=_Step)
    _index: int = -1
    _last: _Bytes | None = None

    def push(self, time_s: float, grey: _Bytes) -> None:
        """Take the next frame: (h, w), small."""
        index = int(time_s / FOCUS_STEP_S)
        if index != self._index:
            self._close()
            self._index = index
        half = halved(grey)
        step = self._step
        step.frames += 1
        if step.texture is None:
            step.texture, step.salient = _texture(half), _salient(half)
        if self._last is not None:
            _add(step, cv2.absdiff(half, self._last).astype(np.uint8, copy=False))
        self._last = half

    def skip(self) -> None:
        """Frames are missing here: what comes next is no motion from what came before."""
        self._last = None

    def rows(self) -> FloatTrack:
        """What the steps so far showed, (n, 6): each one's index, its box and its weight; the last step ends here."""
        self._close()
        return np.array(self._rows).reshape(-1, 6)

    def take(self, rows: FloatTrack) -> None:
        """Take over what another meter's `rows` gave of steps that come after all which this one knows of."""
        self._rows.extend(rows.ravel())

    def finish(self, duration_s: float) -> FloatTrack:
        """Boxes and weights, one row a step, as `Signals.focus`; a step without a frame has what the last one had."""
        count = max(1, math.ceil(duration_s / FOCUS_STEP_S - 1e-6))
        rows = np.concatenate([[[-1.0, 0.5, 0.5, 1.0, 1.0, 0.0]], self.rows()])
        return np.asarray(rows[np.searchsorted(rows[:, 0], np.arange(count), "right") - 1, 1:])

    def _close(self) -> None:
        """Turn the sums of the step that ends into its row."""
        if self._step.texture is not None and self._step.salient is not None:
            grid, weight = _activity(self._step, self._step.texture, self._step.salient)
            self._rows.extend((self._index, *box_of(upright(grid, self.rotation_deg, self.mirrored)), weight))
        self._step = _Step()


def _add(step: _Step, change: _Bytes) -> None:
    """Add a difference of two frames to a step, holding back the largest one so far."""
    size = cv2.norm(change, cv2.NORM_L1)
    if size > step.held_size:
        change, step.held, step.held_size, missing = step.held, change, size, step.held is None  # type: ignore[assignment]
        if missing:
            return
    if step.change is None:
        step.change = np.zeros(change.shape, np.float32)
    cv2.accumulate(change, step.change)
    step.changes += 1


def _activity(step: _Step, texture: tuple[Grid, Grid], salient: Grid) -> tuple[Grid, float]:
    """How much each cell draws the eye, and how much of that is motion, 0 to 1."""
    if step.held is not None and step.changes + 1 < _ROBUST_COUNT:
        if step.change is None:
            step.change = np.zeros(step.held.shape, np.float32)
        cv2.accumulate(step.held, step.change)
        step.changes += 1
    if step.change is None or not step.changes:
        return salient, 0.0
    change = _cells(step.change) / step.changes
    moving = own_motion(change, *texture)
    level = float(moving.mean())
    if level <= 0:
        return salient, 0.0
    doubt = _MOTION_LEVEL + _CAMERA_DOUBT * max(0.0, float(change.mean()) - level)
    weight = level / (level + doubt)
    moving = moving ** _EVENNESS
    share = _MOTION_SHARE * weight
    return share * moving / moving.sum() + (1 - share) * salient, weight


def own_motion(change: Grid, across: Grid, down: Grid) -> Grid:
    """Change that the camera's motion doesn't explain.

    change: mean change of a pixel between frames, of each cell
    across, down: what a shift of the picture by one pixel would change there

    Where the camera moves, a cell changes by its texture in the direction of that motion times one speed, the median's
    (normal flow: Horn and Schunck 1981); the direction is the one that explains most. What moves by itself changes
    more than that, and what the camera follows changes less. Where it stands, that speed is about 0 and every change
    counts.
    """
    textures = np.cos(_DIRECTIONS) * across + np.sin(_DIRECTIONS) * down + _LEAST_TEXTURE
    speeds = np.median(change / textures, axis=(1, 2), keepdims=True)
    guesses = speeds * textures
    camera = guesses[np.abs(change - guesses).sum(axis=(1, 2)).argmin()]
    own = np.abs(change - camera) - _CAMERA_SLACK * camera - _NOISE_LEVEL
    return np.asarray(np.maximum(own, 0.0))


def box_of(activity: Grid) -> tuple[float, float, float, float]:
    """Where most of the activity is, x and y, and over what width and height it spreads, in shares of the picture."""
    rows, columns = activity.shape
    prior = np.outer(_prior(rows), _prior(columns))
    weighted = activity * prior
    across, down = weighted.sum(axis=0), weighted.sum(axis=1)
    x, y = (_shortest(mass, _CORE)[0] for mass in (across, down))
    width, height = (_shortest(mass, _HELD)[1] for mass in (across, down))
    return x, y, width, height


def upright(grid: Grid, rotation_deg: int, mirrored: bool) -> Grid:
    """A grid over the stored picture as a grid over the upright one."""
    return np.rot90(grid[:, ::-1] if mirrored else grid, -(rotation_deg // 90))


def _prior(cells: int) -> npt.NDArray[np.float64]:
    """1 in the middle, _BORDER at both ends."""
    at = (np.arange(cells) + 0.5) / cells * 2 - 1
    return 1 - (1 - _BORDER) * at ** 2


def _shortest(mass: npt.NDArray[np.float64], held: float) -> tuple[float, float]:
    """Middle and length of the shortest stretch that holds a share of the mass, in shares of the whole."""
    total = float(mass.sum())
    if not total > 0:
        return 0.5, 1.0
    edges = np.linspace(0, 1, len(mass) + 1)
    reached = np.concatenate([[0.0], np.cumsum(mass)]) / total
    # Where nothing lies, a share is reached at many places; strictly rising shares make its inverse unique.
    reached = (reached + 1e-9 * edges) / (1 + 1e-9)
    starts = _starts(held)
    first, last = np.interp(starts, reached, edges), np.interp(starts + held, reached, edges)
    # Of those that are about as short, the most central: evenly spread activity has its middle in its middle.
    short = np.flatnonzero(last - first <= _AS_SHORT * (last - first).min())
    best = short[np.argmin(np.abs(starts[short] - (1 - held) / 2))]
    return float(first[best] + last[best]) / 2, float(last[best] - first[best])


@functools.cache
def _starts(held: float) -> npt.NDArray[np.float64]:
    """Where a stretch with a share of the mass may begin, in shares of the mass."""
    return np.linspace(0, 1 - held, 61)


def _cells(image: npt.NDArray[np.generic]) -> Grid:
    """Means over cells of about _CELL by _CELL pixels; at least eight a side."""
    height, width = image.shape[:2]
    size = min(width, max(8, round(width / _CELL))), min(height, max(8, round(height / _CELL)))
    return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float64)


def _texture(grey: _Bytes) -> tuple[Grid, Grid]:
    """Mean change of a pixel under a shift by one pixel across, and by one down."""
    across, down = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, np.float32)
    across[:, 1:] = cv2.absdiff(grey[:, 1:], grey[:, :-1])
    down[1:] = cv2.absdiff(grey[1:], grey[:-1])
    return _cells(across), _cells(down)


def _salient(grey: _Bytes) -> Grid:
    """How much each cell stands out; the sum is 1.

    The spectral residual of Hou and Zhang 2007, "Saliency detection: a spectral residual approach": what a picture's
    log spectrum has beyond its own local mean.
    """
    portrait = grey.shape[0] > grey.shape[1]
    small = cv2.resize(grey, _SPECTRUM[::-1] if portrait else _SPECTRUM, interpolation=cv2.INTER_AREA)
    spectrum = np.fft.rfft2(small.astype(np.float64))
    size = np.log(np.abs(spectrum) + 1e-3)
    residual = size - cv2.blur(size, (3, 3))
    sharp = np.fft.irfft2(np.exp(residual + 1j * np.angle(spectrum)), small.shape) ** 2
    image = cv2.GaussianBlur(sharp, (0, 0), 2.5)
    # What stands out by less than the mean is background.
    above = np.maximum(image - image.mean(), 0.0).astype(np.float32)
    cells = cv2.resize(above, _cells(grey).shape[::-1], interpolation=cv2.INTER_AREA)
    total = float(cells.sum())
    if not total > 1e-12 or float(small.std()) < 1.0:
        # A plain picture: nothing stands out.
        return np.full(cells.shape, 1 / cells.size)
    return np.asarray(cells.astype(np.float64) / total)
