"""Reels of another shape than their source: sizes, choices, and what is in the picture, frame by frame."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipeline.media.probe import probe
from pipeline.media.process import ffmpeg_filters, input_url, run_ffmpeg
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import CancelToken, silent
from pipeline.rendering.encode import clip_jobs
from pipeline.rendering.follow import Piece, position
from pipeline.rendering.framing import Bars, Window, canvas, expression, frame_of, keeps_shape
from pipeline.rendering.graph import clip_args, slot_at
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.runner import Analysis, choose
from pipeline.scan import scan
from pipeline.settings import ASPECTS, Settings
from pipeline.types import Clip, Focus, HeaderClaims, Reel, Scene, Scored, ScoredSegment, ScorerInfo, VideoInfo
from tests.making import textured, write_video

Picture = npt.NDArray[np.uint8]
SIZE = (320, 180)
SHAPES = [aspect for aspect in ASPECTS if aspect != "source"]


# ---------------------------------------------------------------- sources and how reels are read

def scene(x: float, y: float, side: int = 30, seed: int = 5, size: tuple[int, int] = SIZE) -> Picture:
    """A dim, textured picture with a bright square whose middle is at shares of width and height."""
    picture = (textured(seed, *size) // 3 + 20).astype(np.uint8)
    left, top = round(x * size[0] - side / 2), round(y * size[1] - side / 2)
    picture[max(0, top):top + side, max(0, left):left + side] = 245
    return picture


def wobbling(x: float, y: float, i: int, side: int = 30, size: tuple[int, int] = SIZE) -> Picture:
    """A scene whose square trembles about its place."""
    return scene(x + 0.02 * np.sin(i), y + 0.03 * np.cos(i), side, size=size)


def film(path: Path, draw: Callable[[int], Picture], seconds: float = 4.0, **how: Any) -> Path:
    """A video of drawn frames."""
    return write_video(path, draw, int(seconds * 25), options={"preset": "ultrafast", "crf": "18"}, **how)


def planned(path: Path, tmp_path: Path, clips: Sequence[Clip]) -> tuple[VideoInfo, Plan]:
    """The plan of a video that was really scanned, with clips of our own."""
    video = probe(path)
    frames = tmp_path / "frames"
    frames.mkdir(exist_ok=True)
    found = scan(video, Settings(), frames, silent, CancelToken())
    whole = ScoredSegment(0, found.duration_s, 0.5, {}, "")
    scored = Scored((whole,), np.full(len(found.signals), 0.5), ScorerInfo("signals"))
    plan = choose(Analysis(video, found, scored), Settings(target_s=1))
    return video, dataclasses.replace(plan, clips=tuple(clips))


def rendered(video: VideoInfo, plan: Plan, tmp_path: Path, aspect: str, framing: str = "auto") -> Reel:
    """A reel of the plan in another shape."""
    settings = Settings(render="encode", preset="ultrafast", crf=18, aspect=aspect, framing=framing)
    return render_reel(Order(video, plan, (), tmp_path / "out" / "reel.mp4", settings, tmp_path / "clips"), silent,
                       CancelToken())


def reshaped(path: Path, tmp_path: Path, aspect: str, framing: str = "auto",
             clip: tuple[float, float] = (0.02, 3.98)) -> tuple[Reel, list[Picture]]:
    """A one-clip reel and its frames in grey."""
    video, plan = planned(path, tmp_path, [Clip(*clip, None, "", "")])
    reel = rendered(video, plan, tmp_path, aspect, framing)
    return reel, pictures_of(reel.path)


def pictures_of(path: Path) -> list[Picture]:
    """All frames in grey."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def square_in(picture: Picture) -> tuple[float, float, int]:
    """Middle, in shares, and pixels of the bright square."""
    rows, columns = np.nonzero(picture > 185)
    if not len(rows):
        return 0.5, 0.5, 0
    return float(columns.mean() / picture.shape[1]), float(rows.mean() / picture.shape[0]), len(rows)


def jumps(pictures: Sequence[Picture]) -> npt.NDArray[np.float64]:
    """Mean change between neighbouring frames."""
    return np.array([np.abs(a.astype(int) - b).mean() for a, b in itertools.pairwise(pictures)])


