"""Knows the order of the stages and nothing of how they work: probe, scan, segment, score, select, speech, render."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import captions, speech
from pipeline.cache import (
    Cache,
    load_scan,
    load_scored,
    load_words,
    open_cache,
    save_scored,
    save_words,
    scan_key,
    stage_key,
    waiting,
)
from pipeline.division import Part
from pipeline.errors import ModelError, PlanError
from pipeline.export import Material as ExportMaterial
from pipeline.export import export
from pipeline.media.files import check_writable, folder_name, put_back, sweep
from pipeline.plan import FILE_NAME, Plan, PlanVideo
from pipeline.pool import Material
from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.rendering.order import Order
from pipeline.sandbox import check_settings, probe
from pipeline.sandbox import export as export_beside
from pipeline.sandbox import render as render_reel
from pipeline.sandbox import scan as scan_video
from pipeline.scorers import Eager, Scorer, candidates
from pipeline.segments import split
from pipeline.selection import budget_s, select
from pipeline.settings import Settings
from pipeline.space import check_room, needs
from pipeline.splitting import scan_parts
from pipeline.types import FOCUS_STEP_S, Focus, Reel, Scan, Scored, Segment, VideoInfo, Word

REEL_NAME = "reel.mp4"
# What a reel is told that fills less of its budget.
_FILLED_SHARE = 0.8
_SHORT = ("the reel is shorter than it may be: the rest of the video repeats what is shown, was left out by you, or "
          "could only be shown by cutting words in half")


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a video before anything is chosen.

    video: as measured from the file
    scan: scenes, signals, sampled frames
    scored: segments and curve
    timings_s: seconds that each stage took; next to nothing where the cache had its result
    warnings: for people
    """

    video: VideoInfo
    scan: Scan
    scored: Scored
    timings_s: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What `make_reel` made.

    plan: as written to plan.json
    reel: the rendered file
    exports: further files that were asked for
    analysis: what the clips were chosen from; None where a plan was rendered again
    """

    plan: Plan
    reel: Reel
    exports: tuple[Path, ...] = ()
    analysis: Analysis | None = None


def make_reel(path: str | Path, settings: Settings | None = None, out_dir: str | Path = "out", *,
              name: str | None = None, video: VideoInfo | None = None, report: Report = silent,
              cancel: CancelToken | None = None) -> Result:
    """Make a highlight reel of a video: `analyse`, `choose` and `render` in one.

    path: of the video
    out_dir: the reel goes to `out_dir/<name>/reel.mp4`, its plan beside it
    name: of that folder; after the video's stem where None
    video: as measured before, of a file that nobody has changed since; None to measure it

    Raises SmolReelError (see `pipeline.errors`); nothing half-made is left then.
    """
    settings = settings or Settings()
    token = cancel or CancelToken()
    path, out = Path(path), Path(out_dir)
    timings: dict[str, float] = {}
    video = _probe(path, settings, timings, report, token, video)
    check_writable(out, str(out_dir))
    check_settings(settings)
    folder = _swept(out, name or folder_name(path))
    if settings.captions == "speech":
        # As for the scorer's model: told before the long scan, not after it.
        speech.check(video, settings, report, token)
    with open_cache(settings) as cache:
        _check_room(video, settings, cache, folder)
        analysis = _analyse(video, settings, cache, timings, report, token)
        with _timed(timings, "select"):
            plan = choose(analysis, settings)
        plan = replace(plan, timings_s=timings)
        result = _render(plan, video, folder, settings, cache, report, token)
    return replace(result, analysis=analysis)


def analyse(path: str | Path, settings: Settings | None = None, *, video: VideoInfo | None = None,
            report: Report = silent, cancel: CancelToken | None = None) -> Analysis:
    """The long part: measure a video, find its scenes and score its segments; results are cached.

    video: as for `make_reel`

    Raises InputError, OutputError, ModelError or Cancelled.
    """
    token = cancel or CancelToken()
    timings: dict[str, float] = {}
    settings = settings or Settings()
    video = _probe(Path(path), settings, timings, report, token, video)
    with open_cache(settings) as cache:
        _check_room(video, settings, cache, None)
        return _analyse(video, settings, cache, timings, report, token)


def scan(path: str | Path, settings: Settings | None = None, *, video: VideoInfo | None = None,
         parts: Sequence[Part] = (), report: Report = silent, cancel: CancelToken | None = None) -> VideoInfo:
    """The part of `analyse` that reads the file: whoever has the cache needs only what this returns to go on.

    video: as for `make_reel`
    parts: into which it was divided, if others were to look at them (see `splitting`)

    Raises InputError, OutputError or Cancelled.
    """
    token, settings = cancel or CancelToken(), settings or Settings()
    video = _probe(Path(path), settings, {}, report, token, video)
    with open_cache(settings) as cache:
        _check_room(video, settings, cache, None)
        _scan(video, settings, cache, report, token, parts=parts)
    return video


def choose(analysis: Analysis, settings: Settings | None = None) -> Plan:
    """Choose the clips: pure, milliseconds; the same input gives the same plan."""
    settings = settings or Settings()
    video, scan, scored = analysis.video, analysis.scan, analysis.scored
    shown = [scene for scene in scan.scenes if scene not in scan.holes]
    clips = select(Material(scan.duration_s, video.fps, shown, scored, scan.signals.looks, scan.heard,
                            scan.signals.rhythm), settings)
    wanted_s = budget_s(sum(scene.duration_s for scene in shown), settings)
    short = sum(clip.interval.duration_s for clip in clips) < _FILLED_SHARE * wanted_s
    return Plan(
        video=PlanVideo(str(video.path), video.sha256, scan.duration_s, video.fps, video.width, video.height,
                        video.rotation_deg, video.has_audio),
        clips=clips,
        settings=settings.to_json(),
        scorer=scored.scorer,
        scenes=scan.scenes,
        segments=scored.segments,
        curve=tuple(scored.curve.tolist()),
        timings_s=analysis.timings_s,
        warnings=(*analysis.warnings, *((_SHORT,) if short else ())),
        focus=_focus(scan),
        phrases=scan.heard.phrases,
        document={"notes": dict(scored.notes)} if scored.notes else {},
    )


def _focus(scan: Scan) -> Focus | None:
    """Where in the picture things happen, as the plan has it."""
    track = scan.signals.focus
    if track is None:
        return None
    rows = track.clip(0, 1).round(3).tolist()
    return Focus(FOCUS_STEP_S, tuple((x, y, width, height) for x, y, width, height, _ in rows),
                 tuple(row[4] for row in rows))


def render(plan: Plan, out_dir: str | Path = "out", settings: Settings | None = None, *, name: str | None = None,
           report: Report = silent, cancel: CancelToken | None = None) -> Reel:
    """Render a plan, edited or not, to `out_dir/<name>/reel.mp4`, and write it beside the reel.

    settings: what to render with; what the plan says where None
    name: of that folder; after the video's stem where None

    Raises PlanError where the plan and its video don't fit together, and what `make_reel` raises.
    """
    return remake(plan, out_dir, settings, name=name, report=report, cancel=cancel).reel


def remake(plan: Plan, out_dir: str | Path = "out", settings: Settings | None = None, *, name: str | None = None,
           video: VideoInfo | None = None, report: Report = silent, cancel: CancelToken | None = None) -> Result:
    """As `render`, but returns the plan as it was written and the exports, too.

    video: as for `make_reel`
    """
    token = cancel or CancelToken()
    settings = settings or Settings.from_json(plan.settings)
    path, out = Path(plan.video.path), Path(out_dir)
    timings = dict(plan.timings_s)
    video = _probe(path, settings, timings, report, token, video, "render")
    if plan.video.sha256 not in (None, video.sha256):
        raise PlanError(f"is not the file that the plan was made of ({path} has changed since); "
                        "put the old one back or make a new reel", path.name)
    check_writable(out, str(out_dir))
    check_settings(settings)
    folder = _swept(out, name or folder_name(path))
    with open_cache(settings) as cache:
        check_room(needs(video, settings, reel_s=plan.duration_s, scanned=True), cache.root, folder, cache.make_room)
        return _render(replace(plan, timings_s=timings), video, folder, settings, cache, report, token)


def _check_room(video: VideoInfo, settings: Settings, cache: Cache, folder: Path | None) -> None:
    """Raise OutputError where the disks can't hold what the run will write.

    folder: for the reel; None where none is made
    """
    scanned = cache.has("scan", scan_key(video, settings))
    wanted = needs(video, settings, reel_s=None if folder else 0.0, scanned=scanned)
    check_room(wanted, cache.root, folder, cache.make_room)


def _swept(out: Path, name: str) -> Path:
    """The folder for results, without what crashed runs left there."""
    for folder in (out, out / name):
        sweep(folder)
    return out / name


def _probe(path: Path, settings: Settings, timings: dict[str, float], report: Report, cancel: CancelToken,
           known: VideoInfo | None = None, then: str = "scan") -> VideoInfo:
    """Measure the file, if it is not known; `then` as for `sandbox.probe`."""
    with _timed(timings, "probe"):
        report(Progress("probe", 0.0, "opening the video"))
        video = known or probe(path, cancel, settings.limits, then)
        report(Progress("probe", 1.0, "opened the video"))
    return video


def _analyse(video: VideoInfo, settings: Settings, cache: Cache, timings: dict[str, float], report: Report,
             cancel: CancelToken) -> Analysis:
    """Scan, segment and score a video that was probed."""
    # A model that can't be had is told before the long scan, not after it.
    scorers, notices = _usable(settings, report, cancel)
    with _timed(timings, "scan"):
        scan = _scan(video, settings, cache, report, cancel, timings, _eager(scorers, video, settings, cache))
    with _timed(timings, "score"):
        segments = split(scan.scenes, scan.signals, settings)
        for scorer, identity in scorers:
            try:
                scored = _score(scorer, identity, video, scan, segments, settings, cache, report, cancel)
                break
            except ModelError as error:
                if scorer is scorers[-1][0]:
                    raise
                notices.append(_without(error))
    report(Progress("score", 1.0, "scored every segment", scored.segments))
    return Analysis(video, scan, scored, timings, (*notices, *scan.warnings, *scored.warnings))


def _usable(settings: Settings, report: Report, cancel: CancelToken) -> tuple[list[tuple[Scorer, str]], list[str]]:
    """The scorers that can be had, best first, each with its identity, and what to say of those that can't.

    Raises ModelError where there is none.
    """
    usable: list[tuple[Scorer, str]] = []
    notices: list[str] = []
    wanted = candidates(settings)
    for scorer in wanted:
        try:
            usable.append((scorer, scorer.identity(settings, report, cancel)))
        except ModelError as error:
            if scorer is wanted[-1]:
                raise
            notices.append(_without(error))
    return usable, notices


def _without(error: ModelError) -> str:
    """What to say where a model is done without."""
    return f"scored by what can be measured in picture and sound, since SmolVLM2 can't be used: {error}"


def _score(scorer: Scorer, identity: str, video: VideoInfo, scan: Scan, segments: Sequence[Segment],
           settings: Settings, cache: Cache, report: Report, cancel: CancelToken) -> Scored:
    """The segments' scores, from the cache if they are there."""
    def make(folder: Path) -> None:
        save_scored(scorer.score(scan, segments, settings, report, cancel), folder)

    key = _score_key(identity, video, settings)
    return cache.get("score", key, load_scored, make, waiting("score", report, cancel))[0]


