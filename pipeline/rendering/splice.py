"""Makes a reel of copied middles and encoded edges: exact bounds, and most pictures as they are in the source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av

from pipeline.media.files import appearing, working_folder
from pipeline.media.packets import PacketReader, Stretch, open_packets
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.checking import Expected, check_reel
from pipeline.rendering.copy import check_codec, sounds_of
from pipeline.rendering.cutting import best_cut, moved, onto_keyframe, room_of, runs, sound_run
from pipeline.rendering.encode import clip_jobs, encode_clips, is_kept, placed
from pipeline.rendering.graph import ClipJob, clip_args, slot_of, sound_args
from pipeline.rendering.join import join_clips
from pipeline.rendering.mixing import Edges, Mixer, Splice, parameter_sets
from pipeline.rendering.order import Order, Unsuitable
from pipeline.rendering.parallel import Task, cores, run_parallel
from pipeline.sealing import seal
from pipeline.types import Clip, Reel

# Part of every spliced clip's key: raise it when the same packets come to be put together otherwise.
SPLICE_VERSION = 1
# Copying less than this of a reel doesn't pay: every clip then has two edges to encode for next to nothing.
_LEAST_COPIED = 0.25
# A run shorter than this costs more in edges than it saves.
_SHORTEST_RUN_S = 0.5
# How the work is shared out over the bar.
_EDGES_SHARE, _MADE_SHARE = 0.6, 0.8
# The selection keeps a frame away from cuts, where encoders put their keyframes: clips are moved back by that little.
_SNAP_FRAMES = 1.6


def splice_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Copy what can be copied and encode the rest; as `reel.render_reel`.

    The encoded edges have parameter sets of their own beside the source's, so that both stand in one stream. The
    result has been decoded to its end; where earlier renders left every clip behind, which were, at the seams. Who
    asked for copies gets each clip copied that can be, moved as `copy_reel` does, with the source's own sound where it
    has no gaps, and as there, is spared that the insides of clips are decoded. Raises Unsuitable where too little can
    be copied, or it doesn't decode.
    """
    _check_source(order)
    with open_packets(order.video, cancel) as reader:
        base = reader.picture.time_base or Fraction(1, av.time_base)
        early_s = order.settings.copy_tolerance_s if order.settings.render == "copy" else 0.0
        stretches = [reader.stretch(clip.start_s - early_s, clip.end_s) for clip in order.plan.clips]
        clips = [_placed(order, stretch, clip, base) for stretch, clip in zip(stretches, order.plan.clips, strict=True)]
        jobs = clip_jobs(order.video, clips, order.settings)
        if abs(float(jobs[0].rate) - order.video.fps) > 0.001 * order.video.fps:
            raise Unsuitable("frames that don't fall on the reel's clock")
        splices = [splice_of(stretch, job, base) for stretch, job in zip(stretches, jobs, strict=True)]
        share = sum(s.copied for s in splices) / sum(job.frames for job in jobs)
        if share < _LEAST_COPIED and not _was_mixed(order):
            raise Unsuitable(f"only {share:.0%} of its frames lie between keyframes")
        sets = parameter_sets(reader)
    sps_id = next(i for i in range(1, 32) if i not in sets.ids)
    splices = [replace(s, job=replace(s.job, sps_id=sps_id)) for s in splices]
    # Not while the file is open: the index of a long one is large, and who seeks in it reads it once more.
    edges, new, reused = _edges(order, splices, report, cancel)
    with open_packets(order.video, cancel) as reader:
        mixer = Mixer(reader, order.video.origin_s, splices, edges)
        sounds = _own_sound(order, reader, stretches, jobs)
        if sounds is None:
            new = _Shop(order, mixer, report, cancel).make(splices, edges)
            reused = len(splices) - new
        else:
            with appearing(order.target) as part:
                mixer.write_reel(splices, edges, sounds, part, cancel)
                report(Progress("render", _MADE_SHARE, "checking the reel"))
                check_reel(part, _expected(splices, thorough=False), cancel)
    frames = [job.frames for job in jobs]
    return Reel(
        path=order.target, duration_s=float(sum(frames) / jobs[0].rate), width=jobs[0].look.width,
        height=jobs[0].look.height, fps=float(jobs[0].rate), way="mixed", encoder="libx264",
        placed=placed(clips, frames, jobs[0].rate), clips_encoded=new, clips_reused=reused,
        notes={"way": "mixed", "encoder": "libx264", "copied_share": round(share, 3)})


