"""Reels of copied middles and encoded edges: exact to the frame, the source's own packets inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pipeline.media.h264 import read_avcc
from pipeline.media.probe import probe
from pipeline.progress import CancelToken, silent
from pipeline.rendering.order import Unsuitable
from pipeline.rendering.reel import render_reel
from pipeline.rendering.splice import splice_reel
from pipeline.settings import Settings
from pipeline.types import Clip, Reel, Scene
from tests.numbered import assert_in_step, damaged, even, frames_of, make_source, order, snapped

QUICK = Settings(preset="ultrafast", crf=28, copy_tolerance_s=0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s at 25 frames a second with beeps and a keyframe every two seconds."""
    return make_source(tmp_path_factory.mktemp("source") / "source.mp4", even(1000, 25), sound=(0, 40), gop=50)


def spliced(source: Path, clips: Sequence[Clip], tmp_path: Path, settings: Settings = QUICK) -> Reel:
    """Render to tmp_path/out/reel.mp4, or say why that can't be done this way."""
    (tmp_path / "clips").mkdir(exist_ok=True)
    (tmp_path / "out").mkdir(exist_ok=True)
    return splice_reel(order(probe(source), clips, tmp_path, settings), silent, CancelToken())


def packets_of(path: Path, kind: str = "video") -> list[bytes]:
    """The packets of a file's picture, or of its sound."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(**{kind: 0}) if packet.size]


def test_bounds_are_exact_and_middles_are_the_sources_own(source: Path, tmp_path: Path) -> None:
    clips = [snapped(130, 290, 25), snapped(20, 140, 25), snapped(700, 800, 25), snapped(905, 925, 25)]
    reel = spliced(source, clips, tmp_path)
    assert reel.way == "mixed" and reel.encoder == "libx264"
    numbers, times = frames_of(reel.path)
    assert numbers == [*range(130, 290), *range(20, 140), *range(700, 800), *range(905, 925)]
    assert times == [Fraction(i, 25) for i in range(len(numbers))]
    # Joining puts the parameter sets into keyframes once more.
    own, keyframes = set(packets_of(source)), 10
    copied = sum(packet in own for packet in packets_of(reel.path)) + keyframes
    assert copied / len(numbers) >= reel.notes["copied_share"] > 0.5
    assert_in_step(reel.path, clips, within_s=0.03)
    assert reel.duration_s == pytest.approx(len(numbers) / 25)


def test_both_kinds_of_pictures_have_parameter_sets(source: Path, tmp_path: Path) -> None:
    reel = spliced(source, [snapped(130, 290, 25)], tmp_path)
    with av.open(str(reel.path)) as container:
        sets = read_avcc(bytes(container.streams.video[0].codec_context.extradata))
    assert len(sets.sps) == len(sets.pps) == len(sets.ids) == 2


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30), Fraction(60000, 1001)])
def test_other_rates(tmp_path: Path, rate: Fraction) -> None:
    source = make_source(tmp_path / "s.mkv", even(400, rate), sound=(0, float(400 / rate)), gop=40)
    clips = [snapped(90, 230, rate), snapped(301, 390, rate)]
    reel = spliced(source, clips, tmp_path)
    assert frames_of(reel.path)[0] == [*range(90, 230), *range(301, 390)]


def test_a_keyframe_at_a_cut_is_where_the_clip_starts(source: Path, tmp_path: Path) -> None:
    # As the selection makes them: half a frame after the scene's first frame.
    clip = Clip(100 / 25 + 0.02, 200 / 25 + 0.02, None, "", "")
    reel = spliced(source, [clip], tmp_path)
    assert frames_of(reel.path)[0] == list(range(100, 200))
    assert (reel.placed[0].clip.start_s, reel.placed[0].clip.end_s) == pytest.approx((4.0, 8.0))
    assert reel.notes["copied_share"] == 1.0


def test_clips_are_put_together_once(source: Path, tmp_path: Path) -> None:
    clips = [snapped(130, 290, 25), snapped(520, 680, 25)]
    first = spliced(source, clips, tmp_path)
    again = spliced(source, [clips[1], snapped(10, 190, 25), clips[0]], tmp_path)
    assert (first.clips_encoded, first.clips_reused) == (2, 0)
    assert (again.clips_encoded, again.clips_reused) == (1, 2)
    assert frames_of(again.path)[0] == [*range(520, 680), *range(10, 190), *range(130, 290)]


def test_nothing_but_clips_and_the_reel_is_left(source: Path, tmp_path: Path) -> None:
    spliced(source, [snapped(130, 290, 25)], tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"reel.mp4"}
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".mov"}
    assert not [path for path in (tmp_path / "clips").iterdir() if path.name.startswith(".")]


def test_auto_mixes_where_copying_alone_will_not_do(source: Path, tmp_path: Path) -> None:
    reel = render_reel(order(probe(source), [snapped(130, 290, 25)], tmp_path, QUICK), silent, CancelToken())
    assert reel.way == "mixed" and "no keyframe" in reel.notes["not"]["copy"] and reel.warnings == ()
    copied = dataclasses.replace(QUICK, render="copy")
    reel = render_reel(order(probe(source), [snapped(130, 290, 25)], tmp_path, copied), silent, CancelToken())
    assert reel.way == "mixed" and "only the edges" in reel.warnings[0]


def test_who_asks_for_copies_has_only_encoded_what_cannot_be_copied(source: Path, tmp_path: Path) -> None:
    copied = dataclasses.replace(QUICK, render="copy", copy_tolerance_s=1.0)
    # A keyframe lies every 50 frames; one behind a cut is out of reach.
    clips = [snapped(160, 260, 25), snapped(420, 570, 25)]
    wanted = order(probe(source), clips, tmp_path, copied)
    plan = dataclasses.replace(wanted.plan, scenes=(Scene(0, 16.8), Scene(16.8, 40)))
    reel = render_reel(dataclasses.replace(wanted, plan=plan), silent, CancelToken())
    assert reel.way == "mixed" and "no keyframe near 16.8 s" in reel.warnings[0]
    assert frames_of(reel.path)[0] == [*range(150, 250), *range(420, 570)]
    assert "starts 0.4 s earlier, at a keyframe" in reel.placed[0].clip.reason
    assert reel.notes["copied_share"] == pytest.approx((100 + 119) / 250, abs=0.001)
    assert_in_step(reel.path, [placed.clip for placed in reel.placed], within_s=0.03)
    assert set(packets_of(reel.path, "audio")) <= set(packets_of(source, "audio"))


def test_copies_encode_an_edge_once_and_leave_no_clips_behind(source: Path, tmp_path: Path) -> None:
    copied = dataclasses.replace(QUICK, render="copy")
    clips = [snapped(130, 290, 25), snapped(500, 600, 25), snapped(700, 800, 25)]
    first = spliced(source, clips, tmp_path, copied)
    assert (first.clips_encoded, first.clips_reused) == (1, 0)
    kept = {path.name for path in (tmp_path / "clips").iterdir()}
    again = spliced(source, [clips[2], clips[0]], tmp_path, copied)
    assert (again.clips_encoded, again.clips_reused) == (0, 1)
    assert {path.name for path in (tmp_path / "clips").iterdir()} == kept and len(kept) == 1
    numbers, times = frames_of(again.path)
    assert numbers == [*range(700, 800), *range(130, 290)]
    assert times == [Fraction(i, 25) for i in range(len(numbers))]
    assert_in_step(again.path, [clips[2], clips[0]], within_s=0.03)


def test_sound_with_a_hole_is_encoded_though_copies_are_wanted(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s.mp4", even(400, 25), sound=(0, 10), gop=50)
    clips = [snapped(30, 130, 25), snapped(210, 330, 25)]
    reel = spliced(source, clips, tmp_path, dataclasses.replace(QUICK, render="copy"))
    assert frames_of(reel.path)[0] == [*range(30, 130), *range(210, 330)]
    assert not set(packets_of(reel.path, "audio")) <= set(packets_of(source, "audio"))
    assert_in_step(reel.path, clips[:1], within_s=0.03)


def test_too_little_to_copy(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Unsuitable, match="only 0% of its frames"):
        spliced(source, [snapped(104, 146, 25)], tmp_path)


@pytest.mark.parametrize(("pixels", "size", "sar", "says"), [
    ("yuvj420p", (160, 96), None, "full range"), ("yuv420p", (160, 96), Fraction(4, 3), "turned or stretched"),
    ("yuv422p", (160, 96), None, "yuv422p")])
def test_pictures_that_would_not_match_their_neighbours(tmp_path: Path, pixels: str, size: tuple[int, int],
                                                       sar: Fraction | None, says: str) -> None:
    video = make_source(tmp_path / "s.mp4", even(200, 25), pixels=pixels, size=size, sar=sar, gop=25)
    with pytest.raises(Unsuitable, match=says):
        spliced(video, [snapped(30, 130, 25)], tmp_path)


def test_uneven_frames_are_not_mixed(tmp_path: Path) -> None:
    times = [Fraction(i, 25) + (Fraction(1, 60) if i % 3 == 0 else 0) for i in range(200)]
    with pytest.raises(Unsuitable, match="uneven"):
        spliced(make_source(tmp_path / "s.mp4", times, gop=25), [snapped(30, 130, 25)], tmp_path)


def test_a_missing_frame_is_not_copied_over(tmp_path: Path) -> None:
    times = [at for i, at in enumerate(even(300, 25)) if i != 137]
    reel = spliced(make_source(tmp_path / "s.mp4", times, gop=25), [snapped(30, 230, 25)], tmp_path)
    numbers = frames_of(reel.path)[0]
    assert numbers == [*range(30, 137), 136, *range(137, 229)]


def test_damage_in_the_middle_is_found_and_the_reel_is_encoded(source: Path, tmp_path: Path) -> None:
    broken = damaged(source, 8.0, tmp_path / "broken.mp4")
    clips = [snapped(110, 290, 25)]
    with pytest.raises(Unsuitable, match=r"decode|damaged"):
        spliced(broken, clips, tmp_path)
    assert not (tmp_path / "out" / "reel.mp4").exists()
    reel = render_reel(order(probe(broken), clips, tmp_path, QUICK), silent, CancelToken())
    assert reel.way == "encode" and set(reel.notes["not"]) == {"copy", "mixed"}