@functools.cache
def video_of(width: int = 1920, height: int = 1080, rotation_deg: int = 0, sample_aspect: float = 1.0) -> VideoInfo:
    """A video of which only the measures matter; width and height are as stored."""
    shown = (round(width * sample_aspect), height)
    shown = shown[::-1] if rotation_deg in (90, 270) else shown
    return VideoInfo(
        path=Path("/x/a.mp4"), sha256="0" * 64, size_bytes=1, container="mov", video_stream=0, audio_stream=None,
        codec="h264", pixel_format="yuv420p", origin_s=0, container_start_s=0, duration_s=10, fps=25, frame_count=250,
        variable_fps=False, coded_width=width, coded_height=height, width=shown[0], height=shown[1],
        rotation_deg=rotation_deg, mirrored=False, sample_aspect=sample_aspect, bit_depth=8, transfer="sdr",
        header=HeaderClaims(None, None, None))


def focus_at(*boxes: tuple[float, float, float, float], weight: float = 1.0) -> Focus:
    """A focus track of twenty seconds; the last box stays."""
    return Focus(0.5, (*boxes, *[boxes[-1]] * (40 - len(boxes))), (weight,) * 40)


CLIP = Clip(1.0, 7.0, None, "", "")


# ---------------------------------------------------------------- sizes and choices, without media

@pytest.mark.parametrize(("size", "aspect", "shown"), [
    ((1920, 1080), "9:16", (1080, 1920)), ((640, 360), "9:16", (360, 640)), ((3840, 2160), "9:16", (1080, 1920)),
    ((1920, 1080), "1:1", (1080, 1080)), ((1920, 1080), "4:5", (1080, 1350)), ((1080, 1920), "16:9", (1920, 1080)),
    ((1080, 1920), "4:5", (1080, 1350)), ((640, 272), "16:9", (484, 272)), ((16, 16), "9:16", (16, 28)),
    ((321, 241), "1:1", (240, 240)), ((500, 500), "16:9", (888, 500)), ((2, 2), "16:9", (4, 2)),
])
def test_canvas(size: tuple[int, int], aspect: str, shown: tuple[int, int]) -> None:
    assert canvas(video_of(*size), aspect) == shown


def test_a_shape_that_is_there_already_is_kept() -> None:
    assert keeps_shape(video_of(1920, 1080), "16:9") and keeps_shape(video_of(854, 480), "16:9")
    assert keeps_shape(video_of(1920, 1080), "source") and keeps_shape(video_of(1920, 1080, 90), "9:16")
    assert keeps_shape(video_of(720, 576, 0, 64 / 45), "16:9") and not keeps_shape(video_of(720, 576), "16:9")
    assert frame_of(video_of(), CLIP, (), focus_at((0.9, 0.5, 0.1, 0.1)), "16:9", "bars") is None


@pytest.mark.parametrize("aspect", SHAPES)
@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (720, 720), (16, 16), (321, 241), (4000, 60)])
@pytest.mark.parametrize("framing", ["auto", "crop", "bars"])
def test_every_shape_fits_every_source(size: tuple[int, int], aspect: str, framing: str) -> None:
    video = video_of(*size)
    width, height = canvas(video, aspect)
    assert width % 2 == height % 2 == 0
    frame = frame_of(video, CLIP, (2.02,), focus_at((0.1, 0.9, 0.2, 0.2), (0.9, 0.1, 0.2, 0.2)), aspect, framing)
    if keeps_shape(video, aspect):
        assert frame is None
    elif isinstance(frame, Bars):
        assert framing != "crop" and 2 <= frame.size[0] <= width and 2 <= frame.size[1] <= height
        assert frame.size[0] == width or frame.size[1] == height
    else:
        assert isinstance(frame, Window) and framing != "bars"
        assert frame.size[0] == size[0] or frame.size[1] == size[1]
        side = frame.size[0] / size[0] if frame.across else frame.size[1] / size[1]
        for time_s in np.arange(0, 6, 0.04):
            assert side / 2 - 0.07 <= position(frame.path, time_s) <= 1 - side / 2 + 0.07


