"""Measures the picture second by second while it streams by, and lays the sound's measures beside it; no model.

Part of the scan: `scan.py` feeds it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.focus import FocusMeter
from pipeline.media.frames import halved
from pipeline.scenes import GROWTH
from pipeline.types import FOCUS_STEP_S, RHYTHM_STEP_S, FloatTrack, Signals

_NO_SOUND_DB = -90.0

# The look of a second is measured this many times in it; motion is measured on every frame.
_LOOKS_A_SECOND = 4
# Novelty compares each second with at most this many others, spread evenly, so that cost grows in a straight line.
_REFERENCES = 512
_BLOCK = 512
# Red against green and yellow against blue, of blue, green and red.
_OPPONENTS = np.array([[0, -1, 1], [-1, 0.5, 0.5]], np.float32)
_LOOK = 192
# With this many frames in a second, the largest change among them is left out of its motion: it may be a cut.
_ROBUST_COUNT = 4


@dataclass(slots=True)
class _Second:
    """Running sums of one second of picture."""

    changes: int = 0
    change_sum: float = 0.0
    change_max: float = 0.0
    looks: int = 0
    facts: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(4))
    look: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_LOOK))


class PictureMeter:
    """Takes frames in order; keeps some numbers for each second and nothing of the frames but the last."""

    def __init__(self, rotation_deg: int = 0, mirrored: bool = False) -> None:
        """Frames may have to be turned to stand upright, as VideoInfo says: where things happen is told upright."""
        self._focus = FocusMeter(rotation_deg, mirrored)
        self._index, self._second = -1, _Second()
        # Of each second which it is, its motion and its four facts; and its look. Objects of Python would be large.
        self._rows, self._looks = array("d"), array("f")
        self._last: npt.NDArray[np.uint8] | None = None
        self._next_look_s = 0.0
        # Step, sum and count, again and again, ten times a second.
        self._beats = array("d")

    def push(self, time_s: float, image: npt.NDArray[np.uint8], steps: int = 1) -> None:
        """Take the next frame.

        image: (h, w, 3) BGR, small
        steps: frames by which it comes after the last one that was pushed
        """
        if int(time_s) != self._index:
            self._close()
            self._index = int(time_s)
        second = self._second
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.uint8, copy=False)
        if self._last is not None:
            change = cv2.norm(grey, self._last, cv2.NORM_L1) / grey.size / 255 / steps ** GROWTH
            second.changes += 1
            second.change_sum += change
            second.change_max = max(second.change_max, change)
            self._beat(int(time_s / RHYTHM_STEP_S), change)
        self._last = grey
        self._focus.push(time_s, grey)
        if time_s >= self._next_look_s or second.looks == 0:
            self._next_look_s = math.floor(time_s * _LOOKS_A_SECOND + 1) / _LOOKS_A_SECOND
            second.looks += 1
            second.facts += _facts(image, grey)
            second.look += look_of(image)

    def _close(self) -> None:
        """Turn the sums of the second that ends into its numbers."""
        if self._second.looks:
            self._rows.extend((self._index, _mean_change(self._second), *self._second.facts / self._second.looks))
            self._looks.extend(_unit(self._second.look))
        self._second = _Second()

    def _beat(self, step: int, change: float) -> None:
        """Add a change to a step of the rhythm, the last one so far or a later one."""
        beats = self._beats
        if beats and beats[-3] == step:
            beats[-2] += change
            beats[-1] += 1
        else:
            beats.extend((step, change, 1.0))

    def skip(self) -> None:
        """Frames are missing here: what comes next is no motion from what came before."""
        self._last = None
        self._focus.skip()

    def kept(self, start_s: int, end_s: float) -> dict[str, npt.NDArray[Any]]:
        """What the whole seconds in [start_s, end_s) showed, as arrays that another meter may `take`; the last second
        ends here.
        """
        rows, looks = self._measured()
        seconds = (rows[:, 0] >= start_s) & (rows[:, 0] < end_s)
        first, end = (bound / RHYTHM_STEP_S for bound in (start_s, end_s))
        beats = np.array(self._beats).reshape(-1, 3)
        beats = beats[(beats[:, 0] >= round(first)) & (beats[:, 0] < end - 0.5)]
        focus = self._focus.rows()
        inside = (focus[:, 0] >= start_s / FOCUS_STEP_S) & (focus[:, 0] < end_s / FOCUS_STEP_S)
        return {"seconds": rows[seconds], "looks": looks[seconds], "beats": beats, "focus": focus[inside]}

    def take(self, kept: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what another meter has `kept` of seconds that come after all which this one knows of."""
        self._rows.extend(kept["seconds"].ravel())
        self._looks.frombytes(kept["looks"].tobytes())
        self._beats.extend(kept["beats"].ravel())
        self._focus.take(kept["focus"])

    def _measured(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """What the seconds so far showed, a row each."""
        self._close()
        return np.array(self._rows).reshape(-1, 6), np.array(self._looks).reshape(-1, _LOOK)

    def finish(self, duration_s: float, sound: tuple[FloatTrack, FloatTrack] | None,
               level: FloatTrack | None = None) -> Signals:
        """The tracks, ceil(duration_s) long, where there was any frame; a second without one shows what the one before
        it showed.

        sound: loudness and onset strength, from SoundMeter; None where there is no sound
        level: dB below full scale every 10 ms, from Ear; None where there is no sound
        """
        count = max(1, math.ceil(duration_s - 1e-6))
        rows, looks = self._measured()
        seconds = np.arange(count)
        # The first one stands for what is before it, too.
        shown = np.maximum(np.searchsorted(rows[:, 0], seconds, "right") - 1, 0)
        motion, facts, looks = np.where(rows[shown, 0] == seconds, rows[shown, 1], 0.0), rows[shown, 2:], looks[shown]
        loudness, onset = sound or (None, None)
        return Signals(
            motion=motion, sharpness=facts[:, 0], brightness=facts[:, 1], contrast=facts[:, 2], colour=facts[:, 3],
            novelty=_novelty(looks), loudness_db=loudness, onset=onset, looks=looks,
            focus=self._focus.finish(duration_s), rhythm=self._rhythm(duration_s, level),
        )

    def _rhythm(self, duration_s: float, level: FloatTrack | None) -> FloatTrack:
        """Motion and loudness every RHYTHM_STEP_S, (k, 2); a step without a frame moves as the one before it."""
        count = max(1, math.ceil(duration_s / RHYTHM_STEP_S - 1e-6))
        table = np.full((count, 2), (0.0, _NO_SOUND_DB))
        if self._beats:
            steps, totals, frames = np.array(self._beats).reshape(-1, 3).T
            last = np.searchsorted(steps, np.arange(count), "right") - 1
            table[:, 0] = np.where(last >= 0, (totals / frames)[last], 0.0)
        if level is not None:
            ratio = round(RHYTHM_STEP_S * 100)
            power = np.pad(level, (0, max(0, count * ratio - len(level))), mode="edge")[:count * ratio] / 10
            np.power(10, power, out=power)
            table[:, 1] = 10 * np.log10(power.reshape(count, ratio).mean(axis=1))
        return table


def _mean_change(second: _Second) -> float:
    """Mean change of a pixel between neighbouring frames, without the largest where there are enough."""
    if second.changes >= _ROBUST_COUNT:
        return (second.change_sum - second.change_max) / (second.changes - 1)
    return second.change_sum / second.changes if second.changes else 0.0


def _facts(image: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Sharpness, brightness, contrast and colourfulness of a picture."""
    _, edges = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    mean, deviation = cv2.meanStdDev(grey)
    # Hasler and Süsstrunk 2003, "Measuring colourfulness in natural images", equation 3.
    # One pixel of four tells as much of a whole picture.
    shift, spread = cv2.meanStdDev(cv2.transform(image[::2, ::2].astype(np.float32), _OPPONENTS))
    return np.array([math.log1p(edges[0, 0] ** 2), mean[0, 0] / 255, deviation[0, 0] / 255,
                     math.hypot(*spread.ravel()) + 0.3 * math.hypot(*shift.ravel())])


def look_of(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """What a picture looks like in 192 numbers: layout of light and colour (8 x 8 cells), not its details."""
    while min(image.shape[:2]) >= 32:
        image = halved(image)
    cells = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(cells, cv2.COLOR_BGR2LAB).astype(np.float64) - (0, 128, 128)
    light = lab[..., 0] - lab[..., 0].mean()
    # Plain pictures have no layout: their own brightness must still tell them apart.
    light += 0.3 * (lab[..., 0].mean() - 128)
    return np.concatenate([light.ravel(), 1.5 * lab[..., 1].ravel(), 1.5 * lab[..., 2].ravel()])


def _unit(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The vector at length 1; a picture without any light or colour becomes a fixed direction."""
    if not (length := float(np.linalg.norm(vector))) > 1e-6:
        return np.asarray(np.eye(1, len(vector))[0])
    return np.asarray(vector / length)


def _novelty(looks: npt.NDArray[np.float32]) -> FloatTrack:
    """Mean distance of each second's look from the others', 0 to 1."""
    step = max(1, math.ceil(len(looks) / _REFERENCES))
    others = np.ascontiguousarray(looks[::step])
    # Not a matrix product: that one's last digits depend on how many threads share it.
    blocks = [np.clip(np.einsum("ij,kj->ik", looks[i:i + _BLOCK], others), -1, 1).mean(axis=1)
              for i in range(0, len(looks), _BLOCK)]
    return np.asarray((1 - np.concatenate(blocks)) / 2, dtype=np.float64)
