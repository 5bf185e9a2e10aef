"""Joins encoded clips to one MP4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av

from pipeline.errors import FFmpegError
from pipeline.media.files import appearing, working_file
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rendering.graph import concat_list, join_args
from pipeline.rendering.music import Bed


def join_clips(clips: Sequence[Path], counts: Sequence[int], rate: Fraction, target: Path, *, sound: bool,
               audio_kbps: int, bed: Bed | None = None, on_progress: Callable[[float], object], cancel: CancelToken,
               check: Callable[[Path], object] = lambda part: None) -> None:
    """Join clip files, all in one folder, to `target`, which appears only when it is whole.

    counts: frames of each clip
    sound: whether the clips have sound
    bed: music to play under it; None for none
    on_progress: called with the share that is done, 0 to 1
    check: called with the joined file before it gets its name; what it raises is raised, and no file appears

    Raises OutputError, FFmpegError, Cancelled.
    """
    total_s = float(sum(counts) / rate)
    with appearing(target) as part, working_file(clips[0].parent, ".ffconcat") as listing:
        # The clips' names say no folder: FFmpeg looks for them beside the list.
        listing.write_text(concat_list([clip.name for clip in clips], counts, rate), encoding="utf-8")
        run_ffmpeg(join_args(input_url(listing), input_url(part), sound, audio_kbps, *([bed] if bed else [])),
                   cancel=cancel,
                   timeout_s=600 + 10 * total_s, subject=target.name, output=target.parent,
                   on_progress=lambda done_s: on_progress(min(1.0, done_s / total_s)))
        _check(part, sum(counts), target)
        check(part)


def _check(part: Path, frames: int, target: Path) -> None:
    """Raise FFmpegError where the joined file doesn't hold every frame: better no reel than a short one."""
    try:
        with av.open(str(part), options={"protocol_whitelist": "file"}) as container:
            found = container.streams.video[0].frames
    except av.error.FFmpegError as error:
        raise FFmpegError("the joined reel can't be opened; report this with the log", target.name) from error
    if found != frames:
        raise FFmpegError(f"the joined reel has {found} of {frames} frames; report this with the log", target.name)
