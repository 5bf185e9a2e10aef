"""Keeps each stage's result between runs, under a key made of the video's content and the settings that it reads."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from pipeline.errors import OutputError
from pipeline.keeping import CLIPS, entries, evict, session, tidy, use
from pipeline.locks import gate
from pipeline.media.files import disk_error, remove, sweep, working_folder
from pipeline.progress import CancelToken, Progress, Report
from pipeline.sealing import MANIFEST, check_folder, seal_folder
from pipeline.settings import Settings
from pipeline.types import (
    Heard,
    Interval,
    SampledFrame,
    Scan,
    Scene,
    Scored,
    ScoredSegment,
    ScorerInfo,
    Signals,
    VideoInfo,
    Wish,
    Word,
)

T = TypeVar("T")

# Raise a stage's number when its code changes what it returns: what older code left behind is then not found.
STAGE_VERSIONS = {"scan": 5, "part": 2, "sound": 1, "segment": 1, "score": 3, "speech": 1}


# What readers raise over files that are torn, or altered by other hands.
_TORN = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


class Shared(Protocol):
    """Where several machines keep results for each other, behind the cache of each."""

    def fetch(self, stage: str, key: str, folder: Path) -> bool:
        """Copy a sealed result into an empty folder; False where there is none. Raises SmolReelError."""

    def making(self, stage: str, key: str) -> None:
        """Note that this machine begins to make a result. Raises SmolReelError."""

    def keep(self, stage: str, key: str, folder: Path) -> None:
        """Keep a sealed result that this machine has, unless it is there. Raises SmolReelError."""


_shared: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def sharing(shared: Shared) -> Iterator[None]:
    """Caches that are opened while the block runs look there for what they lack, and put there what is made."""
    token = _shared.set(shared)
    try:
        yield
    finally:
        _shared.reset(token)


class Cache:
    """Folders of results: `<root>/<stage>/<key>/`, each made whole beside its place, sealed, and renamed into it.

    Files rather than a database: results are frames and films that ffmpeg, OpenCV and NumPy read by path, so that a
    database would hold only their names, and could disagree with them after a crash. A rename is as atomic as a
    commit, digests find what a rename can't vouch for, and one result that is lost costs no other.
    """

    def __init__(self, root: Path, most_bytes: int | None = None, shared: Shared | None = None) -> None:
        self.root = root
        self._shared = shared
        self._most_bytes = most_bytes
        self._run = ExitStack()
        self._begun = False

    def begin(self) -> None:
        """From now on, nothing that this run uses is taken away. Raises OutputError where the cache can't be written.
        """
        if not self._begun:
            try:
                self._run.enter_context(session(self.root))
            except OutputError as error:
                raise self._closed(error) from error
            self._begun = True

    def end(self, *, done: bool) -> None:
        """Let go of what was used.

        done: whether to bring the cache back to its size, but for what this run and others that live have used
        """
        # A cache that can't be tidied must not end a run that is done.
        with self._run, suppress(OutputError, OSError):
            if done and self._begun and self._most_bytes is not None:
                tidy(self.root, self._most_bytes)
        self._begun = False

    def has(self, stage: str, key: str) -> bool:
        """Whether a result is kept, whole or not; if so, it counts as just used."""
        place = self.folder(stage, key)
        return use(place, place / MANIFEST)

    def make_room(self, wanted_bytes: int) -> None:
        """Take away what was used longest ago, `wanted_bytes` of it where there is as much that nobody uses."""
        self.begin()
        evict(self.root, sum(entry.size_bytes for entry in entries(self.root)) - wanted_bytes)

    @property
    def clips(self) -> Path:
        """Where encoded clips are kept."""
        self.begin()
        return self.root / CLIPS

    def folder(self, stage: str, key: str) -> Path:
        """Where the result of `stage` under `key` lies, or would lie."""
        return self.root / stage / key

    def get(self, stage: str, key: str, load: Callable[[Path], T], make: Callable[[Path], object],
            wait: Callable[[], object] = lambda: None) -> tuple[T, bool]:
        """The result under `key`, and whether it was found.

        load: reads a result from its folder; raises one of _TORN where it is torn or altered
        make: writes a result into an empty folder
        wait: called now and then while another process makes the same result; what it raises is raised

        Raises OutputError where the cache can't be written, and whatever `make` raises.
        """
        self.begin()
        place = self.folder(stage, key)
        found = _found(place, load)
        if found is not None:
            if self._shared is not None:
                self._shared.keep(stage, key, place)
            return found[0], True
        with ExitStack() as stack:
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                fresh = stack.enter_context(working_folder(place.parent, key[:32], wait))
            except (OSError, OutputError) as error:
                raise self._closed(error) from error
            # Another process may have made it while this one waited.
            found = _found(place, load)
            if found is not None:
                return found[0], True
            fetched = self._fetched(stage, key, fresh)
            if not fetched:
                self._make(stage, key, make, fresh)
            try:
                _put(fresh, place)
            except OSError as error:
                raise disk_error(error, place) from error
            return load(place), fetched

    def _make(self, stage: str, key: str, make: Callable[[Path], object], fresh: Path) -> None:
        """Make a result, seal it, and hand it to other machines where there are any."""
        if self._shared is not None:
            self._shared.making(stage, key)
        make(fresh)
        try:
            seal_folder(fresh)
        except OSError as error:
            raise disk_error(error, fresh) from error
        if self._shared is not None:
            self._shared.keep(stage, key, fresh)

    def _fetched(self, stage: str, key: str, fresh: Path) -> bool:
        """Whether another machine had the result; it lies in `fresh` then, which is empty again where it was torn."""
        if self._shared is None or not self._shared.fetch(stage, key, fresh):
            return False
        try:
            check_folder(fresh)
        except _TORN:
            for path in fresh.iterdir():
                remove(path)
            return False
        return True

    def _closed(self, error: OSError | OutputError) -> OutputError:
        """What to tell a person whose cache can't be written."""
        cause = error.__cause__ if isinstance(error, OutputError) else error
        why = cause.strerror if isinstance(cause, OSError) else None
        return OutputError(f"the cache can't be written ({why or cause or error}); choose another with --cache-dir, or "
                           "do without it with --no-cache", str(self.root))


