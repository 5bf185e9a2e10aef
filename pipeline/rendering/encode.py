"""Encodes clips to files of their own, which later renders find again, and joins them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av

from pipeline.errors import FFmpegError, InputError
from pipeline.keeping import use
from pipeline.media.files import appearing
from pipeline.media.process import ffmpeg_filters, input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.plan import Plan
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rates import reel_rate
from pipeline.rendering.burn import Burner, with_captions
from pipeline.rendering.encoders import X264, Choice, Encoder, choose_encoder
from pipeline.rendering.framing import Frame, canvas, frame_of, keeps_shape
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, Look, clip_args, even_size, frame_counts, slot_at
from pipeline.rendering.join import join_clips
from pipeline.rendering.order import Order
from pipeline.rendering.parallel import Task, cores, crew, run_parallel
from pipeline.rendering.parts import in_parts
from pipeline.sealing import is_sealed, seal
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


@dataclass(frozen=True, slots=True)
class Encoded:
    """Clips as encoded, by one encoder.

    files: one for each job, in order
    encoder: what encoded them, which isn't what was asked for where that failed midway
    failed: the encoder that did, by name, with the reason
    """

    files: tuple[ClipFile, ...]
    encoder: Encoder
    failed: Mapping[str, str] = field(default_factory=dict)


def encode_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Encode every clip that isn't there from an earlier render, and join them; as `reel.render_reel`."""
    video, clips, settings = order.video, order.plan.clips, order.settings
    choice = choose_encoder(settings, cancel)
    jobs = clip_jobs(video, clips, settings, choice.encoder, order.plan)
    with Burner(jobs[0].look.width, jobs[0].look.height, settings.style) as burner:
        jobs = with_captions(jobs, clips, order.captions, burner)
        return _encode_jobs(order, jobs, choice, burner.warnings, report, cancel)


def _encode_jobs(order: Order, jobs: Sequence[ClipJob], choice: Choice, warnings: Sequence[str], report: Report,
                 cancel: CancelToken) -> Reel:
    """Encode and join clips; `warnings` are the reel's."""
    video, clips, settings = order.video, order.plan.clips, order.settings
    total = sum(job.frames for job in jobs)

    def tell(share: float, done: int) -> None:
        number = min(done + 1, len(jobs))
        report(Progress("render", _ENCODE_SHARE * share, f"encoding clip {number} of {len(jobs)}"))

    parts = [in_parts(job) for job in jobs]
    encoded = encode_clips(video, [part for each in parts for part in each], order.clip_dir, tell, cancel)
    made = iter(encoded.files)
    files = [[next(made) for _ in each] for each in parts]
    join_clips([file.path for file in encoded.files], [part.frames for each in parts for part in each], jobs[0].rate,
               order.target, sound=jobs[0].sound != "none", audio_kbps=settings.audio_kbps, cancel=cancel,
               on_progress=lambda share: report(
                   Progress("render", _ENCODE_SHARE + (1 - _ENCODE_SHARE) * share, "joining clips")))
    silenced = sum(any(file.silenced for file in each) for each in files)
    reused = sum(all(file.reused for file in each) for each in files)
    look = jobs[0].look
    return Reel(
        path=order.target, duration_s=float(total / jobs[0].rate), width=look.width, height=look.height,
        fps=float(jobs[0].rate), way="encode", encoder=encoded.encoder.codec,
        placed=placed(clips, [job.frames for job in jobs], jobs[0].rate),
        clips_encoded=len(files) - reused, clips_reused=reused,
        warnings=(*((f"the sound of {silenced} clips can't be decoded; they are silent",) if silenced else ()),
                  *warnings),
        notes={"way": "encode", "encoder": encoded.encoder.codec, "tried": {**choice.tried, **encoded.failed}})


