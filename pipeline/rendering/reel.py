"""Renders a plan to one reel; exact to the frame, and a clip that hasn't changed is not encoded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipeline.errors import FFmpegError, OutputError, PlanError, SettingsError
from pipeline.media.files import users_path
from pipeline.media.loudness import check_sound
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.compose import compose_reel
from pipeline.rendering.copy import copy_reel
from pipeline.rendering.encode import encode_reel
from pipeline.rendering.fonts import find_face
from pipeline.rendering.framing import keeps_shape
from pipeline.rendering.order import Order, Unsuitable
from pipeline.rendering.splice import splice_reel
from pipeline.settings import Settings
from pipeline.types import Reel

_INSTEAD = {"mixed": "only the edges of its clips were encoded", "encode": "it was encoded"}


def render_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Render a plan to an H.264 and AAC file in MP4 that every browser plays.

    Raises PlanError where a clip lies outside the video, InputError where it can't be decoded, OutputError where the
    disk is full or closed to us, FFmpegError for what is our own fault, and Cancelled.
    """
    report(Progress("render", 0.0, "preparing"))
    _check_clips(order)
    _make_folders(order)
    reel = _first_that_suits(order, report, cancel)
    report(Progress("render", 1.0, "reel done"))
    return reel


def check_settings(settings: Settings) -> None:
    """Look at the files that a style names, so that a long run doesn't end at one that is missing.

    Raises SettingsError for the font, InputError for the music.
    """
    if settings.style.font:
        find_face("", settings.style.font)
    if settings.render == "styled" and settings.style.music:
        check_sound(users_path(settings.style.music))


def _first_that_suits(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """The reel by the best way that can give it."""
    unsuited: dict[str, str] = {}
    for name, way in _ways(order).items():
        try:
            reel = way(order, report, cancel)
        except Unsuitable as reason:
            unsuited[name] = str(reason)
            continue
        warnings = (*reel.warnings, *_without_style(order.settings))
        if order.settings.render == "copy" and unsuited:
            warnings += (f"could not be copied as it is ({unsuited['copy']}); {_INSTEAD[reel.way]}",)
        return replace(reel, warnings=warnings, notes={**reel.notes, **({"not": unsuited} if unsuited else {})})
    raise FFmpegError("no way of rendering worked; report this with the log", order.video.path.name, str(unsuited))


def _ways(order: Order) -> dict[str, Callable[[Order, Report, CancelToken], Reel]]:
    """Ways to render what is ordered, best first. Raises SettingsError where it contradicts itself."""
    settings = order.settings
    if settings.render == "styled":
        return {"styled": compose_reel}
    changed = ("another shape" if not keeps_shape(order.video, settings.aspect)
               else "captions in the picture" if order.captions else "")
    if settings.render == "copy" and changed:
        raise SettingsError(f"copied pictures can't have {changed}; choose auto or encode, or leave that out", "render")
    if settings.render == "encode" or changed:
        return {"encode": encode_reel}
    return {"copy": copy_reel, "mixed": splice_reel, "encode": encode_reel}


def _without_style(settings: Settings) -> tuple[str, ...]:
    """What to tell a person who asked for what only styled reels have."""
    asked = [name for name in ("title", "closing", "music") if getattr(settings.style, name)]
    if settings.render == "styled" or not asked:
        return ()
    return (f"only styled reels have {' and '.join(asked)}; render with --render styled",)


def _make_folders(order: Order) -> None:
    """Make the folders that are written to. Raises OutputError where that can't be, or would hit the video itself."""
    for folder in (order.clip_dir, order.target.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't be made ({error.strerror}); choose another folder", str(folder)) from error
    if order.target.is_dir():
        raise OutputError("is a folder; name a file for the reel", str(order.target))
    if order.target.exists() and order.video.path.exists() and order.target.samefile(order.video.path):
        raise OutputError("is the video itself; choose another output folder", str(order.target))


def _check_clips(order: Order) -> None:
    """Raise PlanError where the clips can't make a reel."""
    video, clips = order.video, order.plan.clips
    if not clips:
        raise PlanError("it has no clips; put in at least one", video.path.name)
    # Half a frame beyond the end is where a clip that holds the last frame may well stop.
    end_s = video.duration_s + max(0.1, 2 * video.frame_s)
    for number, clip in enumerate(clips, start=1):
        if clip.start_s >= video.duration_s or clip.end_s > end_s:
            raise PlanError(f"clip {number} ({clip.start_s:.2f} to {clip.end_s:.2f} s) lies outside the video, which "
                            f"is {video.duration_s:.2f} s long; correct the plan", video.path.name)