def _score_key(identity: str, video: VideoInfo, settings: Settings) -> str:
    """What scores are kept under. Which scorer was asked for doesn't matter, only which one answered."""
    segmented = stage_key("segment", scan_key(video, settings), settings.part("segment"))
    return stage_key("score", segmented, {**settings.part("score"), "scorer": identity})


def _eager(scorers: Sequence[tuple[Scorer, str]], video: VideoInfo, settings: Settings, cache: Cache) -> Eager | None:
    """The scorer that will be asked first, if it can look at frames while the scan goes on and will have to."""
    scorer, identity = scorers[0]
    if isinstance(scorer, Eager) and not cache.has("score", _score_key(identity, video, settings)):
        return scorer
    return None


def _scan(video: VideoInfo, settings: Settings, cache: Cache, report: Report, cancel: CancelToken,
          timings: dict[str, float] | None = None, eager: Eager | None = None, parts: Sequence[Part] = ()) -> Scan:
    """The video's scan, from the cache if it is there.

    parts: to join, where they make a whole
    eager: what looks at frames meanwhile; `timings["ahead"]` is how much of the scan's time its model was at work
    """
    def make(folder: Path) -> None:
        if len(parts) > 1 and scan_parts(video, parts, settings, folder, cache, report, cancel):
            return
        with eager.ahead(settings, cancel) if eager else nullcontext() as ahead:
            scan_video(video, settings, folder, report, cancel, ahead.take if ahead else None)
        if ahead and timings is not None:
            timings["ahead"] = ahead.busy_s

    scan, _ = cache.get("scan", scan_key(video, settings), load_scan, make, waiting("scan", report, cancel))
    report(Progress("scan", 1.0, f"found {len(scan.scenes)} scenes"))
    return scan


