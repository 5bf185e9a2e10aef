"""Runs of the page for tests: a folder of their own, a gate before heavy work, and waiting for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import app.jobs
from app import work
from app.estimates import Rates
from app.jobs import Jobs, Limits, Run
from pipeline import Settings
from tests.making import story

SETTINGS = Settings(target_s=8, scorer="signals")
WAIT_S = 60.0


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """18 s in shots of 3 s, of which the third is loud and fast."""
    return story(tmp_path_factory.mktemp("video") / "story.mp4", loud=range(6, 9), shots=6, shot_s=3)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Runs with a folder of the test's own."""
    made = Jobs(tmp_path / "runs", Limits(queue=3, per_visitor=2), rates=Rates(tmp_path / "rates.json"))
    yield made
    made.close()
    assert list((tmp_path / "runs").iterdir()) == []


class Gate:
    """Holds heavy work up until it is opened; what then happens is the real thing."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.at_work = 0
        self.most_at_work = 0
        self.names: list[str] = []

    def carry_out(self, task: work.Task, *args: object) -> work.Outcome:
        """As `work.carry_out`."""
        if not work.is_light(task):
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            self.names.append(task.name)
            while not self.open.wait(0.01):
                args[-1].check()  # type: ignore[attr-defined]
        try:
            return work.carry_out(task, *args)  # type: ignore[arg-type]
        finally:
            self.at_work -= not work.is_light(task)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate before all heavy work of this test."""
    made = Gate()
    monkeypatch.setattr(app.jobs, "carry_out", made.carry_out)
    yield made
    made.open.set()


def until(jobs: Jobs, run: Run, reached: Callable[[Run], bool] = lambda run: not run.busy) -> Run:
    """The run once it is there."""
    ends_at = time.monotonic() + WAIT_S
    while time.monotonic() < ends_at:
        now = jobs.get(run.id)
        assert now is not None
        if reached(now):
            return now
        time.sleep(0.01)
    raise AssertionError(f"{now.state}: {now.progress} {now.error}")


def made(jobs: Jobs, video: Path, settings: Settings = SETTINGS, owner: str = "ann") -> Run:
    """A run that is done."""
    run = until(jobs, jobs.submit(owner, video, video.name, settings))
    assert (run.state, run.error) == ("done", None)
    return run
