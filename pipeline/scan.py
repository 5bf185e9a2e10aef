"""The long part: one pass over the picture feeds cut finder, meters and frame sampler, one beside it over the sound."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from pipeline.errors import InputError
from pipeline.listening import Listener, listen
from pipeline.loudness import SoundMeter
from pipeline.media.damage import Damage
from pipeline.media.files import disk_error
from pipeline.media.frames import (
    Picture,
    ahead,
    decode_pictures,
    decode_stretch,
    shown_bgr,
    small_bgr,
)
from pipeline.media.thinning import APART_S
from pipeline.progress import CancelToken, LinkedToken, Progress, Report
from pipeline.scenes import MARGIN, CutFinder, Loose
from pipeline.settings import Settings
from pipeline.signals import PictureMeter
from pipeline.types import Heard, Interval, SampledFrame, Scan, VideoInfo

# Pixels of the picture that is measured: cuts and motion show as well at this size as at any other.
_SMALL_AREA = 320 * 180
_JPEG_QUALITY = 90
_REPORT_EVERY_S = 0.1
# Of fewer frames a second each is needed: what happens between two would go unnoticed.
_THINNED_FPS = 20.0
# Cuts that are looked at again at once: while one is decoded, another's file is opened and its pictures are compared.
_LOOKERS = 2
# Pixels from which decoding a picture takes so long that others are measured meanwhile. Smaller ones come so quickly
# that two threads of Python would only get in each other's way.
_LARGE_AREA = 960 * 540
# Frames that may wait to be written: as many large pictures in memory.
_MOST_UNWRITTEN = 4

Hear = Callable[[VideoInfo, CancelToken], Listener]


def scan(video: VideoInfo, settings: Settings, frame_dir: Path, report: Report, cancel: CancelToken,
         tell: Callable[[SampledFrame], object] = lambda _: None, hear: Hear | None = None) -> Scan:
    """Decode `video` once, its sound on a thread beside.

    frame_dir: an existing folder that takes the sampled frames
    tell: called with each frame as soon as it lies there, on a thread of its own
    hear: does on that thread what `listen` does, which it is where None

    Raises InputError where no frame can be decoded or one is beyond the limits, OutputError where frames can't be
    written, Cancelled.
    """
    eye, stop = Eye(video, settings, frame_dir, tell), LinkedToken(cancel)
    with ThreadPoolExecutor(1, "sound") as beside:
        listening = beside.submit(hear or listen, video, stop)
        try:
            damage = watch(eye, decode_pictures(video, cancel, settings.limits, thin=is_thinned(video)), report)
            heard = listening.result()
        finally:
            stop.cancel()
    eye.tighten(cancel)
    report(Progress("scan", 1.0, "looking for scenes"))
    return concluded(video, eye, heard, (*damage, *heard.damage))


def is_thinned(video: VideoInfo) -> bool:
    """Whether pictures are left out of a video's scan."""
    return video.fps >= _THINNED_FPS


def watch(eye: Eye, events: Iterator[Picture | Damage], report: Report) -> tuple[Damage, ...]:
    """Show the picture to `eye`; returns what is damaged. Raises what `events` does."""
    damage, told_at, duration_s = list[Damage](), 0.0, eye.video.duration_s
    large = eye.video.coded_width * eye.video.coded_height >= _LARGE_AREA
    with eye.writing():
        for event in ahead(events) if large else events:
            if isinstance(event, Picture):
                eye.push(event)
                if time.monotonic() - told_at > _REPORT_EVERY_S:
                    told_at = time.monotonic()
                    report(Progress("scan", min(1.0, event.time_s / duration_s), "looking for scenes"))
            else:
                damage.append(event)
                if event.kind == "video":
                    eye.lose()
    return tuple(damage)


def concluded(video: VideoInfo, seen: Seen, heard: Listener, damage: Sequence[Damage]) -> Scan:
    """What picture and sound come to. Raises InputError where there is no picture."""
    if seen.count == 0:
        raise InputError("holds no picture that can be decoded; if a player can show it, save it again as MP4",
                         video.path.name)
    warnings = [_TELL[one.kind].format(max(0.0, one.time_s)) for one in damage]
    sounds = heard.sounds if heard.anything else None
    if video.has_audio and sounds is None:
        warnings.append("the sound can't be decoded; scenes are judged by the picture alone")
    duration_s = seen.last_s + video.frame_s
    words, level = heard.ear.finish(duration_s) if sounds else (Heard(), None)
    signals = seen.pictures.finish(duration_s, sounds.finish(duration_s) if sounds else None, level)
    holes = [gap for gap in seen.gaps if _is_hole(gap, sounds)]
    for hole in holes:
        seen.cuts.break_at(hole.start_s)
        seen.cuts.break_at(hole.end_s)
        warnings.append(f"the file holds nothing from {hole.start_s:.0f} to {hole.end_s:.0f} s; "
                        "that stretch is left out")
    scenes = seen.cuts.finish(duration_s)
    empty = tuple(s for s in scenes if any(hole.overlap_s(s) > 0.9 * s.duration_s for hole in holes))
    return Scan(duration_s, seen.count, scenes, signals, tuple(seen.frames), empty, tuple(warnings), words)


def _is_hole(gap: Interval, sounds: SoundMeter | None) -> bool:
    """Whether a stretch without frames is one in which nothing was recorded."""
    if sounds is None:
        return gap.duration_s >= _SILENT_HOLE_S
    return sounds.heard_share(gap.start_s, gap.end_s) < _HEARD_SHARE


