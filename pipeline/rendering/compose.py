"""Styled reels: titles and captions, clips that turn into one another, a closing card, music."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.errors import FFmpegError
from pipeline.media.files import working_folder
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering import blend
from pipeline.rendering.burn import Burner
from pipeline.rendering.encode import ClipFile, clip_jobs, clip_key, encode_clip, is_kept
from pipeline.rendering.encoders import X264, choose_encoder
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, Look, Part, out_matrix, out_primaries
from pipeline.rendering.join import join_clips
from pipeline.rendering.music import lay_bed
from pipeline.rendering.order import Order
from pipeline.rendering.overlays import Overlay, within
from pipeline.rendering.parallel import Task, cores, crew, run_parallel
from pipeline.rendering.parts import in_parts, part_of
from pipeline.rendering.text import Drawn
from pipeline.rendering.timeline import Timeline, lay_out
from pipeline.types import Reel

# The rest is the join's.
_PIECES_SHARE = 0.92
# A frame that MoviePy composes costs this many that ffmpeg encodes.
_COMPOSED_COST = 4
# Part of the keys of composed pieces: raise it when the same inputs come to mean another picture.
_COMPOSE_VERSION = 1
# What feeds a composition is nearly lossless: it is encoded once more.
_FEED_CRF, _FEED_PRESET = 1, "ultrafast"

Tell = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the reel that is rendered to a file of its own.

    frames: its length
    cost: how long it takes, in frames that ffmpeg encodes
    make: renders it, or finds it from an earlier render
    clip: the clip of which it is (a part of) what stands alone; None for a crossfade or the card
    """

    frames: int
    cost: int
    make: Task[ClipFile]
    clip: int | None = None