def encode_clips(video: VideoInfo, jobs: Sequence[ClipJob], clip_dir: Path, on_progress: Callable[[float, int], object],
                 cancel: CancelToken) -> Encoded:
    """Encode clips into `clip_dir`, several at once, or find them there; clips that are the same only once.

    on_progress: called on this thread with the share that is done, 0 to 1, and the number of clips that are

    Where an encoder in hardware fails, all are encoded by libx264: clips of two encoders can't be joined. Raises what
    `encode_clip` raises; no ffmpeg runs any more then.
    """
    encoder = jobs[0].encoder
    reached = 0.0

    def tell(share: float, done: int) -> None:
        nonlocal reached
        reached = max(reached, share)
        on_progress(reached, done)

    try:
        return Encoded(_encode_all(video, jobs, clip_dir, tell, cancel), encoder)
    except FFmpegError as error:
        if not encoder.hardware:
            raise
        plain = [replace(job, encoder=X264) for job in jobs]
        return Encoded(_encode_all(video, plain, clip_dir, tell, cancel), X264,
                       {encoder.name: f"failed midway: {error.message}"})


def _encode_all(video: VideoInfo, jobs: Sequence[ClipJob], clip_dir: Path, tell: Callable[[float, int], object],
                cancel: CancelToken) -> tuple[ClipFile, ...]:
    """A file for each job."""
    keys = [clip_key(video, job) for job in jobs]
    unlike = dict(zip(keys, jobs, strict=True))
    pixels = max(video.coded_width * video.coded_height, *(job.look.width * job.look.height for job in jobs))
    at_once, threads = crew(len(unlike), cores(), pixels, jobs[0].encoder.at_once)

    def task(job: ClipJob) -> Task[ClipFile]:
        return lambda on_progress, token: encode_clip(video, job, clip_dir, on_progress, token, threads)

    made = run_parallel([task(job) for job in unlike.values()], [job.frames for job in unlike.values()], at_once,
                        lambda share, done: tell(share, done + len(jobs) - len(unlike)), cancel)
    files = dict(zip(unlike, made, strict=True))
    # A clip that is in the reel twice was found the second time.
    return tuple(replace(files[key], reused=files[key].reused or key in keys[:number])
                 for number, key in enumerate(keys))


def placed(clips: Sequence[Clip], counts: Sequence[int], rate: Fraction) -> tuple[Placed, ...]:
    """Clips in their places, one after another, each as many frames long as `counts` says."""
    ends = list(accumulate(counts))
    return tuple(Placed(clip, float((end - count) / rate), float(end / rate))
                 for clip, count, end in zip(clips, counts, ends, strict=True))


def clip_jobs(video: VideoInfo, clips: Sequence[Clip], settings: Settings, encoder: Encoder = X264,
              plan: Plan | None = None) -> list[ClipJob]:
    """What each clip's encoding depends on; the video isn't opened, so where to seek to is found out later.

    plan: says where in the picture things happen and where its cuts are; None where that isn't known
    """
    rate = reel_rate(video, settings.max_fps)
    same = keeps_shape(video, settings.aspect)
    width, height = even_size(video.width, video.height) if same else canvas(video, settings.aspect)
    look = Look(width, height, video.matrix, video.primaries, video.transfer,
                zscale={"zscale", "tonemap"} <= ffmpeg_filters())
    return [
        ClipJob(
            start_s=video.origin_s + clip.start_s, end_s=video.origin_s + clip.end_s, seek_s=None, frames=frames,
            rate=rate, look=look, video_stream=video.video_stream, audio_stream=video.audio_stream,
            sound="source" if video.has_audio else "none", mono=video.audio_channels == 1,
            fade_s=settings.audio_fade_ms / 1000, crf=settings.crf, preset=settings.preset,
            encoder=encoder, frame=_frame(video, clip, rate, settings, plan))
        for clip, frames in zip(clips, frame_counts(clips, rate), strict=True)
    ]


def _frame(video: VideoInfo, clip: Clip, rate: Fraction, settings: Settings, plan: Plan | None) -> Frame | None:
    """What of the clip's picture fills the reel, and how."""
    slots = sorted({slot_at(scene.start_s - clip.start_s, rate) for scene in (plan.scenes if plan else ())
                    if clip.start_s < scene.start_s < clip.end_s} - {0})
    # Halfway between two frames, where no rounding can put a frame on the wrong side.
    cuts_s = [cut_s for slot in slots if (cut_s := float((slot - Fraction(1, 2)) / rate)) < clip.interval.duration_s]
    return frame_of(video, clip, cuts_s, plan.focus if plan else None, settings.aspect, settings.framing)


