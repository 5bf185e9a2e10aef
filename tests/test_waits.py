"""Waits in words: short for the page, long for sentences, both rounded alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.waits import about, brief, rounded


@pytest.mark.parametrize(("seconds", "short", "long"), [
    (0.4, "a moment", "a few seconds"), (7.2, "7 s", "a few seconds"), (8.4, "8 s", "about 8 seconds"),
    (33, "35 s", "about 35 seconds"), (50, "50 s", "about 50 seconds"), (58, "1 min", "about a minute"),
    (600, "10 min", "about 10 minutes"), (1300, "20 min", "about 20 minutes"), (3500, "1 h", "about an hour"),
    (5400, "1.5 h", "about 1.5 hours")])
def test_waits_are_said_no_more_exactly_than_they_are_known(seconds: float, short: str, long: str) -> None:
    assert (brief(seconds), about(seconds)) == (short, long)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_longer_wait_is_never_said_to_be_shorter(one: float, other: float) -> None:
    def told_s(seconds: float) -> float:
        amount, unit = rounded(seconds)
        return amount * {"s": 1, "min": 60, "h": 3600}[unit]

    low, high = sorted((one, other))
    assert told_s(low) <= told_s(high) and told_s(high) == pytest.approx(high, rel=0.34, abs=0.51)
