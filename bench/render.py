"""What rendering a reel costs: MoviePy and one ffmpeg graph beside our ways, on this machine, in one run.

    python -m bench.render                       # two minutes of generated 1080p video
    python -m bench.render --video match.mp4 --runs 3

Every way makes a reel of the same five clips of 5 to 7 s. Ours are measured as `rendering.reel.render_reel`, with the
video measured beforehand, as it is when a page or a run gets to rendering:

  moviepy   subclips, concatenate_videoclips and write_videofile, with libx264 (veryfast) and AAC
  graph     one ffmpeg, as such graphs are mostly written: trim, atrim and concat over the whole file, libx264
            (veryfast, rate factor 20) and AAC
  encode    ours, exact to the frame, with an empty clip folder
  auto      ours, copying where it can, with an empty clip folder
  copy      ours, copying from keyframe to keyframe
  again     ours, encoded, after one of the clips was taken out; those that stay are found in the clip folder
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.reporting import paired_ratio, table
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import CancelToken, silent
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Clip, VideoInfo

SAMPLE = Path(__file__).parent.parent / "assets" / "sample.mp4"
WAYS = ("moviepy", "graph", "encode", "auto", "copy", "again")
# Where the clips lie, as shares of the video, and their lengths; no bound lies on a keyframe.
CLIPS = ((0.06, 5.1), (0.24, 5.5), (0.46, 6.0), (0.67, 6.5), (0.88, 7.0))
CRF, PRESET, AUDIO_KBPS = 20, "veryfast", 160


@dataclass(slots=True)
class Measured:
    """Runs of one way.

    seconds: that each took
    size_bytes: of the reel
    note: what was made
    """

    seconds: list[float] = field(default_factory=list)
    size_bytes: int = 0
    note: str = ""


def generated_video(path: Path, seconds: float) -> Path:
    """The sample video over and over, as a camera would have written it: 1080p30, with grain, a keyframe every 2 s."""
    picture = "scale=1920:1080:flags=bicubic,fps=30,noise=alls=6:allf=t,format=yuv420p"
    run_ffmpeg(["-y", "-stream_loop", "-1", "-i", input_url(SAMPLE), "-t", f"{seconds}", "-vf", picture,
                "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-g", "60", "-sc_threshold", "0",
                # Where the sample starts again its sound has a gap, which a camera's doesn't.
                "-af", "aresample=async=1:first_pts=0", "-c:a", "aac", "-b:a", "160k", input_url(path)],
               cancel=CancelToken(), timeout_s=3600)
    return path


def five_clips(video: VideoInfo) -> tuple[Clip, ...]:
    """What every way puts into its reel."""
    starts = [(share * video.duration_s, length_s) for share, length_s in CLIPS]
    return tuple(Clip(start_s, min(start_s + length_s, video.duration_s), None, "", "") for start_s, length_s in starts)


def moviepy(video: VideoInfo, clips: Sequence[Clip], target: Path) -> str:
    """MoviePy's way."""
    from moviepy import VideoFileClip, concatenate_videoclips

    with VideoFileClip(str(video.path)) as source:
        parts = [source.subclipped(clip.start_s, clip.end_s) for clip in clips]
        reel = concatenate_videoclips(parts)
        reel.write_videofile(str(target), codec="libx264", preset=PRESET, audio_codec="aac", logger=None,
                             temp_audiofile_path=str(target.parent))
        reel.close()
    return ""


