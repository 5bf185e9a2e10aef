"""Encodes one clip to a file of its own, which later renders find again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av

from pipeline.errors import FFmpegError, InputError, OutputError
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, clip_args
from pipeline.types import VideoInfo

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
            job = replace(job, seek_s=None)
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
        run_ffmpeg(clip_args(job, input_url(video.path), input_url(part)), cancel=cancel,
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