def test_turned_and_squeezed_sources_are_cut_in_stored_pixels() -> None:
    phone = frame_of(video_of(1920, 1080, 90), CLIP, (), None, "1:1", "crop")
    assert isinstance(phone, Window) and phone.picture == (1080, 1920) and phone.size == (1080, 1080)
    assert not phone.across
    wide = frame_of(video_of(720, 576, 0, 64 / 45), CLIP, (), None, "1:1", "crop")
    assert isinstance(wide, Window) and wide.picture == (720, 576) and wide.size == (404, 576)


def test_nothing_known_is_the_middle_or_where_heads_are() -> None:
    across = frame_of(video_of(1920, 1080), CLIP, (), None, "9:16", "auto")
    assert isinstance(across, Window) and [piece.at for piece in across.path] == [0.5]
    down = frame_of(video_of(1080, 1920), CLIP, (), None, "16:9", "auto")
    assert isinstance(down, Window) and [piece.at for piece in down.path] == [pytest.approx(1 / 3)]
    late = frame_of(video_of(), Clip(30, 35, None, "", ""), (), focus_at((0.9, 0.5, 0.1, 0.1)), "9:16", "auto")
    assert isinstance(late, Window) and [piece.at for piece in late.path] == [0.5]


def test_heads_are_kept() -> None:
    tall = frame_of(video_of(1080, 1920), CLIP, (), focus_at((0.5, 0.55, 0.3, 0.5)), "16:9", "crop")
    assert isinstance(tall, Window) and tall.path[0].at < 0.5


def test_bars_where_the_action_is_too_wide_and_stays_so() -> None:
    video, wide, narrow = video_of(), (0.5, 0.5, 0.85, 0.3), (0.3, 0.5, 0.2, 0.3)
    assert isinstance(frame_of(video, CLIP, (), focus_at(wide), "9:16", "auto"), Bars)
    assert isinstance(frame_of(video, CLIP, (), focus_at(wide), "9:16", "crop"), Window)
    assert isinstance(frame_of(video, CLIP, (), focus_at(narrow), "9:16", "auto"), Window)
    assert isinstance(frame_of(video, CLIP, (), focus_at(*[narrow] * 5, *[wide] * 2, narrow), "9:16", "auto"), Window)
    assert isinstance(frame_of(video, CLIP, (), focus_at(narrow), "9:16", "bars"), Bars)


def test_bars_where_the_action_is_too_fast_to_follow() -> None:
    sides = [(0.1 if i // 3 % 2 else 0.9, 0.5, 0.1, 0.2) for i in range(40)]
    assert isinstance(frame_of(video_of(), CLIP, (), focus_at(*sides), "9:16", "auto"), Bars)


def test_the_window_jumps_with_the_frame_that_cuts() -> None:
    video = video_of()
    plan = Plan(PlanVideo("/x/a.mp4"), (CLIP,), scenes=(Scene(0, 4.0), Scene(4.0, 10.0)),
                focus=focus_at(*[(0.2, 0.5, 0.1, 0.2)] * 8, (0.8, 0.5, 0.1, 0.2)))
    cut_s = float((slot_at(3.0, Fraction(25)) - Fraction(1, 2)) / 25)
    frame = frame_of(video, CLIP, (cut_s,), plan.focus, "9:16", "auto")
    assert isinstance(frame, Window) and len(frame.path) == 2
    assert position(frame.path, 74 / 25) == pytest.approx(0.2) and position(frame.path, 75 / 25) == pytest.approx(0.8)


def test_slots() -> None:
    assert [slot_at(t, Fraction(25)) for t in (3.0, 3.02, 3.036, 2.9999)] == [75, 75, 76, 75]


def test_expressions_say_what_paths_do() -> None:
    path = tuple(Piece(float(i), 0.1 * i, 0.05 * (i % 2), 0.01 * (i % 3)) for i in range(7))

    def when(test: bool, yes: float, no: float) -> float:
        return yes if test else no

    text = expression(path, 1000, -20).replace("if(", "when(")
    for time_s in np.arange(0, 7, 0.25):
        found = eval(text, {"when": when, "lt": lambda a, b: a < b, "t": time_s})
        assert found == pytest.approx(1000 * position(path, time_s) - 20, abs=0.01)
    assert expression(path[:1], 1000, 0) == "0.000"


def test_source_shape_asks_ffmpeg_for_nothing_new(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda i: scene(0.5, 0.5), 0.4)
    jobs = [clip_jobs(probe(path), [Clip(0, 0.3, None, "", "")], Settings(aspect=aspect))[0]
            for aspect in ("source", "16:9", "1:1")]
    first, same, other = (" ".join(clip_args(job, "file:a", "file:b")) for job in jobs)
    assert first == same and "crop" not in first and "crop" in other
    assert jobs[0].frame is None and jobs[2].frame is not None


@pytest.mark.parametrize(("aspect", "ways"), [("source", {"copy", "mixed"}), ("16:9", {"copy", "mixed"}),
                                              ("1:1", {"encode"})])
def test_a_shape_that_is_there_already_needs_no_encoding(tmp_path: Path, aspect: str, ways: set[str]) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(0.5, 0.5)] * 75, options={"g": "5", "bf": "0"})
    plan = Plan(PlanVideo(str(path)), (Clip(0.98, 1.98, None, "", ""),))
    order = Order(probe(path), plan, (), tmp_path / "out" / "reel.mp4", Settings(aspect=aspect), tmp_path / "clips")
    assert render_reel(order, silent, CancelToken()).way in ways


