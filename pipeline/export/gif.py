"""preview.gif: a few seconds of the best clips, small enough for a chat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.placing import Window, windows
from pipeline.media.files import appearing
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken

FILE_NAME = "preview.gif"
MAX_BYTES = 5_000_000
_LENGTH_S = 6.0
_PIECE_S = 1.2
_SHORTEST_S = 0.25


@dataclass(frozen=True, slots=True)
class Size:
    """How large a preview is: pixels of the longer side, frames a second, colours."""

    side: int
    fps: int
    colours: int


# Each about two thirds of the bytes of the one before; noisy pictures need the later ones.
SIZES = (Size(480, 12, 256), Size(400, 12, 192), Size(360, 10, 128), Size(280, 10, 96), Size(200, 8, 64),
         Size(160, 6, 32))


def export_gif(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write preview.gif, in the best size that stays under 5 MB.

    Raises OutputError, FFmpegError, Cancelled.
    """
    path = material.folder / FILE_NAME
    pieces = pieces_of(windows(material.reel.placed))
    with appearing(path) as part:
        for size in SIZES:
            run_ffmpeg(gif_args(pieces, size, input_url(material.reel.path), input_url(part)), cancel=cancel,
                       timeout_s=900, subject=material.reel.path.name, output=material.folder)
            if part.stat().st_size <= MAX_BYTES:
                break
    return [path]


def pieces_of(shown: Sequence[Window]) -> list[tuple[float, float]]:
    """Start and length of what is taken, in seconds of the reel and in its order: the middles of its best clips.

    Clips that a person put in count as the best. A reel of few clips gives longer pieces of each.
    """
    most = round(_LENGTH_S / _PIECE_S)
    ranked = sorted(range(len(shown)), key=lambda i: (-_worth(shown[i]), i))[:most]
    piece_s = _LENGTH_S / len(ranked)
    taken = []
    for i in sorted(ranked):
        length_s = min(piece_s, shown[i].end_s - shown[i].start_s)
        taken.append((shown[i].middle_s - length_s / 2, length_s))
    return [(start_s, length_s) for start_s, length_s in taken if length_s > 0]


def _worth(window: Window) -> float:
    return 1.0 if window.clip.score is None else window.clip.score


def gif_args(pieces: Sequence[tuple[float, float]], size: Size, source: str, target: str) -> list[str]:
    """ffmpeg's arguments for a preview that loops.

    One palette serves the whole, made of what changes between frames, and ordered dithering holds still where the
    picture does, so that what stays is not stored again.
    """
    inputs: list[str] = []
    for start_s, length_s in pieces:
        # A hair earlier, so that a rounded time doesn't pass over a clip's only frame.
        inputs += ["-protocol_whitelist", "file", "-ss", f"{max(0.0, start_s - 0.001):.6f}", "-t", f"{length_s:.6f}",
                   "-i", source]
    scale = f"scale='if(gte(iw,ih),min({size.side},iw),-2)':'if(gte(iw,ih),-2,min({size.side},ih))':flags=lanczos"
    # A clip of one frame is too short to be one of the preview's unless it stays for a moment.
    stays = [f"tpad=stop_mode=clone:stop_duration={max(0.0, _SHORTEST_S - length_s):.6f}" for _, length_s in pieces]
    heads = "".join(f"[{i}:v:0]{stay},fps={size.fps},{scale},setsar=1,setpts=PTS-STARTPTS[p{i}];"
                    for i, stay in enumerate(stays))
    joined = "".join(f"[p{i}]" for i in range(len(pieces)))
    graph = (f"{heads}{joined}concat=n={len(pieces)}:v=1:a=0,split[a][b];"
             f"[a]palettegen=max_colors={size.colours}:stats_mode=diff[palette];"
             "[b][palette]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle[out]")
    return ["-y", *inputs, "-filter_complex", graph, "-map", "[out]", "-loop", "0", "-f", "gif", target]
