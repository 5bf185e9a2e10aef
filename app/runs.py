"""A run as the workers see it, and as everybody else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.edits import Draft
from app.estimates import Estimate
from app.pace import Pace
from app.shelf import Shelf
from app.work import Outcome, Task
from pipeline import Analysis, CancelToken, Plan, Progress, Reel, Settings
from pipeline.types import Glance, ScoredSegment, VideoInfo

_OUTCOME = "outcome"
WAITING, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"


@dataclass(frozen=True, slots=True)
class Made:
    """A reel that a run has made, and where to find what it was made of.

    files: the reel, its plan and what else was asked for, to take home
    reel_s: its length
    """

    files: tuple[Path, ...]
    reel_s: float
    _shelf: Shelf = field(repr=False, compare=False)
    _path: Path = field(repr=False)

    @classmethod
    def of(cls, outcome: Outcome, shelf: Shelf, folder: Path) -> Made:
        """What is kept at hand of an outcome; the rest goes to the shelf, and from there to the run's folder."""
        shelf.put(folder / _OUTCOME, outcome)
        return cls(outcome.files, outcome.reel.duration_s, shelf, folder / _OUTCOME)

    @property
    def outcome(self) -> Outcome | None:
        """Analysis, draft, plan and reel; None once their run, or a reel that came later, has let go of them."""
        found = self._shelf.get(self._path)
        return found if isinstance(found, Outcome) else None


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
    scored: segments that were scored so far, best first; empty once that is done
    glance: the first look at the video; None before, where there is none, and once that is done
    video: as measured; None before
    settings: in force
    error: what went wrong, one line for people; None where nothing did
    made: by the last work that went well; None before the first reel
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
    scored: tuple[ScoredSegment, ...]
    glance: Glance | None
    video: VideoInfo | None
    settings: Settings
    error: str | None
    made: Made | None
    version: int
    expires_at: float | None

    @property
    def busy(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (WAITING, RUNNING)

    @property
    def outcome(self) -> Outcome | None:
        """What came of the last work that went well, which may have to be read from a file; None before the first reel,
        and once this run, or a reel that came later, has let go of it.
        """
        return self.made.outcome if self.made else None

    @property
    def found(self) -> tuple[ScoredSegment, ...]:
        """Segments that were scored so far, best first."""
        outcome = self.outcome
        return best_first(outcome.analysis.scored.segments) if outcome else self.scored

    @property
    def analysis(self) -> Analysis | None:
        """What is known of the video; None before the first reel."""
        return outcome.analysis if (outcome := self.outcome) else None

    @property
    def draft(self) -> Draft | None:
        """What was rendered last, for corrections to start from; None before the first reel."""
        return outcome.draft if (outcome := self.outcome) else None

    @property
    def plan(self) -> Plan | None:
        """The plan of the last reel; None before the first."""
        return outcome.plan if (outcome := self.outcome) else None

    @property
    def reel(self) -> Reel | None:
        """The last reel; None before the first."""
        return outcome.reel if (outcome := self.outcome) else None

    @property
    def files(self) -> tuple[Path, ...]:
        """What can be taken home: the reel, its plan, exports; empty before the first reel."""
        return self.made.files if self.made else ()


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
    glance: Glance | None = None
    video: VideoInfo | None = None
    error: str | None = None
    made: Made | None = None
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