# A stretch without frames is a still picture (a slide, a screen on which nothing moves) as long as there is sound; a
# file without sound gets the benefit of the doubt for longer.
_HOLE_S = 10.0
_SILENT_HOLE_S = 60.0
_HEARD_SHARE = 0.1
_TELL = {
    "video": "the picture is damaged at {:.1f} s; what can be decoded is used",
    "audio": "the sound is damaged at {:.1f} s; what can be decoded is used",
    "clock": "the clock jumps back at {:.1f} s, as in files that were joined carelessly; what was shown before is left "
             "out, and converting the file first may save it",
}


def gap_between(before_s: float, after_s: float, frame_s: float) -> Interval | None:
    """The stretch between two neighbouring frames, if it is one that wants an explanation.

    frame_s: how long a frame is shown
    """
    return Interval(before_s + frame_s, after_s) if after_s - before_s > _HOLE_S else None


@dataclass(slots=True)
class Seen:
    """What the pictures of a video, or of a part of it, leave behind.

    gaps: stretches without frames
    count: of frames
    last_s: when the last one is shown
    """

    cuts: CutFinder
    pictures: PictureMeter
    frames: list[SampledFrame] = field(default_factory=list)
    gaps: list[Interval] = field(default_factory=list)
    count: int = 0
    last_s: float = 0.0


class Eye(Seen):
    """Shows each frame to the cut finder and the picture meter, and puts some aside while it is `writing`."""

    def __init__(self, video: VideoInfo, settings: Settings, frame_dir: Path,
                 tell: Callable[[SampledFrame], object] = lambda _: None, cuts: CutFinder | None = None) -> None:
        super().__init__(cuts or CutFinder(video.fps, settings), PictureMeter(video.rotation_deg, video.mirrored))
        self.video, self._settings, self._frame_dir, self._tell = video, settings, frame_dir, tell
        self._size = _small_size(video)
        self._lost = False
        self._next_sample_s, self._measured_s = 0.0, -math.inf
        self._unwritten = deque[Future[None]]()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Frames that are put aside are made and written on a thread of their own, and lie there when the block ends.

        Raises OutputError where they can't be written.
        """
        with ThreadPoolExecutor(1, "frames") as self._writer:
            yield
            while self._unwritten:
                self._unwritten.popleft().result()

    def push(self, picture: Picture) -> None:
        """Take the next frame."""
        if self._lost and self.count:
            # Whatever was lost, the two sides of the hole are not one shot.
            self.cuts.break_at(self.last_s + self.video.frame_s)
            self.cuts.break_at(picture.time_s)
        elif gap := gap_between(self.last_s, picture.time_s, self.video.frame_s):
            self.gaps.append(gap)
        self._lost = False
        small = small_bgr(picture.frame, *self._size)
        if picture.spare and picture.time_s - self._measured_s < APART_S:
            self.cuts.glimpse(picture.time_s, small, picture.left_out)
        else:
            self.cuts.push(picture.time_s, small, picture.left_out)
            self.pictures.push(picture.time_s, small, self.cuts.steps)
            self._measured_s = picture.time_s
        new_scene = bool(self.frames) and self.cuts.newest_s > self.frames[-1].time_s
        if picture.time_s >= self._next_sample_s - 1e-6 or new_scene:
            self._sample(picture)
        self.count += 1
        self.last_s = picture.time_s

    def lose(self) -> None:
        """Frames are missing from here on."""
        self._lost = True
        self.pictures.skip()

    def tighten(self, cancel: CancelToken, start_s: float = 0.0, end_s: float = math.inf) -> None:
        """Look once more at cuts that lie among frames that were left out, if they may lie in [start_s, end_s)."""
        margin_s, stop = (MARGIN + 0.5) * self.video.frame_s, LinkedToken(cancel)

        def look(loose: Loose) -> list[float] | None:
            pictures = decode_stretch(self.video, loose.before_s - margin_s, loose.after_s + margin_s, stop,
                                      self._settings.limits)
            return self.cuts.look_again(loose, ((at.time_s, small_bgr(at.frame, *self._size)) for at in pictures))

        wanted = [loose for loose in self.cuts.loose
                  if loose.after_s >= start_s and loose.before_s < end_s]
        with ThreadPoolExecutor(_LOOKERS, "tighten") as lookers:
            try:
                for loose, cuts in zip(wanted, lookers.map(look, wanted), strict=True):
                    if cuts is not None:
                        self.cuts.replace(loose, cuts)
            finally:
                stop.cancel()

    def _sample(self, picture: Picture) -> None:
        """Put a frame aside; wait where many are still to be written."""
        step_s = 1 / self._settings.sample_fps
        self._next_sample_s = (math.floor(picture.time_s / step_s + 1e-6) + 1) * step_s
        self.frames.append(SampledFrame(picture.time_s, self._frame_dir / f"{round(picture.time_s * 1000):09d}.jpg"))
        if len(self._unwritten) >= _MOST_UNWRITTEN:
            self._unwritten.popleft().result()
        self._unwritten.append(self._writer.submit(self._write, picture, self.frames[-1]))

    def _write(self, picture: Picture, frame: SampledFrame) -> None:
        """Write a frame, as a viewer sees it."""
        image = shown_bgr(picture.frame, self.video, self._settings.sample_side)
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        try:
            frame.path.write_bytes(data.tobytes())
        except OSError as error:
            raise disk_error(error, frame.path.parent) from error
        self._tell(frame)


def _small_size(video: VideoInfo) -> tuple[int, int]:
    """Width and height to measure at: the stored picture's shape, about _SMALL_AREA pixels, never tiny."""
    scale = min(1.0, math.sqrt(_SMALL_AREA / (video.coded_width * video.coded_height)))
    return max(16, round(video.coded_width * scale)), max(16, round(video.coded_height * scale))
