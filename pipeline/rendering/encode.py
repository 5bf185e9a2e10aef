"""Encodes clips to files of their own, which later renders find again, and joins them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av

from pipeline.errors import FFmpegError, InputError, OutputError
from pipeline.media.process import ffmpeg_filters, input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.media.source import look_at
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.burn import Burner, with_captions
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, Look, clip_args, even_size, frame_counts, reel_rate
from pipeline.rendering.join import join_clips
from pipeline.rendering.order import Order
from pipeline.settings import Settings
from pipeline.types import Clip, Placed, Reel, VideoInfo

# The rest is the join's, which copies pictures and is quick.
_ENCODE_SHARE = 0.95

# Part of every clip's key: raise it when the same arguments come to mean something else.
RENDER_VERSION = 1


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A clip as encoded.

    path: the file
    reused: whether an earlier render made it
    silenced: whether silence stands in for a sound track that couldn't be read
    """

    path: Path
    reused: bool
    silenced: bool


def encode_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Encode every clip that isn't there from an earlier render, and join them; as `rendering.render_reel`."""
    video, clips, settings = order.video, order.plan.clips, order.settings
    jobs = clip_jobs(video, clips, settings, cancel)
    with Burner(jobs[0].look.width, jobs[0].look.height, settings.style) as burner:
        jobs = with_captions(jobs, clips, order.captions, burner)
        return _encode_jobs(order, jobs, burner.warnings, report, cancel)


def _encode_jobs(order: Order, jobs: Sequence[ClipJob], warnings: Sequence[str], report: Report,
                 cancel: CancelToken) -> Reel:
    """Encode and join clips; `warnings` are the reel's."""
    video, clips, settings = order.video, order.plan.clips, order.settings
    total = sum(job.frames for job in jobs)
    files, done = [], 0
    for number, job in enumerate(jobs, start=1):
        def tell(share: float, number: int = number, job: ClipJob = job, done: int = done) -> None:
            fraction = _ENCODE_SHARE * (done + share * job.frames) / total
            report(Progress("render", fraction, f"encoding clip {number} of {len(jobs)}"))
        tell(0.0)
        files.append(encode_clip(video, job, order.clip_dir, tell, cancel))
        done += job.frames
    join_clips([file.path for file in files], [job.frames for job in jobs], jobs[0].rate, order.target,
               sound=jobs[0].sound != "none", audio_kbps=settings.audio_kbps, cancel=cancel,
               on_progress=lambda share: report(
                   Progress("render", _ENCODE_SHARE + (1 - _ENCODE_SHARE) * share, "joining clips")))
    silenced = sum(file.silenced for file in files)
    reused = sum(file.reused for file in files)
    look = jobs[0].look
    return Reel(
        path=order.target, duration_s=float(total / jobs[0].rate), width=look.width, height=look.height,
        fps=float(jobs[0].rate), way="encode", encoder="libx264",
        placed=placed(clips, [job.frames for job in jobs], jobs[0].rate),
        clips_encoded=len(files) - reused, clips_reused=reused,
        warnings=(*((f"the sound of {silenced} clips can't be decoded; they are silent",) if silenced else ()),
                  *warnings),
        notes={"way": "encode", "encoder": "libx264"})


def placed(clips: Sequence[Clip], counts: Sequence[int], rate: Fraction) -> tuple[Placed, ...]:
    """Clips in their places, one after another, each as many frames long as `counts` says."""
    ends = list(accumulate(counts))
    return tuple(Placed(clip, float((end - count) / rate), float(end / rate))
                 for clip, count, end in zip(clips, counts, ends, strict=True))


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


def clip_key(video: VideoInfo, job: ClipJob) -> str:
    """Name of a clip's file: a hash of the video's content and of every argument that shapes the result."""
    parts = [RENDER_VERSION, video.sha256, clip_args(job, "", "")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def encode_clip(video: VideoInfo, job: ClipJob, clip_dir: Path, on_progress: Callable[[float], object],
                cancel: CancelToken) -> ClipFile:
    """Encode a clip into `clip_dir`, or find it there.

    on_progress: called with the share that is done, 0 to 1

    A sound track that ffmpeg can't bring to the clip's length becomes silence; where a jump into the file leads
    nowhere, the file is decoded from its start. Raises InputError where no picture can be decoded, OutputError,
    FFmpegError and Cancelled.
    """
    while True:
        path = clip_dir / f"{clip_key(video, job)}.mov"
        silenced = job.sound == "silence"
        if is_whole(path, job):
            return ClipFile(path, reused=True, silenced=silenced)
        try:
            whole = _encode(video, job, path, on_progress, cancel)
        except FFmpegError:
            if job.sound != "source":
                raise
            job = replace(job, sound="silence")
            continue
        if whole:
            return ClipFile(path, reused=False, silenced=silenced)
        if job.seek_s is not None:
            job = replace(job, seek_s=None, part=replace(job.part, sound_seek_s=None))
        elif job.sound == "source":
            # A track that changes its channels midway restarts ffmpeg's filters, and comes out in the wrong length.
            job = replace(job, sound="silence")
        else:
            start_s = job.start_s - video.origin_s
            raise InputError(f"no picture can be decoded at {start_s:.2f} s; leave out the clip that starts there",
                             video.path.name)


def is_whole(path: Path, job: ClipJob) -> bool:
    """Whether `path` is a complete clip for `job`, by its index alone: a torn file has none, for it comes last."""
    if not path.is_file():
        return False
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            pictures, sounds = container.streams.video, container.streams.audio
            if len(pictures) != 1 or len(sounds) != (job.sound != "none"):
                return False
            samples = round(job.frames / job.rate * AUDIO_RATE)
            return (pictures[0].frames == job.frames
                    and (pictures[0].width, pictures[0].height) == (job.look.width, job.look.height)
                    and all(abs((sound.duration or 0) - samples) <= 1 for sound in sounds))
    except (av.error.FFmpegError, OSError):
        return False


def _encode(video: VideoInfo, job: ClipJob, path: Path, on_progress: Callable[[float], object],
            cancel: CancelToken) -> bool:
    """Encode into `path`, which appears only when it is whole; False where the source didn't yield the frames."""
    part = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.part")
    try:
        pictures = {overlay.digest: input_url(overlay.picture) for overlay in job.overlays}
        run_ffmpeg(clip_args(job, input_url(video.path), input_url(part), pictures), cancel=cancel,
                   timeout_s=_time_limit_s(video, job), subject=video.path.name, output=path.parent,
                   on_progress=lambda done_s: on_progress(min(1.0, done_s / job.duration_s)))
        if not is_whole(part, job):
            return False
        os.replace(part, path)
        return True
    except OSError as error:
        raise OutputError(f"can't be written ({error.strerror or error}); check the disk", str(path.parent)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _time_limit_s(video: VideoInfo, job: ClipJob) -> float:
    """Long enough for a slow machine and a large picture: this only ends an ffmpeg that hangs."""
    skipped_s = 0.0 if job.seek_s is not None else job.start_s - video.origin_s
    megapixels = max(1.0, video.coded_width * video.coded_height / 1e6)
    return 600 + megapixels * (120 * job.duration_s + 5 * max(0.0, skipped_s))