def _own_sound(order: Order, reader: PacketReader, stretches: Sequence[Stretch],
               jobs: Sequence[ClipJob]) -> Sequence[Sequence[int]] | None:
    """The source's sound packets that go with each clip, for who asked for copies; None where it must be encoded."""
    if order.settings.render != "copy":
        return None
    starts_s = [Fraction(job.start_s) for job in jobs]
    with suppress(Unsuitable):
        return sounds_of(reader, [sound_run(stretch) for stretch in stretches],
                         [(start_s, start_s + job.frames / job.rate) for start_s, job in zip(starts_s, jobs,
                                                                                            strict=True)])
    return None


def _expected(splices: Sequence[Splice], thorough: bool) -> Expected:
    """What a check of the reel must find."""
    job = splices[0].job
    parts = list(accumulate(n for s in splices for n in (s.head, s.copied, s.tail)))
    seams_s = tuple(float(n / job.rate) for n in sorted({0, *parts} - {parts[-1]}))
    return Expected(parts[-1], float(parts[-1] / job.rate), job.look.width, job.look.height, job.sound != "none",
                    seams_s, thorough)


def _placed(order: Order, stretch: Stretch, clip: Clip, base: Fraction) -> Clip:
    """A clip where it needs least encoding: who asked for copies gets one of each clip that can be."""
    origin_s = order.video.origin_s
    if order.settings.render == "copy":
        room = room_of(clip, order.plan, order.settings.copy_tolerance_s)
        with suppress(Unsuitable):
            return moved(clip, best_cut(stretch, clip, room, base, origin_s), base, origin_s)
    room = room_of(clip, order.plan, _SNAP_FRAMES * order.video.frame_s)
    return onto_keyframe(stretch, clip, room, base, origin_s)


def splice_of(stretch: Stretch, job: ClipJob, base: Fraction) -> Splice:
    """The way to put a clip together that copies most of it.

    Only frames that follow one another on the reel's clock, one a slot, can stand in for encoded ones.
    """
    best = Splice(job, job.frames, 0, None)
    for run in runs(stretch.pictures):
        first = slot_of(float(run[0].start * base), job)
        if first < 0:
            continue
        for cut in reversed(run):
            after = slot_of(float(cut.end * base), job)
            if after > job.frames or len(cut.pictures) != after - first:
                continue
            slots = [slot_of(float(pts * base), job) for pts in sorted(cut.pictures)]
            if slots == list(range(first, after)):
                if len(cut.pictures) > max(best.copied, _SHORTEST_RUN_S * job.rate):
                    best = Splice(job, first, job.frames - after, cut)
                break
    return best


def _was_mixed(order: Order) -> bool:
    """Whether the plan was rendered in this way before, so that its clips are there: in another they would not be."""
    notes = order.plan.document.get("notes")
    rendered = notes.get("render") if isinstance(notes, Mapping) else None
    return isinstance(rendered, Mapping) and rendered.get("way") == "mixed"


def _check_source(order: Order) -> None:
    """Raise Unsuitable where encoded pictures would look or be timed otherwise than the copied ones beside them."""
    video = order.video
    check_codec(video, order.settings.max_fps)
    if video.pixel_format != "yuv420p" or video.is_hdr:
        raise Unsuitable("pictures in full range")
    if video.rotation_deg or video.mirrored or (video.width, video.height) != (video.coded_width, video.coded_height):
        raise Unsuitable("pictures that are stored turned or stretched")
    if video.coded_width % 2 or video.coded_height % 2:
        raise Unsuitable("an odd number of pixels")
    if video.variable_fps:
        raise Unsuitable("frames at uneven times")


def _edges(order: Order, splices: Sequence[Splice], report: Report,
           cancel: CancelToken) -> tuple[list[Edges], int, int]:
    """Encoded heads and tails, without sound; for how many clips some were encoded, and for how many all were found."""
    def tell(share: float, _: int) -> None:
        report(Progress("render", _EDGES_SHARE * share, f"encoding the edges of {len(splices)} clips"))

    pairs = [(_edge(s.job, 0, s.head), _edge(s.job, s.job.frames - s.tail, s.tail)) for s in splices]
    wanted = [job for pair in pairs for job in pair if job]
    files = iter(encode_clips(order.video, wanted, order.clip_dir, tell, cancel).files if wanted else ())
    found = [[next(files) if job else None for job in pair] for pair in pairs]
    new = sum(any(file and not file.reused for file in pair) for pair in found)
    return ([(head.path if head else None, tail.path if tail else None) for head, tail in found],
            new, sum(any(pair) for pair in found) - new)


