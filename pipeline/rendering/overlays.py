"""Pictures that are drawn over a clip in its own encode pass: text never reaches a filter, only its picture does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture with transparency in its place and time.

    picture: a PNG of ours
    digest: hash of its pixels, which stands for the file in keys and arguments
    x, y: of its upper left corner, in pixels of the reel; even, since colour has half the resolution
    first, after: frames of the piece from and up to which it is shown; both may lie outside of the piece
    fade: frames that it takes to appear, and to go again
    """

    picture: Path
    digest: str
    x: int
    y: int
    first: int
    after: int
    fade: int = 0

    def moved(self, frames: int) -> Overlay:
        """The same overlay as seen from `frames` later."""
        return Overlay(self.picture, self.digest, self.x, self.y, self.first - frames, self.after - frames, self.fade)


def within(overlays: Sequence[Overlay], first: int, frames: int) -> tuple[Overlay, ...]:
    """Those that show in the `frames` frames from `first` on, as seen from there."""
    return tuple(o.moved(first) for o in overlays if o.first < first + frames and o.after > first)


def drawn_over(stream: Any, overlays: Sequence[Overlay], frames: int, rate: Fraction, matrix: str) -> Any:
    """An ffmpeg-python stream with overlays on it.

    stream: `frames` frames at `rate`, from time 0 on, 8-bit 4:2:0 in limited range with `matrix`

    Each picture is decoded once and repeated on a clock of its own, on which it fades; of that, what falls into the
    piece is cut out, so that a picture goes on from one piece to the next without a jump.
    """
    fps = f"{rate.numerator}/{rate.denominator}"
    for number, overlay in enumerate(overlays):
        length = overlay.after - overlay.first
        begin, end = max(0, -overlay.first), min(length, frames - overlay.first)
        # One picture may be shown twice; ffmpeg-python would take two equal inputs for one.
        text = ffmpeg.input(overlay.digest, format="png_pipe", protocol_whitelist="file", itsoffset=number, threads=1)
        text = text.video.filter("scale", out_color_matrix=matrix, out_range="tv").filter("format", "yuva420p")
        text = text.filter("loop", loop=length - 1, size=1, start=0)
        text = text.filter("settb", f"{rate.denominator}/{rate.numerator}").filter("setpts", "N")
        fade = min(overlay.fade, length // 2)
        if fade:
            text = text.filter("fade", type="in", start_frame=0, nb_frames=fade, alpha=1)
            text = text.filter("fade", type="out", start_frame=length - fade, nb_frames=fade, alpha=1)
        text = text.filter("trim", start_frame=begin, end_frame=end)
        text = text.filter("setpts", f"PTS-STARTPTS+{max(0, overlay.first)}")
        stream = ffmpeg.filter([stream, text], "overlay", x=overlay.x, y=overlay.y, format="yuv420",
                               eof_action="pass")
    if overlays:
        stream = stream.filter("fps", fps).filter("trim", end_frame=frames)
    return stream
