"""One video of many: its work, what comes of it, and how a later run knows that it is done.

    <out>/<item.name>/reel.mp4, plan.json, exports      as `make_reel` leaves them
    plan.json, notes.batch                              what the reel was made of, and under which key

The note is written last, so that a reel with a note is a whole one. Nothing else is kept between runs of a batch: what
was half done goes on from the cache, stage by stage.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.cache import STAGE_VERSIONS, key_of
from pipeline.errors import Cancelled, FFmpegError, InputError, ModelError, PlanError, SmolReelError
from pipeline.media.files import digest_of
from pipeline.plan import FILE_NAME, Plan, read_plan
from pipeline.progress import CancelToken, Report, silent
from pipeline.runner import REEL_NAME, make_reel
from pipeline.scorers import candidates
from pipeline.settings import Settings
from pipeline.types import Clip

DONE, SKIPPED, DUPLICATE, FAILED = STATES = ("done", "skipped", "duplicate", "failed")
OUR_FAULT = "something went wrong on our side"
NOTE = "batch"
# Moments of a reel that a summary shows, and how large.
_MOMENTS, _PICTURE_SIDE = 3, 200


@dataclass(frozen=True, slots=True)
class Item:
    """A video of a batch.

    source: its path or address
    name: of its folder of results under the batch's, with slashes; alone there, and the same in every run
    title: what lines call it; its place in the folder that was given
    """

    source: str
    name: str
    title: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Item:
        """What `to_json` wrote."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an item.

    state: "done", "skipped" (an earlier run has done it), "duplicate" (of another item) or "failed"
    message: for people, one line; empty where all is well
    fault: of what failed: whether it is ours rather than the video's
    reel: path of the reel, its plan beside it; None where there is none. Of a duplicate: the other's
    video_s, reel_s: lengths in seconds; 0 where unknown
    clips: of the reel, in the order in which they play
    exports: further files that were asked for
    warnings: for people
    timings_s: seconds that each stage took, as the plan has them
    pictures: JPEGs of the reel's best moments, one for each of `moments`; none where none could be had
    took_s: seconds that the item took in this run
    worker: who did it, such as a host's name; empty for this machine
    """

    item: Item
    state: str
    message: str = ""
    fault: bool = False
    reel: str | None = None
    video_s: float = 0.0
    reel_s: float = 0.0
    clips: tuple[Clip, ...] = ()
    exports: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    timings_s: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[bytes, ...] = field(default=(), repr=False)
    took_s: float = 0.0
    worker: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"{self.state!r} is none of {', '.join(STATES)}")

    @property
    def moments(self) -> tuple[Clip, ...]:
        """The reel's best clips, in the order in which they play."""
        best = sorted(range(len(self.clips)), key=lambda n: -(self.clips[n].score or 0.0))[:_MOMENTS]
        return tuple(self.clips[n] for n in sorted(best))

    def to_json(self) -> dict[str, Any]:
        """As JSON values, pictures included."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"item": self.item.to_json(), "clips": [asdict(clip) for clip in self.clips],
                         "exports": list(self.exports), "warnings": list(self.warnings),
                         "timings_s": dict(self.timings_s),
                         "pictures": [base64.b64encode(picture).decode() for picture in self.pictures]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Outcome:
        """What `to_json` wrote."""
        return cls(**{**values, "item": Item.from_json(values["item"]),
                      "clips": tuple(Clip(**clip) for clip in values["clips"]),
                      "exports": tuple(values["exports"]), "warnings": tuple(values["warnings"]),
                      "pictures": tuple(base64.b64decode(picture) for picture in values["pictures"])})


def reel_of(item: Item, out: str | Path, settings: Settings, report: Report = silent,
            cancel: CancelToken | None = None, *, path: Path | None = None, again: bool = False) -> Outcome:
    """Make the reel of an item in `out`/`item.name`, unless an earlier run has made it whole.

    path: where the video lies on this machine; `item.source` where None
    again: make it anew, whatever there is

    Nothing but Cancelled is raised: what else goes wrong is the outcome.
    """
    began, token = time.perf_counter(), cancel or CancelToken()
    video = path or Path(item.source)
    try:
        found = None if again else finished(item, Path(out), settings, token, path=video)
        outcome = found or _made(item, video, Path(out), settings, report, token)
    except Cancelled:
        raise
    except Exception as error:
        outcome = failure(item, error, settings.cache_dir)
    return replace(outcome, took_s=time.perf_counter() - began)


def finished(item: Item, out: Path, settings: Settings, cancel: CancelToken | None = None, *,
             path: Path | None = None) -> Outcome | None:
    """What an earlier run made of an item with these settings; None where that isn't there, or not whole.

    A video of the size and time that the note has counts as the same; else its bytes are compared. A reel that was
    corrected since (`render`) is still the one of its video: it stays. Raises Cancelled.
    """
    folder, video = out / item.name, path or Path(item.source)
    reel, cancel = folder / REEL_NAME, cancel or CancelToken()
    try:
        plan = read_plan(folder / FILE_NAME)
        note = plan.document["notes"][NOTE]
        exports = tuple(str(folder / name) for name in note["exports"])
        # A run that was killed before it wrote its plan leaves another's beside its reel: an older one.
        its_own = note["reel"] == _stamp(reel) or os.path.getmtime(folder / FILE_NAME) >= os.path.getmtime(reel)
        whole = its_own and _is_whole(reel) and all(os.path.getsize(name) for name in exports)
        if not whole or plan.settings != json.loads(json.dumps(settings.to_json())):
            return None
        if note["source"] != item.source or note["key"] != _key(plan, settings, _answering(settings, cancel)):
            return None
        if note["stamp"] != _stamp(video) and plan.video.sha256 != digest_of(video, cancel):
            return None
        return outcome_of(item, SKIPPED, plan, reel, _length_s(reel), exports)
    except (OSError, PlanError, KeyError, TypeError, ValueError):
        return None


def failure(item: Item, error: Exception, cache_dir: Path) -> Outcome:
    """The outcome of an item over which an error was raised, which is being handled; ours is logged."""
    if isinstance(error, SmolReelError) and not isinstance(error, FFmpegError):
        about = error.subject if error.subject not in (None, Path(item.source).name, item.title) else None
        return Outcome(item, FAILED, f"{about}: {error.message}" if about else error.message)
    message = error.message if isinstance(error, SmolReelError) else OUR_FAULT
    return Outcome(item, FAILED, logged(message, cache_dir, error), fault=True)


def logged(message: str, cache_dir: Path, error: BaseException) -> str:
    """Write an error's traceback to a file, and return the message with where that is."""
    for folder in (cache_dir / "logs", Path(tempfile.gettempdir())):
        path = folder / f"smolreel-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}.log"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)) + getattr(error, "detail", ""),
                            errors="backslashreplace")
            return f"{message}; the details for a report are in {path}"
    return f"{message}; no log of it could be written"