def compose_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Render a plan in style; as `reel.render_reel`, and SettingsError where the style's font can't be had.

    The reel is made in pieces: what of each clip stands alone, which ffmpeg encodes, each crossfade and the closing
    card, which MoviePy composes. Each is kept, so that another text or clip renders what it touches, and memory
    doesn't grow with the reel.
    """
    video, clips, settings = order.video, order.plan.clips, order.settings
    choice = choose_encoder(settings, cancel)
    jobs = clip_jobs(video, clips, settings, choice.encoder, order.plan)
    rate, look = jobs[0].rate, jobs[0].look
    timeline = lay_out([job.frames for job in jobs], rate, settings.style.crossfade_s, settings.card_s)
    bed = lay_bed(settings.style, Fraction(timeline.frames) / rate, cancel)
    with working_folder(order.clip_dir) as folder, Burner(look.width, look.height, settings.style) as burner:
        title = burner.title(timeline)
        titled = max((overlay.after for overlay in title), default=0)
        overlays = (*burner.captions(timeline, clips, order.captions, titled), *title)
        studio = Studio(order, timeline, jobs, overlays, folder, burner.card() if timeline.card else None)
        pieces, files, failed = _render(studio, report, cancel)
        join_clips([file.path for file in files], [piece.frames for piece in pieces], rate, order.target,
                   sound=jobs[0].sound != "none", audio_kbps=settings.audio_kbps, bed=bed, cancel=cancel,
                   on_progress=lambda share: report(
                       Progress("render", _PIECES_SHARE + (1 - _PIECES_SHARE) * share, "joining clips")))
    of_clips = [(piece.clip, file) for file, piece in zip(files, pieces, strict=True) if piece.clip is not None]
    encoded = {clip for clip, file in of_clips if not file.reused}
    silenced = len({clip for clip, file in of_clips if file.silenced})
    codec = (X264 if failed else choice.encoder).codec
    return Reel(
        path=order.target, duration_s=float(timeline.frames / rate), width=look.width, height=look.height,
        fps=float(rate), way="styled", encoder=codec, placed=timeline.placed(clips),
        clips_encoded=len(encoded), clips_reused=len(clips) - len(encoded),
        warnings=(*((f"the sound of {silenced} clips can't be decoded; they are silent",) if silenced else ()),
                  *burner.warnings),
        notes={"way": "styled", "encoder": codec, "tried": {**choice.tried, **failed},
               "crossfades": sum(overlap > 0 for overlap in timeline.overlaps), "card_s": float(timeline.card / rate),
               "music": bed is not None, "pieces": len(files), "pieces_made": sum(not file.reused for file in files)})


def _render(studio: Studio, report: Report, cancel: CancelToken) -> tuple[list[Piece], list[ClipFile], dict[str, str]]:
    """The pieces, their files in order, and the encoder that failed midway, by name with the reason.

    Pieces of two encoders can't be joined: where one in hardware fails, all are encoded by libx264.
    """
    pieces, encoder, reached = studio.pieces(), studio.jobs[0].encoder, 0.0

    def tell(share: float, done: int) -> None:
        nonlocal reached
        reached = max(reached, share)
        report(Progress("render", _PIECES_SHARE * reached, f"making piece {min(done + 1, len(pieces))} of "
                                                           f"{len(pieces)}"))

    def work() -> list[ClipFile]:
        return run_parallel([piece.make for piece in pieces], [piece.cost for piece in pieces], studio.crew[0], tell,
                            cancel)

    tell(0.0, 0)
    try:
        return pieces, work(), {}
    except FFmpegError as error:
        if not encoder.hardware:
            raise
        pieces = replace(studio, jobs=[replace(job, encoder=X264) for job in studio.jobs]).pieces()
        return pieces, work(), {encoder.name: f"failed midway: {error.message}"}


@dataclass(frozen=True, slots=True)
class Studio:
    """Makes the pieces of one reel.

    jobs: each clip as a whole
    overlays: words in the picture, by frames of the reel
    folder: for files that nobody needs after this render
    words: on the closing card; None for none
    """

    order: Order
    timeline: Timeline
    jobs: Sequence[ClipJob]
    overlays: Sequence[Overlay]
    folder: Path
    words: Drawn | None

    @property
    def crew(self) -> tuple[int, int]:
        """How many pieces to make at once, and threads for each."""
        video, look = self.order.video, self.jobs[0].look
        pixels = max(video.coded_width * video.coded_height, look.width * look.height)
        return crew(2 * len(self.jobs), cores(), pixels, self.jobs[0].encoder.at_once)

    def pieces(self) -> list[Piece]:
        """The pieces of the reel, in order."""
        pieces: list[Piece] = []
        for i in range(len(self.jobs)):
            pieces += [Piece(part.frames, part.frames, self._encoding(part), i) for part in in_parts(self._body(i))]
            if overlap := self.timeline.overlaps[i]:
                pieces.append(Piece(overlap, _COMPOSED_COST * overlap, self._fading(i)))
        if card := self.timeline.card:
            pieces.append(Piece(card, _COMPOSED_COST * card, self._closing()))
        return pieces

    def _body(self, clip: int) -> ClipJob:
        """What of a clip stands alone, with its words."""
        job, (first, after) = self.jobs[clip], self.timeline.body(clip)
        body = part_of(job, first, after - first, fade_in=first == 0, fade_out=after == job.frames)
        return replace(body, overlays=within(self.overlays, self.timeline.starts[clip] + first, body.frames))

    def _tail(self, clip: int, frames: int) -> ClipJob:
        """A clip's last frames, as MoviePy shall read them."""
        job = self.jobs[clip]
        return _feed(part_of(job, job.frames - frames, frames, fade_in=False, fade_out=False))

    def _encoding(self, job: ClipJob) -> Task[ClipFile]:
        return lambda tell, cancel: encode_clip(self.order.video, job, self.order.clip_dir, tell, cancel, self.crew[1])

    def _fading(self, clip: int) -> Task[ClipFile]:
        """A clip that turns into the next; the last one into the card's background."""
        frames, shade = self.timeline.overlaps[clip], self.order.settings.style.closing_shade
        first = self.timeline.starts[clip] + self.timeline.counts[clip] - frames
        before, after = self._tail(clip, frames), None
        if clip + 1 < len(self.jobs):
            after = _feed(part_of(self.jobs[clip + 1], 0, frames, fade_in=False, fade_out=False))

        def film(folder: Path, target: Path, tell: Tell, cancel: CancelToken) -> list[Path]:
            tail = self._fed(before, folder, cancel)
            if after is None:
                still = blend.backdrop(_last_picture(tail), shade)
                blend.into_still(tail, still, frames, target, tell, cancel)
                return [tail]
            head = self._fed(after, folder, cancel)
            blend.crossfade(tail, head, frames, target, tell, cancel)
            return [tail, head]

        keys = [clip_key(self.order.video, before), clip_key(self.order.video, after) if after else shade]
        return self._composing(["crossfade", *keys], frames, within(self.overlays, first, frames), film)

    def _closing(self) -> Task[ClipFile]:
        """The closing card over the last clip's last frame."""
        style, card, words = self.order.settings.style, self.timeline.card, self.words
        last = self._tail(len(self.jobs) - 1, 1)

        def film(folder: Path, target: Path, tell: Tell, cancel: CancelToken) -> list[Path]:
            still = blend.backdrop(_last_picture(self._fed(last, folder, cancel)), style.closing_shade)
            text = (words.pixels, (words.x, words.y)) if words else None
            blend.card(still, text, card, float(self.timeline.rate), style.title_fade_s, target, tell, cancel)
            return []

        inputs = ["card", clip_key(self.order.video, last), [words.digest, words.x, words.y] if words else None,
                  style.closing_shade, style.title_fade_s]
        return self._composing(inputs, card, (), film)

    def _fed(self, job: ClipJob, folder: Path, cancel: CancelToken) -> Path:
        """A file for MoviePy to read."""
        return encode_clip(self.order.video, job, folder, lambda share: None, cancel, self.crew[1]).path

    def _composing(self, inputs: Sequence[Any], frames: int, overlays: tuple[Overlay, ...],
                   film: Callable[[Path, Path, Tell, CancelToken], list[Path]]) -> Task[ClipFile]:
        """A piece whose picture MoviePy makes, encoded as clips are, so that it can be joined with them.

        inputs: all that its picture and sound depend on, JSON values
        film: writes its picture, and returns the files whose sound it has: one that goes, and one that comes
        """
        digest = hashlib.sha256(json.dumps([_COMPOSE_VERSION, inputs]).encode()).hexdigest()
        job = _composed_job(self.jobs[0], frames, overlays)
        clip_dir = self.order.clip_dir

        def make(tell: Tell, cancel: CancelToken) -> ClipFile:
            source = replace(self.order.video, path=Path(digest), sha256=digest, origin_s=0.0, container_start_s=0.0)
            known = clip_dir / f"{clip_key(source, job)}.mov"
            if is_kept(known, job):
                return ClipFile(known, reused=True, silenced=False)
            # A folder of its own, gone at once: an hour's crossfades would fill the disk.
            with working_folder(self.folder) as folder:
                picture, whole = folder / "picture.mov", folder / "whole.mov"
                sounds = film(folder, picture, lambda share: tell(0.8 * share), cancel)
                run_ffmpeg(_mux_args(picture, sounds, job, whole), cancel=cancel, timeout_s=600, output=clip_dir)
                return encode_clip(replace(source, path=whole), job, clip_dir, lambda share: tell(0.8 + 0.2 * share),
                                   cancel, self.crew[1])

        return make


