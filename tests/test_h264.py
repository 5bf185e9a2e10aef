"""Parameter sets of H.264, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.media.h264 import ParameterSets, nal_length_bytes, nal_units, read_avcc, starts_decoding, write_avcc

SPS = bytes([0x67, 100, 0, 30])
PPS = bytes([0x68])
NUMBERS = {0: 0b1 << 7, 1: 0b010 << 5, 2: 0b011 << 5, 3: 0b00100 << 3, 6: 0b00111 << 3}


def unit(head: bytes, number: int) -> bytes:
    """A parameter set that is known by `number`, with a few bytes more."""
    return head + bytes([NUMBERS[number], 0xAB, 0xCD])


@given(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=4, unique=True))
def test_what_is_written_is_read(numbers: list[int]) -> None:
    sets = ParameterSets(tuple(unit(SPS, n) for n in numbers), tuple(unit(PPS, n) for n in numbers))
    record = write_avcc(sets)
    assert read_avcc(record) == sets
    assert sets.ids == set(numbers)
    assert nal_length_bytes(record) == 4


def test_a_record_of_two_profiles_claims_the_higher_one() -> None:
    baseline, high = bytes([0x67, 66, 0xC0, 31]), bytes([0x67, 100, 0, 21])
    record = write_avcc(ParameterSets((unit(baseline, 0), unit(high, 1)), (unit(PPS, 0), unit(PPS, 1))))
    assert tuple(record[1:4]) == (100, 0, 31)
    assert record.endswith(bytes([0xFD, 0xF8, 0xF8, 0]))


@pytest.mark.parametrize("cut", range(6, 22, 3))
def test_torn_records_are_refused(cut: int) -> None:
    record = write_avcc(ParameterSets((unit(SPS, 0),), (unit(PPS, 0),)))
    with pytest.raises((ValueError, IndexError)):
        read_avcc(record[:min(cut, len(record) - 8)])


def test_annex_b_is_no_record() -> None:
    assert nal_length_bytes(b"\0\0\0\1" + SPS) == 0
    with pytest.raises(ValueError, match="no avcC"):
        read_avcc(b"\0\0\0\1" + SPS)


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.sampled_from([1, 2, 4]))
def test_units_are_told_apart(units: list[bytes], length_bytes: int) -> None:
    data = b"".join(len(u).to_bytes(length_bytes, "big") + u for u in units)
    assert [found for _, found in nal_units(data, length_bytes)] == units
    assert starts_decoding(data, length_bytes) == any(u[0] & 31 == 5 for u in units)


@given(st.binary(max_size=64), st.sampled_from([0, 1, 2, 4]))
def test_any_bytes_can_be_looked_at(data: bytes, length_bytes: int) -> None:
    assert sum(len(found) for _, found in nal_units(data, length_bytes)) <= len(data)
