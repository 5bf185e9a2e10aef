"""Finished reels for the tests of exports: rendered ones, and ones that are only claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from pipeline.export import Material
from pipeline.media.probe import probe
from pipeline.plan import Plan, PlanVideo
from pipeline.settings import Settings
from pipeline.types import Caption, Clip, HeaderClaims, Placed, Reel, ScoredSegment, VideoInfo
from tests.numbered import QUICK, render

NASTY = ('=cmd|"x"!A1, <script>alert(1)</script> & "quotes" \'n\' --> 100 %\n\n\nsecond {\\an8} line \U0001f3ac\x00\x1b'
         ' </style>]]>\ud800')


def clip(start_s: float, end_s: float, description: str = "", score: float | None = 0.5, reason: str = "") -> Clip:
    """A clip with words."""
    return Clip(start_s, end_s, score, description, reason)


def claimed_video(path: Path = Path("/x/a.mp4"), *, fps: float = 25.0, duration_s: float = 60.0,
                  variable: bool = False, audio: bool = True) -> VideoInfo:
    """A video that isn't there."""
    return VideoInfo(
        path=path, sha256="0" * 64, size_bytes=1, container="mov", video_stream=0, audio_stream=1 if audio else None,
        codec="h264", pixel_format="yuv420p", origin_s=0, container_start_s=0, duration_s=duration_s, fps=fps,
        frame_count=max(1, round(duration_s * fps)), variable_fps=variable, coded_width=64, coded_height=48, width=64,
        height=48, rotation_deg=0, mirrored=False, sample_aspect=1, bit_depth=8, transfer="sdr",
        header=HeaderClaims(None, None, None))


def in_a_row(clips: Sequence[Clip], crossfade_s: float = 0.0, lead_s: float = 0.0) -> tuple[Placed, ...]:
    """Clips one after another, overlapping where they crossfade."""
    found, at = [], lead_s
    for one in clips:
        found.append(Placed(one, at, at + one.interval.duration_s))
        at = found[-1].end_s - crossfade_s
    return tuple(found)


def material_of(video: VideoInfo, reel: Reel, folder: Path, captions: Sequence[Caption] = ()) -> Material:
    """What exporters are given, with scenes, segments and a curve."""
    clips = tuple(place.clip for place in reel.placed)
    segments = tuple(ScoredSegment(c.start_s, c.end_s, c.score or 0.0, {"motion": 0.75, "vlm": 0.25}, c.description)
                     for c in sorted(clips, key=lambda c: c.start_s))
    plan = Plan(PlanVideo(str(video.path)), clips, segments=segments, curve=(0.1, 0.9, 0.4, 0.2))
    return Material(plan, video, reel, tuple(captions), folder)


def rendered(source: Path, clips: Sequence[Clip], folder: Path, settings: Settings = QUICK,
             captions: Sequence[Caption] = ()) -> Material:
    """A reel that was really rendered, into `folder`/out."""
    reel = render(source, clips, folder, settings)
    return material_of(probe(source), reel, reel.path.parent, captions)


def claimed(video: VideoInfo, clips: Sequence[Clip], folder: Path, captions: Sequence[Caption] = (),
            crossfade_s: float = 0.0) -> Material:
    """A reel that isn't there, at the video's own rate."""
    placed = in_a_row(clips, crossfade_s)
    reel = Reel(folder / "reel.mp4", placed[-1].end_s, 64, 48, float(Fraction(video.fps)), "encode", "libx264", placed)
    return material_of(video, reel, folder, captions)


def named(material: Material, text: str) -> Material:
    """The same with every clip described and explained by `text`."""
    def other(one: Clip) -> Clip:
        return replace(one, description=text, reason=text)

    placed = tuple(replace(place, clip=other(place.clip)) for place in material.reel.placed)
    return material_of(material.video, replace(material.reel, placed=placed), material.folder, material.captions)
