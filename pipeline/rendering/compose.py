"""Styled reels: titles and captions, clips that turn into one another, a closing card, music."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.errors import OutputError
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering import blend
from pipeline.rendering.burn import Burner
from pipeline.rendering.encode import ClipFile, clip_jobs, clip_key, encode_clip, encode_clips, is_whole
from pipeline.rendering.graph import AUDIO_RATE, ClipJob, Look, Part, out_matrix, out_primaries
from pipeline.rendering.join import join_clips
from pipeline.rendering.music import lay_bed
from pipeline.rendering.order import Order
from pipeline.rendering.overlays import Overlay, within
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
    name: what it is, for people
    body: how a clip's body is encoded; None for a crossfade or the card
    compose: composes a crossfade or the card, or finds it from an earlier render; None for a clip's body
    """

    frames: int
    name: str
    body: ClipJob | None = None
    compose: Callable[[Tell], ClipFile] | None = None

    @property
    def cost(self) -> int:
        """How long it takes, in frames that ffmpeg encodes."""
        return self.frames if self.compose is None else _COMPOSED_COST * self.frames


def compose_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Render a plan in style; as `rendering.render_reel`, and SettingsError where the style's font can't be had.

    The reel is made in pieces: what of each clip stands alone, which ffmpeg encodes, each crossfade and the closing
    card, which MoviePy composes. Each is kept, so that another text or clip renders what it touches, and memory
    doesn't grow with the reel.
    """
    video, clips, settings = order.video, order.plan.clips, order.settings
    jobs = clip_jobs(video, clips, settings, plan=order.plan)
    rate, look = jobs[0].rate, jobs[0].look
    timeline = lay_out([job.frames for job in jobs], rate, settings.style.crossfade_s, settings.card_s)
    bed = lay_bed(settings.style, Fraction(timeline.frames) / rate, cancel)
    with _folder(order.clip_dir) as folder, Burner(look.width, look.height, settings.style) as burner:
        overlays = (*burner.title(timeline), *burner.captions(timeline, clips, order.captions))
        studio = Studio(order, timeline, jobs, overlays, Path(folder), burner, cancel)
        pieces = studio.pieces()
        files = _render(pieces, order, report, cancel)
        join_clips([file.path for file in files], [piece.frames for piece in pieces], rate, order.target,
                   sound=jobs[0].sound != "none", audio_kbps=settings.audio_kbps, bed=bed, cancel=cancel,
                   on_progress=lambda share: report(
                       Progress("render", _PIECES_SHARE + (1 - _PIECES_SHARE) * share, "joining clips")))
    bodies = [file for file, piece in zip(files, pieces, strict=True) if piece.body]
    silenced = sum(file.silenced for file in bodies)
    return Reel(
        path=order.target, duration_s=float(timeline.frames / rate), width=look.width, height=look.height,
        fps=float(rate), way="styled", encoder="libx264", placed=timeline.placed(clips),
        clips_encoded=sum(not file.reused for file in bodies), clips_reused=sum(file.reused for file in bodies),
        warnings=(*((f"the sound of {silenced} clips can't be decoded; they are silent",) if silenced else ()),
                  *burner.warnings),
        notes={"way": "styled", "encoder": "libx264", "crossfades": sum(overlap > 0 for overlap in timeline.overlaps),
               "card_s": float(timeline.card / rate), "music": bed is not None,
               "pieces_made": sum(not file.reused for file in files), "pieces": len(files)})


def _render(pieces: Sequence[Piece], order: Order, report: Report, cancel: CancelToken) -> list[ClipFile]:
    """Every piece's file, in order: the bodies of several clips at once, then what is composed."""
    total = sum(piece.cost for piece in pieces)
    bodies = [piece.body for piece in pieces if piece.body]
    weight = sum(body.frames for body in bodies)

    def tell_bodies(share: float, done: int) -> None:
        number = min(done + 1, len(bodies))
        report(Progress("render", _PIECES_SHARE * share * weight / total, f"encoding clip {number} of {len(bodies)}"))

    encoded = iter(encode_clips(order.video, bodies, order.clip_dir, tell_bodies, cancel).files)
    files, done = [], weight
    for piece in pieces:
        if piece.compose is None:
            files.append(next(encoded))
            continue

        def tell(share: float, piece: Piece = piece, done: int = done) -> None:
            report(Progress("render", _PIECES_SHARE * (done + share * piece.cost) / total, piece.name))
        tell(0.0)
        files.append(piece.compose(tell))
        done += piece.cost
    return files


