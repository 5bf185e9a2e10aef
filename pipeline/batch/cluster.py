"""Many videos on many machines: Ray says which machine does what, shared storage holds what each leaves to the others.

A video goes through three tasks: its scan on any machine's CPUs, its scores from an actor that holds the model, its
reel on CPUs again. Nothing travels through Ray but facts: a machine that is lost takes nothing with it but what it was
at, and that is done again, from the last stage that was whole.
"""

from __future__ import annotations

import math
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pipeline.batch import tasks
from pipeline.batch.joining import AUTO, answers, joined
from pipeline.batch.shared import FOLDER
from pipeline.batch.storage import STALL_S, Place
from pipeline.batch.tasks import Scanned, Work
from pipeline.batch.work import FAILED, Item, Outcome
from pipeline.errors import Cancelled, ClusterError
from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.settings import Settings

# What a video waits for or is at.
SCAN, SCORE, RENDER = "scan", "score", "render"
# Videos at work for each that has a CPU: some wait for a scorer meanwhile.
_AHEAD = 1.5
# A scorer gets its next video while it is at one.
_QUEUED = 2
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
    store: str | None = None
    stall_s: float = STALL_S
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        for name, low in (("jobs", 1), ("scorers", 1), ("cpus", 0.01), ("gpu_share", 0.01), ("scorer_cpus", 0),
                          ("retries", 0)):
            value = getattr(self, name)
            if value is not None and not value >= low:
                raise ClusterError(f"{value!r} is below {low:g}; give more", name)


def reels_on_cluster(items: Sequence[Item], out: str, settings: Settings, cluster: ClusterSettings,
                     tell: Callable[[Outcome], object] = lambda _: None, report: Report = silent,
                     cancel: CancelToken | None = None) -> list[Outcome]:
    """Make a reel of each item on a cluster; what an earlier run has finished is skipped.

    out: a path that all machines see, or an address
    tell: given each outcome as it comes, on this thread

    Returns the outcomes in the items' order. Raises ClusterError where the cluster can't be used at all, OutputError
    where `out` can't be written, Cancelled; what else goes wrong is an outcome.
    """
    token = cancel or CancelToken()
    place = Place(out, cluster.stall_s)
    out = out if place.local is None else str(place.local)
    store = cluster.store or place.child(FOLDER).url
    place.check_writable(token)
    own_cache = settings.cache_dir == Settings().cache_dir
    works = [Work(item, out, store, settings, own_cache, cluster.stall_s) for item in items]
    with joined(cluster.address, token) as ray:
        return _Driver(ray, works, cluster, tell, report, token).run()


@dataclass(eq=False, slots=True)
class _Video:
    """A video on its way.

    at: the stage that it is at or waits for
    lost: how often its work was lost
    """

    number: int
    work: Work
    at: str = SCAN
    scanned: Scanned | None = None
    lost: int = 0


@dataclass(eq=False, slots=True)
class _Scorer:
    """An actor that holds the model.

    started: its first answer; None once that has come
    busy: videos that it has
    """

    actor: Any
    started: Any
    busy: int = 0


