"""The embedded default: scores from what the scan measured, without a model, weights or a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from pipeline.progress import CancelToken, Progress, Report
from pipeline.settings import Settings
from pipeline.types import FloatTrack, Interval, Scan, Scene, Scored, ScoredSegment, ScorerInfo, Segment, Signals

# The least difference at which a person notices that a signal changes at all: seconds that differ by less are equals,
# and a signal that spreads less (from its 5th percentile to its highest) counts for less, in proportion, so that
# noise isn't blown up into a difference.
_NOTICEABLE = {"motion": 0.008, "loudness": 4.0, "onset": 0.03, "novelty": 0.02, "colour": 6.0, "sharpness": 0.5}
# Below this share of noticeable change in every signal, or by weight in all together, scores are noise: an encoder's
# keyframes change the sharpness of a still picture by a third of what is noticed.
_FLAT_BELOW, _FLAT_TOGETHER = 0.25, 0.06

_BLACK, _BLANK, _FROZEN, _SILENT_DB = 0.05, 0.02, 0.0008, -55.0
_DULL_BLACK, _DULL_BLANK, _DULL_STILL = 0.1, 0.3, 0.5

_NOTHING_STANDS_OUT = "scores are flat: nothing in this video stands out, so the picks are only spread over it"
_BLIND = 'looking for "{}" needs SmolVLM2; the reel shows what stands out in picture and sound'

_STRONG, _WEAK = 0.8, 0.2
_WORDS = {  # signal: (said of a strong one, of a weak one, of the strongest)
    "loudness": ("loud", "quiet", "the loudest part"),
    "motion": ("fast motion", "hardly any motion", "the fastest part"),
    "onset": ("sudden sounds", "", "the most sudden sounds"),
    "colour": ("colourful", "pale", "the most colourful part"),
    "novelty": ("unlike the rest", "", "the most unusual view"),
    "sharpness": ("crisp", "soft", ""),
}


class SignalsScorer:
    """Fuses the scan's signals; see `pipeline.scorers.base.Scorer`."""

    name = "signals"

    def identity(self, settings: Settings, report: Report, cancel: CancelToken) -> str:
        """Nothing is needed; as `Scorer.identity`."""
        return self.name

    def score(self, scan: Scan, segments: Sequence[Segment], settings: Settings, report: Report,
              cancel: CancelToken) -> Scored:
        """Score every segment from the scan's tracks; as `Scorer.score`."""
        cancel.check()
        tracks = named_tracks(scan.signals)
        parts = {name: comparable(track, _NOTICEABLE[name]) for name, track in tracks.items()}
        trust = {name: noticeable(name, track) for name, track in tracks.items()}
        fused = fuse(parts, trust, asdict(settings.weights)) * interest(scan.signals)
        flat = is_flat(fused, trust, asdict(settings.weights))
        curve = np.full(len(fused), 0.5) if flat else stretched(smoothed(fused, scan.scenes))
        words = describe(segments, {name: tracks[name] for name in tracks if trust[name] >= 1}, scan.signals)
        scored = tuple(
            ScoredSegment(s.start_s, s.end_s, mean_over(curve, s),
                          {name: mean_over(part, s) for name, part in parts.items()}, text)
            for s, text in zip(segments, words, strict=True)
        )
        report(Progress("score", 1.0, "comparing what was measured", scored))
        warnings = [_BLIND.format(query) for query in settings.queries] + ([_NOTHING_STANDS_OUT] if flat else [])
        return Scored(scored, curve, ScorerInfo(self.name), flat, tuple(warnings))


def named_tracks(signals: Signals) -> dict[str, FloatTrack]:
    """The tracks that a score is made of, under the names that weights and parts use."""
    tracks = {"motion": signals.motion, "novelty": signals.novelty, "colour": signals.colour,
              "sharpness": signals.sharpness}
    if signals.loudness_db is not None and signals.onset is not None:
        tracks |= {"loudness": signals.loudness_db, "onset": signals.onset}
    return {name: np.nan_to_num(track, nan=float(np.nanmedian(track)) if np.isfinite(track).any() else 0.0)
            for name, track in tracks.items()}


def comparable(track: FloatTrack, least: float = 0.0) -> FloatTrack:
    """A track on a scale of 0 to 1 within this video: half its rank, half its place between the extremes.

    The rank is robust where one second outshines all others; the place keeps how far apart the values are. Without
    ties, the ranks of a long calm stretch would be noise from 0 to 1 that drowns the few seconds in which something
    happens.

    least: values that differ by no more than this are equals when ranked
    """
    if len(track) == 1 or np.ptp(track) <= 1e-12:
        return np.full(len(track), 0.5)
    ordered = np.sort(track)
    rank = (np.searchsorted(ordered, track - least, "left") + np.searchsorted(ordered, track + least, "right") - 1) / 2
    low, high = np.percentile(track, 5), highest(track, 0.005, 3)
    place = np.clip((track - low) / max(high - low, 1e-12), 0, 1)
    return np.asarray(0.5 * rank / (len(track) - 1) + 0.5 * place)


