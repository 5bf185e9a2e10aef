"""What measurements share: tables, ratios of paired runs, straight lines, what is told of the machine."""

from __future__ import annotations

import platform
import socket

import pytest

from bench.growth import Length, growth, report
from bench.reporting import by_turns, machine, paired_ratio, straight, table, verdict, versions


def test_columns_stand_under_one_another() -> None:
    assert table([["way", "s", "x"], ["command", "4.82", "1.00"], ["it", "12.1"]]) == (
        "way         s     x\n"
        "command  4.82  1.00\n"
        "it       12.1")
    assert table([["s", "what"], ["12.5", "a reel"]], words=(1,)) == "   s  what\n12.5  a reel"


def test_ways_take_turns() -> None:
    order: list[str] = []
    found = by_turns({name: lambda name=name: order.append(name) for name in "ab"}, 3)  # type: ignore[misc]
    assert order == list("ababab") and [len(taken) for taken in found.values()] == [3, 3]


def test_the_ratio_is_of_pairs() -> None:
    # A machine that was busy in the second round was so for both: the medians' ratio would be 3.
    assert paired_ratio([2.0, 60.0, 6.0], [1.0, 30.0, 2.0]) == 2.0
    with pytest.raises(ValueError, match="no pairs"):
        paired_ratio([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="no pairs"):
        paired_ratio([], [])


def test_a_straight_line() -> None:
    line = straight([5, 10, 20, 40], [13, 23, 43, 83])
    assert (line.slope, line.start, line.r2) == pytest.approx((2, 3, 1))
    assert straight([5, 10, 20, 40], [x * x for x in (5, 10, 20, 40)]).r2 < 0.97
    assert straight([1, 2, 3, 4], [1, -1, -1, 1]).r2 == pytest.approx(0)
    assert straight([1, 2], [7, 7]).r2 == 1
    with pytest.raises(ValueError, match="two different places"):
        straight([5, 5], [1, 2])


def test_a_bar_is_kept_or_not() -> None:
    assert verdict(1.1, 1.1) == "at most 1.1: kept" and verdict(1.11, 1.1) == "at most 1.1: NOT KEPT"


def test_growth_tells_what_is_not_straight() -> None:
    def length(minutes: float, seconds: float, child_mb: float, all_mb: float = 0) -> Length:
        return Length(minutes, seconds, 2 * seconds, {"scan": seconds - 1, "score": 1.0}, "copy", None, 100, child_mb,
                      all_mb)

    flat = growth([length(minutes, 4 * minutes, 200) for minutes in (5, 10, 20, 40)])
    assert "R² of a straight line 1.0000" in flat[0] and "against 5: 1.00 (at most 1.1: kept" in flat[1]
    assert "against 5: 1.00 (at most 1.2: kept" in flat[2] and not any("NOT" in line for line in flat)
    worse = growth([length(minutes, minutes ** 2, 200 + 10 * minutes) for minutes in (40, 20, 10, 5)])
    assert [("NOT KEPT" in line) for line in worse[:3]] == [True, True, True]
    assert "0.00 MB a minute in the process, 10.00 below it" in worse[2]
    assert not any("all processes" in line for line in [*flat, *worse])
    together = growth([length(minutes, 4 * minutes, 200, 300 + minutes) for minutes in (5, 40)])
    assert "at one time, 40 minutes against 5: 1.11 (at most 1.2: kept)" in together[3]
    assert growth([length(5, 9, 200)]) == [] and "5" in report([length(5, 9, 200)])


def test_facts_name_no_machine() -> None:
    facts = dict(machine()) | dict(versions("7.1"))
    assert int(facts["cores"]) >= 1 and facts["Python"] == platform.python_version() and facts["ffmpeg"] == "7.1"
    assert {"processor", "memory", "av", "scenedetect", "torch", "transformers", "numpy"} <= set(facts)
    assert not any(len(socket.gethostname()) > 3 and socket.gethostname() in value for value in facts.values())
