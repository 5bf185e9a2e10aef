"""What a machine of a cluster does for one video: scan it, score and choose, render. Knows nothing of Ray.

Each step starts from what shared storage holds and leaves its result there, so that any machine can do the next one,
and that a step which is done again goes on from the last whole stage.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import Concatenate, ParamSpec, TypeVar

from pipeline.batch.shared import SharedStore, json_values
from pipeline.batch.storage import Found, Place
from pipeline.batch.work import DONE, SKIPPED, Item, Outcome, failure, outcome_of
from pipeline.cache import STAGE_VERSIONS, key_of, open_cache, scan_key, sharing
from pipeline.division import Part
from pipeline.errors import Cancelled, InputError
from pipeline.media.files import disk_error, working_folder
from pipeline.plan import FILE_NAME, Plan
from pipeline.progress import CancelToken, silent
from pipeline.rendering.reel import check_settings
from pipeline.runner import REEL_NAME, analyse, choose, remake, scan
from pipeline.sandbox import divide, probe
from pipeline.settings import Settings
from pipeline.splitting import listen_to, look_at, part_key, sound_key
from pipeline.types import VideoInfo

P = ParamSpec("P")
T = TypeVar("T")

# A video this many times as long as a part is divided.
_LONG = 1.5


@dataclass(frozen=True, slots=True)
class Work:
    """A video's work, as it travels.

    out: folder for reels: a path that all machines see, or an address
    store: folder for stages' results, likewise
    own_cache: whether each machine keeps its cache where it likes, rather than where the settings say
    stall_s: of storage, as in `Place`
    """

    item: Item
    out: str
    store: str
    settings: Settings
    own_cache: bool
    stall_s: float

    @property
    def source(self) -> Place:
        """The video."""
        return Place(self.item.source, self.stall_s)

    @property
    def here(self) -> Settings:
        """The settings on this machine."""
        return replace(self.settings, cache_dir=Settings().cache_dir) if self.own_cache else self.settings


@dataclass(frozen=True, slots=True)
class Scanned:
    """A video whose scan lies in the store.

    video: as measured; its path is that of the machine which did it
    found: what storage said of the file
    plan: what to render, where the scan's machine chose it, too; else None
    """

    video: VideoInfo
    found: Found
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Divided:
    """A long video whose parts are to be looked at, by as many machines.

    video, found: as in `Scanned`
    parts: of it
    """

    video: VideoInfo
    found: Found
    parts: tuple[Part, ...]

    @property
    def tasks(self) -> int:
        """How many there are for `part_step`."""
        return len(self.parts) + self.video.has_audio


def _told(step: Callable[Concatenate[Work, P], T]) -> Callable[Concatenate[Work, P], T | Outcome]:
    """A step of which what goes wrong is an outcome, but for Cancelled. Its last arguments are its worker and a token.
    """
    @wraps(step)
    def attempt(work: Work, /, *given: P.args, **named: P.kwargs) -> T | Outcome:
        try:
            return step(work, *given, **named)
        except Cancelled:
            raise
        except Exception as error:
            return replace(failure(work.item, error, work.here.cache_dir), worker=str(given[-2]))

    return attempt


@_told
def scan_step(work: Work, worker: str, cancel: CancelToken, *, part_s: float | None = None
              ) -> Scanned | Divided | Outcome:
    """Scan a video, unless its reel is there. Signals are scored at once: that is quicker than to send them around.

    part_s: how long the parts are into which a long video is divided instead, in seconds; None to scan it all here

    Raises Cancelled; what else goes wrong is the outcome.
    """
    with _shared(work, worker, cancel) as store:
        found = _facts(work, cancel)
        old = _finished(work, found, cancel)
        if old is not None:
            return replace(old, state=SKIPPED, worker=worker, took_s=0.0)
        # What every video would fail over is told before the long scan.
        check_settings(work.here)
        with _video(work, found, cancel) as path:
            video = probe(path, cancel, work.settings.limits)
            parts = _parts(video, part_s, work, store, cancel)
            if len(parts) > 1:
                return Divided(video, found, parts)
            return _scanned(work, video, found, (), cancel)


@_told
def part_step(work: Work, divided: Divided, number: int, worker: str, cancel: CancelToken) -> None:
    """Look at one of a video's parts, or, after the last of them, listen to its sound. As `scan_step`."""
    with _shared(work, worker, cancel), open_cache(work.here) as cache, _same(work, divided, cancel) as video:
        if number < len(divided.parts):
            look_at(video, divided.parts[number], work.here, cache, silent, cancel)
        else:
            listen_to(video, work.here, cache, silent, cancel)