# ---------------------------------------------------------------- what is in the reel, pixel by pixel

@pytest.mark.parametrize("x", [0.12, 0.5, 0.86])
def test_what_moves_at_one_place_stays_in_a_window_that_stands(tmp_path: Path, x: float) -> None:
    reel, pictures = reshaped(film(tmp_path / "a.mp4", lambda i: wobbling(x, 0.5, i)), tmp_path, "9:16")
    assert (reel.width, reel.height, len(pictures)) == (180, 320, 99)
    whole = 30 * 30 * (320 / 180) ** 2
    assert all(square_in(picture)[2] > 0.93 * whole for picture in pictures)
    # Nothing but the square and what it covers changes: the window is perfectly still.
    still = np.std(np.stack(pictures)[:, :90].astype(float), axis=0)
    assert still.mean() < 1.0


def test_what_crosses_the_picture_stays_in_the_window(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda i: scene(0.1 + 0.8 * i / 150, 0.5), 6.0)
    _, pictures = reshaped(path, tmp_path, "9:16", clip=(0.02, 5.98))
    found = [square_in(picture) for picture in pictures]
    whole = 30 * 30 * (320 / 180) ** 2
    assert all(size > 0.93 * whole for _, _, size in found)
    # The window goes with it, so that it hardly moves in the reel, least of all by fits and starts.
    middle = np.array([x for x, _, _ in found])
    assert np.abs(np.diff(middle)).max() < 0.03 and np.abs(np.diff(middle, 2)).max() < 0.02


def test_what_stands_out_is_kept_where_nothing_moves(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda i: scene(0.78, 0.5), 2.0)
    _, pictures = reshaped(path, tmp_path, "9:16", "crop", (0.02, 1.98))
    assert all(square_in(picture)[2] > 0.93 * 30 * 30 * (320 / 180) ** 2 for picture in pictures)
    assert jumps(pictures).max() < 1.0


def test_two_at_the_far_ends_get_bars(tmp_path: Path) -> None:
    def draw(i: int) -> Picture:
        return np.maximum(wobbling(0.1, 0.5, i), wobbling(0.9, 0.5, i + 2))

    reel, pictures = reshaped(film(tmp_path / "a.mp4", draw), tmp_path, "9:16")
    assert (reel.width, reel.height) == (180, 320)
    for picture in pictures[::10]:
        rows, columns = np.nonzero(picture > 185)
        # Both are there, in the middle, at the size of the whole picture.
        assert columns.min() < 0.15 * 180 and columns.max() > 0.85 * 180
        assert rows.min() > 110 and rows.max() < 210
        assert picture[:100].max() < 150 and picture[-100:].max() < 150 and picture[:100].mean() > 18


