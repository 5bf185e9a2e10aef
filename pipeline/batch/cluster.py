"""Many videos on many machines: Ray says which machine does what, shared storage holds what each leaves to the others.

A video goes through three tasks: its scan on any machine's CPUs, its scores from an actor that holds the model, its
reel on CPUs again. Nothing travels through Ray but facts: a machine that is lost takes nothing with it but what it was
at, and that is done again, from the last stage that was whole.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.batch import remote
from pipeline.batch.crew import Crew, Scorer
from pipeline.batch.joining import AUTO, answers, joined
from pipeline.batch.shared import FOLDER
from pipeline.batch.storage import STALL_S, Place
from pipeline.batch.summary import remembered, summaries
from pipeline.batch.tasks import Divided, Scanned, Work
from pipeline.batch.work import FAILED, Item, Outcome, settled
from pipeline.errors import ClusterError
from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.settings import Settings

# What a video waits for or is at.
SCAN, SCORE, RENDER = "scan", "score", "render"
# Videos at work for each that has a CPU: some wait for a scorer meanwhile.
_AHEAD = 1.5
_WAIT_S, _LOOK_S, _HEADLESS_S = 0.2, 3.0, 15.0
# What was lost is submitted again after that, then after twice that, and so on.
_AGAIN_S = 1.0
# How long tasks may take to end by themselves once they are asked to.
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How work is shared out; none of it changes a result.

    address: as `joining.joined` takes it
    jobs: videos at work at once; as many as keep the cluster busy where None
    cpus: that a scan or a render counts for
    gpu_share: of a GPU, that a scorer counts for, so that 1 / gpu_share of them share one
    scorer_cpus: that a scorer counts for where the cluster has no GPU
    scorers: how many hold a model; as many as there is room for on GPUs, or on half of the CPUs, where None
    retries: how often a video's work is done again after its machine or process was lost
    part_s: seconds of the parts into which a long video is divided, where CPUs would be idle otherwise
    store: where stages' results are kept: a path that all machines see, or an address; beside the reels where None
    stall_s: seconds without a byte after which storage counts as stalled
    patience_s: seconds without any CPU in the cluster after which the run gives up
    """

    address: str = AUTO
    jobs: int | None = None
    cpus: float = 1.0
    gpu_share: float = 0.5
    scorer_cpus: float = 1.0
    scorers: int | None = None
    retries: int = 3
    part_s: float = 600.0
    store: str | None = None
    stall_s: float = STALL_S
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        for name, low in (("jobs", 1), ("scorers", 1), ("cpus", 0.01), ("gpu_share", 0.01), ("scorer_cpus", 0),
                          ("retries", 0), ("part_s", 1)):
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise ClusterError(f"{value!r} is below {low:g}; give more", name)


def reels_on_cluster(items: Sequence[Item], out: str, settings: Settings, cluster: ClusterSettings,
                     tell: Callable[[Outcome], object] = lambda _: None, report: Report = silent,
                     cancel: CancelToken | None = None, others: Sequence[Outcome] = ()) -> list[Outcome]:
    """Make a reel of each item on a cluster, and a summary of all; what an earlier run has finished is skipped.

    out: a path that all machines see, or an address
    tell: given each outcome as it comes, on this thread
    others: what came of videos that need no work, for the summary

    Returns the outcomes in the items' order, then `others`; where there is no item, nothing is written. Raises
    ClusterError where the cluster can't be used at all, OutputError where `out` can't be written, Cancelled; what else
    goes wrong is an outcome.
    """
    if not items:
        for outcome in others:
            tell(outcome)
        return list(others)
    token = cancel or CancelToken()
    place = Place(out, cluster.stall_s)
    out = place.full
    store = cluster.store or place.child(FOLDER).url
    place.check_writable(token)
    own_cache = settings.cache_dir == Settings().cache_dir
    works = [Work(item, out, store, settings, own_cache, cluster.stall_s) for item in items]
    with joined(cluster.address, token) as ray:
        seeing = len(works) if any(work.settings.scorer != "signals" for work in works) else 0
        outcomes = _Driver(ray, works, cluster, tell, report, token, Crew(ray, cluster, seeing)).run()
    everything = settled(outcomes, others)
    for outcome in everything[len(outcomes):]:
        tell(outcome)
    for name, data in summaries(everything, out).items() if len(everything) > 1 else ():
        place.child(name).write(data, token)
    return list(everything)