def _feed(job: ClipJob) -> ClipJob:
    """The same part as MoviePy shall read it: nearly lossless."""
    return replace(job, crf=_FEED_CRF, preset=_FEED_PRESET, encoder=X264)


def _composed_job(job: ClipJob, frames: int, overlays: tuple[Overlay, ...]) -> ClipJob:
    """How a composed picture, which is RGB, is encoded: like the clip of `job` in all that a decoder is told."""
    look = Look(job.look.width, job.look.height, "gbr", out_primaries(job.look), "sdr", zscale=False,
                wanted=out_matrix(job.look))
    has_sound = job.sound != "none"
    return replace(
        job, start_s=0.0, end_s=float(frames / job.rate), seek_s=None, frames=frames, look=look, video_stream=0,
        audio_stream=1 if has_sound else None, sound="source" if has_sound else "none", mono=False, frame=None,
        overlays=overlays, part=Part(fade_in=False, fade_out=False))


def _mux_args(picture: Path, sounds: Sequence[Path], job: ClipJob, target: Path) -> list[str]:
    """ffmpeg's arguments that give a composed picture its sound: the first goes as the second comes, equally loud.

    Sines and cosines of one angle are the shares of two sounds that have nothing to do with each other: their powers
    add up to one.
    """
    samples = round(job.frames / job.rate * AUDIO_RATE)
    args = ["-y", *(part for path in (picture, *sounds) for part in ("-protocol_whitelist", "file", "-i",
                                                                     input_url(path)))]
    fades = [f"[{i}:a:0]aformat=sample_fmts=fltp,asetpts=N/SR/TB,apad=whole_len={samples},atrim=end_sample={samples},"
             f"afade=t={way}:ss=0:ns={samples}:curve=qsin[s{i}]"
             for i, way in zip(range(1, len(sounds) + 1), ("out", "in"), strict=False)]
    if not sounds:
        fades = [f"anullsrc=r={AUDIO_RATE}:cl=stereo,atrim=end_sample={samples}[s]"]
    elif len(sounds) == 1:
        fades.append("[s1]anull[s]")
    else:
        fades.append("[s1][s2]amix=inputs=2:normalize=0[s]")
    # Without sound there is nothing to filter, and ffmpeg refuses an output that leads nowhere.
    sound = ["-filter_complex", ";".join(fades), "-map", "[s]", "-c:a", "pcm_s16le"] if job.sound != "none" else []
    return [*args, "-map", "0:v:0", "-c:v", "copy", *sound, "-f", "mov", input_url(target)]


def _last_picture(path: Path) -> Any:
    """The last frame of a file of ours: (h, w, 3) RGB."""
    last = None
    with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
        for frame in container.decode(video=0):
            last = frame
    assert last is not None
    return last.to_ndarray(format="rgb24")
