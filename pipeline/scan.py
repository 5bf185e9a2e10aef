"""The long part: one decode pass that feeds the cut finder, the meters and the frame sampler."""

from __future__ import annotations

import math
import time
from pathlib import Path

import cv2

from pipeline.errors import InputError
from pipeline.hearing import Ear
from pipeline.media.files import disk_error
from pipeline.media.frames import Picture, Sound, decode, shown_bgr, small_bgr
from pipeline.progress import CancelToken, Progress, Report
from pipeline.scenes import CutFinder
from pipeline.settings import Settings
from pipeline.signals import SAMPLE_RATE, PictureMeter, SoundMeter
from pipeline.types import Heard, Interval, SampledFrame, Scan, VideoInfo

# Pixels of the picture that is measured: cuts and motion show as well at this size as at any other.
_SMALL_AREA = 320 * 180
_JPEG_QUALITY = 90
_REPORT_EVERY_S = 0.1


def scan(video: VideoInfo, settings: Settings, frame_dir: Path, report: Report, cancel: CancelToken) -> Scan:
    """Decode `video` once.

    frame_dir: an existing folder that takes the sampled frames

    Raises InputError where no frame can be decoded or one is beyond the limits, OutputError where frames can't be
    written, Cancelled.
    """
    eye = _Eye(video, settings, frame_dir)
    sounds, ear = SoundMeter(), Ear()
    warnings: list[str] = []
    told_at, heard = 0.0, False
    for event in decode(video, SAMPLE_RATE, cancel, settings.limits):
        if isinstance(event, Picture):
            eye.push(event)
            if time.monotonic() - told_at > _REPORT_EVERY_S:
                told_at = time.monotonic()
                report(Progress("scan", min(1.0, event.time_s / video.duration_s), "looking for scenes"))
        elif isinstance(event, Sound):
            heard = True
            sounds.push(event.time_s, event.samples)
            ear.push(event.time_s, event.samples)
        else:
            warnings.append(_TELL[event.kind].format(max(0.0, event.time_s)))
            if event.kind == "video":
                eye.lose()
    report(Progress("scan", 1.0, "looking for scenes"))
    if eye.count == 0:
        raise InputError("holds no picture that can be decoded; if a player can show it, save it again as MP4",
                         video.path.name)
    if video.has_audio and not heard:
        warnings.append("the sound can't be decoded; scenes are judged by the picture alone")
    duration_s = eye.last_s + video.frame_s
    words, level = ear.finish(duration_s) if heard else (Heard(), None)
    signals = eye.pictures.finish(duration_s, sounds.finish(duration_s) if heard else None, level)
    holes = [gap for gap in eye.gaps if _is_hole(gap, sounds if heard else None)]
    for hole in holes:
        eye.cuts.break_at(hole.start_s)
        eye.cuts.break_at(hole.end_s)
        warnings.append(f"the file holds nothing from {hole.start_s:.0f} to {hole.end_s:.0f} s; "
                        "that stretch is left out")
    scenes = eye.cuts.finish(duration_s)
    empty = tuple(s for s in scenes if any(hole.overlap_s(s) > 0.9 * s.duration_s for hole in holes))
    return Scan(duration_s, eye.count, scenes, signals, tuple(eye.frames), empty, tuple(warnings), words)


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


class _Eye:
    """Shows each frame to the cut finder and the picture meter, and puts some aside."""

    def __init__(self, video: VideoInfo, settings: Settings, frame_dir: Path) -> None:
        self.cuts = CutFinder(video.fps, settings)
        self.pictures = PictureMeter(video.rotation_deg, video.mirrored)
        self.frames: list[SampledFrame] = []
        self.gaps: list[Interval] = []
        self.count = 0
        self.last_s = 0.0
        self._video, self._settings, self._frame_dir = video, settings, frame_dir
        self._size = _small_size(video)
        self._lost = False
        self._next_sample_s = 0.0

    def push(self, picture: Picture) -> None:
        """Take the next frame."""
        if self._lost and self.count:
            # Whatever was lost, the two sides of the hole are not one shot.
            self.cuts.break_at(self.last_s + self._video.frame_s)
            self.cuts.break_at(picture.time_s)
        elif picture.time_s - self.last_s > _HOLE_S:
            self.gaps.append(Interval(self.last_s + self._video.frame_s, picture.time_s))
        self._lost = False
        small = small_bgr(picture.frame, *self._size)
        self.cuts.push(picture.time_s, small)
        self.pictures.push(picture.time_s, small)
        new_scene = bool(self.frames) and self.cuts.newest_s > self.frames[-1].time_s
        if picture.time_s >= self._next_sample_s - 1e-6 or new_scene:
            self._sample(picture)
        self.count += 1
        self.last_s = picture.time_s

    def lose(self) -> None:
        """Frames are missing from here on."""
        self._lost = True
        self.pictures.skip()

    def _sample(self, picture: Picture) -> None:
        """Put a frame aside, as a viewer sees it."""
        step_s = 1 / self._settings.sample_fps
        self._next_sample_s = (math.floor(picture.time_s / step_s + 1e-6) + 1) * step_s
        image = shown_bgr(picture.frame, self._video, self._settings.sample_side)
        path = self._frame_dir / f"{round(picture.time_s * 1000):09d}.jpg"
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise disk_error(error, path.parent) from error
        self.frames.append(SampledFrame(picture.time_s, path))


def _small_size(video: VideoInfo) -> tuple[int, int]:
    """Width and height to measure at: the stored picture's shape, about _SMALL_AREA pixels, never tiny."""
    scale = min(1.0, math.sqrt(_SMALL_AREA / (video.coded_width * video.coded_height)))
    return max(16, round(video.coded_width * scale)), max(16, round(video.coded_height * scale))