def _made(item: Item, video: Path, out: Path, settings: Settings, report: Report, cancel: CancelToken) -> Outcome:
    """Make the reel, and note what it was made of."""
    # A file that changes while it is read must not pass for the one that was read.
    stamp = _stamp(video) if video.is_file() else None
    result = make_reel(video, settings, out, name=item.name, report=report, cancel=cancel)
    plan, reel = result.plan, result.reel
    key = _key(plan, settings, _answering(settings, cancel))
    plan = plan.with_notes(**{NOTE: {"source": item.source, "stamp": stamp, "reel": _stamp(reel.path), "key": key,
                                     "exports": [path.name for path in result.exports]}})
    plan.write(reel.path.with_name(FILE_NAME))
    return outcome_of(item, DONE, plan, reel.path, reel.duration_s, tuple(str(path) for path in result.exports))


def settled(outcomes: Sequence[Outcome], others: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """All outcomes, `others` without those of which nothing came: a duplicate has a reel where the other has one; pure.
    """
    reels = {Path(outcome.reel) for outcome in outcomes if outcome.reel and outcome.state != FAILED}
    return (*outcomes, *(replace(other, reel=None) if other.reel and Path(other.reel) not in reels else other
                         for other in others))


def outcome_of(item: Item, state: str, plan: Plan, reel: Path, reel_s: float, exports: Sequence[str]) -> Outcome:
    """What there is to tell of a reel that is there."""
    outcome = Outcome(item, state, reel=str(reel), video_s=plan.video.duration_s or 0.0, reel_s=reel_s,
                      clips=plan.clips, exports=tuple(exports), warnings=plan.warnings, timings_s=plan.timings_s)
    return replace(outcome, pictures=_pictures(outcome, reel))


def _pictures(outcome: Outcome, reel: Path) -> tuple[bytes, ...]:
    """A picture of each of the reel's best moments, from its middle; none where the reel shows other lengths."""
    from pipeline.export.pictures import jpeg, pictures_at

    at_s, times, total_s = 0.0, [], sum(clip.end_s - clip.start_s for clip in outcome.clips)
    scale = outcome.reel_s / total_s if total_s else 0.0
    for clip in outcome.clips:
        # Crossfades take a little from every clip: in the middle of one that doesn't show.
        if clip in outcome.moments:
            times.append(scale * (at_s + (clip.end_s - clip.start_s) / 2))
        at_s += clip.end_s - clip.start_s
    try:
        return tuple(jpeg(picture) for picture in pictures_at(reel, times, _PICTURE_SIDE, CancelToken()))
    except (InputError, OSError, ValueError):
        return ()


def _key(plan: Plan, settings: Settings, scorer: str) -> str:
    """What a reel depends on: the video, the settings, who scores, and the stages' own versions."""
    facts = [plan.video.sha256, settings.to_json(), scorer, STAGE_VERSIONS]
    return key_of(facts)


# Which scorer answers, by what was asked for: to ask the hub again for every video of a batch would take its time.
_known: dict[tuple[str, str | None, str], str] = {}


def _answering(settings: Settings, cancel: CancelToken) -> str:
    """Who would score with these settings. Raises ModelError where nobody can, Cancelled."""
    asked = (settings.scorer, settings.model, settings.device)
    if asked not in _known:
        wanted = candidates(settings)
        for scorer in wanted:
            try:
                _known[asked] = scorer.identity(settings, silent, cancel)
                break
            except ModelError:
                if scorer is wanted[-1]:
                    raise
    return _known[asked]


def _stamp(path: Path) -> list[int]:
    """What tells that a file was changed without reading it."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def _is_whole(path: Path) -> bool:
    """Whether an MP4 has its index and all the bytes that its boxes claim. Raises OSError."""
    size, at, names = path.stat().st_size, 0, set()
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            if len(head) < 8:
                return False
            length = struct.unpack(">I", head[:4])[0]
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
            if length < 8:
                return False
            names.add(head[4:8])
            at += length
    return at == size and {b"moov", b"mdat"} <= names


def _length_s(reel: Path) -> float:
    """Seconds that a reel of ours takes; its header is ours too."""
    import av

    with av.open(str(reel)) as container:
        return (container.duration or 0) / av.time_base
