"""The edit decision list: what is in the reel and why, as a value and as plan.json."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import PlanError
from pipeline.media.files import write_whole
from pipeline.types import Clip, Focus, Interval, Scene, ScoredSegment, ScorerInfo

VERSION = 1
FILE_NAME = "plan.json"
_LARGEST_BYTES = 64 << 20
# Times are written to the microsecond: finer than any sample, and free of floating-point tails.
_DIGITS = 6
_LARGEST_NUMBER = 1e12
# Shares of the picture are written to the thousandth: half a pixel of what they were measured in.
_SHARE_DIGITS = 3
# Far more than any editor writes, and far less than what copying and writing JSON can descend.
_DEEPEST = 64
_QUOTED = 60
_LONGEST_PATH = 4096
_SHORTEST_STEP_S = 0.01


@dataclass(frozen=True, slots=True)
class PlanVideo:
    """The video that a plan is about.

    path: of the file; a relative one counts from the plan's folder
    sha256: hex digest of its bytes; None in a plan that a person wrote
    duration_s, fps, width, height, rotation_deg, has_audio: as in VideoInfo, for readers that don't open the video
    """

    path: str
    sha256: str | None = None
    duration_s: float | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    rotation_deg: int | None = None
    has_audio: bool | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the renderer and an editor need; change it with `dataclasses.replace`.

    video: what the clips are cut from
    settings: every setting that was in force, JSON values
    scorer: who scored
    scenes, segments: what was found and scored; they tile the video
    curve: interest over time, 0 to 1, one value every `step_s` seconds
    clips: the reel, in the order in which it plays
    timings_s: seconds that each stage took
    warnings: for people
    focus: where in the picture things happen, for reels of another shape; None where unknown
    phrases: stretches of speech without a pause, which edges of clips shouldn't lie in, in time order
    document: the JSON that the plan was read from; what SmolReel doesn't know of it is kept when it is written again
    """

    video: PlanVideo
    clips: tuple[Clip, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    scorer: ScorerInfo = field(default_factory=lambda: ScorerInfo("none"))
    scenes: tuple[Scene, ...] = ()
    segments: tuple[ScoredSegment, ...] = ()
    curve: tuple[float, ...] = ()
    step_s: float = 1.0
    timings_s: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    focus: Focus | None = None
    phrases: tuple[Interval, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def duration_s(self) -> float:
        """Length of the reel."""
        return sum(clip.end_s - clip.start_s for clip in self.clips)

    def with_notes(self, **notes: Any) -> Plan:
        """A copy with more entries under the plan's `notes`: JSON values that no stage reads."""
        kept = self.document.get("notes")
        return replace(self, document={**self.document, "notes": {**(kept if isinstance(kept, dict) else {}), **notes}})

    def for_rendering(self) -> Plan:
        """A copy that renders the same, without what rendering doesn't read: much of it, where the video is long."""
        notes = self.document.get("notes")
        return replace(self, segments=(), document={} if notes is None else {"notes": notes})

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, version 1; unknown keys of the document it was read from are kept."""
        ours: dict[str, Any] = {
            "version": VERSION,
            "video": asdict(self.video),
            "settings": dict(self.settings),
            "scorer": asdict(self.scorer),
            "scenes": [{"start_s": s.start_s, "end_s": s.end_s} for s in self.scenes],
            "segments": [{"start_s": s.start_s, "end_s": s.end_s, "score": s.score, "parts": dict(s.parts),
                          "description": s.description} for s in self.segments],
            "curve": {"step_s": self.step_s, "values": list(self.curve)},
            "clips": [asdict(clip) for clip in self.clips],
            "timings_s": dict(self.timings_s),
            "warnings": list(self.warnings),
        }
        if self.focus is not None:
            ours["focus"] = {
                "step_s": self.focus.step_s,
                "boxes": [[round(share, _SHARE_DIGITS) for share in box] for box in self.focus.boxes],
                "weights": [round(weight, _SHARE_DIGITS) for weight in self.focus.weights],
            }
        if self.phrases:
            ours["phrases"] = [[phrase.start_s, phrase.end_s] for phrase in self.phrases]
        rounded: dict[str, Any] = _rounded(ours)
        return _overlaid(self.document, rounded)

    def write(self, path: Path) -> None:
        """Write plan.json; it appears under `path` only when it is whole. Raises OutputError."""
        document = self.to_json()
        try:
            data = _written(document, ascii_only=False)
        except UnicodeEncodeError:
            # A file's name need not be text; escaped, it is kept as it is.
            data = _written(document, ascii_only=True)
        write_whole(path, data)


def _written(document: Mapping[str, Any], ascii_only: bool) -> bytes:
    """JSON values as a file has them; `json.dumps` would hold each word of it by itself first."""
    text = io.StringIO()
    json.dump(document, text, indent=1, ensure_ascii=ascii_only)
    text.write("\n")
    return text.getvalue().encode()


def read_plan(path: Path) -> Plan:
    """Read plan.json.

    Raises PlanError, with the key that is at fault, where it is missing, no JSON, of another version or senseless.
    """
    subject = path.name
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise PlanError("is too large for a plan; name the plan.json of a reel", subject)
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant,
                              parse_float=_finite)
    except OSError as error:
        raise PlanError(f"can't be read ({error.strerror}); name the plan.json of a reel", subject) from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"is not valid JSON ({error}); undo the last edit", subject) from error
    try:
        return _parse(document, path.parent)
    except _Fault as fault:
        raise PlanError(f"{fault}; correct the plan", subject) from fault


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are no JSON, although Python reads them."""
    raise ValueError(f"{name} is not allowed")


def _finite(digits: str) -> float:
    """A number as Python keeps it; 1e999 would become infinite, which is no JSON when it is written again."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{_shown(digits)} is too large")
    return value


class _Fault(ValueError):
    """What is wrong with which key."""


def _parse(document: Any, folder: Path) -> Plan:
    """A plan from JSON values; raises _Fault."""
    top = _mapping(document, "the plan")
    if _depth(top) > _DEEPEST:
        raise _Fault(f"something in it is nested deeper than {_DEEPEST} levels")
    if top.get("version") != VERSION:
        raise _Fault(f"version is {_shown(top.get('version'))} and this SmolReel reads {VERSION}")
    video = _mapping(top.get("video"), "video")
    path = video.get("path")
    if not isinstance(path, str) or not path or "\0" in path or len(path) > _LONGEST_PATH:
        raise _Fault(f"video.path is {_shown(path)} and must name a file")
    known: dict[str, Any] = {name: video.get(name) for name in PlanVideo.__dataclass_fields__}
    scorer = _mapping(top.get("scorer", {"name": "none"}), "scorer")
    curve = _mapping(top.get("curve", {}), "curve")
    return Plan(
        video=PlanVideo(**{**known, "path": str(folder / path)}),
        clips=tuple(_clip(c, f"clips[{i}]") for i, c in enumerate(_list(top.get("clips"), "clips"))),
        settings=_mapping(top.get("settings", {}), "settings"),
        scorer=ScorerInfo(str(scorer.get("name")), scorer.get("model"), scorer.get("revision"), scorer.get("device"),
                          scorer.get("dtype")),
        scenes=tuple(Scene(*_bounds(s, f"scenes[{i}]")) for i, s in enumerate(_list(top.get("scenes", []), "scenes"))),
        segments=tuple(_segment(s, f"segments[{i}]")
                       for i, s in enumerate(_list(top.get("segments", []), "segments"))),
        curve=tuple(_number(v, f"curve.values[{i}]")
                    for i, v in enumerate(_list(curve.get("values", []), "curve.values"))),
        step_s=_number(curve.get("step_s", 1.0), "curve.step_s"),
        timings_s={str(k): _number(v, f"timings_s.{_shown(k)}")
                   for k, v in _mapping(top.get("timings_s", {}), "timings_s").items()},
        warnings=tuple(str(w) for w in _list(top.get("warnings", []), "warnings")),
        focus=_focus(top["focus"]) if top.get("focus") is not None else None,
        phrases=tuple(_phrase(p, f"phrases[{i}]") for i, p in enumerate(_list(top.get("phrases", []), "phrases"))),
        document=top,
    )


def _phrase(value: Any, where: str) -> Interval:
    """A stretch of speech: [start_s, end_s]."""
    entry = _list(value, where)
    if len(entry) != 2:
        raise _Fault(f"{where} has {len(entry)} entries and must be [start_s, end_s]")
    return Interval(*_bounds({"start_s": entry[0], "end_s": entry[1]}, where))


def _focus(value: Any) -> Focus:
    """Where things happen; weights may be left out, and all count the same then."""
    entry = _mapping(value, "focus")
    step_s = _number(entry.get("step_s"), "focus.step_s")
    if step_s < _SHORTEST_STEP_S:
        raise _Fault(f"focus.step_s is {step_s:g} and must be {_SHORTEST_STEP_S:g} or more")
    boxes = _list(entry.get("boxes"), "focus.boxes")
    weights = _list(entry.get("weights", [1.0] * len(boxes)), "focus.weights")
    if len(weights) != len(boxes):
        raise _Fault(f"focus.weights has {len(weights)} entries and needs one for each of {len(boxes)} boxes")
    return Focus(step_s, tuple(_box(box, f"focus.boxes[{i}]") for i, box in enumerate(boxes)),
                 tuple(_share(weight, f"focus.weights[{i}]") for i, weight in enumerate(weights)))


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    """Centre, width and height of a box in the picture."""
    entry = _list(value, where)
    if len(entry) != 4:
        raise _Fault(f"{where} has {len(entry)} entries and must be [x, y, width, height]")
    x, y, width, height = (_share(number, f"{where}[{i}]") for i, number in enumerate(entry))
    return x, y, width, height


def _share(value: Any, where: str) -> float:
    number = _number(value, where)
    if not 0 <= number <= 1:
        raise _Fault(f"{where} is {number:g} and must lie between 0 and 1")
    return number


def _clip(value: Any, where: str) -> Clip:
    """A clip; a person who adds one need only give its bounds."""
    start_s, end_s = _bounds(value, where)
    score = value.get("score")
    return Clip(start_s, end_s, None if score is None else _number(score, f"{where}.score"),
                str(value.get("description") or ""), str(value.get("reason") or ""))


def _segment(value: Any, where: str) -> ScoredSegment:
    """A scored segment."""
    start_s, end_s = _bounds(value, where)
    parts = {str(k): _number(v, f"{where}.parts.{_shown(k)}")
             for k, v in _mapping(value.get("parts", {}), f"{where}.parts").items()}
    return ScoredSegment(start_s, end_s, _number(value.get("score"), f"{where}.score"), parts,
                         str(value.get("description") or ""))


def _bounds(value: Any, where: str) -> tuple[float, float]:
    """Start and end of an interval."""
    entry = _mapping(value, where)
    start_s = _number(entry.get("start_s"), f"{where}.start_s")
    end_s = _number(entry.get("end_s"), f"{where}.end_s")
    # As they are written again: what is shorter than that would be nothing then.
    if not 0 <= round(start_s, _DIGITS) < round(end_s, _DIGITS) or start_s < 0:
        raise _Fault(f"{where} goes from {start_s:g} to {end_s:g} s; it needs 0 <= start_s < end_s")
    return start_s, end_s


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST_NUMBER:
        raise _Fault(f"{where} is {_shown(value)} and must be a number")
    return float(value)


def _shown(value: Any) -> str:
    """A value as a message quotes it: on one line, and not all of it where it is long."""
    if isinstance(value, dict | list):
        return type(value).__name__
    if isinstance(value, str):
        return ascii(value) if len(value) <= _QUOTED else f"{value[:_QUOTED]!a} …"
    # Python refuses to write out whole numbers of very many digits.
    return "a number beyond all bounds" if isinstance(value, int) and abs(value) > _LARGEST_NUMBER else repr(value)


def _depth(value: Any) -> int:
    """How many levels of objects and lists a JSON value has; counts no further than one beyond the most."""
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        level = [inner for one in level if isinstance(one, dict | list)
                 for inner in (one.values() if isinstance(one, dict) else one)]
        depth += bool(level)
    return depth


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Fault(f"{where} is {type(value).__name__} and must be an object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Fault(f"{where} is {type(value).__name__} and must be a list")
    return value


def _rounded(value: Any) -> Any:
    """JSON values with every float to the microsecond."""
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _overlaid(document: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """`ours`, with what only `document` has; entries of lists are the same where their bounds are."""
    merged = dict(ours)
    for key, theirs in document.items():
        mine = ours.get(key)
        if key not in ours:
            merged[key] = copy.deepcopy(theirs)
        elif isinstance(mine, dict) and isinstance(theirs, dict) and key != "settings":
            merged[key] = _overlaid(theirs, mine)
        elif isinstance(mine, list) and isinstance(theirs, list):
            merged[key] = _overlaid_list(theirs, mine)
    return merged


def _overlaid_list(theirs: Sequence[Any], mine: Sequence[Any]) -> list[Any]:
    """Entries of `mine`, each with what only its counterpart in `theirs` has."""
    known = {_identity(entry): entry for entry in theirs if isinstance(entry, dict)}
    return [_overlaid(known.get(_identity(entry), {}), entry) if isinstance(entry, dict) else entry for entry in mine]


def _identity(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    """What makes a clip, scene or segment the same one."""
    return _rounded(entry.get("start_s")), _rounded(entry.get("end_s"))
