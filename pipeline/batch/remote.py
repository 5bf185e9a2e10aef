"""What runs on a cluster's machines, as Ray takes it: `tasks`, with the machine's name and a token that Ray can set."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.batch import tasks
from pipeline.batch.tasks import Divided, Scanned, Work
from pipeline.batch.work import Outcome
from pipeline.cores import share_with, usable_cores
from pipeline.errors import Cancelled
from pipeline.progress import CancelToken


class ScorerActor:
    """Lives on a worker and holds the model: it is loaded for the first video and stays for all others."""

    def ready(self) -> bool:
        """Answers once it is there."""
        return True

    def score(self, work: Work, scanned: Scanned) -> Scanned | Outcome:
        """See `tasks.score_step`. It is ended with its process, since it starts none and writes nothing by halves."""
        return tasks.score_step(work, scanned, _worker(), CancelToken())


def scan(work: Work, part_s: float | None) -> Scanned | Divided | Outcome:
    """See `tasks.scan_step`."""
    with at_work() as cancel:
        return tasks.scan_step(work, _worker(), cancel, part_s=part_s)


def look(work: Work, divided: Divided, number: int) -> Outcome | None:
    """See `tasks.part_step`."""
    with at_work() as cancel:
        return tasks.part_step(work, divided, number, _worker(), cancel)


def join(work: Work, divided: Divided) -> Scanned | Outcome:
    """See `tasks.join_step`."""
    with at_work() as cancel:
        return tasks.join_step(work, divided, _worker(), cancel)


def render(work: Work, scanned: Scanned) -> Outcome:
    """See `tasks.render_step`."""
    with at_work() as cancel:
        return tasks.render_step(work, scanned, _worker(), cancel)


def _cpus() -> float:
    """CPUs that the task counts for."""
    import ray

    assigned = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    return float(assigned.get("CPU") or 1.0)


def _worker() -> str:
    """This machine, for people and for the journal."""
    import ray

    return f"{socket.gethostname()}-{ray.get_runtime_context().get_node_id()[:12]}"


@contextmanager
def at_work() -> Iterator[CancelToken]:
    """A task that takes no more of its machine than it counts for, since others run beside it.

    Gives a token that is set when the driver cancels it: Ray sends an interrupt, which must not hit clean-up.
    """
    token = CancelToken()
    share_with(max(1, round(usable_cores() / _cpus())))
    if threading.current_thread() is not threading.main_thread():
        yield token
        return
    old = signal.signal(signal.SIGINT, lambda *_: token.cancel())
    try:
        yield token
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, old)
