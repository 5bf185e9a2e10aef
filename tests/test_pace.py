"""One bar and the time left, from the events that a run sends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pace import ORDER, Pace
from pipeline import Progress

STAGES = {"probe": 1.0, "scan": 60.0, "score": 30.0, "render": 9.0}


def test_the_bar_goes_by_what_stages_take() -> None:
    pace = Pace(STAGES, trusted=True)
    for stage, share, whole in (("probe", 0.0, 0.0), ("scan", 0.5, 0.31), ("scan", 1.0, 0.61), ("score", 0.0, 0.61),
                                ("render", 0.0, 0.91), ("render", 1.0, 1.0)):
        pace.push(Progress(stage, share), 0.0)
        assert pace.fraction() == pytest.approx(whole)


def test_fetching_a_model_before_the_scan_is_no_scoring() -> None:
    pace = Pace(STAGES, trusted=True)
    pace.push(Progress("probe", 1.0), 0.0)
    pace.push(Progress("score", 0.9, "fetching"), 5.0)
    assert pace.fraction() == pytest.approx(0.01)
    pace.push(Progress("scan", 0.1), 6.0)
    assert pace.fraction() == pytest.approx(0.07)


@given(st.lists(st.tuples(st.sampled_from([*ORDER, "other"]), st.none() | st.floats(0, 1), st.floats(0, 5)),
                max_size=40), st.booleans(), st.booleans())
def test_the_bar_never_goes_back_and_stays_in_bounds(events: list[tuple[str, float | None, float]], known: bool,
                                                     trusted: bool) -> None:
    pace, now, before = Pace(STAGES if known else None, trusted), 0.0, 0.0
    for stage, fraction, later_s in events:
        now += later_s
        pace.push(Progress(stage, fraction), now)
        assert before <= pace.fraction() <= 1
        before = pace.fraction()
        left_s = pace.seconds_left(now)
        assert left_s is None or left_s >= 0


def test_time_left_follows_what_is_measured_while_it_runs() -> None:
    pace = Pace(STAGES, trusted=False)
    pace.push(Progress("scan", 0.0), 0.0)
    assert pace.seconds_left(0.0) is None
    # Twice as slow as guessed: 120 s for the scan, then 39 s.
    for second in range(1, 61):
        pace.push(Progress("scan", second / 120), float(second))
    assert pace.seconds_left(60.0) == pytest.approx(60 + 39, abs=2)
    assert pace.seconds_left(65.0) == pytest.approx(60 + 39 - 5, abs=2)


def test_time_left_is_there_at_once_where_rates_were_measured() -> None:
    pace = Pace(STAGES, trusted=True)
    pace.push(Progress("scan", 0.0), 0.0)
    assert pace.seconds_left(0.0) == pytest.approx(99)
    assert pace.seconds_left(200.0) == 0
