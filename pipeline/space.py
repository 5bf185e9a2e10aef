"""How much room a run will take, told before its long part begins rather than when the disk is full."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import OutputError
from pipeline.settings import Settings
from pipeline.types import VideoInfo

# A pixel of a frame put aside takes 0.1 (drawn) to 0.35 (grainy) bytes as JPEG; features of one a tenth of a megabyte
# at most, and only where a model looks.
_FRAME_BYTES_A_PIXEL = 0.2
_FEATURES_BYTES = 40_000
# Seconds of signals, scores and the like.
_FACTS_BYTES_A_S = 2_000
# Bits of an encoded pixel; what the source is coded in tells more where it is less.
_BITS_A_PIXEL = 0.12
_OVER_SOURCE = 1.5
# Of a reel's size: clips that are kept, what a styled one composes on the way, and exports that hold the reel again
# (chapters only while they are set into it).
_STYLED = 2.0
_EXPORTS = {"clips": 1.0, "html": 1.4, "chapters": 1.0}
_SMALL_EXPORT_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a run will write: to the cache, and to the folder for results."""

    cache_bytes: int
    out_bytes: int


def needs(video: VideoInfo, settings: Settings, *, reel_s: float | None = None, scanned: bool = False) -> Needs:
    """What a run over `video` will most likely write; pure.

    reel_s: length of the reel; as far as the settings tell where None, and 0 for none
    scanned: whether the video's scan is kept already
    """
    if reel_s is None:
        reel_s = min(settings.target_s, video.duration_s)
    kept = 0.0
    if not scanned:
        scale = min(1.0, settings.sample_side / max(video.width, video.height))
        frame = _FRAME_BYTES_A_PIXEL * video.width * video.height * scale ** 2
        features = 0 if settings.scorer == "signals" else _FEATURES_BYTES
        kept = video.duration_s * (settings.sample_fps * (frame + features) + _FACTS_BYTES_A_S)
    reel = reel_s * _reel_rate(video, settings)
    clips = {"copy": 0.0, "styled": _STYLED}.get(settings.render, 1.0) * reel
    exports = sum(_EXPORTS.get(name, 0.0) * reel + _SMALL_EXPORT_BYTES for name in settings.export if reel_s)
    return Needs(round(kept + clips), round(reel + exports))


def check_room(wanted: Needs, cache: Path, out: Path | None, make_room: Callable[[int], object],
               free_of: Callable[[Path], int] | None = None) -> None:
    """Raise OutputError where there is no room for what a run will write.

    cache, out: folders, which need not be there yet; None where no reel is made
    make_room: asked to take so many bytes away from the cache before the run is refused
    free_of: bytes that are free on the disk that holds a folder; what the system says where None
    """
    free_of = free_of or _free_bytes
    both = out is not None and _device(out) == _device(cache)
    here = wanted.cache_bytes + (wanted.out_bytes if both else 0)
    if here > free_of(cache):
        make_room(here - free_of(cache))
        if here > (free := free_of(cache)):
            raise _too_little(here, free, out if both and out is not None else cache,
                              "free some space there, or choose other folders with -o and --cache-dir" if both else
                              "free some space there, or choose another cache with --cache-dir")
    if out is not None and not both and wanted.out_bytes > (free := free_of(out)):
        raise _too_little(wanted.out_bytes, free, out, "free some space there, or choose another folder with -o")


def size_words(count: float) -> str:
    """Bytes for people, such as "3.4 GB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit in ("bytes", "kB") or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _reel_rate(video: VideoInfo, settings: Settings) -> float:
    """Bytes a second of a reel."""
    source = video.size_bytes / max(video.duration_s, 0.04)
    if settings.render == "copy":
        return source
    pixels = video.coded_width * video.coded_height * min(video.fps, settings.max_fps)
    # Six steps of x264's quality halve or double what it takes.
    encoded = pixels * _BITS_A_PIXEL / 8 * 2 ** ((20 - settings.crf) / 6)
    return min(encoded, _OVER_SOURCE * source) + settings.audio_kbps * 125


def _too_little(wanted: int, free: int, folder: Path, instead: str) -> OutputError:
    return OutputError(f"too little room: about {size_words(wanted)} are needed, and {size_words(free)} are free; "
                       f"{instead}", str(folder))


def _free_bytes(folder: Path) -> int:
    """What this user may still write to the disk that holds a folder."""
    try:
        return shutil.disk_usage(_standing(folder)).free
    except OSError:
        # Where that can't be told, writing will.
        return 1 << 62


def _device(folder: Path) -> int:
    """The disk that holds a folder."""
    try:
        return os.stat(_standing(folder)).st_dev
    except OSError:
        return -1


def _standing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
