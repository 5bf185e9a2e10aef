"""The actors of a cluster that hold the model: as many as there is room for, while machines come and go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.batch import remote

if TYPE_CHECKING:
    from pipeline.batch.cluster import ClusterSettings

# A scorer gets its next video while it is at one.
_QUEUED = 2


@dataclass(eq=False, slots=True)
class Scorer:
    """An actor that holds the model.

    started: its first answer; None once that has come
    busy: videos that it has
    """

    actor: Any
    started: Any
    busy: int = 0


@dataclass(eq=False, slots=True)
class Crew:
    """All of them.

    videos: that a model is to see; 0 where none is needed
    each: CPUs that each counts for where there is no GPU
    """

    ray: Any
    cluster: ClusterSettings
    videos: int
    scorers: list[Scorer] = field(default_factory=list)
    each: float = 0.0

    def fit(self, cpus: float, gpus: float) -> int:
        """Start or end some, so that there are as many as the cluster has room for; returns how many that is."""
        wanted = self._wanted(cpus, gpus)
        for scorer in [one for one in self.scorers if one.started is None][wanted:]:
            if not scorer.busy:
                self.end(scorer)
        for _ in range(wanted - len(self.scorers)):
            kind = self.ray.remote(remote.ScorerActor)
            needs = {"num_gpus": self.cluster.gpu_share, "num_cpus": 0} if gpus else {"num_cpus": self.each}
            actor = kind.options(max_restarts=0, max_task_retries=0, **needs).remote()
            self.scorers.append(Scorer(actor, actor.ready.remote()))
        return wanted

    def _wanted(self, cpus: float, gpus: float) -> int:
        """How many the cluster has room for; sets what each counts for."""
        if not self.videos:
            return 0
        most = min(self.cluster.scorers or self.videos, self.videos)
        if gpus:
            return max(1, min(most, int(gpus / self.cluster.gpu_share + 1e-9)))
        each = self.cluster.scorer_cpus
        fits = int(cpus / 2 / each) if each else int(cpus / 2)
        wanted = max(1, min(most, fits))
        # Where machines are lost, those that hold models must not keep the last CPUs from those that scan.
        each = each if wanted * each + self.cluster.cpus <= cpus else 0.0
        if self.scorers and each < self.each:
            self.close()
        self.each = each
        return wanted

    @property
    def starting(self) -> dict[Any, Scorer]:
        """Those that are not up yet, by their first answers."""
        return {one.started: one for one in self.scorers if one.started is not None}

    def free(self) -> Scorer | None:
        """The one that has least to do, if any can take more."""
        free = [one for one in self.scorers if one.started is None and one.busy < _QUEUED]
        return min(free, key=lambda one: one.busy, default=None)

    def end(self, scorer: Scorer) -> None:
        """Let one go; what it was at comes back as lost."""
        if scorer in self.scorers:
            self.scorers.remove(scorer)
        with suppress(Exception):
            self.ray.kill(scorer.actor)

    def close(self) -> None:
        """Let all go."""
        for scorer in list(self.scorers):
            self.end(scorer)