@_told
def join_step(work: Work, divided: Divided, worker: str, cancel: CancelToken) -> Scanned:
    """Scan a video whose parts have been looked at. As `scan_step`."""
    with _shared(work, worker, cancel) as store, _same(work, divided, cancel) as video:
        scanned = _scanned(work, video, divided.found, divided.parts, cancel)
        # All that they say is in the scan, and as much room as that takes.
        for part in divided.parts:
            store.drop("part", part_key(video, part, work.settings))
        store.drop("sound", sound_key(video, work.settings))
        return scanned


@_told
def score_step(work: Work, scanned: Scanned, worker: str, cancel: CancelToken) -> Scanned:
    """Score a scan from the store, and choose; the video itself is not read. As `scan_step`."""
    with _shared(work, worker, cancel):
        return replace(scanned, plan=_planned(work, scanned.video, cancel))


@_told
def render_step(work: Work, scanned: Scanned, worker: str, cancel: CancelToken) -> Outcome:
    """Render what was chosen, and publish it. As `scan_step`."""
    began = time.perf_counter()
    with _shared(work, worker, cancel) as store:
        key = _key(work, scanned.found)
        old = _finished(work, scanned.found, cancel)
        if old is not None:
            # Another worker had published it before it was lost.
            return replace(old, worker=worker)
        _check_same(work, scanned.found, cancel)
        store.making("render", key)
        outcome = replace(_rendered(work, scanned, cancel), took_s=time.perf_counter() - began, worker=worker)
        _record(work, key).write(json.dumps(outcome.to_json()).encode(), cancel)
        store.made("render", key)
        return outcome


def _parts(video: VideoInfo, part_s: float | None, work: Work, store: SharedStore, cancel: CancelToken
           ) -> tuple[Part, ...]:
    """What to divide a video into: nothing where nobody asked for it, and where its scan is there."""
    if part_s is None or video.duration_s < _LONG * part_s or store.has("scan", scan_key(video, work.settings)):
        return ()
    return divide(video, part_s, work.settings.limits, cancel)


def _scanned(work: Work, video: VideoInfo, found: Found, parts: Sequence[Part], cancel: CancelToken) -> Scanned:
    """A video that is scanned, and whose clips are chosen where no model need look at it."""
    scan(video.path, work.here, video=video, parts=parts, cancel=cancel)
    return Scanned(video, found, _planned(work, video, cancel) if work.settings.scorer == "signals" else None)


@contextmanager
def _same(work: Work, divided: Divided, cancel: CancelToken) -> Iterator[VideoInfo]:
    """The video as it was measured, by its path on this machine. Raises InputError where it isn't that one any more."""
    _check_same(work, divided.found, cancel)
    with _video(work, divided.found, cancel) as path:
        yield replace(divided.video, path=path.absolute())


def _check_same(work: Work, found: Found, cancel: CancelToken) -> None:
    if _facts(work, cancel) != found:
        raise InputError("has changed since it was scanned; run the command again", work.item.title)


def _planned(work: Work, video: VideoInfo, cancel: CancelToken) -> Plan:
    """What to show of a video whose scan is in the store."""
    return choose(analyse(video.path, work.here, video=video, cancel=cancel), work.here)