@dataclass(eq=False, slots=True)
class _Driver:
    """Submits, collects and does again."""

    ray: Any
    works: Sequence[Work]
    cluster: ClusterSettings
    tell: Callable[[Outcome], object]
    report: Report
    cancel: CancelToken
    waiting: deque[_Video] = field(default_factory=deque)
    later: list[tuple[float, _Video]] = field(default_factory=list)
    pending: dict[Any, tuple[_Video, _Scorer | None]] = field(default_factory=dict)
    scorers: list[_Scorer] = field(default_factory=list)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    scorer_cpus: float = 0.0
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
        if cpus >= self.cluster.cpus:
            self.seen_at = time.monotonic()
        elif time.monotonic() - self.seen_at > self.cluster.patience_s:
            raise ClusterError(f"has {cpus:g} CPUs and a task needs {self.cluster.cpus:g}; add machines with "
                               "`ray start --address`, and run the command again: what is done stays done",
                               self.cluster.address)
        wanted = self._scorers_wanted(cpus, gpus)
        self.limit = self.cluster.jobs or math.ceil(_AHEAD * max(1.0, cpus / self.cluster.cpus)) + wanted
        for scorer in [one for one in self.scorers if one.started is None][wanted:]:
            if not scorer.busy:
                self._end(scorer)
        for _ in range(wanted - len(self.scorers)):
            self._start_scorer(gpus)

    def _scorers_wanted(self, cpus: float, gpus: float) -> int:
        """How many scorers the cluster has room for; sets what each counts for."""
        if all(work.settings.scorer == "signals" for work in self.works):
            return 0
        most = self.cluster.scorers or len(self.works)
        if gpus:
            return max(1, min(most, int(gpus / self.cluster.gpu_share + 1e-9), len(self.works)))
        each = self.cluster.scorer_cpus
        fits = int(cpus / 2 / each) if each else int(cpus / 2)
        wanted = max(1, min(most, fits, len(self.works)))
        # Where machines are lost, those that hold models must not keep the last CPUs from those that scan.
        each = each if wanted * each + self.cluster.cpus <= cpus else 0.0
        if self.scorers and each < self.scorer_cpus:
            for scorer in list(self.scorers):
                self._end(scorer)
        self.scorer_cpus = each
        return wanted

    def _start_scorer(self, gpus: float) -> None:
        kind = self.ray.remote(_ScorerActor)
        needs = ({"num_gpus": self.cluster.gpu_share, "num_cpus": 0} if gpus else {"num_cpus": self.scorer_cpus})
        actor = kind.options(max_restarts=0, max_task_retries=0, **needs).remote()
        self.scorers.append(_Scorer(actor, actor.ready.remote()))

    def _end(self, scorer: _Scorer) -> None:
        """Let a scorer go; what it was at comes back as lost."""
        if scorer in self.scorers:
            self.scorers.remove(scorer)
        with suppress(Exception):
            self.ray.kill(scorer.actor)

    def _submit(self, video: _Video) -> None:
        """Have a video's next stage done, or let it wait for a scorer."""
        if video.at == SCORE:
            self.waiting.append(video)
            return
        task = self.ray.remote(_scan if video.at == SCAN else _render)
        options = {"num_cpus": self.cluster.cpus, "max_retries": 0, "name": f"{video.at} {video.work.item.title}"}
        given = (video.work,) if video.at == SCAN else (video.work, video.scanned)
        self.pending[task.options(**options).remote(*given)] = (video, None)

    def _hand_out(self) -> None:
        """Give scorers that are there what waits for them."""
        while self.waiting:
            free = [one for one in self.scorers if one.started is None and one.busy < _QUEUED]
            if not free:
                return
            scorer, video = min(free, key=lambda one: one.busy), self.waiting.popleft()
            scorer.busy += 1
            self.pending[scorer.actor.score.remote(video.work, video.scanned)] = (video, scorer)

    def _collect(self) -> None:
        """Wait a little for results, and go on from each."""
        starting = {one.started: one for one in self.scorers if one.started is not None}
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

    def _started(self, scorer: _Scorer) -> None:
        """A scorer has come up, or was lost before."""
        try:
            self.ray.get(scorer.started)
            scorer.started = None
        except self.ray.exceptions.RayTaskError as error:
            raise _no_code(error) from error
        except self.ray.exceptions.RayError:
            self._end(scorer)

    def _done(self, ref: Any) -> None:
        """A stage of a video is done, or was lost."""
        video, scorer = self.pending.pop(ref)
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
                self._end(scorer)
            self._lost(video, error)
            return
        if isinstance(result, Outcome):
            self._finish(video, result)
            return
        video.scanned, video.at = result, SCORE if result.plan is None else RENDER
        self._submit(video)

    def _lost(self, video: _Video, error: BaseException) -> None:
        """Do a stage again, unless that was tried too often."""
        video.lost += 1
        self.looked_at = 0.0
        if video.lost <= self.cluster.retries:
            # Ray takes a while to see that a machine is gone, and would send it there again.
            self.later.append((time.monotonic() + _AGAIN_S * 2 ** (video.lost - 1), video))
            return
        memory = isinstance(error, self.ray.exceptions.OutOfMemoryError)
        why = "ran out of memory" if memory else "ended without a word, for want of memory or by a lost machine"
        message = (f"its {video.at} {why}, {video.lost} times; try it alone on a machine with more memory, or run the "
                   "command again")
        self._finish(video, Outcome(video.work.item, FAILED, message))

    def _again(self) -> None:
        """Submit what was lost, after a while."""
        due = [video for at, video in self.later if at <= time.monotonic()]
        self.later = [(at, video) for at, video in self.later if video not in due]
        for video in due:
            self._submit(video)

    def _begun(self) -> list[_Video]:
        """Videos on their way."""
        return [*(video for video, _ in self.pending.values()), *self.waiting, *(video for _, video in self.later)]

    def _finish(self, video: _Video, outcome: Outcome) -> None:
        self.outcomes[video.number] = outcome
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
        for scorer in list(self.scorers):
            self._end(scorer)
        with suppress(Exception):
            for ref in left:
                self._end_task(ref, force=False)
            _, left = self.ray.wait(left, num_returns=len(left), timeout=_GRACE_S) if left else ([], [])
            for ref in left:
                self._end_task(ref, force=True)
        self.pending.clear()

    def _end_task(self, ref: Any, *, force: bool) -> None:
        with suppress(Exception):
            if self.pending[ref][1] is None:
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


class _ScorerActor:
    """Lives on a worker and holds the model: it is loaded for the first video and stays for all others."""

    def ready(self) -> bool:
        """Answers once it is there."""
        return True

    def score(self, work: Work, scanned: Scanned) -> Scanned | Outcome:
        """See `tasks.score_step`. It is ended with its process, since it starts none and writes nothing by halves."""
        return tasks.score_step(work, scanned, _worker(), CancelToken())


def _scan(work: Work) -> Scanned | Outcome:
    """On a worker: see `tasks.scan_step`."""
    with _cancelled_by_ray() as cancel:
        return tasks.scan_step(work, _worker(), cancel)


def _render(work: Work, scanned: Scanned) -> Outcome:
    """On a worker: see `tasks.render_step`."""
    with _cancelled_by_ray() as cancel:
        return tasks.render_step(work, scanned, _worker(), cancel)


def _worker() -> str:
    """This machine, for people and for the journal."""
    import ray

    return f"{socket.gethostname()}-{ray.get_runtime_context().get_node_id()[:12]}"


@contextmanager
def _cancelled_by_ray() -> Iterator[CancelToken]:
    """A token that is set when the driver cancels the task: Ray sends an interrupt, which must not hit clean-up."""
    token = CancelToken()
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
