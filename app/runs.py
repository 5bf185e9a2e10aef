"""A run as the workers see it, and as everybody else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.edits import Draft
from app.estimates import Estimate
from app.pace import Pace
from app.work import Outcome, Task
from pipeline import Analysis, CancelToken, Plan, Progress, Reel, Settings
from pipeline.types import ScoredSegment, VideoInfo

WAITING, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands; ask for it again to see how it goes on.

    id: unguessable; whoever knows it may see the run
    owner: whose it is
    folder: where its files lie
    source: the video in it
    name: what the person calls the video
    kind: what is, or was last, done: "make", "update" or "retarget"
    state: of that: "queued", "running", "done", "failed" or "cancelled"
    cancelling: whether it was asked to stop and will soon have
    progress: the latest event; None before the first
    fraction: share that is done over all stages, 0 to 1
    seconds_left: until it is done, without the wait; None where unknown
    estimate: what it will take as a whole; None before the video was measured
    place: in the queue, 1 for the next; None where it doesn't wait
    wait_s: seconds until it starts; None where it doesn't wait, or that is unknown
    elapsed_s: since it began; 0 before
    found: segments that were scored so far, best first
    video: as measured; None before
    settings: in force
    error: what went wrong, one line for people; None where nothing did
    outcome: of the last work that went well: analysis, draft, plan, reel, exports; None before the first reel
    version: counts reels
    expires_at: when its files go, in seconds of `time.time`; None as long as it waits or runs for the first time
    """

    id: str
    owner: str
    folder: Path
    source: Path
    name: str
    kind: str
    state: str
    cancelling: bool
    progress: Progress | None
    fraction: float
    seconds_left: float | None
    estimate: Estimate | None
    place: int | None
    wait_s: float | None
    elapsed_s: float
    found: tuple[ScoredSegment, ...]
    video: VideoInfo | None
    settings: Settings
    error: str | None
    outcome: Outcome | None
    version: int
    expires_at: float | None

    @property
    def busy(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (WAITING, RUNNING)

    @property
    def analysis(self) -> Analysis | None:
        """What is known of the video; None before the first reel."""
        return self.outcome.analysis if self.outcome else None

    @property
    def draft(self) -> Draft | None:
        """What was rendered last, for corrections to start from; None before the first reel."""
        return self.outcome.draft if self.outcome else None

    @property
    def plan(self) -> Plan | None:
        """The plan of the last reel; None before the first."""
        return self.outcome.plan if self.outcome else None

    @property
    def reel(self) -> Reel | None:
        """The last reel; None before the first."""
        return self.outcome.reel if self.outcome else None

    @property
    def files(self) -> tuple[Path, ...]:
        """What can be taken home: the reel, its plan, exports; empty before the first reel."""
        return self.outcome.files if self.outcome else ()


@dataclass(slots=True)
class Job:
    """A run as the workers see it; only touched under the lock of `Jobs`."""

    id: str
    owner: str
    folder: Path
    source: Path
    name: str
    task: Task
    state: str = WAITING
    token: CancelToken = field(default_factory=CancelToken)
    pace: Pace = field(default_factory=Pace)
    progress: Progress | None = None
    estimate: Estimate | None = None
    began: float | None = None
    took_s: float = 0.0
    found: tuple[ScoredSegment, ...] = ()
    video: VideoInfo | None = None
    error: str | None = None
    outcome: Outcome | None = None
    version: int = 0
    expires_at: float | None = None
    leaves_at: float | None = None
    unwanted: bool = False
    partly: set[str] = field(default_factory=set)

    @property
    def busy(self) -> bool:
        return self.state in (WAITING, RUNNING)


def best_first(segments: Sequence[ScoredSegment]) -> tuple[ScoredSegment, ...]:
    """Segments by score, the best first."""
    return tuple(sorted(segments, key=lambda segment: (-segment.score, segment.start_s)))
