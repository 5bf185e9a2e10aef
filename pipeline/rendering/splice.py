"""Makes a reel of copied middles and encoded edges: exact bounds, and most pictures as they are in the source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import av.container
from av.video.stream import VideoStream

from pipeline.media.files import appearing, working_folder
from pipeline.media.h264 import ParameterSets, read_avcc, write_avcc
from pipeline.media.packets import PacketReader, Stretch, open_packets
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.media.seeking import safe_seeks
from pipeline.progress import CancelToken, Progress, Report
from pipeline.rendering.checking import Expected, check_reel, muxing_error
from pipeline.rendering.copy import check_codec
from pipeline.rendering.cutting import Cut, best_cut, clocked, moved, onto_keyframe, room_of, runs
from pipeline.rendering.encode import clip_jobs, encode_clips, is_kept, is_whole, placed
from pipeline.rendering.graph import ClipJob, clip_args, slot_of, sound_args
from pipeline.rendering.join import join_clips
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
# x264 decodes pictures two frames ahead at most with the settings that we use.
_ENCODER_DELAY = 2
_MOST_DELAY = 16
# How the work is shared out over the bar.
_EDGES_SHARE, _MADE_SHARE = 0.6, 0.8
# The selection keeps a frame away from cuts, where encoders put their keyframes: clips are moved back by that little.
_SNAP_FRAMES = 1.6


@dataclass(frozen=True, slots=True)
class Splice:
    """How a clip is put together.

    job: what it would be if it were encoded whole
    head, tail: frames that are encoded before and after those that are copied
    cut: the packets that are copied; None where all frames are encoded, as the head
    """

    job: ClipJob
    head: int
    tail: int
    cut: Cut | None

    @property
    def copied(self) -> int:
        """Frames that are copied."""
        return len(self.cut.pictures) if self.cut else 0


def splice_reel(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """Copy what can be copied and encode the rest; as `rendering.render_reel`.

    The encoded edges have parameter sets of their own beside the source's, so that both stand in one stream. The
    result has been decoded to its end; where earlier renders left every clip behind, which were, at the seams. Who
    asked for copies gets each clip copied that can be, moved as `copy_reel` does, and as it does, is spared that the
    insides of clips are decoded. Raises Unsuitable where too little can be copied, or it doesn't decode.
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
        sets = _parameter_sets(reader)
        sps_id = next(i for i in range(1, 32) if i not in sets.ids)
        splices = [replace(s, job=replace(s.job, sps_id=sps_id)) for s in splices]
        shop = _Shop(order, reader, base, _delay(splices), report, cancel)
        files = shop.make(splices)
    parts = list(accumulate(n for s in splices for n in (s.head, s.copied, s.tail)))
    seams = tuple(float(n / jobs[0].rate) for n in sorted({0, *parts} - {parts[-1]}))
    expected = Expected(parts[-1], float(parts[-1] / jobs[0].rate), jobs[0].look.width, jobs[0].look.height,
                        jobs[0].sound != "none", seams,
                        thorough=bool(shop.made) and order.settings.render != "copy")
    try:
        join_clips(files, [job.frames for job in jobs], jobs[0].rate, order.target, sound=jobs[0].sound != "none",
                   audio_kbps=order.settings.audio_kbps, cancel=cancel,
                   on_progress=lambda done: report(
                       Progress("render", _MADE_SHARE + (1 - _MADE_SHARE) * done, "joining clips")),
                   check=lambda part: check_reel(part, expected, cancel))
    except BaseException:
        # A clip that is found again counts as one that was decoded to its end.
        for file in shop.made:
            file.unlink(missing_ok=True)
        raise
    return Reel(
        path=order.target, duration_s=expected.duration_s, width=jobs[0].look.width, height=jobs[0].look.height,
        fps=float(jobs[0].rate), way="mixed", encoder="libx264",
        placed=placed(clips, [job.frames for job in jobs], jobs[0].rate),
        clips_encoded=len(shop.made), clips_reused=len(files) - len(shop.made),
        notes={"way": "mixed", "encoder": "libx264", "copied_share": round(share, 3)})


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


