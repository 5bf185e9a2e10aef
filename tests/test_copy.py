"""Reels that are copied: nothing is encoded, every frame is the source's own, and what fails its check is encoded."""

from __future__ import annotations

import itertools
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import InputError, SettingsError
from pipeline.media.probe import probe
from pipeline.plan import Plan
from pipeline.progress import CancelToken, silent
from pipeline.rendering.checking import Expected, check_reel
from pipeline.rendering.order import Unsuitable
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Caption, Clip, Reel
from tests.making import RATE, textured, tone, write_video
from tests.numbered import assert_in_step, damaged, even, frames_of, make_source, order, render, snapped

COPY = Settings(render="copy", preset="ultrafast", crf=28)
AUTO = Settings(preset="ultrafast", crf=28)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s at 25 frames a second with beeps, a keyframe every second, and pictures that refer to later ones."""
    return make_source(tmp_path_factory.mktemp("dense") / "dense.mp4", even(1000, 25), sound=(0, 40), gop=25)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any ffmpeg that is started is a failure: copying needs none."""
    monkeypatch.setattr("pipeline.media.process._start", lambda command: pytest.fail(f"started {command[0]}"))


def packets_of(path: Path) -> list[bytes]:
    """The video packets of a file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_every_packet_is_the_sources_own(dense: Path, tmp_path: Path, no_processes: None) -> None:
    clips = [Clip(20.3, 24.0, None, "", "loud"), Clip(3.1, 6.0, None, "", ""), Clip(30.02, 32.02, None, "", "")]
    reel = render(dense, clips, tmp_path, COPY)
    assert reel.way == "copy" and reel.encoder is None and reel.clips_encoded == 0
    assert set(packets_of(reel.path)) <= set(packets_of(dense))
    numbers, times = frames_of(reel.path)
    bounds = [(placed.clip.start_s, placed.clip.end_s) for placed in reel.placed]
    assert numbers == [n for a, b in bounds for n in range(round(a * 25), round(b * 25))]
    assert [b - a for a, b in itertools.pairwise(times)] == [Fraction(1, 25)] * (len(times) - 1)
    assert [a for a, _ in bounds] == pytest.approx([20.0, 3.0, 30.0])
    assert sum(b - a for a, b in bounds) == pytest.approx(reel.duration_s) and reel.duration_s <= 3.7 + 2.9 + 2
    assert reel.placed[0].clip.reason == "loud; starts 0.3 s earlier, at a keyframe"
    assert reel.placed[2].clip.reason == "" and "2 of 3 clips" in "".join(reel.warnings)
    assert reel.notes["way"] == "copy"
    assert_in_step(reel.path, [placed.clip for placed in reel.placed], within_s=0.03)


def test_the_index_is_in_front_and_sound_is_as_long(dense: Path, tmp_path: Path) -> None:
    reel = render(dense, [snapped(100 * i, 100 * i + 50, 25) for i in range(8)], tmp_path, COPY)
    data = reel.path.read_bytes()
    assert reel.way == "copy" and 0 < data.find(b"moov") < data.find(b"mdat")
    with av.open(str(reel.path)) as container:
        sound = container.streams.audio[0]
        assert float(sound.duration * sound.time_base) == pytest.approx(reel.duration_s, abs=0.015)


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(60)])
def test_other_rates_and_containers(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    source = make_source(tmp_path / f"s{suffix}", even(400, rate), sound=(0, float(400 / rate)), gop=20)
    reel = render(source, [snapped(41, 100, rate), snapped(300, 341, rate)], tmp_path, COPY)
    assert reel.way == "copy", reel.notes
    assert frames_of(reel.path)[0] == [n for clip in [placed.clip for placed in reel.placed]
                                       for n in range(round(clip.start_s * rate), round(clip.end_s * rate))]


def test_uneven_frames_keep_their_times(tmp_path: Path) -> None:
    times = [Fraction(i, 25) + (Fraction(1, 100) if i % 3 == 0 else 0) for i in range(300)]
    reel = render(make_source(tmp_path / "s.mp4", times, gop=25), [Clip(4.0, 7.0, None, "", "")], tmp_path, COPY)
    numbers, shown = frames_of(reel.path)
    assert reel.way == "copy" and numbers == list(range(numbers[0], numbers[-1] + 1))
    assert [float(t) for t in shown] == pytest.approx([float(times[n] - times[numbers[0]]) for n in numbers], abs=1e-4)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_phone_videos_stay_upright(dense: Path, tmp_path: Path, turn: int) -> None:
    phone = tmp_path / "phone.mp4"
    with av.open(str(dense)) as source, av.open(str(phone), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(turn)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux_one(packet)
    video = probe(phone)
    reel = render(video, [Clip(4.0, 6.0, None, "", "")], tmp_path, COPY)
    again = probe(reel.path)
    assert reel.way == "copy" and video.rotation_deg
    assert (again.rotation_deg, again.mirrored) == (video.rotation_deg, video.mirrored)
    assert (reel.width, reel.height) == (again.width, again.height)


def test_auto_copies_where_it_can(dense: Path, tmp_path: Path, no_processes: None) -> None:
    reel = render(dense, [Clip(20.3, 24.0, None, "", "")], tmp_path, AUTO)
    assert reel.way == "copy" and reel.notes == {"way": "copy"}


def why(reel: Reel) -> str:
    """What the copy was not possible for."""
    return str(reel.notes["not"]["copy"])


def test_what_can_not_be_copied_is_encoded_and_said(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s.mp4", even(250, 25), gop=250)
    copied = render(source, [Clip(5.0, 7.0, None, "", "")], tmp_path, COPY)
    assert copied.way == "encode" and "no keyframe near 5.0 s" in why(copied)
    assert any("could not be copied" in warning for warning in copied.warnings)
    assert frames_of(copied.path)[0] == list(range(125, 175))
    quiet = render(source, [Clip(5.0, 7.0, None, "", "")], tmp_path, AUTO)
    assert quiet.way == "encode" and quiet.warnings == ()


def test_other_codecs_are_encoded(tmp_path: Path) -> None:
    webm = write_video(tmp_path / "s.webm", [textured(i) for i in range(50)], codec="libvpx", sound=tone(2, 0.3))
    mp3 = tmp_path / "s.mp4"
    with av.open(str(make_source(tmp_path / "quiet.mp4", even(100, 25)))) as source, av.open(str(mp3), "w") as out:
        picture = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("libmp3lame", rate=RATE, layout="mono")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = picture
                out.mux_one(packet)
        block = av.AudioFrame.from_ndarray(np.tile(tone(4, 0.3), (1, 1)), format="fltp", layout="mono")
        block.sample_rate = RATE
        out.mux([*sound.encode(block), *sound.encode()])
    assert "vp8" in why(render(webm, [Clip(0.0, 1.0, None, "", "")], tmp_path, COPY))
    assert "mp3" in why(render(mp3, [Clip(0.0, 1.0, None, "", "")], tmp_path, COPY))


def test_more_frames_a_second_than_wanted_are_encoded(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s.mp4", even(200, 50), gop=10)
    reel = render(source, [Clip(1.0, 2.0, None, "", "")], tmp_path, Settings(max_fps=25, preset="ultrafast"))
    assert reel.fps == 25 and "25 are wanted" in why(reel)


def test_damage_at_a_start_is_noticed_and_encoded_around(dense: Path, tmp_path: Path) -> None:
    broken = damaged(dense, 20.0, tmp_path / "broken.mp4")
    reel = render(broken, [Clip(20.1, 23.0, None, "", "")], tmp_path, COPY)
    assert (reel.way != "copy" and "decode" in why(reel)) or "damaged" in why(reel)


def test_changes_to_the_picture_and_copying_exclude_each_other(dense: Path, tmp_path: Path) -> None:
    for wanted in (order(probe(dense), [Clip(1.0, 2.0, None, "", "")], tmp_path, Settings(render="copy", aspect="1:1")),
                   order(probe(dense), [Clip(1.0, 2.0, None, "", "")], tmp_path, COPY)):
        if wanted.settings.aspect == "source":
            object.__setattr__(wanted, "captions", (Caption(1.0, 2.0, "words"),))
        with pytest.raises(SettingsError, match="copied pictures"):
            render_reel(wanted, silent, CancelToken())
    assert not (tmp_path / "out" / "reel.mp4").exists()


def test_the_plan_says_where_copied_clips_lie(dense: Path, tmp_path: Path) -> None:
    reel = render(dense, [Clip(20.3, 24.0, 0.5, "a thing", "")], tmp_path, COPY)
    plan = Plan(order(probe(dense), [], tmp_path).plan.video, tuple(placed.clip for placed in reel.placed))
    assert plan.duration_s == pytest.approx(reel.duration_s)
    assert plan.clips[0].score == 0.5 and plan.clips[0].description == "a thing"


def expected(**changes: object) -> Expected:
    """The 2 s reel of `a_reel`, with changes."""
    plain: dict[str, object] = {"frames": 50, "duration_s": 2.0, "coded_width": 160, "coded_height": 96, "sound": True,
                                "seams_s": (0.0, 1.0)}
    return Expected(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def a_reel(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reel")
    return render(dense, [Clip(3.0, 4.0, None, "", ""), Clip(10.0, 11.0, None, "", "")], folder, COPY).path


@pytest.mark.parametrize("thorough", [False, True])
def test_a_sound_reel_passes(a_reel: Path, thorough: bool) -> None:
    check_reel(a_reel, expected(thorough=thorough), CancelToken())


@pytest.mark.parametrize(("changes", "says"), [
    ({"frames": 51}, "50 of 51 frames"), ({"duration_s": 2.1}, "instead of 2.10 s"), ({"sound": False}, "sound"),
    ({"coded_width": 176}, "another size"), ({"seams_s": (0.0, 0.5)}, "can't be entered at 0.50"),
])
def test_a_reel_that_is_not_what_it_should_be_does_not_pass(a_reel: Path, changes: dict[str, object],
                                                            says: str) -> None:
    with pytest.raises(Unsuitable, match=says):
        check_reel(a_reel, expected(**changes), CancelToken())


def test_an_earlier_reel_stays_where_the_video_is_gone(dense: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.mp4"
    shutil.copy(dense, gone)
    video = probe(gone)
    reel = render(video, [Clip(3.0, 4.0, None, "", "")], tmp_path, COPY)
    before = reel.path.read_bytes()
    gone.unlink()
    with pytest.raises(InputError, match="no such file"):
        render(video, [Clip(5.0, 6.0, None, "", "")], tmp_path, COPY)
    assert reel.path.read_bytes() == before
    assert {path.name for path in reel.path.parent.iterdir()} == {"reel.mp4"}