def _found(place: Path, load: Callable[[Path], T]) -> tuple[T] | None:
    """A result that is there and whole, from now on in use; None where there is none."""
    if not use(place, place / MANIFEST):
        return None
    try:
        check_folder(place)
        return (load(place),)
    except _TORN:
        return None


def _put(fresh: Path, place: Path) -> None:
    """Give a result its place. What lies there is torn: it is moved away, to be deleted. Raises OSError."""
    with working_folder(place.parent) as away, gate(place.parent):
        if os.path.lexists(place):
            place.rename(away / "torn")
        fresh.rename(place)


@contextmanager
def open_cache(settings: Settings) -> Iterator[Cache]:
    """The cache that `settings` name, or one that lives as long as the block where they want none."""
    temporary = Path(tempfile.gettempdir())
    sweep(temporary)
    with ExitStack() as stack:
        if settings.cache:
            cache = Cache(settings.cache_dir, settings.cache_max_bytes, _shared.get())
        else:
            cache = Cache(stack.enter_context(working_folder(temporary)), shared=_shared.get())
        whole = False
        try:
            yield cache
            whole = True
        finally:
            cache.end(done=whole)


def stage_key(stage: str, source: str, *inputs: Any) -> str:
    """A key for a result of `stage`.

    source: hex digest of the video's bytes, or the key of the stage that this one goes on from
    inputs: JSON values of everything else that the result depends on
    """
    return key_of([stage, STAGE_VERSIONS[stage], source, inputs])


def scan_key(video: VideoInfo, settings: Settings) -> str:
    """What a scan is kept under, and what all that goes on from it is keyed by."""
    return stage_key("scan", video.sha256, settings.part("scan"))


def waiting(stage: str, report: Report, cancel: CancelToken) -> Callable[[], None]:
    """What to do while another process makes what this one needs."""
    def wait() -> None:
        cancel.check()
        report(Progress(stage, None, "waiting for another run that does the same"))

    return wait