def clip_key(video: VideoInfo, job: ClipJob) -> str:
    """Name of a clip's file: a hash of the video's content and of every argument that shapes the result.

    Where decoding starts doesn't: seeks are taken only where they show the same.
    """
    parts = [RENDER_VERSION, video.sha256, clip_args(_unsought(job), "", "")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _unsought(job: ClipJob) -> ClipJob:
    """The job as it is decoded from the file's start."""
    return replace(job, seek_s=None, part=replace(job.part, sound_seek_s=None))


def encode_clip(video: VideoInfo, job: ClipJob, clip_dir: Path, on_progress: Callable[[float], object],
                cancel: CancelToken, threads: int | None = None) -> ClipFile:
    """Encode a clip into `clip_dir`, or find it there.

    on_progress: called with the share that is done, 0 to 1
    threads: for ffmpeg; what it thinks best where None

    A sound track that ffmpeg can't bring to the clip's length becomes silence; where a jump into the file leads
    nowhere, the file is decoded from its start. Raises InputError where no picture can be decoded, OutputError,
    FFmpegError and Cancelled.
    """
    sought = job.seek_s is not None
    while True:
        path = clip_dir / f"{clip_key(video, job)}.mov"
        silenced = job.sound == "silence"
        if is_kept(path, job):
            return ClipFile(path, reused=True, silenced=silenced)
        if not sought:
            job = _sought(video, job, cancel)
            sought = True
        try:
            whole = _encode(video, job, path, on_progress, cancel, threads)
        except FFmpegError:
            # Which of the two is at fault isn't known: a sound track is given up only where x264 can't do it either.
            if job.sound != "source" or job.encoder.hardware:
                raise
            job = replace(job, sound="silence")
            continue
        if whole:
            return ClipFile(path, reused=False, silenced=silenced)
        if job.seek_s is not None:
            job = _unsought(job)
        elif job.encoder.hardware:
            raise FFmpegError(f"{job.encoder.codec} didn't yield every frame", video.path.name)
        elif job.sound == "source":
            # A track that changes its channels midway restarts ffmpeg's filters, and comes out in the wrong length.
            job = replace(job, sound="silence")
        else:
            start_s = job.start_s - video.origin_s
            raise InputError(f"no picture can be decoded at {start_s:.2f} s; leave out the clip that starts there",
                             video.path.name)


def _sought(video: VideoInfo, job: ClipJob, cancel: CancelToken) -> ClipJob:
    """The job with where to start decoding."""
    # The sound of a part is made from the clip's start on.
    starts_s = [job.start_s] + ([job.start_s - float(job.part.lead / job.rate)] if job.part.lead else [])
    seeks = safe_seeks(video, [max(0.0, start_s - video.origin_s) for start_s in starts_s], cancel)
    return replace(job, seek_s=seeks[0], part=replace(job.part, sound_seek_s=seeks[-1] if job.part.lead else None))


def is_kept(path: Path, job: ClipJob) -> bool:
    """Whether a complete clip for `job` is kept at `path`, byte for byte as it was made; if so, it stays for this run.
    """
    return use(path) and is_whole(path, job) and is_sealed(path)


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
            cancel: CancelToken, threads: int | None) -> bool:
    """Encode into `path`, which appears only when it is whole; False where the source didn't yield the frames."""
    pictures = {overlay.digest: input_url(overlay.picture) for overlay in job.overlays}
    try:
        with appearing(path) as part:
            run_ffmpeg(clip_args(job, input_url(video.path), input_url(part), pictures, threads=threads),
                       cancel=cancel, timeout_s=_time_limit_s(video, job), subject=video.path.name, output=path.parent,
                       on_progress=lambda done_s: on_progress(min(1.0, done_s / job.duration_s)),
                       device=job.encoder.hardware)
            if not is_whole(part, job):
                raise _Short
            seal(part)
    except _Short:
        return False
    return True


class _Short(Exception):
    """The source didn't yield every frame."""


def _time_limit_s(video: VideoInfo, job: ClipJob) -> float:
    """Long enough for a slow machine and a large picture: this only ends an ffmpeg that hangs."""
    skipped_s = 0.0 if job.seek_s is not None else job.start_s - video.origin_s
    megapixels = max(1.0, video.coded_width * video.coded_height / 1e6)
    return 600 + megapixels * (120 * job.duration_s + 5 * max(0.0, skipped_s))
