"""Segments tile the video, keep within their lengths and change where the signals do."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.segments import split
from pipeline.settings import Settings
from pipeline.types import Scene, Signals


def even_signals(seconds: int) -> Signals:
    """Signals of a video in which nothing changes."""
    track = np.full(seconds, 0.5)
    return Signals(track, track, track, track, track, track, track - 30, track, np.ones((seconds, 1), np.float32))


def scenes_at(*bounds: float) -> list[Scene]:
    """Scenes between the bounds."""
    return [Scene(a, b) for a, b in pairwise(bounds)]


def test_short_scenes_stay_whole() -> None:
    scenes = scenes_at(0, 0.7, 3.2, 10.9)
    assert [(s.start_s, s.end_s) for s in split(scenes, even_signals(11), Settings())] == [
        (s.start_s, s.end_s) for s in scenes]


def test_long_scenes_change_where_signals_do() -> None:
    signals = even_signals(20)
    motion = signals.motion.copy()
    motion[7:13] = 5.0
    bounds = {s.start_s for s in split(scenes_at(0, 20), replace(signals, motion=motion), Settings())}
    assert {7, 13} <= bounds


@hypothesis_settings(max_examples=80, deadline=None)
@given(lengths=st.lists(st.floats(0.3, 60), min_size=1, max_size=8), seed=st.integers(0, 1000),
       least=st.floats(1, 4), factor=st.floats(2, 6))
def test_segments_tile_and_cross_no_cut(lengths: list[float], seed: int, least: float, factor: float) -> None:
    bounds = np.concatenate([[0.0], np.cumsum(lengths)])
    signals = even_signals(int(np.ceil(bounds[-1])))
    motion = np.random.default_rng(seed).random(len(signals))
    settings = Settings(min_segment_s=least, max_segment_s=max(2.0, least * factor))
    segments = split(scenes_at(*bounds), replace(signals, motion=motion), settings)
    assert segments[0].start_s == 0 and segments[-1].end_s == bounds[-1]
    assert all(a.end_s == b.start_s for a, b in pairwise(segments))
    assert {float(b) for b in bounds} <= {s.start_s for s in segments} | {segments[-1].end_s}
    assert all(s.duration_s <= settings.max_segment_s + 1e-9 for s in segments)
    inner = [s for s in segments if s.duration_s < settings.min_segment_s - 1e-9]
    assert all(any(abs(s.duration_s - length) < 1e-9 for length in lengths) for s in inner)