def key_of(facts: object) -> str:
    """A name for JSON values, which the same ones have at any time: SHA-256, as hex digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_scan(scan: Scan, folder: Path) -> None:
    """Write a scan whose frames already lie in `folder`/frames. Raises OutputError."""
    facts = {
        "duration_s": scan.duration_s,
        "frame_count": scan.frame_count,
        "scenes": [[s.start_s, s.end_s] for s in scan.scenes],
        "frames": [[frame.time_s, frame.path.name] for frame in scan.frames],
        "holes": [[s.start_s, s.end_s] for s in scan.holes],
        "warnings": list(scan.warnings),
        "phrases": [[p.start_s, p.end_s] for p in scan.heard.phrases],
        "onsets": list(scan.heard.onsets),
    }
    # Not by `asdict`, which copies each track.
    tracks = {each.name: track for each in fields(scan.signals)
              if (track := getattr(scan.signals, each.name)) is not None}
    try:
        (folder / "scan.json").write_text(json.dumps(facts))
        np.savez(folder / "signals.npz", **tracks)
    except OSError as error:
        raise disk_error(error, folder) from error


def load_scan(folder: Path) -> Scan:
    """Read what `save_scan` wrote; raises one of _TORN where it is torn."""
    facts = json.loads((folder / "scan.json").read_text())
    with np.load(folder / "signals.npz", allow_pickle=False) as tracks:
        signals = Signals(**{"loudness_db": None, "onset": None, **{name: tracks[name] for name in tracks.files}})
    frames = tuple(SampledFrame(time_s, folder / "frames" / name) for time_s, name in facts["frames"])
    for frame in frames:
        if frame.path.stat().st_size == 0:
            raise ValueError(f"{frame.path} is empty")
    scenes, holes = (tuple(Scene(a, b) for a, b in facts[name]) for name in ("scenes", "holes"))
    heard = Heard(tuple(Interval(a, b) for a, b in facts["phrases"]), tuple(facts["onsets"]))
    return Scan(facts["duration_s"], facts["frame_count"], scenes, signals, frames, holes, tuple(facts["warnings"]),
                heard)


def save_scored(scored: Scored, folder: Path) -> None:
    """Write a scorer's result. Raises OutputError."""
    wishes = [{"text": wish.text, "curve": wish.curve.tolist(), "found": wish.found} for wish in scored.wishes]
    facts = {**asdict(replace(scored, wishes=(), looks=None)), "curve": scored.curve.tolist(), "wishes": wishes,
             "looks": scored.looks is not None}
    try:
        (folder / "scored.json").write_text(json.dumps(facts))
        if scored.looks is not None:
            np.savez(folder / "looks.npz", looks=scored.looks)
    except OSError as error:
        raise disk_error(error, folder) from error


def load_scored(folder: Path) -> Scored:
    """Read what `save_scored` wrote; raises one of _TORN where it is torn."""
    facts = json.loads((folder / "scored.json").read_text())
    looks = None
    if facts["looks"]:
        with np.load(folder / "looks.npz", allow_pickle=False) as arrays:
            looks = arrays["looks"]
    return Scored(
        segments=tuple(ScoredSegment(**segment) for segment in facts["segments"]),
        curve=np.array(facts["curve"], dtype=np.float64),
        scorer=ScorerInfo(**facts["scorer"]),
        flat=facts["flat"],
        warnings=tuple(facts["warnings"]),
        notes=facts["notes"],
        wishes=tuple(Wish(wish["text"], np.array(wish["curve"], dtype=np.float64), wish["found"])
                     for wish in facts["wishes"]),
        looks=looks,
    )


def save_words(words: Sequence[Word], folder: Path) -> None:
    """Write what is said in a stretch of a video. Raises OutputError."""
    try:
        (folder / "words.json").write_text(json.dumps([[word.start_s, word.end_s, word.text] for word in words]))
    except OSError as error:
        raise disk_error(error, folder) from error


def load_words(folder: Path) -> tuple[Word, ...]:
    """Read what `save_words` wrote; raises one of _TORN where it is torn."""
    return tuple(Word(float(start_s), float(end_s), str(text))
                 for start_s, end_s, text in json.loads((folder / "words.json").read_text()))