def test_a_pan_does_not_pull_the_window(tmp_path: Path) -> None:
    wide = np.concatenate([textured(seed, *SIZE) for seed in range(3)], axis=1) // 2 + 30
    video, plan = planned(film(tmp_path / "a.mp4", lambda i: np.ascontiguousarray(wide[:, 3 * i:3 * i + 320])),
                          tmp_path, [Clip(0.02, 3.98, None, "", "")])
    frame = frame_of(video, plan.clips[0], (), plan.focus, "9:16", "crop")
    assert isinstance(frame, Window) and max(abs(position(frame.path, t) - 0.5) for t in (0, 1, 2, 3)) < 0.2
    assert max(plan.focus.weights if plan.focus else [1]) < 0.75


def test_the_reel_never_pans_across_a_cut(tmp_path: Path) -> None:
    def draw(i: int) -> Picture:
        return wobbling(0.15, 0.5, i) if i < 50 else np.ascontiguousarray(wobbling(0.15, 0.5, i)[:, ::-1])

    _, pictures = reshaped(film(tmp_path / "a.mp4", draw), tmp_path, "9:16")
    assert all(square_in(picture)[2] > 0.93 * 30 * 30 * (320 / 180) ** 2 for picture in pictures)
    background = jumps([picture[:90] for picture in pictures])
    assert np.argmax(background) == 48 and np.sort(background)[-2] < 2.5


