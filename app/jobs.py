"""Runs: who owns them, where their files live and when they go; heavy work is done one at a time, whoever watches.

A run belongs to no browser connection. Its unguessable id is the right to see it: a reload finds it by that.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.caches import Caches
from app.edits import Draft, plan_of
from app.estimates import Rates, rates_of
from app.faults import OUR_FAULT, note, told
from app.folders import Folders, remove, safe_name, take_over
from app.lanes import Lanes, foresee
from app.limits import Limits, Refused
from app.pace import Pace
from app.runs import CANCELLED, DONE, FAILED, RUNNING, WAITING, Job, Made, Run, best_first
from app.shelf import Shelf
from app.work import Outcome, Task, carry_out, way_of
from pipeline import Cancelled, CancelToken, FFmpegError, Progress, Settings, SmolReelError
from pipeline.types import Glance, VideoInfo

__all__ = ["OUR_FAULT", "Jobs", "Limits", "Refused", "Run"]

# A visitor who closes the page may only have reloaded it, or come back soon.
_COMES_BACK_S = 15 * 60
_SWEEP_EVERY_S = 30.0
_CACHE = "cache"
_CLOSING_S, _LOOK_S = 10.0, 0.1
# Who waits for a reel looks for it within a second and has begun to fetch it then.
_TAKING_HOME_S = 4.0
_log = logging.getLogger("smolreel")


class Jobs:
    """All runs of this process.

    root: folder for their files; in the user's cache directory where None
    limits: what visitors may ask for
    rates: what runs took on this machine
    devices: names of `Settings.device` that have a worker of their own for heavy work; other names share the first's
    """

    def __init__(self, root: Path | None = None, limits: Limits | None = None, *, rates: Rates | None = None,
                 devices: Sequence[str] = ("auto",)) -> None:
        self.limits = limits or Limits()
        self.rates = rates or rates_of(Settings())
        self._folders = Folders(root or Settings().cache_dir / "runs")
        self._folders.sweep()
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._closed = threading.Event()
        self.taking, self.closing = True, CancelToken()
        self._jobs: dict[str, Job] = {}
        self._lanes = Lanes(devices)
        # What is not needed to say how runs stand: results, and what people do with them.
        self.shelf = Shelf()
        self._caches = Caches(round(self.limits.cache_gb * 1e9))
        self._threads = [threading.Thread(target=self._serve, args=(lane,), name=f"runs {lane}", daemon=True)
                         for lane in self._lanes.names]
        self._threads.append(threading.Thread(target=self._sweep_on, name="sweep runs", daemon=True))
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)

    def submit(self, owner: str, source: str | Path, name: str, settings: Settings, *,
               video: VideoInfo | None = None, move: bool = False) -> Run:
        """Queue a new run.

        source: the uploaded file; linked or copied into the run's folder
        name: what the person calls it, which need be no safe file name
        video: as measured from `source`, so that it need not be measured again; None where it wasn't
        move: whether to move the file instead

        Raises Refused where that is more than the limits allow, or too much waits already; OutputError.
        """
        source = Path(source)
        self.limits.check(settings)
        try:
            self.limits.check_size(source.stat().st_size, name)
        except OSError as error:
            raise Refused("is not there any more; choose the video again", name) from error
        if video is not None:
            self.limits.check_length(video.duration_s, name)
        self._check_room(owner)
        folder = self._folders.run(owner)
        try:
            target = take_over(source, folder / "source", safe_name(name), move)
            settings = self._own_cache(owner, settings)
            video = video and replace(video, path=target)
            task = Task("make", target, name, folder / "1", settings, video)
            job = Job(secrets.token_urlsafe(24), owner, folder, target, name, task, video=video)
            return self._enqueue(job)
        except BaseException:
            remove(folder)
            raise

    def update(self, run_id: str, owner: str, draft: Draft) -> Run:
        """Queue the rendering of a corrected draft; only clips that changed are encoded.

        Raises Refused where the run is gone or busy, EditError where the draft can't be rendered.
        """
        plan_of(draft)
        return self._again(run_id, owner, "update", draft, draft.settings)

    def retarget(self, run_id: str, owner: str, draft: Draft, settings: Settings) -> Run:
        """Queue choosing anew, for another length or query, around what a person left out, took in and trimmed.

        Raises Refused where the run is gone or busy.
        """
        return self._again(run_id, owner, "retarget", draft, settings)

    def get(self, run_id: str) -> Run | None:
        """The run as it stands; None where there is none (any more)."""
        with self._lock:
            job = self._jobs.get(run_id)
            return None if job is None or job.unwanted else self._snapshot(job)

    def runs_of(self, owner: str) -> tuple[Run, ...]:
        """The owner's runs, oldest first."""
        with self._lock:
            return tuple(self._snapshot(job) for job in self._jobs.values() if job.owner == owner and not job.unwanted)

    def cancel(self, run_id: str) -> Run | None:
        """Ask a run to stop; a first run's files go at once, an earlier reel stays."""
        with self._lock:
            job = self._jobs.get(run_id)
            if job is None:
                return None
            self._stop(job)
            return self._snapshot(job)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Heavy work that is no run, such as a plan that a program wants rendered: no run is worked on meanwhile."""
        return self._lanes.alone()

    def leave(self, owner: str) -> None:
        """The owner has closed the page: what is done goes soon, unless `come_back` is called before."""
        with self._lock:
            for job in self._jobs.values():
                if job.owner == owner and not job.busy:
                    job.leaves_at = time.time() + _COMES_BACK_S

    def come_back(self, owner: str) -> None:
        """The owner has opened the page again."""
        with self._lock:
            for job in self._jobs.values():
                if job.owner == owner:
                    job.leaves_at = None

    def forget_owner(self, owner: str) -> None:
        """Stop all of an owner's runs and delete all that there is of them, now or as soon as they have stopped."""
        with self._lock:
            for job in [job for job in self._jobs.values() if job.owner == owner]:
                job.unwanted = True
                self._stop(job)
                self._let_go(job)

    def sweep(self, now: float | None = None) -> None:
        """Delete runs that have expired or whose visitor is gone, what caches hold beyond their limit, and what crashed
        processes left; never what is in use.

        now: in seconds of `time.time`
        """
        now = time.time() if now is None else now
        with self._lock:
            for job in list(self._jobs.values()):
                ends = [at for at in (job.expires_at, job.leaves_at) if at is not None]
                if ends and now >= min(ends) and not job.busy:
                    self._let_go(job)
        self._caches.bound(self._caches_in_use)
        self._folders.sweep()

    def counts(self) -> tuple[int, int]:
        """How many runs wait, and how many are at work."""
        with self._lock:
            states = [job.state for job in self._jobs.values()]
            return states.count(WAITING), states.count(RUNNING)

    def finish(self, seconds: float) -> None:
        """Take and begin nothing more, and close once what is at work is done and could be taken home, or after
        `seconds` at the latest.
        """
        self._stop_all(WAITING)
        ends_at = time.monotonic() + seconds
        waited = self.counts()[1] > 0
        while self.counts()[1] and time.monotonic() < ends_at and not self._closed.wait(_LOOK_S):
            pass
        if waited:
            self._closed.wait(max(0.0, min(_TAKING_HOME_S, ends_at - time.monotonic())))
        self.close()

    def close(self) -> None:
        """Stop everything and delete all files."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.closing.cancel()
        atexit.unregister(self.close)
        self._stop_all(WAITING, RUNNING)
        ends_at = time.monotonic() + _CLOSING_S
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends_at - time.monotonic()))
        self._folders.close()

    def _stop_all(self, *states: str) -> None:
        """Take nothing more, and stop runs that are in one of these states."""
        with self._news:
            self.taking = False
            for job in [job for job in self._jobs.values() if job.state in states]:
                self._stop(job)
            self._news.notify_all()

    def _again(self, run_id: str, owner: str, kind: str, draft: Draft, settings: Settings) -> Run:
        """Queue more work on a run that has a reel."""
        self.limits.check(settings)
        with self._lock:
            job = self._jobs.get(run_id)
            outcome = None if job is None or job.unwanted or job.made is None else job.made.outcome
            if job is None or outcome is None:
                raise Refused("This reel is not here any more. Choose the video again to make a new one.")
            if job.busy:
                raise Refused("The last change is still being made. Wait for it, or cancel it.")
            self._check_room(owner)
            settings = self._own_cache(job.owner, settings)
            job.task = Task(kind, job.source, job.name, job.folder / str(job.version + 1), settings, job.video, draft,
                            outcome.analysis, outcome.analysed, way_of(outcome, settings))
            job.state, job.token, job.pace = WAITING, CancelToken(), Pace()
            job.progress, job.error, job.began, job.estimate, job.partly = None, None, None, None, set()
            return self._enqueue(job)

    def _check_room(self, owner: str) -> None:
        """Raise Refused where this is closing, the queue is full, or the visitor has enough in it."""
        with self._lock:
            if not self.taking:
                raise Refused("SmolReel is closing. Start it again, then try again.")
            busy = [job for job in self._jobs.values() if job.busy]
            if sum(job.state == WAITING for job in busy) >= self.limits.queue:
                raise Refused(f"{self.limits.queue} reels are waiting already. Try again in a few minutes.")
            if sum(job.owner == owner for job in busy) >= self.limits.per_visitor:
                raise Refused(f"You have {self.limits.per_visitor} reels in the making. Wait for one, or cancel it.")

    def _enqueue(self, job: Job) -> Run:
        """Put a job into its lane."""
        with self._news:
            self._check_room(job.owner)
            self._jobs[job.id] = job
            foresee(job, self.rates)
            self._lanes.join(job)
            self._news.notify_all()
            return self._snapshot(job)

    def _own_cache(self, owner: str, settings: Settings) -> Settings:
        """The settings with a cache that no other visitor reads, and that goes with the visitor's runs."""
        cache = self._folders.visitor(owner) / _CACHE
        self._caches.use(cache)
        return replace(settings, cache=True, cache_dir=cache, cache_max_bytes=round(self.limits.cache_gb * 1e9))

    def _caches_in_use(self) -> set[Path]:
        """The caches of visitors who have a run that waits or is at work."""
        with self._lock:
            return {job.task.settings.cache_dir for job in self._jobs.values() if job.busy}

    def _serve(self, lane: str) -> None:
        """Do a lane's jobs one after another until this is closed."""
        while True:
            with self._news:
                job = None
                while not self._closed.is_set() and (job := self._lanes.next(lane)) is None:
                    self._news.wait()
            if job is None:
                return
            with self._lanes.turn(job, lane):
                self._work(job)
            # Or a worker would keep what the last run was made of until the next one comes.
            del job

    def _work(self, job: Job) -> None:
        """Do a job; whatever happens, its state says so and the worker goes on."""
        task, outcome, error, state = job.task, None, None, FAILED
        try:
            outcome = carry_out(task, self.limits, lambda video: self._opened(job, video),
                                lambda glance: self._seen(job, glance),
                                lambda event: self._heard(job, event), job.token)
            state = DONE
        except Cancelled:
            state = CANCELLED
        except FFmpegError as fault:
            note(job, self._folders.home, fault.detail)
            error = OUR_FAULT
        except SmolReelError as fault:
            error = told(fault, job, self._folders.home)
        except Exception:
            note(job, self._folders.home)
            error = OUR_FAULT
        if outcome is not None and task.kind == "make":
            self._remember(job, outcome)
        made = Made.of(outcome, self.shelf, task.folder) if outcome is not None else None
        with self._lock:
            self._settle(job, made, error, state)

    def _settle(self, job: Job, made: Made | None, error: str | None, state: str) -> None:
        """Note what came of a job, and delete what is of no more use."""
        job.state, job.error = state, error
        # What it was to be made of is on the shelf, as far as it is needed again.
        job.task, job.found, job.glance = replace(job.task, draft=None, analysis=None), (), None
        job.progress = job.progress and replace(job.progress, found=())
        self._caches.use(job.task.settings.cache_dir)
        job.took_s = time.monotonic() - (job.began or time.monotonic())
        if job.expires_at is None:
            job.expires_at = time.time() + 60 * self.limits.keep_minutes
        if made is None:
            remove(job.task.folder)
        else:
            job.made, job.version = made, job.version + 1
            # Somebody may still be watching the one before.
            self._discard(job.folder / str(job.version - 2))
        if job.unwanted:
            self._let_go(job)
        elif job.made is None:
            self._discard(job.folder)
            self._tidy(job.owner)

    def _opened(self, job: Job, video: VideoInfo) -> None:
        """The job's video has been measured."""
        with self._lock:
            job.video = video
            foresee(job, self.rates)

    def _seen(self, job: Job, glance: Glance) -> None:
        """The job's video has been looked at."""
        with self._lock:
            job.glance = glance

    def _heard(self, job: Job, event: Progress) -> None:
        """The core says how far the job is."""
        with self._lock:
            job.progress = event
            job.pace.push(event, time.monotonic())
            if event.found:
                known = {(segment.start_s, segment.end_s): segment for segment in (*job.found, *event.found)}
                job.found = best_first(tuple(known.values()))
            if event.fraction is not None and 0 < event.fraction < 1:
                job.partly.add(event.stage)

    def _remember(self, job: Job, outcome: Outcome) -> None:
        """Keep what the run took, for estimates."""
        ran = job.partly | ({"score"} if "scan" in job.partly else set())
        if job.video is not None:
            self.rates.record(job.video, job.task.settings, outcome.plan.timings_s, ran)

    def _stop(self, job: Job) -> None:
        """Stop a job, or take it out of its queue."""
        if job.state == RUNNING:
            job.token.cancel()
        elif job.state == WAITING:
            self._lanes.leave(job)
            self._settle(job, None, None, CANCELLED)

    def _let_go(self, job: Job) -> None:
        """Delete a run that nobody works on; one that runs is deleted once it has stopped."""
        if job.busy:
            return
        self._jobs.pop(job.id, None)
        self._discard(job.folder)
        self._tidy(job.owner)

    def _tidy(self, owner: str) -> None:
        """Delete a visitor's cache once no run of theirs needs it."""
        if not any(job.owner == owner and (job.busy or job.made) for job in self._jobs.values()):
            folder = self._folders.forget(owner)
            if folder is not None:
                self._caches.forget(folder / _CACHE)

    def _discard(self, folder: Path) -> None:
        """Delete a folder of a run, or of one of its reels, and what is kept of it."""
        self.shelf.forget(folder)
        remove(folder)

    def _sweep_on(self) -> None:
        """Sweep now and then until this is closed."""
        while not self._closed.wait(_SWEEP_EVERY_S):
            try:
                self.sweep()
            except Exception:
                _log.exception("old runs could not be deleted")

    def _snapshot(self, job: Job) -> Run:
        """The job as others may see it."""
        now = time.monotonic()
        place, wait_s = self._lanes.place_of(job, self._jobs.values(), now)
        elapsed_s = job.took_s if not job.busy else 0.0 if job.began is None else now - job.began
        return Run(
            id=job.id, owner=job.owner, folder=job.folder, source=job.source, name=job.name, kind=job.task.kind,
            state=job.state, cancelling=job.state == RUNNING and job.token.cancelled, progress=job.progress,
            fraction=1.0 if job.state == DONE else job.pace.fraction(),
            seconds_left=job.pace.seconds_left(now) if job.state == RUNNING else None, estimate=job.estimate,
            place=place, wait_s=wait_s, elapsed_s=elapsed_s, scored=job.found, glance=job.glance,
            video=job.video, settings=job.task.settings, error=job.error, made=job.made, version=job.version,
            expires_at=job.expires_at)