def _parameter_sets(reader: PacketReader) -> ParameterSets:
    """The source's. Raises Unsuitable where they can't stand beside others."""
    avcc = bytes(reader.picture.codec_context.extradata or b"")
    try:
        sets = read_avcc(avcc)
    except (ValueError, IndexError) as error:
        raise Unsuitable("H.264 without parameter sets in front") from error
    if avcc[4] & 3 != 3:
        raise Unsuitable("H.264 with short lengths in front of its units")
    return sets


def _delay(splices: Sequence[Splice]) -> int:
    """Frames by which decoding must be ahead of showing, everywhere in the reel."""
    delays = [_ENCODER_DELAY]
    for splice in splices:
        if splice.cut:
            ranks = {pts: rank for rank, pts in enumerate(sorted(splice.cut.pictures))}
            delays.append(-min(clocked([ranks[pts] for pts in splice.cut.pictures])))
    if max(delays) > _MOST_DELAY:
        raise Unsuitable("pictures that are decoded long before they are shown")
    return max(delays)


class _Shop:
    """Puts clips together in the clip folder, where later renders find them.

    made: the files that it has put together
    """

    def __init__(self, order: Order, reader: PacketReader, base: Fraction, delay: int, report: Report,
                 cancel: CancelToken) -> None:
        self.made: tuple[Path, ...] = ()
        self._order, self._reader, self._base, self._delay = order, reader, base, delay
        self._report, self._cancel = report, cancel

    def make(self, splices: Sequence[Splice]) -> list[Path]:
        """A file for each."""
        edges = self._edges(splices)
        avcc = write_avcc(self._merged([edge for pair in edges for edge in pair if edge]))
        files = [self._order.clip_dir / f"{self._key(splice, avcc)}.mov" for splice in splices]
        missing = {path: (splice, pair) for path, splice, pair in zip(files, splices, edges, strict=True)
                   if not is_kept(path, splice.job)}
        with working_folder(self._order.clip_dir) as folder:
            sounds = {path: folder / f"{path.stem}.sound" for path, (splice, _) in missing.items()
                      if splice.job.sound != "none"}
            self._make_sounds([(missing[path][0].job, sound) for path, sound in sounds.items()])
            for path, (splice, pair) in missing.items():
                self._assemble(splice, pair, sounds.get(path), avcc, path)
        self.made = tuple(missing)
        return files

    def _edges(self, splices: Sequence[Splice]) -> list[tuple[Path | None, Path | None]]:
        """Encoded heads and tails, without sound; None where there is none."""
        def tell(share: float, _: int) -> None:
            self._report(Progress("render", _EDGES_SHARE * share, f"encoding the edges of {len(splices)} clips"))

        pairs = [(_edge(s.job, 0, s.head), _edge(s.job, s.job.frames - s.tail, s.tail)) for s in splices]
        wanted = [job for pair in pairs for job in pair if job]
        made = encode_clips(self._order.video, wanted, self._order.clip_dir, tell, self._cancel).files if wanted else ()
        files = iter(made)
        return [(next(files).path if head else None, next(files).path if tail else None) for head, tail in pairs]

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

    def _key(self, splice: Splice, avcc: bytes) -> str:
        """Name of a spliced clip's file: a hash of all that shapes it."""
        cut = splice.cut and [splice.cut.start, splice.cut.end]
        parts = [SPLICE_VERSION, self._order.video.sha256, clip_args(splice.job, "", ""), splice.head, splice.tail, cut,
                 self._delay, avcc.hex()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _merged(self, edges: Sequence[Path]) -> ParameterSets:
        """The source's parameter sets and those of the edges: one record, the same for every clip of the reel."""
        sets = _parameter_sets(self._reader)
        for edge in edges:
            with _opened(edge) as container:
                other = read_avcc(bytes(container.streams.video[0].codec_context.extradata or b""))
            sets = ParameterSets(tuple(dict.fromkeys((*sets.sps, *other.sps))),
                                 tuple(dict.fromkeys((*sets.pps, *other.pps))))
        if len(sets.ids) != len(sets.sps) or len(sets.ids) != len(sets.pps):
            raise Unsuitable("edges that were encoded in different ways")
        return sets

    def _assemble(self, splice: Splice, edges: tuple[Path | None, Path | None], sound: Path | None, avcc: bytes,
                  path: Path) -> None:
        """Write all into one file, which appears only when it is whole."""
        with appearing(path) as part:
            try:
                with ExitStack() as stack:
                    head, tail, heard = (stack.enter_context(_opened(file)) if file else None
                                         for file in (*edges, sound))
                    self._write(splice, part, avcc, head, tail, heard)
            except av.error.FFmpegError as error:
                raise muxing_error(error, path.parent) from error
            if not is_whole(part, splice.job):
                raise Unsuitable("a clip that didn't come together")
            seal(part)

    def _write(self, splice: Splice, part: Path, avcc: bytes, head: av.container.InputContainer | None,
               tail: av.container.InputContainer | None, sound: av.container.InputContainer | None) -> None:
        """Write pictures and sound of a clip on the reel's clock."""
        tick = 1 / splice.job.rate
        with av.open(str(part), "w", format="mov", options={"write_tmcd": "0"}) as out:
            picture = out.add_stream_from_template(self._reader.picture)
            picture.codec_context.extradata = avcc
            picture.time_base = tick
            track = out.add_stream_from_template(sound.streams.audio[0]) if sound else None
            pictures = [*_packets(head, splice.job, 0), *self._copied(splice),
                        *_packets(tail, splice.job, splice.job.frames - splice.tail)]
            decoded = [slot - self._delay for slot in sorted(slot for _, slot in pictures)]
            for (packet, slot), dts in zip(pictures, decoded, strict=True):
                if dts > slot:
                    raise Unsuitable("edges that are decoded too late")
                packet.time_base, packet.pts, packet.dts, packet.duration = tick, slot, dts, 1
                packet.stream = picture
                out.mux_one(packet)
            for heard in sound.demux(sound.streams.audio[0]) if sound else ():
                if heard.size and track is not None:
                    heard.stream = track
                    out.mux_one(heard)

    def _copied(self, splice: Splice) -> Iterator[tuple[av.Packet[VideoStream], int]]:
        """The packets that are copied, in decoding order, each with its frame in the clip."""
        if splice.cut is None:
            return
        job, wanted = splice.job, set(splice.cut.pictures)
        start_s = job.start_s - self._order.video.origin_s
        for packet in self._reader.packets(start_s, start_s + job.duration_s):
            if packet.stream is self._reader.picture and packet.pts in wanted:
                wanted.discard(packet.pts)
                yield packet, slot_of(float(packet.pts * self._base), job)
                if not wanted:
                    return


def _edge(job: ClipJob, first: int, frames: int) -> ClipJob | None:
    """Some frames of a clip as a clip of its own, without sound; None for no frames."""
    start_s = job.start_s + float(first / job.rate)
    # A clip's last frame may be one more than its bounds hold, by rounding: half a frame is what shows it.
    end_s = max(start_s + float(1 / (2 * job.rate)), min(job.end_s, start_s + float(frames / job.rate)))
    return replace(job, start_s=start_s, end_s=end_s, frames=frames, sound="none") if frames else None


def _packets(edge: av.container.InputContainer | None, job: ClipJob,
             first: int) -> Iterator[tuple[av.Packet[VideoStream], int]]:
    """The packets of an encoded edge, in decoding order, each with its frame in the clip."""
    found = [packet for packet in edge.demux(edge.streams.video[0]) if packet.size] if edge else []
    start = min((packet.pts or 0 for packet in found), default=0)
    for packet in found:
        yield packet, first + round(((packet.pts or 0) - start) * (packet.time_base or 1) * job.rate)


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A file of ours."""
    with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
        yield container
