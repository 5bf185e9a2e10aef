"""What MoviePy composes: the pictures of a crossfade and of the closing card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import Cancelled, FFmpegError, OutputError
from pipeline.media.process import ffmpeg_exe
from pipeline.progress import CancelToken

if TYPE_CHECKING:
    from moviepy import VideoClip

# Lossless RGB; a fast preset, since the file is read once and thrown away. In MOV, whose clock is as fine as the rate.
_CODEC, _PARAMS, _PRESET = "libx264rgb", ["-crf", "0"], "ultrafast"
# ffmpeg's usual conversion to RGB rounds down, so that a crossfade would begin with a step into the dark.
_READ: dict[str, Any] = {"audio": False, "resize_algorithm": "bicubic+accurate_rnd+full_chroma_int"}
# The card's background: out of focus, as a share of the height, so that words stand out.
_BLUR = 0.025
_CARD_FADE_S = 0.6


def crossfade(before: Path, after: Path, frames: int, target: Path, on_progress: Callable[[float], object],
              cancel: CancelToken) -> None:
    """Write `frames` frames in which one clip turns into another.

    before, after: files of that many frames, of one size and rate
    on_progress: called with the share that is done, 0 to 1

    Raises OutputError, FFmpegError, Cancelled.
    """
    with _moviepy(target, cancel) as (keep, write):
        from moviepy import VideoFileClip

        below, above = (keep(VideoFileClip(str(path), **_READ)) for path in (before, after))
        write(_blended(below, above, frames), frames, below.fps, on_progress)


def into_still(before: Path, still: Any, frames: int, target: Path, on_progress: Callable[[float], object],
               cancel: CancelToken) -> None:
    """Write `frames` frames in which a clip turns into a still picture: (h, w, 3) RGB; else as `crossfade`."""
    with _moviepy(target, cancel) as (keep, write):
        from moviepy import ImageClip, VideoFileClip

        below = keep(VideoFileClip(str(before), **_READ))
        write(_blended(below, ImageClip(still), frames), frames, below.fps, on_progress)


def card(still: Any, words: tuple[Any, tuple[int, int]] | None, frames: int, fps: float, fade_s: float,
         target: Path, on_progress: Callable[[float], object], cancel: CancelToken) -> None:
    """Write a closing card: words that appear over a still picture, and all of it fading to black in the end.

    still: (h, w, 3) RGB
    words: (h, w, 4) RGBA with x and y of their upper left corner; None for none
    fade_s: how long the words take to appear

    Raises OutputError, FFmpegError, Cancelled.
    """
    with _moviepy(target, cancel) as (_, write):
        from moviepy import CompositeVideoClip, ImageClip
        from moviepy.video.fx import CrossFadeIn, FadeOut

        length = _length(frames, fps)
        whole = ImageClip(still, duration=length)
        if words:
            text = ImageClip(words[0], duration=length).with_position(words[1])
            whole = CompositeVideoClip([whole, text.with_effects([CrossFadeIn(min(fade_s, length / 3))])],
                                       use_bgclip=True)
        write(whole.with_effects([FadeOut(min(_CARD_FADE_S, length / 3))]), frames, fps, on_progress)


def backdrop(picture: Any, shade: float) -> Any:
    """A card's background from a frame: out of focus and darker. (h, w, 3) RGB in and out."""
    import numpy as np
    from PIL import Image, ImageFilter

    blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(_BLUR * picture.shape[0]))
    return np.asarray(blurred.point(lambda value: round(value * (1 - shade))))


def _length(frames: int, fps: float) -> float:
    """A duration that MoviePy, which cuts to whole frames, takes for `frames` frames."""
    return (frames + 0.5) / fps


def _blended(below: VideoClip, above: VideoClip, frames: int) -> VideoClip:
    """A clip that goes evenly from one to another and is neither in any frame: each shows both.

    MoviePy's own composition by masks rounds down at every step, which shows as a step where the crossfade begins.
    """
    import cv2
    from moviepy import VideoClip

    fps = below.fps

    def mix(t: float) -> Any:
        share = min(1.0, (t * fps + 0.5) / frames)
        return cv2.addWeighted(above.get_frame(t), share, below.get_frame(t), 1 - share, 0)

    return VideoClip(mix, duration=_length(frames, fps))


@contextmanager
def _moviepy(target: Path, cancel: CancelToken) -> Iterator[tuple[Callable[[Any], Any], Callable[..., None]]]:
    """A way to keep clips until the block ends, and one to write them; errors become ours.

    MoviePy's clock runs at the rate that it reads off the files, which is rounded: only the number of frames counts.
    """
    def write(clip: Any, frames: int, fps: float, on_progress: Callable[[float], object]) -> None:
        with ExitStack() as open_:
            open_.callback(clip.close)
            clip.write_videofile(str(target), fps=fps, codec=_CODEC, audio=False, preset=_PRESET,
                                 ffmpeg_params=_PARAMS, logger=_watcher(frames, on_progress, cancel))

    cancel.check()
    with ExitStack() as clips:
        def keep(clip: Any) -> Any:
            clips.callback(_close, clip, clip.reader)
            return clip

        _use_our_ffmpeg()
        try:
            yield keep, write
        except OSError as error:
            # Ctrl-C in a terminal ends MoviePy's processes too.
            cancel.check()
            said = str(error).strip().splitlines()
            if "no space left" in str(error).lower():
                raise OutputError("the disk is full; free some space and try again", str(target.parent)) from error
            raise FFmpegError(f"MoviePy could not compose it; it said: {said[-1][:300] if said else 'nothing'}",
                              None, str(error)) from error
    cancel.check()


def _use_our_ffmpeg() -> None:
    """MoviePy runs the program that it found when it was imported: name the one that everything else runs."""
    from moviepy.video.io import ffmpeg_reader, ffmpeg_writer

    ffmpeg_reader.FFMPEG_BINARY = ffmpeg_writer.FFMPEG_BINARY = ffmpeg_exe()


def _close(clip: Any, reader: Any) -> None:
    """End a clip's process; MoviePy leaves the pipes of one that has ended by itself open."""
    process = reader.proc
    clip.close()
    if process is not None:
        for pipe in (process.stdout, process.stderr):
            pipe.close()
        process.wait()


def _watcher(frames: int, on_progress: Callable[[float], object], cancel: CancelToken) -> Any:
    """What MoviePy tells how far it is: it tells us, and stops where the run is cancelled."""
    from proglog import ProgressBarLogger

    class Watcher(ProgressBarLogger):  # type: ignore[misc]
        def bars_callback(self, bar: str, attr: str, value: Any, old_value: Any = None) -> None:
            if cancel.cancelled:
                raise Cancelled
            if attr == "index":
                on_progress(min(1.0, value / frames))

    return Watcher(min_time_interval=0)
