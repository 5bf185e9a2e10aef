"""The planted evaluation: what is said to be in a video is in it, and counting is right at both ends."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from bench.planted import (
    KINDS,
    LONGEST_S,
    SHORTEST_S,
    Moment,
    Planted,
    Tally,
    at_random,
    evenly,
    picked,
    plant,
    sound_of,
    table,
    write,
)
from pipeline import Settings
from pipeline.types import Interval

SOUND_RATE = 16_000


@pytest.fixture(scope="module")
def planted() -> Planted:
    """Four moments, one of each kind, in 40 s."""
    found = plant(3, 40, 24)
    assert sorted(moment.kind for moment in found.moments) == sorted(KINDS)
    return found


@pytest.fixture(scope="module")
def video(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    return write(planted, tmp_path_factory.mktemp("planted") / "planted.mp4")


@pytest.mark.parametrize("seed", range(30))
def test_moments_are_apart_and_uncut(seed: int) -> None:
    planted = plant(seed, 600, 60)
    assert 7 <= len(planted.moments) <= 13 and {m.kind for m in planted.moments} == set(KINDS)
    assert planted.moments[0].start_s > 2.9 and planted.moments[-1].end_s < 597.1
    assert all(b.start_s - a.end_s > 2.8 for a, b in pairwise(planted.moments))
    assert all(SHORTEST_S - 0.1 <= m.duration_s <= LONGEST_S + 0.1 for m in planted.moments)
    assert 48 <= sum(m.duration_s for m in planted.moments) <= 55
    assert len(planted.cuts) > 25 and all(a < b for a, b in pairwise(planted.cuts))
    assert not any(m.start_s - 1.4 < cut < m.end_s + 1.4 for m in planted.moments for cut in planted.cuts)


def test_the_seed_decides() -> None:
    once, again, other = plant(5, 120, 20), plant(5, 120, 20), plant(6, 120, 20)
    assert once == again and once != other
    assert np.array_equal(sound_of(once), sound_of(again)) and not np.array_equal(sound_of(once), sound_of(other))
    assert at_random(once, 20) == at_random(again, 20) != at_random(other, 20)


def test_the_same_seed_writes_the_same_file(planted: Planted, video: Path, tmp_path: Path) -> None:
    assert write(planted, tmp_path / "again.mp4").read_bytes() == video.read_bytes()


def test_too_short_a_video_is_told() -> None:
    with pytest.raises(ValueError, match="make it longer"):
        plant(0, 30, 60)


def test_moments_are_where_they_are_said_to_be(planted: Planted, video: Path) -> None:
    """Measured in the file: redness and change of its pictures, power of its sound, frame by frame."""
    frame_s = 1 / 15
    with av.open(str(video)) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(np.int16) for frame in container.decode(video=0)]
    assert len(pictures) == 600
    red = np.array([((p[..., 0] - p[..., 1:].max(axis=2)) > 80).mean() for p in pictures])
    change = np.array([0.0, *(np.abs(b - a).mean() for a, b in pairwise(pictures))])
    power = _power(video, len(pictures), frame_s)
    times = (np.arange(len(pictures)) + 0.5) * frame_s
    inside = {m.kind: (times > m.start_s) & (times < m.end_s) for m in planted.moments}
    core = {m.kind: (times > m.start_s + 0.3) & (times < m.end_s - 0.3) for m in planted.moments}
    near = {m.kind: (times > m.start_s - 0.1) & (times < m.end_s + 0.1) for m in planted.moments}
    assert red[core["visual"]].min() > 0.03 and red[~inside["visual"]].max() < 0.001
    calm = np.ones(len(times), bool) & ~near["fast"] & ~near["visual"]
    calm[[round(cut / frame_s) for cut in planted.cuts]] = False
    assert np.percentile(change[core["fast"]], 25) > 4 * change[calm].max()
    assert power[core["loud"]].min() > 20 * power[~near["loud"] & ~near["spoken"]].max()
    # Speech has pauses: it is loud most of the time, and nowhere else.
    assert np.median(power[core["spoken"]]) > 20 * power[~near["loud"] & ~near["spoken"]].max()


def _power(video: Path, frames: int, frame_s: float) -> np.ndarray:
    """Mean square of the sound while each frame is shown: (frames,)."""
    with av.open(str(video)) as container:
        resampler = av.AudioResampler("flt", "mono", SOUND_RATE)
        blocks = [b.to_ndarray().ravel() for f in container.decode(audio=0) for b in resampler.resample(f)]
    samples = np.concatenate(blocks)
    edges = np.round(np.arange(frames + 1) * frame_s * SOUND_RATE).astype(int)
    return np.array([float((samples[a:b] ** 2).mean()) if b <= len(samples) else 0.0 for a, b in pairwise(edges)])


def test_a_perfect_pick_and_none(planted: Planted) -> None:
    perfect, nothing = Tally(), Tally()
    perfect.add(planted, planted.moments)
    nothing.add(planted, [])
    assert perfect.recall() == perfect.precision == 1 and perfect.edge_s == 0 and not perfect.missed
    assert nothing.recall() == nothing.precision == 0 and math.isnan(nothing.edge_s)
    assert [moment for _, moment in nothing.missed] == list(planted.moments)
    assert "100%" in table({"perfect": perfect}, KINDS) and "0%" in table({"none": nothing}, KINDS)


def test_half_a_moment_is_found_and_less_is_not() -> None:
    planted = Planted(0, 60, (Moment(10, 16, "loud"), Moment(30, 36, "fast")), ())
    tally = Tally()
    tally.add(planted, [Interval(8, 13), Interval(33.5, 36)])
    assert tally.recall("loud") == 1 and tally.recall("fast") == 0 and tally.recall() == 0.5
    assert math.isnan(tally.recall("visual"))
    assert tally.edges_s == [2, 3] and tally.edge_s == 2.5 and tally.precision == pytest.approx(5.5 / 7.5)
    in_two = Tally()
    in_two.add(replace(planted, moments=planted.moments[:1]), [Interval(10.5, 12), Interval(13, 15)])
    assert in_two.recall() == 1 and in_two.edges_s == [0.5, 1]


def test_blind_picks_are_as_long_and_do_not_overlap() -> None:
    planted = plant(1, 600, 60)
    for clips in (at_random(planted, 58), evenly(planted, 58)):
        assert sum(c.duration_s for c in clips) == pytest.approx(58) and clips[-1].end_s <= 600
        assert all(a.end_s <= b.start_s + 1e-9 for a, b in pairwise(clips))


def test_loud_moments_are_picked(planted: Planted, video: Path, tmp_path: Path) -> None:
    clips = picked(video, Settings(target_s=24, scorer="signals", cache_dir=tmp_path))
    tally = Tally()
    tally.add(planted, clips)
    assert tally.recall("loud") == 1
