"""Renders clips of a video to one reel; exact to the frame, and a clip that hasn't changed is not encoded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import OutputError, PlanError
from pipeline.media.process import ffmpeg_filters
from pipeline.media.seeking import safe_seeks
from pipeline.media.source import look_at
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.encode import encode_clip
from pipeline.rendering.graph import ClipJob, Look, even_size, frame_counts, reel_rate
from pipeline.rendering.join import join_clips
from pipeline.settings import Settings
from pipeline.types import Clip, VideoInfo

# The rest is the join's, which copies pictures and is quick.
_ENCODE_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Reel:
    """A rendered file.

    path: where it is
    duration_s: its length
    width, height: its pixels
    fps: its frames a second, evenly spaced
    clips_encoded: clips that this render encoded
    clips_reused: clips that an earlier render had left behind
    warnings: what went wrong without stopping the render, for people
    """

    path: Path
    duration_s: float
    width: int
    height: int
    fps: float
    clips_encoded: int
    clips_reused: int
    warnings: tuple[str, ...] = ()


def render_reel(video: VideoInfo, clips: Sequence[Clip], target: Path, settings: Settings, clip_dir: Path,
                report: Report, cancel: CancelToken) -> Reel:
    """Render clips, in the order given, to an H.264 and AAC file in MP4 that every browser plays.

    target: the file to write; it appears, or replaces what is there, only when it is whole
    clip_dir: folder where encoded clips are kept for the next render

    Raises PlanError where a clip lies outside the video, InputError where it can't be decoded, OutputError where the
    disk is full or closed to us, FFmpegError for what is our own fault, and Cancelled.
    """
    report(Progress("render", 0.0, "preparing"))
    _check_clips(video, clips)
    for folder in (clip_dir, target.parent):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"can't be made ({error.strerror}); choose another folder", str(folder)) from error
    if target.is_dir():
        raise OutputError("is a folder; name a file for the reel", str(target))
    if target.exists() and target.samefile(video.path):
        raise OutputError("is the video itself; choose another output folder", str(target))
    jobs = clip_jobs(video, clips, settings, cancel)
    total = sum(job.frames for job in jobs)
    files, done = [], 0
    for number, job in enumerate(jobs, start=1):
        def tell(share: float, number: int = number, job: ClipJob = job, done: int = done) -> None:
            fraction = _ENCODE_SHARE * (done + share * job.frames) / total
            report(Progress("render", fraction, f"encoding clip {number} of {len(jobs)}"))
        tell(0.0)
        files.append(encode_clip(video, job, clip_dir, tell, cancel))
        done += job.frames
    join_clips([file.path for file in files], [job.frames for job in jobs], jobs[0].rate, target,
               sound=jobs[0].sound != "none", audio_kbps=settings.audio_kbps, cancel=cancel,
               on_progress=lambda share: report(
                   Progress("render", _ENCODE_SHARE + (1 - _ENCODE_SHARE) * share, "joining clips")))
    report(Progress("render", 1.0, "reel done"))
    silenced = sum(file.silenced for file in files)
    reused = sum(file.reused for file in files)
    return Reel(
        path=target, duration_s=float(total / jobs[0].rate), width=jobs[0].look.width, height=jobs[0].look.height,
        fps=float(jobs[0].rate), clips_encoded=len(files) - reused, clips_reused=reused,
        warnings=(f"the sound of {silenced} clips can't be decoded; they are silent",) if silenced else ())


def clip_jobs(video: VideoInfo, clips: Sequence[Clip], settings: Settings, cancel: CancelToken) -> list[ClipJob]:
    """What each clip's encoding depends on; the video is opened, but only its first frame is decoded."""
    rate = reel_rate(video, settings.max_fps)
    source = look_at(video)
    width, height = even_size(video.width, video.height)
    look = Look(width, height, source.matrix, source.primaries, video.transfer,
                zscale={"zscale", "tonemap"} <= ffmpeg_filters())
    seeks = safe_seeks(video, [clip.start_s for clip in clips], cancel)
    return [
        ClipJob(
            start_s=video.origin_s + clip.start_s, end_s=video.origin_s + clip.end_s, seek_s=seek_s, frames=frames,
            rate=rate, look=look, video_stream=video.video_stream, audio_stream=video.audio_stream,
            sound="source" if video.has_audio else "none", mono=source.mono,
            fade_s=settings.audio_fade_ms / 1000, crf=settings.crf, preset=settings.preset)
        for clip, frames, seek_s in zip(clips, frame_counts(clips, rate), seeks, strict=True)
    ]


def _check_clips(video: VideoInfo, clips: Sequence[Clip]) -> None:
    """Raise PlanError where the clips can't make a reel."""
    if not clips:
        raise PlanError("it has no clips; put in at least one", video.path.name)
    # Half a frame beyond the end is where a clip that holds the last frame may well stop.
    end_s = video.duration_s + max(0.1, 2 * video.frame_s)
    for number, clip in enumerate(clips, start=1):
        if clip.start_s >= video.duration_s or clip.end_s > end_s:
            raise PlanError(f"clip {number} ({clip.start_s:.2f} to {clip.end_s:.2f} s) lies outside the video, which "
                            f"is {video.duration_s:.2f} s long; correct the plan", video.path.name)