@pytest.mark.parametrize("turn", ["rotation 90", "rotation 270", "hflip", "rotation 90 hflip"])
def test_turned_and_mirrored_sources(tmp_path: Path, turn: str) -> None:
    stored = film(tmp_path / "stored.mp4", lambda i: wobbling(0.2, 0.3, i), 2.0)
    options = [x for word in turn.replace("rotation ", "rotation=").split()
               for x in (f"-display_{word.split('=')[0]}", *word.split("=")[1:])]
    turned = tmp_path / "turned.mp4"
    run_ffmpeg([*options, "-i", input_url(stored), "-c", "copy", input_url(turned)], cancel=CancelToken(),
               timeout_s=60)
    reel, pictures = reshaped(turned, tmp_path, "1:1", clip=(0.02, 1.98))
    assert (reel.width, reel.height) == (180, 180)
    found = [square_in(picture) for picture in pictures]
    assert all(size > 0.93 * 30 * 30 for _, _, size in found)
    # Along the side that wasn't cut, it is where the display matrix puts it.
    video = probe(turned)
    shown = np.zeros((180, 320))
    shown[54, 64] = 1
    shown = np.rot90(shown[:, ::-1] if video.mirrored else shown, -(video.rotation_deg // 90))
    (row, column), = np.argwhere(shown)
    across, down = np.mean([x for x, _, _ in found]), np.mean([y for _, y, _ in found])
    assert (across == pytest.approx(column / 180, abs=0.04) if video.rotation_deg in (90, 270)
            else down == pytest.approx(row / 180, abs=0.04))


@pytest.mark.parametrize("framing", ["crop", "bars"])
@pytest.mark.parametrize(("size", "how", "aspect"), [
    ((16, 16), {}, "9:16"), ((16, 16), {}, "16:9"), ((161, 97), {"pixel_format": "yuv444p"}, "9:16"),
    ((161, 97), {"pixel_format": "yuv444p"}, "4:5"), ((160, 96), {"shape": (3, 2)}, "1:1"),
    ((96, 160), {}, "16:9"), ((160, 96), {"pixel_format": "yuv422p10le"}, "9:16"),
    ((160, 66), {}, "16:9"),
])
def test_odd_sources(tmp_path: Path, size: tuple[int, int], how: dict[str, Any], aspect: str, framing: str) -> None:
    side = max(4, min(size) // 5)
    path = film(tmp_path / "a.mp4", lambda i: scene(0.3 + 0.4 * i / 25, 0.4, side, size=size), 1.0, **how)
    video = probe(path)
    reel, pictures = reshaped(path, tmp_path, aspect, framing, (0.02, 0.98))
    assert (reel.width, reel.height) == canvas(video, aspect) and len(pictures) == 24
    with av.open(str(reel.path)) as container:
        stream = container.streams.video[0]
        assert stream.pix_fmt == "yuv420p" and stream.sample_aspect_ratio in (None, 1)
    # The light is that of the source.
    assert all(abs(square_in(p)[2] and p[p > 185].mean() - 240) < 15 for p in pictures) or min(size) == 16


def test_windows_and_bars_have_the_same_colours(tmp_path: Path) -> None:
    """Their clips are joined without being encoded again, so what the stream says of colour must be true of both."""
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[:] = (200, 60, 40)
    video, plan = planned(film(tmp_path / "a.mp4", lambda i: frame, 0.4), tmp_path, [Clip(0.02, 0.3, None, "", "")])
    seen, colours = [], []
    for framing in ("crop", "bars"):
        with av.open(str(rendered(video, plan, tmp_path / framing, "9:16", framing).path)) as container:
            first = next(container.decode(video=0))
            middle = first.to_ndarray(format="rgb24")[first.height // 2, first.width // 2]
            seen.append((first.colorspace, first.color_primaries, first.color_trc, first.color_range))
            colours.append(middle.astype(int))
    assert seen[0] == seen[1] and np.abs(colours[0] - colours[1]).max() < 4
    assert np.abs(colours[0] - (200, 60, 40)).max() < 16


@pytest.mark.parametrize("framing", ["crop", "bars"])
def test_hdr_becomes_sdr(tmp_path: Path, framing: str) -> None:
    if not {"zscale", "tonemap"} <= ffmpeg_filters():
        pytest.skip("this ffmpeg has no zscale")
    source = tmp_path / "hdr.mp4"
    tags = "color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    run_ffmpeg(["-f", "lavfi", "-i", "color=black:s=128x64:r=25:d=1", "-vf",
                f"format=yuv420p10le,geq=lum={round(64 + 876 * 0.38)}:cb=512:cr=512,setparams={tags}",
                "-c:v", "libx264", "-preset", "ultrafast", input_url(source)], cancel=CancelToken(), timeout_s=60)
    reel, pictures = reshaped(source, tmp_path, "1:1", framing, (0.1, 0.7))
    assert (reel.width, reel.height) == (64, 64) and 85 < pictures[0][30:34].mean() < 140


def test_a_clip_of_one_frame(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda i: wobbling(0.8, 0.5, i), 1.0)
    _, pictures = reshaped(path, tmp_path, "9:16", "auto", (0.3, 0.32))
    assert len(pictures) == 1 and square_in(pictures[0])[2] > 0.9 * 30 * 30 * (320 / 180) ** 2


def test_a_plan_without_focus(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", lambda i: wobbling(0.5, 0.5, i), 1.0)
    plan = Plan(PlanVideo(str(path)), (Clip(0.02, 0.9, None, "", ""),))
    reel = rendered(probe(path), plan, tmp_path, "4:5")
    assert (reel.width, reel.height) == (180, 224)
    assert all(square_in(picture)[0] == pytest.approx(0.5, abs=0.08) for picture in pictures_of(reel.path))


@pytest.mark.parametrize("framing", ["crop", "bars"])
def test_a_picture_that_changes_its_size_midway(tmp_path: Path, framing: str) -> None:
    parts = []
    for number, size in enumerate([(320, 180), (160, 90)]):
        part = tmp_path / f"{number}.ts"
        times = [2 * number + i / 25 for i in range(50)]
        parts.append(write_video(part, [textured(7, *size)] * 50, times_s=times, options={"bf": "0"}).read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    plan = Plan(PlanVideo(str(joined)), (Clip(1.02, 3.02, None, "", ""),),
                focus=focus_at((0.2, 0.5, 0.1, 0.1), (0.4, 0.5, 0.1, 0.1), (0.6, 0.5, 0.1, 0.1), (0.8, 0.5, 0.1, 0.1)))
    pictures = pictures_of(rendered(probe(joined), plan, tmp_path, "1:1", framing).path)
    assert len(pictures) == 50 and np.abs(pictures[-1].astype(int) - pictures[30]).mean() < 6
