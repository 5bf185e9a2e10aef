"""The scan's measurement: how cuts are paired, and how the command's list is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.scan import agreement, listed

FRAME_S = 1 / 25


def test_the_same_cuts_agree() -> None:
    found = agreement([1.0, 2.0, 9.5], [9.5, 1.0, 2.0], 0.0)
    assert (found.same, found.ours, found.theirs, found.f1) == (3, (), (), 1.0)


@pytest.mark.parametrize(("ours", "theirs", "alone", "f1"), [
    # Within two frames, on either side; three are too many.
    ([1.0, 2.0], [1.0 + 2 * FRAME_S, 2.0 - 2 * FRAME_S], ([], []), 1.0),
    ([1.0, 2.0], [1.0 + 3 * FRAME_S, 2.0], ([1.0], [1.0 + 3 * FRAME_S]), 0.5),
    # Each is counted once.
    ([1.0, 1.0 + FRAME_S], [1.0], ([1.0 + FRAME_S], []), 2 / 3),
    ([1.0], [1.0, 1.0 + FRAME_S], ([], [1.0 + FRAME_S]), 2 / 3),
    # The first of theirs must not be given to the second of ours, which has one of its own.
    ([1.0, 1.08], [0.93, 1.07], ([], []), 1.0),
    ([1.0, 2.0], [], ([1.0, 2.0], []), 0.0),
    ([], [3.0], ([], [3.0]), 0.0),
    ([], [], ([], []), 1.0),
])
def test_cuts_are_paired_once_and_within_frames(ours: list[float], theirs: list[float],
                                                alone: tuple[list[float], list[float]], f1: float) -> None:
    found = agreement(ours, theirs, 2 * FRAME_S)
    assert found.same == len(ours) - len(alone[0]) == len(theirs) - len(alone[1])
    assert (list(found.ours), list(found.theirs)) == alone and found.f1 == pytest.approx(f1)
    other = agreement(theirs, ours, 2 * FRAME_S)
    assert (other.same, other.ours, other.theirs) == (found.same, found.theirs, found.ours)


def test_the_commands_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "film-Scenes.csv"
    path.write_text("Timecode List:,00:00:02.500,00:00:04.000\n"
                    "Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame\n"
                    "1,1,00:00:00.000,0.000,62\n2,63,00:00:02.500,2.500,100\n3,101,00:00:04.000,4.000,120\n")
    assert listed(path) == [2.5, 4.0]
