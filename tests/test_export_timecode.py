"""Timecode: every frame has its own, in both directions, as OpenTimelineIO counts too."""

from __future__ import annotations

from fractions import Fraction

import opentimelineio as otio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.timecode import can_drop, parse, to_frames, to_timecode

NTSC = Fraction(30000, 1001)
NTSC_60 = Fraction(60000, 1001)
RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), NTSC, Fraction(30), Fraction(48), Fraction(50), NTSC_60,
         Fraction(60)]
counted = st.tuples(st.sampled_from([*((rate, False) for rate in RATES), (NTSC, True), (NTSC_60, True)]),
                    st.integers(0, 24 * 3600 * 24 - 24 * 100))


def frames_of(code: str, rate: Fraction) -> int:
    """What `code` means."""
    found = parse(code)
    assert found is not None
    return to_frames(*found[:4], rate, found[4])


@given(counted)
def test_there_and_back(case: tuple[tuple[Fraction, bool], int]) -> None:
    (rate, drop), frames = case
    code = to_timecode(frames, rate, drop)
    assert frames_of(code, rate) == frames and (";" in code) == drop


@given(counted)
def test_as_opentimelineio_counts(case: tuple[tuple[Fraction, bool], int]) -> None:
    (rate, drop), frames = case
    time = otio.opentime.RationalTime(frames, float(rate))
    assert time.to_timecode(float(rate), drop) == to_timecode(frames, rate, drop)


@given(st.sampled_from([NTSC, NTSC_60]), st.integers(0, 24 * 60 - 1))
def test_drop_frame_stays_with_the_clock(rate: Fraction, minute: int) -> None:
    """At most the four numbers that a minute drops away from real time, at any minute of the day."""
    frames = to_frames(minute // 60, minute % 60, 0, 0, rate, True)
    assert abs(frames / rate - 60 * minute) < 0.16


def test_numbers_that_are_dropped() -> None:
    assert to_timecode(1799, NTSC, True) == "00:00:59;29"
    assert to_timecode(1800, NTSC, True) == "00:01:00;02"
    assert to_timecode(17981, NTSC, True) == "00:09:59;29"
    assert to_timecode(17982, NTSC, True) == "00:10:00;00"
    assert to_timecode(3600, NTSC_60, True) == "00:01:00;04"
    assert to_timecode(107892, NTSC, True) == "01:00:00;00"
    assert to_frames(0, 1, 0, 0, NTSC, True) == to_frames(0, 1, 0, 2, NTSC, True) == 1800


def test_a_day_wraps_round() -> None:
    assert to_timecode(24 * 3600 * 25 + 1, Fraction(25), False) == "00:00:00:01"


def test_what_is_no_timecode() -> None:
    assert parse("10:00:00;05") == (10, 0, 0, 5, True) and parse("1:02:03:04") == (1, 2, 3, 4, False)
    for text in ("", "soon", "25:00:00:00", "10:60:00:00", "10:00:00", "10:00:00:0x"):
        assert parse(text) is None, text
    assert [can_drop(rate) for rate in RATES] == [rate in (NTSC, NTSC_60) for rate in RATES]


@pytest.mark.parametrize("rate", RATES)
def test_every_frame_of_two_minutes_has_its_own(rate: Fraction) -> None:
    codes = [to_timecode(frames, rate, can_drop(rate)) for frames in range(120 * round(rate))]
    assert len(set(codes)) == len(codes) and codes == sorted(codes)
