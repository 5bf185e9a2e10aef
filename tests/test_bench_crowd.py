"""What the crowd's measurement reads off its figures."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from bench.crowd import FULL, RIGHT, Crowd, Held, faults, growth_mb, table


def test_growth_leaves_out_the_start() -> None:
    filling = [(reels, 200 + 2.0 * reels) for reels in range(30)]
    assert growth_mb([*filling, *[(reels, 260.0) for reels in range(30, 120)]]) == pytest.approx(0, abs=1e-6)
    assert growth_mb([*filling, *[(reels, 255 + 0.05 * reels) for reels in range(30, 120)]]) == pytest.approx(50)


@pytest.mark.parametrize("grown", [[], [(0, 200.0)] * 50, [(reels, 200.0) for reels in range(10)]])
def test_growth_is_not_told_from_little(grown: list[tuple[int, float]]) -> None:
    assert growth_mb(grown) is None


def test_what_must_not_be() -> None:
    before, after = Held(200, 0, 10, 0), Held(300, 90, 15, 1)
    crowd = Crowd(time.monotonic(), Counter({RIGHT: 3, FULL: 2}), [1.0, 2.0, 9.0])
    held = [("before", before), ("after", after)]
    assert faults(crowd, held, "") == [] and "a reel took 2.0 s with the wait, 9.0 s at most" in table(crowd, held)
    stayed = [("before", before), ("after", Held(300, 900, 99, 9))]
    assert faults(crowd, stayed, "") == ["9 child processes stayed", "89 files stayed open"]
    crowd.outcomes["somebody else's reel"] += 1
    assert faults(crowd, held, "Traceback") == ["1 times somebody else's reel", "the server's log has a traceback"]
