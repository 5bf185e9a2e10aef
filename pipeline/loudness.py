"""Measures the sound second by second while it streams by; no model.

Part of the scan: `listening.py` feeds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipeline.types import FloatTrack

SAMPLE_RATE = 16_000
SILENCE_DB = -70.0

_FFT = 1024
_HOP = 512


class SoundMeter:
    """Takes blocks of samples, places them by their time, and keeps sums for each second."""

    def __init__(self) -> None:
        self._power: dict[int, list[float]] = {}
        self._flux: dict[int, list[float]] = {}
        self._pending: list[npt.NDArray[np.float32]] = []
        self._count, self._pending_s = 0, 0.0
        self._spectrum: npt.NDArray[np.float64] | None = None
        self._window = np.hanning(_FFT)

    def push(self, time_s: float, samples: npt.NDArray[np.float32]) -> None:
        """Take samples: (n,) at SAMPLE_RATE, the first of them heard at `time_s`."""
        if abs(time_s - self._pending_s - self._count / SAMPLE_RATE) > 0.1:
            # A gap in the track: what was before has nothing to do with what comes.
            self._measure()
            self._pending, self._count, self._pending_s, self._spectrum = [], 0, time_s, None
        self._pending.append(samples)
        self._count += len(samples)
        # Decoders give a few hundred samples at a time, each of which would cost as much as a second of them.
        if self._count >= SAMPLE_RATE:
            self._measure()

    def _measure(self) -> None:
        """Take in all whole blocks of what is pending."""
        blocks = (self._count - _FFT) // _HOP + 1
        if blocks <= 0:
            return
        pending = np.concatenate(self._pending)
        starts = np.arange(blocks) * _HOP
        frames = pending[starts[:, None] + np.arange(_FFT)].astype(np.float64)
        spectra = np.log1p(10 * np.abs(np.fft.rfft(frames * self._window, axis=1)))
        first = spectra[:1] if self._spectrum is None else self._spectrum[None]
        rises = np.maximum(np.diff(np.concatenate([first, spectra]), axis=0), 0).mean(axis=1)
        powers = (frames[:, :_HOP] ** 2).mean(axis=1)
        for at, power, rise in zip(self._pending_s + starts / SAMPLE_RATE, powers, rises, strict=True):
            if at >= 0:
                _add(self._power, int(at), float(power))
                _add(self._flux, int(at), float(rise))
        self._spectrum = spectra[-1]
        self._pending = [pending[blocks * _HOP:]]
        self._count -= blocks * _HOP
        self._pending_s += blocks * _HOP / SAMPLE_RATE

    def kept(self) -> dict[str, npt.NDArray[np.float64]]:
        """What was measured so far, as arrays that another meter may `take`."""
        self._measure()
        return {name: np.array([[second, *sums] for second, sums in table.items()]).reshape(-1, 3)
                for name, table in (("power", self._power), ("flux", self._flux))}

    def take(self, kept: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Take over what another meter has `kept`."""
        for name, table in (("power", self._power), ("flux", self._flux)):
            table |= {int(second): [total, count] for second, total, count in kept[name]}

    def heard_share(self, start_s: float, end_s: float) -> float:
        """Share of the whole seconds of a stretch in which there were any samples, silent or not."""
        self._measure()
        seconds = range(math.ceil(start_s), max(math.ceil(start_s) + 1, math.floor(end_s)))
        return sum(second in self._power for second in seconds) / len(seconds)

    def finish(self, duration_s: float) -> tuple[FloatTrack, FloatTrack]:
        """Loudness in dB below full scale (RMS over the second) and onset strength, ceil(duration_s) long."""
        self._measure()
        count = max(1, math.ceil(duration_s - 1e-6))
        loudness, onset = np.full(count, SILENCE_DB), np.zeros(count)
        for i in range(count):
            if i in self._power:
                total, blocks = self._power[i]
                loudness[i] = max(SILENCE_DB, 10 * math.log10(max(total / blocks, 1e-12)))
                onset[i] = self._flux[i][0] / self._flux[i][1]
        return loudness, onset


def _add(sums: dict[int, list[float]], second: int, value: float) -> None:
    """Add to a second's [sum, count]."""
    entry = sums.setdefault(second, [0.0, 0.0])
    entry[0] += value
    entry[1] += 1