def graph(video: VideoInfo, clips: Sequence[Clip], target: Path) -> str:
    """One ffmpeg that decodes the file from its start."""
    lines, joined = [], ""
    for number, clip in enumerate(clips):
        bounds = f"{clip.start_s:.3f}:{clip.end_s:.3f}"
        lines.append(f"[0:v]trim={bounds},setpts=PTS-STARTPTS[v{number}]")
        joined += f"[v{number}]"
        if video.has_audio:
            lines.append(f"[0:a]atrim={bounds},asetpts=PTS-STARTPTS[a{number}]")
            joined += f"[a{number}]"
    lines.append(f"{joined}concat=n={len(clips)}:v=1:a={int(video.has_audio)}[v]{'[a]' if video.has_audio else ''}")
    sound = ["-map", "[a]", "-c:a", "aac", "-b:a", f"{AUDIO_KBPS}k"] if video.has_audio else []
    run_ffmpeg(["-y", "-i", input_url(video.path), "-filter_complex", ";".join(lines), "-map", "[v]", *sound,
                "-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF), "-movflags", "+faststart", input_url(target)],
               cancel=CancelToken(), timeout_s=3600)
    return ""


def ours(video: VideoInfo, clips: Sequence[Clip], target: Path, clip_dir: Path, way: str, encoder: str) -> str:
    """Our way, by the name that settings have for it."""
    settings = Settings(render=way, encoder=encoder, crf=CRF, preset=PRESET, audio_kbps=AUDIO_KBPS)
    order = Order(video, Plan(PlanVideo(str(video.path), video.sha256), tuple(clips)), (), target, settings, clip_dir)
    reel = render_reel(order, silent, CancelToken())
    made = f", {reel.clips_encoded} clips made and {reel.clips_reused} found" if reel.way != "copy" else ""
    return f"{reel.way}{f' by {reel.encoder}' if reel.encoder else ''}{made}"


def runs(video: VideoInfo, clips: Sequence[Clip], encoder: str) -> dict[str, Callable[[Path], str]]:
    """What each way does in a folder of its own."""
    def again(folder: Path) -> str:
        return ours(video, [*clips[:2], *clips[3:]], folder / "reel.mp4", folder / "clips", "encode", encoder)

    def ours_by(way: str) -> Callable[[Path], str]:
        return lambda folder: ours(video, clips, folder / "reel.mp4", folder / "clips", way, encoder)

    return {"moviepy": lambda folder: moviepy(video, clips, folder / "reel.mp4"),
            "graph": lambda folder: graph(video, clips, folder / "reel.mp4"),
            "encode": ours_by("encode"), "auto": ours_by("auto"), "copy": ours_by("copy"), "again": again}


def measured(video: VideoInfo, ways: Sequence[str], rounds: int, encoder: str) -> dict[str, Measured]:
    """Every way as often as asked for; by turns, so that what else the machine does meets all alike."""
    clips = five_clips(video)
    doing = runs(video, clips, encoder)
    found = {way: Measured() for way in ways}
    for _ in range(rounds):
        for way in ways:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                if way == "again":
                    ours(video, clips, folder / "first.mp4", folder / "clips", "encode", encoder)
                began = time.perf_counter()
                note = doing[way](folder)
                found[way].seconds.append(time.perf_counter() - began)
                found[way].size_bytes, found[way].note = (folder / "reel.mp4").stat().st_size, note
    return found


def report(video: VideoInfo, found: dict[str, Measured]) -> None:
    """Prints a line for each way."""
    first = next(iter(found))
    print(f"{len(CLIPS)} clips of {video.duration_s:.0f} s of {video.width}x{video.height} {video.codec} at "
          f"{video.fps:.5g} frames a second, {video.size_bytes / 1e6:.0f} MB, on {os.cpu_count()} cores; "
          f"medians of {len(found[first].seconds)}")
    rows = [["way", "seconds", f"faster than {first}", "MB", "what was made"]]
    for way, result in found.items():
        faster = paired_ratio(found[first].seconds, result.seconds)
        rows.append([way, f"{statistics.median(result.seconds):.2f}", f"{faster:.1f} x",
                     f"{result.size_bytes / 1e6:.1f}", result.note])
    print(table(rows, words=(0, 4)))


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, help="generated where none is given")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the generated video")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--encoder", default="x264", help="as in Settings.encoder; the others have libx264")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.video or generated_video(Path(folder) / "generated.mp4", options.seconds)
        video = probe(path)
        report(video, measured(video, options.ways, options.runs, options.encoder))


if __name__ == "__main__":
    main()
