"""Who waits for whom: jobs stand in lanes, each of which is worked off one at a time, and how long that will take."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence

from app.estimates import Rates, expected, part_of
from app.runs import RUNNING, WAITING, Job
from app.work import is_light

# Corrections have a lane of their own: they take seconds, and must not wait for somebody's long scan.
_LIGHT = "light"
_TURN_S = 0.1


class Lanes:
    """The jobs that wait; only touched under the lock of `Jobs`, but for `alone` and `turn`.

    devices: names of `Settings.device` that have a lane of their own for heavy work; other names share the first's
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._waiting: dict[str, deque[Job]] = {lane: deque() for lane in (*devices, _LIGHT)}
        self._at_work = {lane: threading.Lock() for lane in self._waiting}

    @property
    def names(self) -> tuple[str, ...]:
        """The lanes; each needs a worker."""
        return tuple(self._waiting)

    def of(self, job: Job) -> str:
        """Which lane a job belongs to."""
        if is_light(job.task):
            return _LIGHT
        device = job.task.settings.device
        return device if device in self._waiting and device != _LIGHT else self.names[0]

    def join(self, job: Job) -> None:
        """Put a job at the end of its lane."""
        self._waiting[self.of(job)].append(job)

    def leave(self, job: Job) -> None:
        """Take a job out of its lane, where it stands in one."""
        for lane in self._waiting.values():
            with contextlib.suppress(ValueError):
                lane.remove(job)

    def next(self, lane: str) -> Job | None:
        """The first of a lane, which leaves it and is at work from now on; None where nobody waits."""
        if not self._waiting[lane]:
            return None
        job = self._waiting[lane].popleft()
        job.state, job.began = RUNNING, time.monotonic()
        return job

    def place_of(self, job: Job, jobs: Collection[Job], now: float) -> tuple[int | None, float | None]:
        """A job's place in its lane, and how long it will wait there; None where it doesn't, or that is unknown.

        jobs: all there are
        now: in seconds of `time.monotonic`
        """
        if job.state != WAITING:
            return None, None
        lane = self.of(job)
        queue = list(self._waiting[lane])
        if job not in queue:
            return None, None
        ahead = queue[:queue.index(job)]
        at_work = [other for other in jobs if other.state == RUNNING and self.of(other) == lane]
        waits = [other.estimate.seconds if other.estimate else None for other in ahead]
        waits += [other.pace.seconds_left(now) for other in at_work]
        known = [wait for wait in waits if wait is not None]
        return len(ahead) + 1, sum(known) if len(known) == len(waits) else None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Heavy work that is no job: nobody in the first lane is worked on meanwhile."""
        with self._at_work[self.names[0]]:
            yield

    @contextlib.contextmanager
    def turn(self, job: Job, lane: str) -> Iterator[None]:
        """A job's turn, once what isn't a job is done; one that is cancelled doesn't wait for it."""
        mine = False
        while not mine and not job.token.cancelled:
            mine = self._at_work[lane].acquire(timeout=_TURN_S)
        try:
            yield
        finally:
            if mine:
                self._at_work[lane].release()


def foresee(job: Job, rates: Rates) -> None:
    """Estimate a job, once its video is known.

    rates: what runs took on this machine
    """
    if job.video is None:
        return
    whole = expected(job.video, job.task.settings, rates)
    skipped = {"update": ("scan", "score"), "retarget": ("scan", "score") if is_light(job.task) else ("scan",)}
    stages = {name: s for name, s in whole.stages.items() if name not in skipped.get(job.task.kind, ())}
    job.estimate = part_of(whole, stages)
    job.pace.stages, job.pace.trusted = stages, whole.measured
