"""Hears where people speak and where sounds set in, while the sound streams by.

Part of the scan: `listening.py` feeds it. Words must not be cut in half, so what is kept of speech is its phrases:
stretches without a pause in which a cut would go unnoticed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.types import FloatTrack, Heard, Interval

RATE = 16_000
# A pause between two phrases is at least this long, and at least this far below them.
PAUSE_S = 0.15
PAUSE_DB = 25.0

SILENCE_DB = -90.0
# Levels are measured this often; the voice detector looks at 32 ms at a time.
_LEVEL = RATE // 100
_LEVEL_S = 0.01
_WINDOW = 512
# Sound is handed to the detector in blocks, each with a run-up, since it remembers what it heard before.
# All are whole numbers of levels and of windows; the last block has as many steps as there is sound.
_STEP = math.lcm(_LEVEL, _WINDOW)
_BLOCK = 64 * RATE
_RUN_UP = 12 * 5 * _WINDOW
# Timestamps jitter by less; samples follow each other unless they are further off.
_GAP_S = 0.04
# How sure the detector must be. Its own advice is 0.5, at which it misses words in a reverberant hall; what is no
# speech is near 0.
_VOICE = 0.35
# It hears a voice late and lets go of it early, by so many levels.
_REACH = 20
# The level of speech is that of its loud syllables, so many levels long, within so many levels around.
_SYLLABLE, _AROUND = 30, 200
_SMOOTH = 5
# A word that the detector heard late is followed back by so many levels.
_GROWTH = 50
# Shorter sounds are clicks.
_SHORTEST_PHRASE_S = 0.1
# A sound sets in where the level rises by so much within 30 ms; another one not before so long.
_ONSET_DB = 9.0
_ONSET_LEAST_DB = -45.0
_ONSET_APART = 15
# What a long recording sounded like is gone through in pieces of ten minutes, for a day has millions of levels; with
# each comes what lies so near that it counts, beside which the rest doesn't.
_PIECE = 60_000
_PHRASE_MARGIN = _REACH + _SYLLABLE + _AROUND
_ONSET_MARGIN = 2 * _ONSET_APART


class Ear:
    """Takes blocks of samples, places them by their time, and keeps levels and what the voice detector says."""

    def __init__(self) -> None:
        self._powers: list[npt.NDArray[np.float32]] = []
        self._voices: list[npt.NDArray[np.float32]] = []
        self._block = np.zeros(_RUN_UP + _BLOCK, dtype=np.float32)
        self._block_at = 0
        self._next: int | None = None

    def push(self, time_s: float, samples: npt.NDArray[np.float32]) -> None:
        """Take samples: (n,) at RATE, the first of them heard at `time_s`; what was heard before 0 is left out."""
        at = round(time_s * RATE)
        if self._next is not None and abs(at - self._next) <= _GAP_S * RATE:
            at = self._next
        self._next = at + len(samples)
        if at < self._block_at:
            samples, at = samples[self._block_at - at:], self._block_at
        while len(samples):
            end = self._block_at + _BLOCK
            if at >= end:
                self._close_block()
                continue
            part = samples[:end - at]
            first = _RUN_UP + at - self._block_at
            self._block[first:first + len(part)] = part
            samples, at = samples[len(part):], at + len(part)

    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """All that was heard so far, as arrays that `take` goes on from."""
        return {"powers": np.concatenate([np.zeros(0, np.float32), *self._powers]),
                "voices": np.concatenate([np.zeros(0, np.float32), *self._voices]),
                "block": np.trim_zeros(self._block, "b"), "block_at": np.array(self._block_at)}

    def take(self, kept: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what another ear has `kept`, to its end."""
        self._powers, self._voices = [kept["powers"]], [kept["voices"]]
        self._block[:len(kept["block"])] = kept["block"]
        self._block_at = self._next = int(kept["block_at"])

    def end(self) -> None:
        """Measure what is left, for nothing more will be heard; who takes this over needs no detector any more."""
        self._close_to((self._next or 0) + _RUN_UP)

    def _windows(self, levels: int) -> npt.NDArray[np.int64]:
        """In which of the detector's windows each level lies."""
        # By the level's middle; in place, as below.
        windows = np.arange(_LEVEL, (2 * levels + 1) * _LEVEL, 2 * _LEVEL)
        windows //= 2 * _WINDOW
        return np.minimum(windows, sum(map(len, self._voices)) - 1, out=windows)

    def _close_to(self, end: float) -> None:
        """Measure all up to a sample, or a little beyond."""
        while (left := end - self._block_at) > 0:
            self._close_block(min(_BLOCK, math.ceil(left / _STEP) * _STEP))

    def _close_block(self, length: int = _BLOCK) -> None:
        """Measure the block, up to `length`, and go on to the next, which has the end of this one as its run-up."""
        block = self._block[:_RUN_UP + length]
        fresh = block[_RUN_UP:]
        self._powers.append((fresh.reshape(-1, _LEVEL) ** 2).mean(axis=1))
        if block.any():
            voices = np.asarray(_detector()(block.copy()), dtype=np.float32).reshape(-1)
        else:
            # Damaged files claim hours in which they hold nothing.
            voices = np.zeros(len(block) // _WINDOW, dtype=np.float32)
        self._voices.append(voices[_RUN_UP // _WINDOW:])
        self._block[:_RUN_UP] = self._block[length:length + _RUN_UP].copy()
        self._block[_RUN_UP:] = 0
        self._block_at += length

    def finish(self, duration_s: float) -> tuple[Heard, FloatTrack]:
        """What was heard in [0, duration_s), and the level in dB below full scale every 10 ms."""
        self._close_to(duration_s * RATE)
        count = max(1, math.ceil(duration_s / _LEVEL_S))
        # In place, and each array let go as soon as it can be: a day has millions of levels.
        level = np.concatenate(self._powers)[:count].astype(np.float64)
        np.log10(np.maximum(level, 1e-12, out=level), out=level)
        np.maximum(np.multiply(level, 10, out=level), SILENCE_DB, out=level)
        voice = np.concatenate(self._voices)[self._windows(len(level))]
        phrases = find_phrases(level, voice, duration_s)
        return Heard(phrases, find_onsets(level, phrases)), level


def find_phrases(level: FloatTrack, voice: npt.NDArray[np.float32], duration_s: float) -> tuple[Interval, ...]:
    """Stretches of speech that no pause divides.

    level: (n,) dB below full scale, one value every 10 ms
    voice: (n,) how likely each holds a voice, 0 to 1
    duration_s: where the last one ends at the latest

    A pause is PAUSE_S or longer, and in it either nobody speaks by the detector, or the level is PAUSE_DB below the
    loud syllables around, as between the words of a slow speaker.
    """
    spoken = voice >= _VOICE
    if not spoken.any():
        return ()
    near, loud = np.empty_like(spoken), np.empty_like(spoken)
    for around, piece, inner in _pieces(len(level), _PHRASE_MARGIN):
        found = _near_and_loud(level[around], spoken[around])
        near[piece], loud[piece] = (mask[inner] for mask in found)
    runs = _runs(_grown(near & loud, _runs(loud)))
    joined: list[list[int]] = []
    for first, last in runs:
        if joined and (first - joined[-1][1]) * _LEVEL_S < PAUSE_S - 1e-9:
            joined[-1][1] = last
        else:
            joined.append([first, last])
    return tuple(Interval(first * _LEVEL_S, min(duration_s, last * _LEVEL_S)) for first, last in joined
                 if (last - first) * _LEVEL_S >= _SHORTEST_PHRASE_S and spoken[first:last].any()
                 and first * _LEVEL_S < duration_s)


def _near_and_loud(level: FloatTrack, spoken: npt.NDArray[np.bool_]
                   ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which levels are near a voice, and which are no pause by the loud syllables around."""
    near = _summed_around(spoken, 2 * _REACH + 1) > 0.5
    power = 10 ** (level / 10)
    syllables = _summed_around(np.where(near, power, 0), _SYLLABLE, 1 / _SYLLABLE)
    # Room noise has peaks of its own, which make no word.
    power = _summed_around(power, _SMOOTH, 1 / _SMOOTH)
    return near, power > _highest_around(syllables, _AROUND) * 10 ** (-PAUSE_DB / 10)


def _grown(active: npt.NDArray[np.bool_], loud: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """What is active, out to where the sound around it begins and dies away, if that is near.

    Music under speech begins and ends elsewhere, and stays out.
    """
    grown = active.copy()
    for first, last in loud:
        inside = np.flatnonzero(active[first:last])
        if len(inside):
            if inside[0] <= _GROWTH:
                grown[first:first + inside[0]] = True
            if last - first - inside[-1] <= _GROWTH:
                grown[first + inside[-1]:last] = True
    return grown


def find_onsets(level: FloatTrack, phrases: Sequence[Interval]) -> tuple[float, ...]:
    """Instants at which a sound sets in: beats, blows, the beginning of applause; not the syllables of speech.

    level: (n,) dB below full scale, one value every 10 ms
    """
    if len(level) < 10:
        return ()
    spoken = np.zeros(len(level), bool)
    for phrase in phrases:
        spoken[max(0, round(phrase.start_s / _LEVEL_S) - _ONSET_APART):round(phrase.end_s / _LEVEL_S)] = True
    peaks = np.concatenate([piece.start + np.flatnonzero(_setting_in(level[around], spoken[around])[inner])
                            for around, piece, inner in _pieces(len(level), _ONSET_MARGIN)])
    apart = np.diff(peaks, prepend=-_ONSET_APART - 1) > _ONSET_APART
    return tuple(float(at) for at in (peaks[apart] * _LEVEL_S).round(3))


def _setting_in(level: FloatTrack, spoken: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """At which levels the sound rises most of all around, outside of what is spoken."""
    padded = np.concatenate([np.full(5, level[0]), level, np.full(2, level[-1])])
    highest = np.maximum(np.maximum(padded[5:-2], padded[6:-1]), padded[7:])
    rise = highest - np.convolve(padded, np.full(5, 0.2))[4:4 + len(level)]
    rise[(highest < _ONSET_LEAST_DB) | spoken] = 0
    return np.asarray((rise >= _ONSET_DB) & (rise >= _highest_around(rise, _ONSET_APART)))


def _pieces(count: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """A track of `count` values in pieces: each with what is around it, by itself, and where it is in the first."""
    for first in range(0, count, _PIECE):
        low, end = max(0, first - margin), min(count, first + _PIECE)
        yield slice(low, min(count, end + margin)), slice(first, end), slice(first - low, end - low)


def _summed_around(track: npt.NDArray[Any], count: int, weight: float = 1.0) -> FloatTrack:
    """Of each value the sum of `count` around it, times `weight`; beyond the ends is nothing.

    NumPy's own mode for this gives `count` values where there are fewer.
    """
    return np.convolve(track, np.full(count, weight))[(count - 1) // 2:][:len(track)]


def _highest_around(track: FloatTrack, reach: int) -> FloatTrack:
    """Of each value the highest within `reach` on either side."""
    highest, width = np.pad(track, reach, mode="edge"), 1
    # Windows of 1, 2, 4 … values, the last one laid over itself: as many steps as the width has digits in binary.
    while width < 2 * reach + 1:
        step = min(width, 2 * reach + 1 - width)
        highest = np.maximum(highest[:-step], highest[step:])
        width += step
    return np.asarray(highest)


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where runs of True begin, and where they have ended."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _detector() -> Any:
    """Silero's voice detector, whose weights lie in faster-whisper's wheel; it is loaded once."""
    from faster_whisper.vad import get_vad_model

    return get_vad_model()