class _Shop:
    """Puts clips together in the clip folder, where later renders find them, with sound that is cut to the sample."""

    def __init__(self, order: Order, mixer: Mixer, report: Report, cancel: CancelToken) -> None:
        self._order, self._mixer, self._report, self._cancel = order, mixer, report, cancel

    def make(self, splices: Sequence[Splice], edges: Sequence[Edges]) -> int:
        """Make the reel; returns how many clips weren't there."""
        files = [self._order.clip_dir / f"{self._key(splice)}.mov" for splice in splices]
        missing = {path: (splice, pair) for path, splice, pair in zip(files, splices, edges, strict=True)
                   if not is_kept(path, splice.job)}
        with working_folder(self._order.clip_dir) as folder:
            sounds = {path: folder / f"{path.stem}.sound" for path, (splice, _) in missing.items()
                      if splice.job.sound != "none"}
            self._make_sounds([(missing[path][0].job, sound) for path, sound in sounds.items()])
            for path, (splice, pair) in missing.items():
                with appearing(path) as part:
                    self._mixer.write_clip(splice, pair, sounds.get(path), part)
                    seal(part)
        try:
            self._join(files, splices, thorough=bool(missing) and self._order.settings.render != "copy")
        except BaseException:
            # A clip that is found again counts as one that was decoded to its end.
            for file in missing:
                file.unlink(missing_ok=True)
            raise
        return len(missing)

    def _join(self, files: Sequence[Path], splices: Sequence[Splice], thorough: bool) -> None:
        """Put the reel together."""
        expected = _expected(splices, thorough)
        join_clips(files, [s.job.frames for s in splices], splices[0].job.rate, self._order.target,
                   sound=expected.sound, audio_kbps=self._order.settings.audio_kbps, cancel=self._cancel,
                   on_progress=lambda done: self._report(
                       Progress("render", _MADE_SHARE + (1 - _MADE_SHARE) * done, "joining clips")),
                   check=lambda part: check_reel(part, expected, self._cancel))

    def _make_sounds(self, wanted: Sequence[tuple[ClipJob, Path]]) -> None:
        """Write the sound of clips, several at once."""
        video = self._order.video

        def task(job: ClipJob, path: Path) -> Task[None]:
            def work(tell: Callable[[float], object], cancel: CancelToken) -> None:
                seek_s = safe_seeks(video, [max(0.0, job.start_s - video.origin_s)], cancel)[0]
                run_ffmpeg(sound_args(replace(job, seek_s=seek_s), input_url(video.path), input_url(path)),
                           cancel=cancel, timeout_s=600 + 60 * job.duration_s, subject=video.path.name,
                           output=path.parent)
            return work

        run_parallel([task(*each) for each in wanted], [job.frames for job, _ in wanted], cores(),
                     lambda share, done: self._report(Progress(
                         "render", _EDGES_SHARE + (_MADE_SHARE - _EDGES_SHARE) * share, "taking the sound")),
                     self._cancel)

    def _key(self, splice: Splice) -> str:
        """Name of a spliced clip's file: a hash of all that shapes it."""
        cut = splice.cut and [splice.cut.start, splice.cut.end]
        parts = [SPLICE_VERSION, self._order.video.sha256, clip_args(splice.job, "", ""), splice.head, splice.tail, cut,
                 self._mixer.delay, self._mixer.avcc.hex()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _edge(job: ClipJob, first: int, frames: int) -> ClipJob | None:
    """Some frames of a clip as a clip of its own, without sound; None for no frames."""
    start_s = job.start_s + float(first / job.rate)
    # A clip's last frame may be one more than its bounds hold, by rounding: half a frame is what shows it.
    end_s = max(start_s + float(1 / (2 * job.rate)), min(job.end_s, start_s + float(frames / job.rate)))
    return replace(job, start_s=start_s, end_s=end_s, frames=frames, sound="none") if frames else None