def _rendered(work: Work, scanned: Scanned, cancel: CancelToken) -> Outcome:
    """Render into the folder for reels; where that isn't one of this machine, beside, and then put it there."""
    assert scanned.plan is not None
    out, item = Place(work.out, work.stall_s), work.item
    with ExitStack() as stack:
        path = stack.enter_context(_video(work, scanned.found, cancel))
        folder = out.local or stack.enter_context(_beside(work))
        video = replace(scanned.video, path=path.absolute())
        plan = replace(scanned.plan, video=replace(scanned.plan.video, path=str(video.path)))
        result = remake(plan, folder, work.here, name=item.name, video=video, report=silent, cancel=cancel)
        plan = result.plan
        if work.source.local is None:
            # The copy that was read here goes; whoever renders the plan again puts the video beside it.
            plan = replace(plan, video=replace(plan.video, path=path.name)).with_notes(source=item.source)
            plan.write(result.reel.path.with_name(FILE_NAME))
        outcome = outcome_of(item, DONE, plan, result.reel.path, result.reel.duration_s,
                             tuple(str(path) for path in result.exports))
        if out.local is None:
            out.child(*item.name.split("/")).publish(folder / item.name, cancel, FILE_NAME)
            outcome = replace(outcome, reel=_moved(outcome.reel or "", folder, out),
                              exports=tuple(_moved(name, folder, out) for name in outcome.exports))
    return outcome


def _moved(path: str, folder: Path, out: Place) -> str:
    """Where a file of `folder` is, once that was published."""
    return out.child(*Path(path).relative_to(folder).parts).url


@contextmanager
def _shared(work: Work, worker: str, cancel: CancelToken) -> Iterator[SharedStore]:
    """What is made while the block runs is shared."""
    store = SharedStore(Place(work.store, work.stall_s), cancel, worker)
    with sharing(store):
        yield store


@contextmanager
def _beside(work: Work) -> Iterator[Path]:
    """A folder on this machine for as long as the block runs."""
    parent = work.here.cache_dir if work.here.cache else Path(tempfile.gettempdir())
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, parent) from error
    with working_folder(parent) as folder:
        yield folder


@contextmanager
def _video(work: Work, found: Found, cancel: CancelToken) -> Iterator[Path]:
    """The video on this machine: where it is, if that is a path, else a copy for as long as the block runs."""
    local = work.source.local
    if local is not None:
        yield local
        return
    with _beside(work) as folder:
        # The file's name stands in messages, and its ending tells some demuxers what it is.
        yield work.source.fetch(folder / PurePosixPath(found.name).name, cancel, found.size_bytes)


def _facts(work: Work, cancel: CancelToken) -> Found:
    """What storage says of the video."""
    found = work.source.facts(cancel)
    if found is None:
        raise InputError("there is no such file; check its name, and that all machines see it", work.item.title)
    return found


def _key(work: Work, found: Found) -> str:
    """What the reel of a video is noted under: all that it depends on."""
    facts = [work.item.source, work.item.name, found.size_bytes, found.mark, work.settings.to_json(), STAGE_VERSIONS]
    return key_of(facts)


def _record(work: Work, key: str) -> Place:
    return Place(work.store, work.stall_s).child("reels", f"{key}.json")


def _finished(work: Work, found: Found, cancel: CancelToken) -> Outcome | None:
    """What came of a video before, if its reel and plan are still there; None otherwise."""
    data = _record(work, _key(work, found)).read(cancel)
    values = None if data is None else json_values(data)
    if values is None:
        return None
    try:
        outcome = Outcome.from_json(values)
    except (KeyError, TypeError, ValueError):
        return None
    folder = Place(work.out, work.stall_s).child(*work.item.name.split("/"))
    names = (REEL_NAME, FILE_NAME)
    there = all((facts := folder.child(name).facts(cancel)) is not None and facts.size_bytes for name in names)
    return outcome if there else None
