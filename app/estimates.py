"""How long a run will take, told before it starts: from what finished runs took on this machine."""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.waits import about
from pipeline import Settings, SmolReelError
from pipeline.media.files import write_whole
from pipeline.types import VideoInfo

FILE_NAME = "rates.json"
_VERSION = 1
# Of each kind of work the last few runs count: a machine's load changes.
_KEPT = 8
# Reading a frame costs something whatever its size: about as much as so many megapixels of it.
_FRAME_MEGAPIXELS = 0.5
# Guesses for two CPU cores, in seconds for a unit of work (see `_work`).
_SCAN_S = 1 / 720
_SIGNALS_S = 0.002
_VLM_S = {"fast": 16 / 60, "balanced": 30 / 60, "full": 48 / 60}
_VLM_LARGER = {"256M": 1.0, "500M": 2.0, "2.2B": 8.0}
_RENDER_S = {"copy": 0.01, "auto": 0.06, "encode": 0.3, "styled": 1.2}
_SPEECH_S = 0.8
_EXPORT_S = 0.05
# Opening a file and starting the model, whatever the video.
_OPEN_S, _MODEL_S = 0.5, 8.0
# How far a guess may be off, and what was measured.
_GUESS_LOW, _GUESS_HIGH = 0.4, 3.0
_SPREAD = 0.2
_SLOW_STAGES = ("scan", "score")


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run will take.

    seconds: most likely
    low, high: between which it will most likely lie
    measured: whether its long stages were measured on this machine; else it is a guess
    stages: seconds of each stage, in the order in which they run
    """

    seconds: float
    low: float
    high: float
    measured: bool
    stages: Mapping[str, float]

    def words(self) -> str:
        """The estimate for people, such as "about 4 minutes; measured on this machine"."""
        likely = about(self.seconds)
        if self.measured:
            return f"{likely}; measured on this machine"
        most = about(self.high).removeprefix("about ")
        return f"{likely}{'' if likely.endswith(most) else f', at most {most}'}; a guess until the first run"


class Rates:
    """What units of work took in the last runs, kept in a small file.

    path: of the file, which need not exist; one that is damaged counts as empty
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def of(self, key: str) -> list[float]:
        """Seconds for a unit of work in the last runs, oldest first; empty where there were none."""
        return self._read().get(key, [])

    def record(self, video: VideoInfo, settings: Settings, timings_s: Mapping[str, float],
               ran: Collection[str]) -> None:
        """Remember a finished run.

        timings_s: seconds of each stage
        ran: stages that did their work; where the cache had a result, its time says nothing
        """
        work = _work(video, settings)
        with self._lock:
            kept = self._read()
            for stage in ran:
                took = timings_s.get(stage, 0.0)
                if stage in work and took > 0:
                    key = _key(stage, settings)
                    kept[key] = [*kept.get(key, []), took / work[stage]][-_KEPT:]
            # An estimate is a comfort: a full disk must not end the run that was to be remembered.
            with contextlib.suppress(SmolReelError, OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._path, json.dumps({"version": _VERSION, "rates": kept}, indent=1).encode())

    def _read(self) -> dict[str, list[float]]:
        """Every key's rates; empty where the file is missing, damaged or of another version."""
        try:
            document = json.loads(self._path.read_bytes())
            if document["version"] != _VERSION:
                return {}
            return {str(key): [float(v) for v in values if 0 < float(v) < 1e6]
                    for key, values in document["rates"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def rates_of(settings: Settings) -> Rates:
    """The rates that are kept in the settings' cache directory."""
    return Rates(settings.cache_dir / FILE_NAME)


def expected(video: VideoInfo, settings: Settings, rates: Rates | None = None) -> Estimate:
    """How long a run over `video` with `settings` will take if nothing of it is cached.

    rates: what was measured; those of the settings' cache directory where None
    """
    rates = rates or rates_of(settings)
    work, guesses = _work(video, settings), _guesses(settings)
    stages = {"probe": _OPEN_S + video.size_bytes / 1e9}
    low = high = stages["probe"]
    all_measured = True
    for stage, amount in work.items():
        known = [rate for rate in rates.of(_key(stage, settings)) if rate > 0]
        start_s = _MODEL_S if stage == "score" and not known and settings.scorer != "signals" else 0.0
        rate = statistics.median(known) if known else guesses[stage]
        stages[stage] = rate * amount + start_s
        below, above = (min([*known, (1 - _SPREAD) * rate]), max([*known, (1 + _SPREAD) * rate])) if known else (
            _GUESS_LOW * rate, _GUESS_HIGH * rate)
        low, high = low + below * amount, high + above * amount + start_s
        all_measured = all_measured and bool(known or stage not in _SLOW_STAGES)
    return Estimate(sum(stages.values()), low, high, all_measured, stages)


def part_of(whole: Estimate, stages: Mapping[str, float]) -> Estimate:
    """The estimate of a run that has only these of its stages to do."""
    seconds = sum(stages.values())
    share = seconds / whole.seconds if whole.seconds else 0.0
    return Estimate(seconds, share * whole.low, share * whole.high, whole.measured, stages)


def _work(video: VideoInfo, settings: Settings) -> dict[str, float]:
    """How much each stage has to do: scan in megapixels decoded, the others in what the stage's cost grows with."""
    reel_s = min(settings.target_s, video.duration_s)
    megapixels = video.coded_width * video.coded_height / 1e6
    work = {
        "scan": video.duration_s * video.fps * (megapixels + _FRAME_MEGAPIXELS),
        "score": video.duration_s,
    }
    if settings.captions == "speech" and video.has_audio:
        work["speech"] = reel_s
    work["render"] = reel_s * (megapixels + _FRAME_MEGAPIXELS)
    if settings.export:
        work["export"] = reel_s * len(settings.export)
    return work


def _guesses(settings: Settings) -> dict[str, float]:
    """Seconds for a unit of each stage's work on two CPU cores, where nothing was measured."""
    size = next((name for name in _VLM_LARGER if name in (settings.model or "")), "256M")
    detail = "fast" if settings.detail == "auto" else settings.detail
    vlm = _VLM_S[detail] * _VLM_LARGER[size]
    return {"scan": _SCAN_S, "score": _SIGNALS_S if settings.scorer == "signals" else vlm, "speech": _SPEECH_S,
            "render": _RENDER_S[_way(settings)], "export": _EXPORT_S}


def _way(settings: Settings) -> str:
    """How the reel will be rendered, as far as settings tell."""
    if settings.render in ("auto", "copy") and (settings.aspect != "source" or settings.captions in (
            "descriptions", "speech")):
        return "encode"
    return settings.render


def _key(stage: str, settings: Settings) -> str:
    """What a rate is kept under: what the cost of a unit of work depends on. A folder is named without its path."""
    if stage == "score" and settings.scorer != "signals":
        model = (settings.model or "default").rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
        return f"score {settings.scorer} {model} {settings.device} {settings.detail}"
    detail = {"score": settings.scorer, "render": f"{_way(settings)} {settings.encoder} {settings.preset}",
              "speech": settings.device}.get(stage, "")
    return f"{stage} {detail}".strip()