@dataclass(eq=False, slots=True)
class _Video:
    """A video on its way.

    at: the stage that it is at or waits for
    divided: into which parts, while it is scanned in parts
    left: how many of them are still to be looked at
    lost: how often its work was lost, or that on each part
    """

    number: int
    work: Work
    at: str = SCAN
    divided: Divided | None = None
    left: int = 0
    scanned: Scanned | None = None
    lost: Counter[int | None] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is done for a video.

    part: number of the part that is looked at; None where it's all of it
    scorer: who does it; None where that is any CPU
    """

    video: _Video
    part: int | None = None
    scorer: Scorer | None = None


@dataclass(eq=False, slots=True)
class _Driver:
    """Submits, collects and does again."""

    ray: Any
    works: Sequence[Work]
    cluster: ClusterSettings
    tell: Callable[[Outcome], object]
    report: Report
    cancel: CancelToken
    crew: Crew
    waiting: deque[_Video] = field(default_factory=deque)
    later: list[tuple[float, _Task]] = field(default_factory=list)
    pending: dict[Any, _Task] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    cpus: float = 0.0
    looked_at: float = 0.0
    seen_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)
    limit: int = 1
    said: str = ""

    def run(self) -> list[Outcome]:
        """All of them."""
        fresh = deque(_Video(number, work) for number, work in enumerate(self.works))
        try:
            while len(self.outcomes) < len(self.works):
                self.cancel.check()
                self._look()
                self._again()
                while fresh and len(self._begun()) < self.limit:
                    self._submit(fresh.popleft())
                self._hand_out()
                self._collect()
                self._say()
        finally:
            self._stop()
        return [self.outcomes[number] for number in range(len(self.works))]

    def _look(self) -> None:
        """See now and then what machines there are, and fit what is submitted to them. Raises ClusterError."""
        if time.monotonic() - self.looked_at < _LOOK_S:
            return
        self.looked_at = time.monotonic()
        # Without its head Ray would end this program, without a word, a minute later.
        if not answers(self.ray.get_runtime_context().gcs_address, self.cancel):
            if time.monotonic() - self.heard_at > _HEADLESS_S:
                raise _headless()
            return
        self.heard_at = time.monotonic()
        with _mapped(self.ray):
            have = self.ray.cluster_resources()
        cpus, gpus = have.get("CPU", 0.0), have.get("GPU", 0.0)
        self.cpus = cpus
        if cpus >= self.cluster.cpus:
            self.seen_at = time.monotonic()
        elif time.monotonic() - self.seen_at > self.cluster.patience_s:
            raise ClusterError(f"has {cpus:g} CPUs and a task needs {self.cluster.cpus:g}; add machines with "
                               "`ray start --address`, and run the command again: what is done stays done",
                               self.cluster.address)
        wanted = self.crew.fit(cpus, gpus)
        self.limit = self.cluster.jobs or math.ceil(_AHEAD * max(1.0, cpus / self.cluster.cpus)) + wanted

    def _submit(self, video: _Video) -> None:
        """Have a video's next stage done, or let it wait for a scorer."""
        if video.at == SCORE:
            self.waiting.append(video)
        elif video.at == RENDER:
            self._start(_Task(video), remote.render, video.scanned)
        elif video.divided is None:
            # With as many videos as CPUs, parts would only cost more than the whole.
            idle = len(self.works) - len(self.outcomes) < self.cpus / self.cluster.cpus
            self._start(_Task(video), remote.scan, self.cluster.part_s if idle else None)
        elif video.left:
            for number in range(video.divided.tasks):
                self._look_at(_Task(video, number))
        else:
            self._start(_Task(video), remote.join, video.divided)

    def _look_at(self, task: _Task) -> None:
        """Have a part of a video looked at."""
        self._start(task, remote.look, task.video.divided, task.part)

    def _start(self, task: _Task, step: Callable[..., Any], *given: Any) -> None:
        """Have a CPU do something for a video."""
        video = task.video
        options = {"num_cpus": self.cluster.cpus, "max_retries": 0, "name": f"{video.at} {video.work.item.title}"}
        self.pending[self.ray.remote(step).options(**options).remote(video.work, *given)] = task

    def _hand_out(self) -> None:
        """Give scorers that are there what waits for them."""
        while self.waiting and (scorer := self.crew.free()):
            video = self.waiting.popleft()
            scorer.busy += 1
            self.pending[scorer.actor.score.remote(video.work, video.scanned)] = _Task(video, None, scorer)

    def _collect(self) -> None:
        """Wait a little for results, and go on from each."""
        starting = self.crew.starting
        refs = [*self.pending, *starting]
        if not refs:
            time.sleep(_WAIT_S)
            return
        with _mapped(self.ray):
            ready, _ = self.ray.wait(refs, num_returns=len(refs), timeout=_WAIT_S)
        for ref in ready:
            if ref in starting:
                self._started(starting[ref])
            else:
                self._done(ref)

    def _started(self, scorer: Scorer) -> None:
        """A scorer has come up, or was lost before."""
        try:
            self.ray.get(scorer.started)
            scorer.started = None
        except self.ray.exceptions.RayTaskError as error:
            raise _no_code(error) from error
        except self.ray.exceptions.RayError:
            self.crew.end(scorer)

    def _done(self, ref: Any) -> None:
        """A stage of a video is done, or was lost."""
        task = self.pending.pop(ref)
        video, scorer = task.video, task.scorer
        if scorer is not None:
            scorer.busy -= 1
        try:
            result = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            # Steps make outcomes of what goes wrong in them: this went wrong before.
            raise _no_code(error) from error
        except self.ray.exceptions.LocalRayletDiedError as error:
            raise _headless() from error
        except self.ray.exceptions.RayError as error:
            if scorer is not None and not isinstance(error, self.ray.exceptions.TaskCancelledError):
                self.crew.end(scorer)
            if video.number not in self.outcomes:
                self._lost(task, error)
            return
        if video.number not in self.outcomes:
            self._go_on(task, result)

    def _go_on(self, task: _Task, result: Scanned | Divided | Outcome | None) -> None:
        """Do what comes after a stage."""
        video = task.video
        if isinstance(result, Outcome):
            self._finish(video, result)
            # Nobody needs its other parts any more.
            for ref in [ref for ref, other in self.pending.items() if other.video is video]:
                self._end_task(ref, force=False)
            return
        if isinstance(result, Divided):
            video.divided, video.left = result, result.tasks
        elif isinstance(result, Scanned):
            video.scanned, video.at = result, SCORE if result.plan is None else RENDER
        else:
            video.left -= 1
            if video.left:
                return
        self._submit(video)

    def _lost(self, task: _Task, error: BaseException) -> None:
        """Do a stage again, unless that was tried too often."""
        video = task.video
        video.lost[task.part] += 1
        lost = video.lost[task.part]
        self.looked_at = 0.0
        if lost <= self.cluster.retries:
            # Ray takes a while to see that a machine is gone, and would send it there again.
            self.later.append((time.monotonic() + _AGAIN_S * 2 ** (lost - 1), task))
            return
        memory = isinstance(error, self.ray.exceptions.OutOfMemoryError)
        why = "ran out of memory" if memory else "ended without a word, for want of memory or by a lost machine"
        message = (f"its {video.at} {why}, {lost} times; try it alone on a machine with more memory, or run the "
                   "command again")
        self._finish(video, Outcome(video.work.item, FAILED, message))

    def _again(self) -> None:
        """Submit what was lost, after a while."""
        due = [task for at, task in self.later if at <= time.monotonic()]
        self.later = [(at, task) for at, task in self.later if task not in due]
        for task in due:
            if task.part is None:
                self._submit(task.video)
            elif task.video.number not in self.outcomes:
                self._look_at(task)

    def _begun(self) -> list[_Video]:
        """Videos on their way."""
        tasks = [*self.pending.values(), *(task for _, task in self.later)]
        return list(dict.fromkeys([*(task.video for task in tasks), *self.waiting]))

    def _finish(self, video: _Video, outcome: Outcome) -> None:
        self.outcomes[video.number] = remembered(outcome, video.number)
        self.tell(outcome)

    def _say(self) -> None:
        """Tell how far all of it is, when that has changed."""
        at = [video.at for video in self._begun()]
        counts = [f"{at.count(stage)} {doing}" for stage, doing in ((SCAN, "in scan"), (SCORE, "in scoring"),
                                                                    (RENDER, "in render")) if at.count(stage)]
        done, total = len(self.outcomes), len(self.works)
        said = f"{done} of {total} videos done" + (f"; {', '.join(counts)}" if counts else "")
        if said != self.said:
            self.said = said
            self.report(Progress("batch", done / total, said))

    def _stop(self) -> None:
        """End what is still at work: asked to first, so that it leaves nothing half-made, and then made to."""
        left = list(self.pending)
        self.crew.close()
        with suppress(Exception):
            for ref in left:
                self._end_task(ref, force=False)
            _, left = self.ray.wait(left, num_returns=len(left), timeout=_GRACE_S) if left else ([], [])
            for ref in left:
                self._end_task(ref, force=True)
        self.pending.clear()

    def _end_task(self, ref: Any, *, force: bool) -> None:
        with suppress(Exception):
            if self.pending[ref].scorer is None:
                self.ray.cancel(ref, force=force)


@contextmanager
def _mapped(ray: Any) -> Iterator[None]:
    """Tells in one line that the head is gone."""
    try:
        yield
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        raise _headless() from error


def _headless() -> ClusterError:
    """What to say where the head is gone, or Ray on this machine."""
    return ClusterError("the cluster's head, or Ray on this machine, no longer answers; start it again and run the "
                        "command again: what is done stays done", "--cluster")


def _no_code(error: BaseException) -> ClusterError:
    """What to say where a worker couldn't even begin."""
    cause = getattr(error, "cause", None) or error
    said = (str(cause).strip().splitlines() or [type(cause).__name__])[-1][:200]
    return ClusterError(f"a worker can't run SmolReel ({said}); every machine needs the same version of it, at the "
                        "same path or installed, and the same Python", "--cluster")
