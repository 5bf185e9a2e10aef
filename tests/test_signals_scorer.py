"""The built-in scorer: what is made comparable, fused, pushed down and said; no media."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.progress import CancelToken, Progress, silent
from pipeline.scorers.signals import SignalsScorer, comparable, fuse, interest, mean_over, noticeable, smoothed
from pipeline.settings import Settings, SignalWeights
from pipeline.types import Interval, Scan, Scene, Scored, Segment, Signals


def even(seconds: int = 60) -> Signals:
    """Signals of a video in which nothing stands out."""
    rng = np.random.default_rng(0)
    return Signals(
        motion=rng.uniform(0.02, 0.021, seconds), sharpness=rng.uniform(5, 5.05, seconds),
        brightness=np.full(seconds, 0.5), contrast=np.full(seconds, 0.2), colour=rng.uniform(30, 30.5, seconds),
        novelty=rng.uniform(0.2, 0.202, seconds), loudness_db=rng.uniform(-30.5, -30, seconds),
        onset=rng.uniform(0.1, 0.102, seconds), looks=np.eye(seconds, dtype=np.float32))


def score(signals: Signals, settings: Settings | None = None) -> Scored:
    """Scores of segments of four seconds in one scene."""
    seconds = len(signals)
    segments = [Segment(t, min(seconds, t + 4)) for t in range(0, seconds, 4)]
    scan = Scan(float(seconds), seconds * 25, (Scene(0, seconds),), signals, ())
    return SignalsScorer().score(scan, segments, settings or Settings(), silent, CancelToken())


def changed(track: np.ndarray, where: slice, value: float) -> np.ndarray:
    """A copy with one stretch at another value."""
    copy = track.copy()
    copy[where] = value
    return copy


def test_loud_and_fast_seconds_win() -> None:
    signals = even()
    assert signals.loudness_db is not None
    signals = replace(signals, motion=changed(signals.motion, slice(20, 28), 0.2),
                      loudness_db=changed(signals.loudness_db, slice(20, 28), -8.0))
    scored = score(signals)
    best = sorted(scored.segments, key=lambda s: -s.score)[:2]
    assert {s.start_s for s in best} == {20, 24} and not scored.flat and not scored.warnings
    assert best[0].parts["motion"] > 0.9 and best[0].parts["loudness"] > 0.9
    assert "loud" in best[0].description and ("fast" in best[0].description or "fastest" in best[0].description)
    assert scored.curve.min() == 0 and scored.curve.max() == 1 and 20 <= scored.curve.argmax() < 28


def test_weights_decide() -> None:
    signals = even()
    assert signals.loudness_db is not None
    signals = replace(signals, motion=changed(signals.motion, slice(8, 12), 0.2),
                      loudness_db=changed(signals.loudness_db, slice(40, 44), -8.0))
    only_sound = Settings(weights=SignalWeights(motion=0, loudness=1, onset=0, novelty=0, colour=0, sharpness=0))
    only_picture = Settings(weights=SignalWeights(motion=1, loudness=0, onset=0, novelty=0, colour=0, sharpness=0))
    assert max(score(signals, only_sound).segments, key=lambda s: s.score).start_s == 40
    assert max(score(signals, only_picture).segments, key=lambda s: s.score).start_s == 8


def test_nothing_to_tell_apart_is_said() -> None:
    scored = score(even())
    assert scored.flat and "flat" in scored.warnings[0] and set(scored.curve) == {0.5}


def test_what_is_known_is_told() -> None:
    told: list[Progress] = []
    scan = Scan(8.0, 200, (Scene(0, 8),), even(8), ())
    scored = SignalsScorer().score(scan, [Segment(0, 4), Segment(4, 8)], Settings(), told.append, CancelToken())
    assert told[-1].found == scored.segments


def test_it_says_that_it_cannot_look() -> None:
    signals = replace(even(), loudness_db=changed(even().loudness_db, slice(20, 24), -8.0))
    scored = score(signals, Settings(query="a dog; a cat"))
    assert scored.warnings == tuple(
        f'looking for "{query}" needs SmolVLM2; the reel shows what stands out in picture and sound'
        for query in ("a dog", "a cat"))
    assert scored.wishes == () and score(signals).warnings == ()


def test_dull_seconds_are_pushed_down() -> None:
    signals = even(10)
    assert signals.loudness_db is not None
    black = replace(signals, brightness=changed(signals.brightness, slice(2, 3), 0.0),
                    contrast=changed(signals.contrast, slice(2, 3), 0.0))
    still = replace(signals, motion=changed(signals.motion, slice(4, 6), 0.0),
                    loudness_db=changed(signals.loudness_db, slice(4, 5), -70.0))
    assert interest(black)[2] <= 0.1 and interest(black)[3] == 1
    assert interest(still)[4] < 1 and interest(still)[5] == 1


def test_missing_sound_and_values_are_no_crash() -> None:
    signals = replace(even(), loudness_db=None, onset=None)
    signals = replace(signals, motion=changed(changed(signals.motion, slice(8, 16), 0.2), slice(30, 32), np.nan))
    scored = score(signals)
    assert np.isfinite(scored.curve).all() and set(scored.segments[0].parts) == {
        "motion", "novelty", "colour", "sharpness"}


def test_scales() -> None:
    track = np.array([0.0, 1.0, 2.0, 100.0])
    assert list(np.argsort(comparable(track))) == [0, 1, 2, 3]
    assert comparable(track)[3] > 0.99 and comparable(track)[0] < 0.01
    assert list(comparable(np.full(5, 3.0))) == [0.5] * 5
    assert noticeable("loudness", np.array([-30.0, -29.9])) < 0.1
    assert noticeable("loudness", np.array([-50.0, -10.0])) == 1
    fused = fuse({"a": np.array([0.0, 1.0]), "b": np.array([1.0, 0.0])}, {"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 5.0})
    assert list(fused) == [0.0, 1.0]


def test_differences_that_nobody_notices_are_ties() -> None:
    noise = np.random.default_rng(0).uniform(0, 0.002, 600)
    track = changed(noise, slice(300, 306), 0.05)
    ranked, tied = comparable(track), comparable(track, 0.008)
    calm = np.delete(np.arange(600), np.arange(300, 306))
    assert np.ptp(ranked[calm]) > 0.45 and np.ptp(tied[calm]) < 0.05
    assert tied[300:306].min() > 0.95 > 0.4 > tied[calm].max()


def test_what_is_rare_is_noticed() -> None:
    calm = np.random.default_rng(0).uniform(0.001, 0.002, 600)
    assert noticeable("motion", calm) < 0.2
    assert noticeable("motion", changed(calm, slice(300, 309), 0.05)) == 1
    # One odd second is no reason to trust a signal.
    assert noticeable("motion", changed(calm, slice(300, 301), 0.05)) < 0.2


def test_one_moment_in_an_hour_is_noticed() -> None:
    calm = np.random.default_rng(0).uniform(0.001, 0.002, 3600)
    burst = changed(calm, slice(3000, 3008), 0.05)
    assert noticeable("motion", burst) == 1
    assert comparable(burst)[3000:3008].min() > 0.95 and comparable(burst)[:3000].max() < 0.6


def test_a_still_picture_is_flat_although_its_encoder_breathes() -> None:
    still = np.zeros(60)
    signals = replace(even(), motion=still, colour=still, novelty=still, onset=still, loudness_db=still - 70,
                      sharpness=np.tile([3.15, 2.98, 3.0], 20))
    assert score(signals).flat


def test_a_rare_burst_of_motion_outdoes_small_differences() -> None:
    """Nine seconds of ten minutes, among sound and looks that vary by what is hardly noticed."""
    rng = np.random.default_rng(1)
    signals = even(600)
    assert signals.loudness_db is not None
    signals = replace(signals, motion=changed(signals.motion, slice(301, 310), 0.2),
                      loudness_db=rng.uniform(-33, -30, 600), sharpness=rng.uniform(4.8, 5.2, 600))
    curve = score(signals).curve
    assert curve[302:309].min() > np.delete(curve, np.arange(300, 311)).max()


def test_smoothing_stops_at_cuts() -> None:
    track = np.array([0.0, 0.0, 1.0, 1.0])
    assert list(smoothed(track, [Scene(0, 2), Scene(2, 4)])) == [0, 0, 1, 1]
    assert list(smoothed(track, [Scene(0, 4)])) == [0, 0.25, 0.75, 1]


@pytest.mark.parametrize(("start_s", "end_s", "mean"), [(0, 1, 1), (0.5, 1.5, 2), (1.2, 1.3, 3), (0, 2.5, 2.6)])
def test_means_count_seconds_by_their_share(start_s: float, end_s: float, mean: float) -> None:
    assert mean_over(np.array([1.0, 3.0, 5.0]), Interval(start_s, end_s)) == pytest.approx(mean)