def _render(plan: Plan, video: VideoInfo, folder: Path, settings: Settings, cache: Cache, report: Report,
            cancel: CancelToken) -> Result:
    """Render into `folder` and write the plan beside the reel."""
    timings = dict(plan.timings_s)
    spoken = _words(plan, video, settings, cache, timings, report, cancel)
    words = spoken.captions
    target = folder / REEL_NAME
    # A reel without its plan is half of what was asked for, even if it was done the moment before.
    with put_back(target):
        with _timed(timings, "render"):
            order = Order(video, plan, words if captions.are_burned(settings) else (), target, settings, cache.clips)
            reel = render_reel(order, report, cancel)
        reel = replace(reel, warnings=(*spoken.warnings, *reel.warnings))
        # What an earlier render said of the words need no longer be true.
        plan = replace(plan, warnings=tuple(warning for warning in plan.warnings if warning not in speech.NOTES))
        plan = replace(plan, clips=tuple(placed.clip for placed in reel.placed), timings_s=timings,
                       warnings=tuple(dict.fromkeys((*plan.warnings, *reel.warnings))))
        plan = plan.with_notes(render=dict(reel.notes))
        with _timed(timings, "export"):
            exported = export(settings.export, ExportMaterial(plan, video, reel, words, folder), report, cancel,
                              lambda name, material, token: export_beside(name, material, settings.limits, token))
    plan.write(folder / FILE_NAME)
    return Result(plan, reel, exported)


def _words(plan: Plan, video: VideoInfo, settings: Settings, cache: Cache, timings: dict[str, float], report: Report,
           cancel: CancelToken) -> speech.Spoken:
    """The words that go with the reel: what each clip shows, or what is said in it where that is asked for."""
    if settings.captions != "speech":
        return speech.Spoken(captions.of_descriptions(plan.clips))

    def recall(inputs: Sequence[Any], make: Callable[[], Sequence[Word]]) -> Sequence[Word]:
        key = stage_key("speech", video.sha256, inputs)
        return cache.get("speech", key, load_words, lambda folder: save_words(make(), folder),
                         waiting("speech", report, cancel))[0]

    with _timed(timings, "speech"):
        return speech.transcribe(video, plan.clips, settings, report, cancel, recall)


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Note the seconds that the block takes."""
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
