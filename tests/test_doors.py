"""Who has the page open, tab by tab."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.doors import Doors
from app.jobs import Jobs


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Doors, list[str]]:
    """Doors, and what they say of visitors."""
    said: list[str] = []
    monkeypatch.setattr(Jobs, "leave", lambda _, owner: said.append(f"{owner} left"))
    monkeypatch.setattr(Jobs, "come_back", lambda _, owner: said.append(f"{owner} came"))
    jobs = Jobs(tmp_path)
    jobs.close()
    return Doors(jobs), said


def test_a_visitor_is_gone_with_the_last_tab(seen: tuple[Doors, list[str]]) -> None:
    doors, said = seen
    doors.enter("tab 1", "ann")
    doors.enter("tab 2", "ann")
    doors.enter("tab 3", "bob")
    doors.leave("tab 1")
    assert said == ["ann came", "ann came", "bob came"]
    doors.leave("tab 2")
    doors.leave("tab 2")
    assert said[3:] == ["ann left"]


def test_a_reload_is_a_return(seen: tuple[Doors, list[str]]) -> None:
    doors, said = seen
    doors.enter("before", "ann")
    doors.leave("before")
    doors.enter("after", "ann")
    assert said == ["ann came", "ann left", "ann came"]
    doors.leave("never seen")
    assert len(said) == 3
