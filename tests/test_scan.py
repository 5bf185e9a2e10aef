"""The one pass over a video: what it measures, what it puts aside, and what it does with damage."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import Cancelled, InputError
from pipeline.media.probe import probe
from pipeline.progress import CancelToken, Progress, silent
from pipeline.scan import scan
from pipeline.settings import Settings
from pipeline.types import Scan
from tests.making import story, textured, tone, write_video


def scanned(path: Path, folder: Path, settings: Settings | None = None) -> Scan:
    """A scan, without the cache."""
    return scan(probe(path), settings or Settings(), folder, silent, CancelToken())


def test_signals_follow_the_video(tmp_path: Path) -> None:
    path = story(tmp_path / "s.mp4", loud=range(8, 12))
    found = scanned(path, tmp_path)
    signals = found.signals
    assert len(signals) == 32 and found.duration_s == pytest.approx(32) and 200 < found.frame_count < 800
    loud = np.isin(np.arange(32), np.arange(8, 12))
    assert signals.loudness_db is not None and signals.onset is not None
    assert np.median(signals.loudness_db[loud]) > np.median(signals.loudness_db[~loud]) + 20
    assert np.median(signals.motion[loud]) > 3 * np.median(signals.motion[~loud])
    assert [scene.start_s for scene in found.scenes] == pytest.approx(list(range(0, 32, 4)))


def test_motion_is_the_mean_change_of_a_pixel(tmp_path: Path) -> None:
    path = write_video(tmp_path / "m.mp4", [np.roll(textured(0), 2 * i, 1) for i in range(25)],
                       options={"crf": "1", "bf": "0"})
    with av.open(str(path)) as container:
        grey = [cv2.cvtColor(frame.to_ndarray(format="bgr24"), cv2.COLOR_BGR2GRAY).astype(int)
                for frame in container.decode(video=0)]
    changes = sorted(np.abs(a - b).mean() / 255 for a, b in itertools.pairwise(grey))
    # All but the largest, which may be a cut.
    assert scanned(path, tmp_path).signals.motion[0] == pytest.approx(np.mean(changes[:-1]), rel=0.05)


def test_focus_follows_what_moves_by_itself(tmp_path: Path) -> None:
    def draw(i: int) -> np.ndarray:
        picture = textured(4, 320, 180) // 3
        x = (40, 250)[i >= 50] + i % 5 * 3
        picture[70:100, x:x + 30] = 250
        return picture

    found = scanned(write_video(tmp_path / "f.mp4", draw, 100), tmp_path)
    focus = found.signals.focus
    assert focus is not None and focus.shape == (8, 5)
    assert np.abs(focus[:4, 0] - 61 / 320).max() < 0.06 and np.abs(focus[4:, 0] - 271 / 320).max() < 0.06
    assert np.abs(focus[:, 1] - 85 / 180).max() < 0.06 and (focus[:, 4] > 0.5).all()


def test_loudness_is_in_decibels_below_full_scale(tmp_path: Path) -> None:
    sound = np.concatenate([tone(2, 0.5), tone(2, 0.05), np.zeros(96_000, np.float32)])
    path = write_video(tmp_path / "l.mp4", [textured(0)] * 150, sound=sound)
    loudness = scanned(path, tmp_path).signals.loudness_db
    assert loudness is not None
    # A sine of amplitude a has an RMS of a / sqrt(2).
    assert loudness[0] == pytest.approx(20 * np.log10(0.5) - 3.01, abs=1)
    assert loudness[3] == pytest.approx(20 * np.log10(0.05) - 3.01, abs=1)
    assert loudness[5] == -70


def test_look_of_plain_pictures(tmp_path: Path) -> None:
    pictures = {"black": (0, 0, 0), "grey": (128, 128, 128), "red": (220, 20, 20)}
    facts = {}
    for name, colour in pictures.items():
        path = write_video(tmp_path / f"{name}.mp4", [np.full((90, 160, 3), colour, np.uint8)] * 25)
        facts[name] = scanned(path, tmp_path).signals
    assert facts["black"].brightness[0] < 0.02 and facts["grey"].brightness[0] == pytest.approx(0.5, abs=0.05)
    assert facts["grey"].colour[0] < 3 and facts["red"].colour[0] > 30
    assert all(signals.contrast[0] < 0.02 for signals in facts.values())


def test_novelty_marks_the_odd_one_out(tmp_path: Path) -> None:
    frames = [textured(2 if 8 <= i // 25 < 10 else 1) for i in range(16 * 25)]
    novelty = scanned(write_video(tmp_path / "n.mp4", frames), tmp_path).signals.novelty
    assert set(np.argsort(novelty)[-2:]) == {8, 9}


def test_frames_put_aside(tmp_path: Path) -> None:
    path = write_video(tmp_path / "f.mp4", [np.roll(textured(0), i, 1) for i in range(75)], options={"bf": "0"})
    found = scanned(path, tmp_path, Settings(sample_fps=2))
    assert [frame.time_s for frame in found.frames] == pytest.approx([0, 0.52, 1, 1.52, 2, 2.52], abs=0.021)
    image = cv2.cvtColor(cv2.imread(str(found.frames[2].path)), cv2.COLOR_BGR2RGB)
    assert np.abs(image.astype(int) - np.roll(textured(0), 25, 1)).mean() < 12


@pytest.mark.parametrize("name", ["rotate270_camera.mp4", "sar_2by3.mp4", "rotate90.mov"])
def test_frames_put_aside_are_as_shown(media: Path, tmp_path: Path, name: str) -> None:
    path = media / "odd" / name
    found, video = scanned(path, tmp_path), probe(path)
    image = cv2.imread(str(found.frames[0].path))
    assert image.shape[0] / image.shape[1] == pytest.approx(video.height / video.width, rel=0.02)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        upright = np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90))
    reference = cv2.resize(upright, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - reference).mean() < 8


def test_high_dynamic_range_is_toned_down(media: Path, tmp_path: Path) -> None:
    found = scanned(media / "odd" / "hevc10_hdr_320x180_13s.mp4", tmp_path)
    # A dark hall, then a worker in white before a golden mirror.
    mirror = cv2.imread(str(next(f.path for f in found.frames if f.time_s > 6)))
    blue, green, red = (mirror[60:120, 200:250, k].mean() for k in range(3))
    assert 120 < red < 252 and red > green > blue > 40
    assert 50 < mirror.mean() < 130 and mirror.min() < 12


def test_damage_ends_the_video_where_no_key_frame_follows(media: Path, tmp_path: Path) -> None:
    found = scanned(media / "odd" / "corrupted.mp4", tmp_path)
    # Ten frames a second; what no other frame is built on is left out, the last one before the damage included.
    assert found.duration_s == pytest.approx(2.75, abs=0.06)
    assert any("damaged" in warning for warning in found.warnings)


def test_a_hole_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.ts", [np.roll(textured(i // 50), i, 1) for i in range(200)],
                        options={"g": "25", "bf": "0"})
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2 // 188 * 188
    for packet in range(middle, middle + 30 * 188, 188):
        data[packet + 20:packet + 188] = bytes(168)
    broken = tmp_path / "broken.ts"
    broken.write_bytes(data)
    found = scanned(broken, tmp_path)
    assert found.duration_s == pytest.approx(8.0, abs=0.3)
    assert found.scenes[-1].end_s == found.duration_s


def test_stretches_without_anything_are_holes(tmp_path: Path) -> None:
    times = [*(i / 25 for i in range(100)), *(100 + i / 25 for i in range(100))]
    pictures = [np.roll(textured(0), i, 1) for i in range(200)]
    silent = scanned(write_video(tmp_path / "silent.mp4", pictures, times_s=times), tmp_path)
    assert [(hole.start_s, hole.end_s) for hole in silent.holes] == [(pytest.approx(4, abs=0.6), pytest.approx(100))]
    assert any("holds nothing from" in warning for warning in silent.warnings)
    # A slide that stands while somebody speaks is none.
    talk = scanned(write_video(tmp_path / "talk.mp4", pictures, times_s=times, sound=tone(104, 0.1)), tmp_path)
    assert not talk.holes and len(talk.scenes) == 1


def test_a_clock_that_jumps_back_is_told(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{i}.ts", [textured(i)] * 100).read_bytes() for i in range(2)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    found = scanned(joined, tmp_path)
    assert found.duration_s == pytest.approx(4, abs=0.1)
    assert any("jumps back" in warning for warning in found.warnings)


def test_every_shot_has_a_frame_put_aside(tmp_path: Path) -> None:
    path = write_video(tmp_path / "fast.mp4", [textured(i // 15) for i in range(150)])
    found = scanned(path, tmp_path, Settings(sample_fps=0.5))
    assert len(found.scenes) == 10
    assert all(any(scene.start_s <= f.time_s < scene.end_s for f in found.frames) for scene in found.scenes)


def test_sound_that_breaks_off(media: Path, tmp_path: Path) -> None:
    found = scanned(media / "odd" / "failing_audio_11s.mp4", tmp_path)
    assert found.duration_s == pytest.approx(11.2, abs=0.1) and found.signals.loudness_db is not None


def test_without_sound(tmp_path: Path) -> None:
    signals = scanned(write_video(tmp_path / "m.mp4", [textured(0)] * 30), tmp_path).signals
    assert signals.loudness_db is None and signals.onset is None


def test_progress_rises_and_cancelling_stops(tmp_path: Path) -> None:
    path = story(tmp_path / "s.mp4", loud=range(2))
    token, seen = CancelToken(), []

    def report(event: Progress) -> None:
        seen.append(event.fraction)
        if len(seen) == 3:
            token.cancel()

    with pytest.raises(Cancelled):
        scan(probe(path), Settings(), tmp_path, report, token)
    assert seen == sorted(seen) and len(seen) == 3


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [textured(0)] * 5)
    video = probe(path)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        scan(video, Settings(), tmp_path, silent, CancelToken())
