"""Many videos on this machine: several at once, each on a thread of its own that leaves the work to processes beside.

What goes wrong with one stops no other. The same call goes on where an earlier one ended, however it did: what is whole
is left alone, and what was half done goes on from the cache.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.batch.finding import find
from pipeline.batch.summary import remembered, summaries
from pipeline.batch.work import Item, Outcome, failure, reel_of, settled
from pipeline.cores import at_work, free_ram_bytes, usable_cores
from pipeline.errors import Cancelled, SettingsError
from pipeline.media.files import check_writable, write_whole
from pipeline.progress import CancelToken, LinkedToken, Progress
from pipeline.settings import Settings

# What a run takes at most of an ordinary video, and beyond how many at once the disk is what all wait for.
_RUN_BYTES, _MOST_JOBS = 2_000_000_000, 8
_POLL_S = 0.1
# What a stage's end means for the whole of a run: the scan reads all of a video, the others parts of it.
_ENDS = {"probe": (0.0, 0.02), "scan": (0.02, 0.6), "score": (0.6, 0.75), "select": (0.75, 0.75),
         "speech": (0.75, 0.8), "render": (0.8, 0.97), "export": (0.97, 1.0)}


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    fraction: share of the whole that is done, by the sizes of the files, 0 to 1
    done, total: videos with an outcome, and all of them; 0 while they are looked for
    message: what is being done, where it is about no video
    item: the video that the event is about; None where it is about none
    share: of this video that is done, 0 to 1
    progress: of its run
    outcome: what came of it; its last event
    """

    fraction: float
    done: int
    total: int
    message: str = ""
    item: Item | None = None
    share: float = 0.0
    progress: Progress | None = None
    outcome: Outcome | None = None


BatchReport = Callable[[BatchProgress], object]


def make_reels(sources: str | Path | Iterable[str | Path], settings: Settings | None = None,
               out_dir: str | Path = "out", *, jobs: int | None = None, again: bool = False,
               report: BatchReport = lambda _: None, cancel: CancelToken | None = None) -> tuple[Outcome, ...]:
    """Make a reel of each video among `sources`, and a summary of all: `out_dir`/summary.html and summary.csv.

    sources: files, and folders with all below them; each video is done once, see `finding.find`
    jobs: videos at work at once; as many as cores and memory allow where None
    again: make anew what an earlier call has made
    report: called on this thread only

    Returns what came of each, in the order of the sources and of names; what goes wrong with a video is an outcome.
    Raises SettingsError, OutputError where `out_dir` can't be written, Cancelled: the summary is written before that.
    """
    settings, token, out = settings or Settings(), cancel or CancelToken(), Path(out_dir)
    if jobs is not None and jobs < 1:
        raise SettingsError(f"{jobs} is below 1; give more", "jobs")
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    found = find(sources, out, settings, token, lambda message: report(BatchProgress(0.0, 0, 0, message)))
    if not found.items:
        for number, outcome in enumerate(found.others, start=1):
            report(BatchProgress(1.0, number, len(found.others), item=outcome.item, share=1.0, outcome=outcome))
        return found.others
    check_writable(out, str(out_dir))
    batch = _Batch(found.items, out, settings, again, report, token)
    try:
        batch.run(min(jobs or default_jobs(), len(found.items)))
    finally:
        outcomes = batch.all_with(found.others)
        for name, data in summaries(outcomes, out, len(found.items) - len(batch.outcomes)).items():
            write_whole(out / name, data)
    for outcome in outcomes[len(found.items):]:
        report(BatchProgress(1.0, len(found.items), len(found.items), item=outcome.item, share=1.0, outcome=outcome))
    return outcomes


def default_jobs(cores: int | None = None, free_bytes: int | None = None) -> int:
    """Videos at work at once where nobody says how many; of this machine where None."""
    cores = cores or usable_cores()
    free = free_bytes if free_bytes is not None else free_ram_bytes()
    room = _MOST_JOBS if free is None else free // _RUN_BYTES
    return max(1, min(cores, room, _MOST_JOBS))


def share_of(progress: Progress) -> float:
    """The share of a video's whole work that is done, 0 to 1; pure."""
    start, end = _ENDS.get(progress.stage, (0.0, 0.0))
    return start + (end - start) * min(1.0, max(0.0, progress.fraction or 0.0))


@dataclass(eq=False, slots=True)
class _Batch:
    """Threads that make reels, and what they tell."""

    items: Sequence[Item]
    out: Path
    settings: Settings
    again: bool
    report: BatchReport
    cancel: CancelToken
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    events: queue.SimpleQueue[tuple[int, Progress | Outcome | None]] = field(default_factory=queue.SimpleQueue)
    todo: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def run(self, jobs: int) -> None:
        """Do all that there is to do. Raises Cancelled, and what `report` raises, once no thread is at work."""
        weights = [_weight(item) for item in self.items]
        # The largest first: one that starts last would run alone at the end.
        for number in sorted(range(len(self.items)), key=lambda n: -weights[n]):
            self.todo.put(number)
        token = LinkedToken(self.cancel)
        threads = [threading.Thread(target=self._work, args=(token,), name=f"reel-{n + 1}") for n in range(jobs)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) or not self.events.empty():
                self._hear(weights)
        finally:
            token.cancel()
            for thread in threads:
                thread.join()
            # What was made while the others ended is made.
            while not self.events.empty():
                number, event = self.events.get()
                if isinstance(event, Outcome):
                    self.outcomes[number] = event
        if len(self.outcomes) < len(self.items):
            self.cancel.check()
            raise Cancelled

    def _work(self, token: CancelToken) -> None:
        """Make reels until there are no more to make."""
        while not token.cancelled:
            try:
                number = self.todo.get_nowait()
            except queue.Empty:
                return
            item = self.items[number]
            try:
                with at_work():
                    outcome = reel_of(item, self.out, self.settings, self._teller(number), token, again=self.again)
            except Cancelled:
                return
            except Exception as error:
                outcome = failure(item, error, self.settings.cache_dir)
            self.events.put((number, outcome))

    def _teller(self, number: int) -> Callable[[Progress], object]:
        """What brings a run's progress to the thread that may tell of it."""
        return lambda progress: self.events.put((number, progress))

    def _hear(self, weights: Sequence[int]) -> None:
        """Pass on the next thing that a thread tells, if one does soon."""
        try:
            number, event = self.events.get(timeout=_POLL_S)
        except queue.Empty:
            return
        outcome = event if isinstance(event, Outcome) else None
        progress = event if isinstance(event, Progress) else None
        if outcome is not None:
            self.outcomes[number] = remembered(outcome, number)
            self.shares[number] = 1.0
        if progress is not None:
            self.shares[number] = max(self.shares.get(number, 0.0), share_of(progress))
        fraction = sum(weights[n] * share for n, share in self.shares.items()) / sum(weights)
        self.report(BatchProgress(min(1.0, fraction), len(self.outcomes), len(self.items), item=self.items[number],
                                  share=self.shares[number], progress=progress, outcome=outcome))

    def all_with(self, others: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """Every outcome, in the items' order."""
        return settled([self.outcomes[number] for number in sorted(self.outcomes)], others)


def _weight(item: Item) -> int:
    """How much work a video is beside others: its bytes."""
    try:
        return max(1, Path(item.source).stat().st_size)
    except (OSError, ValueError):
        return 1