def noticeable(name: str, track: FloatTrack) -> float:
    """How far the track's changes can be noticed, 0 to 1: its spread over the least one that is seen.

    What is worth showing is rare: a signal that speaks up in one second of fifty has been noticed all the same.
    """
    low, high = np.percentile(track, 5), highest(track, 0.01, 6)
    return float(min(1.0, (high - low) / _NOTICEABLE[name]))


def highest(track: FloatTrack, share: float, most: int) -> float:
    """The value that a share of the seconds lies above, or `most` of them: a moment is as long in a longer video."""
    return float(np.sort(track)[-max(1, min(most, round(share * len(track))))])


def fuse(parts: Mapping[str, FloatTrack], trust: Mapping[str, float], weights: Mapping[str, float]) -> FloatTrack:
    """Weighted mean of the parts; each weight counts as far as its signal's changes can be noticed."""
    shares = {name: weights[name] * trust[name] for name in parts}
    total = sum(shares.values())
    if total <= 1e-9:
        return np.full(len(next(iter(parts.values()))), 0.5)
    return np.asarray(sum(shares[name] * parts[name] for name in parts) / total)


def interest(signals: Signals) -> FloatTrack:
    """Factor 0 to 1 for each second that pushes dull ones down: black, blank, or both still and silent."""
    factor = np.ones(len(signals))
    still = signals.motion < _FROZEN
    silent = still if signals.loudness_db is None else signals.loudness_db < _SILENT_DB
    factor[still & silent] = _DULL_STILL
    factor[signals.contrast < _BLANK] = _DULL_BLANK
    factor[(signals.brightness < _BLACK) & (signals.contrast < _BLACK)] = _DULL_BLACK
    return factor


def is_flat(fused: FloatTrack, trust: Mapping[str, float], weights: Mapping[str, float]) -> bool:
    """Whether the fused scores carry no information."""
    total = sum(weights[name] for name in trust)
    together = sum(weights[name] * trust[name] for name in trust) / total if total > 0 else 0.0
    return max(trust.values()) < _FLAT_BELOW or together < _FLAT_TOGETHER or bool(np.ptp(fused) < 1e-9)


def smoothed(track: FloatTrack, scenes: Sequence[Scene]) -> FloatTrack:
    """Each second averaged with its neighbours in the same scene, so that one odd second makes no pick."""
    middles = np.arange(len(track)) + 0.5
    scene_of = np.searchsorted([scene.start_s for scene in scenes], middles, "right")
    total, weight = 2 * track, np.full(len(track), 2.0)
    same = scene_of[1:] == scene_of[:-1]
    total[1:] += np.where(same, track[:-1], 0)
    total[:-1] += np.where(same, track[1:], 0)
    weight[1:] += same
    weight[:-1] += same
    return np.asarray(total / weight)


def stretched(track: FloatTrack) -> FloatTrack:
    """The track moved and scaled so that this video's least interesting second is 0 and its best is 1."""
    return np.asarray((track - track.min()) / max(float(np.ptp(track)), 1e-9))


def mean_over(track: FloatTrack, interval: Interval) -> float:
    """Mean of a per-second track over an interval, each second by its share."""
    first, last = int(interval.start_s), min(len(track) - 1, int(np.ceil(interval.end_s)) - 1)
    first = min(first, last)
    starts = np.arange(first, last + 1)
    shares = np.minimum(starts + 1, interval.end_s) - np.maximum(starts, interval.start_s)
    return float(np.average(track[first:last + 1], weights=np.maximum(shares, 1e-9)))


def describe(segments: Sequence[Segment], tracks: Mapping[str, FloatTrack], signals: Signals) -> list[str]:
    """One plain line a segment from facts: what is strong or weak in it, compared with the rest of the video."""
    values = {name: np.array([mean_over(track, s) for s in segments]) for name, track in tracks.items()}
    brightness = [mean_over(signals.brightness, s) for s in segments]
    lines = []
    for i in range(len(segments)):
        words, best = [], []
        for name, (strong, weak, strongest) in _WORDS.items():
            if name not in values or len(segments) < 2:
                continue
            share = float((values[name] < values[name][i]).sum()) / (len(segments) - 1)
            if share >= 1 and strongest:
                best.append(strongest)
            elif share >= _STRONG:
                words.append(strong)
            elif share <= _WEAK and weak:
                words.append(weak)
        if brightness[i] < _BLACK:
            words = ["black"]
        elif brightness[i] < 0.15:
            words.append("dark")
        lines.append("; ".join(filter(None, [", ".join(words[:3]), " and ".join(best[:2])])) or "an even stretch")
    return lines
