"""Renders a plan to one reel; exact to the frame, and a clip that hasn't changed is not encoded again."""

from __future__ import annotations

from pipeline.errors import OutputError, PlanError
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.encode import encode_reel
from pipeline.rendering.order import Order
from pipeline.types import Reel

__all__ = ["Order", "render_reel"]


def render_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Render a plan to an H.264 and AAC file in MP4 that every browser plays.

    Raises PlanError where a clip lies outside the video, InputError where it can't be decoded, OutputError where the
    disk is full or closed to us, FFmpegError for what is our own fault, and Cancelled.
    """
    report(Progress("render", 0.0, "preparing"))
    _check_clips(order)
    _make_folders(order)
    reel = encode_reel(order, report, cancel)
    report(Progress("render", 1.0, "reel done"))
    return reel


def _make_folders(order: Order) -> None:
    """Make the folders that are written to. Raises OutputError where that can't be, or would hit the video itself."""
    for folder in (order.clip_dir, order.target.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't be made ({error.strerror}); choose another folder", str(folder)) from error
    if order.target.is_dir():
        raise OutputError("is a folder; name a file for the reel", str(order.target))
    if order.target.exists() and order.target.samefile(order.video.path):
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