def _folder(parent: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for what feeds compositions. Raises OutputError."""
    try:
        return tempfile.TemporaryDirectory(prefix=".styled-", dir=parent)
    except OSError as error:
        raise OutputError(f"can't be written ({error.strerror or error}); check the disk", str(parent)) from error


@dataclass(frozen=True, slots=True)
class Studio:
    """Makes the pieces of one reel.

    jobs: each clip as a whole
    overlays: words in the picture, by frames of the reel
    folder: for files that nobody needs after this render
    """

    order: Order
    timeline: Timeline
    jobs: Sequence[ClipJob]
    overlays: Sequence[Overlay]
    folder: Path
    burner: Burner
    cancel: CancelToken

    def pieces(self) -> list[Piece]:
        """The pieces of the reel, in order."""
        bodies, tails = self._parts()
        pieces: list[Piece] = []
        count = len(self.jobs)
        for i, body in enumerate(bodies):
            pieces.append(Piece(body.frames, f"clip {i + 1}", body))
            if overlap := self.timeline.overlaps[i]:
                first = self.timeline.starts[i] + self.timeline.counts[i] - overlap
                after = self._head(i + 1) if i + 1 < count else None
                pieces.append(Piece(overlap, f"composing crossfade {i + 1}", compose=self._fading(
                    tails[i], after, within(self.overlays, first, overlap))))
        if self.timeline.card:
            pieces.append(Piece(self.timeline.card, "composing the closing card", compose=self._closing(tails[-1])))
        return pieces

    def _parts(self) -> tuple[list[ClipJob], list[ClipJob]]:
        """What of each clip stands alone, with its words, and what of it overlaps the next (or is its last frame)."""
        line = self.timeline
        bodies, tails = [], []
        for i, job in enumerate(self.jobs):
            first, after = line.body(i)
            body = _part(job, first, after - first, fade_in=first == 0, fade_out=after == job.frames)
            bodies.append(replace(body, overlays=within(self.overlays, line.starts[i] + first, body.frames)))
            lead = job.frames - max(1, line.overlaps[i])
            tails.append(_part(job, lead, job.frames - lead, fade_in=False, fade_out=False))
        return bodies, [_feed(tail) for tail in tails]

    def _head(self, clip: int) -> ClipJob:
        """What of a clip overlaps the one before it."""
        job = self.jobs[clip]
        return _feed(_part(job, 0, self.timeline.before(clip), fade_in=False, fade_out=False))

    def _fading(self, before: ClipJob, after: ClipJob | None, overlays: tuple[Overlay, ...]
                ) -> Callable[[Tell], ClipFile]:
        """A crossfade of two clips' ends; into the card's background where `after` is None."""
        shade = self.order.settings.style.closing_shade

        def film(target: Path, tell: Tell) -> list[Path]:
            tail = self._fed(before)
            if after is None:
                still = blend.backdrop(_last_picture(tail), shade)
                blend.into_still(tail, still, before.frames, target, tell, self.cancel)
                return [tail]
            head = self._fed(after)
            blend.crossfade(tail, head, before.frames, target, tell, self.cancel)
            return [tail, head]

        keys = [clip_key(self.order.video, before), clip_key(self.order.video, after) if after else shade]
        return lambda tell: self._composed(["crossfade", *keys], before.frames, overlays, film, tell)

    def _closing(self, last: ClipJob) -> Callable[[Tell], ClipFile]:
        """The closing card over the last clip's last frame."""
        style, card = self.order.settings.style, self.timeline.card
        words = self.burner.card()

        def film(target: Path, tell: Tell) -> list[Path]:
            still = blend.backdrop(_last_picture(self._fed(last)), style.closing_shade)
            text = (words.pixels, (words.x, words.y)) if words else None
            blend.card(still, text, card, float(self.timeline.rate), style.title_fade_s, target, tell, self.cancel)
            return []

        last_frame = _part(last, last.frames - 1, 1, fade_in=False, fade_out=False)
        inputs = ["card", clip_key(self.order.video, last_frame), [words.digest, words.x, words.y] if words else None,
                  style.closing_shade, style.title_fade_s]
        return lambda tell: self._composed(inputs, card, (), film, tell)

    def _fed(self, job: ClipJob) -> Path:
        """A file for MoviePy to read."""
        return encode_clip(self.order.video, job, self.folder, lambda share: None, self.cancel).path

    def _composed(self, inputs: Sequence[Any], frames: int, overlays: tuple[Overlay, ...],
                  film: Callable[[Path, Tell], list[Path]], tell: Tell) -> ClipFile:
        """A piece whose picture MoviePy makes, encoded as clips are, so that it can be joined with them.

        inputs: all that its picture and sound depend on, JSON values
        film: writes its picture, and returns the files whose sound it has: one that goes, and one that comes
        """
        digest = hashlib.sha256(json.dumps([_COMPOSE_VERSION, inputs]).encode()).hexdigest()
        whole = self.folder / f"{digest[:32]}.whole.mov"
        source = replace(self.order.video, path=whole, sha256=digest, origin_s=0.0)
        job = _composed_job(self.jobs[0], frames, overlays)
        known = self.order.clip_dir / f"{clip_key(source, job)}.mov"
        if is_whole(known, job):
            return ClipFile(known, reused=True, silenced=False)
        picture = whole.with_suffix(".picture.mov")
        sounds = film(picture, lambda share: tell(0.8 * share))
        run_ffmpeg(_mux_args(picture, sounds if job.sound != "none" else [], job, whole), cancel=self.cancel,
                   timeout_s=600, output=whole.parent)
        made = encode_clip(source, job, self.order.clip_dir, lambda share: tell(0.8 + 0.2 * share), self.cancel)
        for path in (picture, whole, *sounds):
            # An hour's crossfades would fill the disk.
            path.unlink(missing_ok=True)
        return ClipFile(made.path, reused=False, silenced=False)


def _part(job: ClipJob, lead: int, frames: int, *, fade_in: bool, fade_out: bool) -> ClipJob:
    """`frames` frames of a job from `lead` on; the sound of all parts is made in one way, so that they join."""
    start_s = job.start_s + float(lead / job.rate)
    part = Part(job.part.lead + lead, None, fade_in, fade_out)
    # What is beyond is not shown, and must not be part of the key.
    end_s = job.end_s if lead + frames == job.frames else min(job.end_s, start_s + float(frames / job.rate))
    return replace(job, start_s=start_s, end_s=end_s, frames=frames, part=part)


def _feed(job: ClipJob) -> ClipJob:
    """The same part as MoviePy shall read it: nearly lossless."""
    return replace(job, crf=_FEED_CRF, preset=_FEED_PRESET)


def _composed_job(job: ClipJob, frames: int, overlays: tuple[Overlay, ...]) -> ClipJob:
    """How a composed picture, which is RGB, is encoded: like the clip of `job` in all that a decoder is told."""
    look = Look(job.look.width, job.look.height, "gbr", out_primaries(job.look), "sdr", zscale=False,
                wanted=out_matrix(job.look))
    has_sound = job.sound != "none"
    return replace(
        job, start_s=0.0, end_s=float(frames / job.rate), seek_s=None, frames=frames, look=look, frame=None,
        video_stream=0, audio_stream=1 if has_sound else None, sound="source" if has_sound else "none", mono=False,
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
