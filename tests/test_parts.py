"""A video that is looked at in parts gives the very scan that it gives in one go, or none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline import analyse, choose, runner, sandbox
from pipeline.cache import open_cache
from pipeline.division import RUN_UP_S, Part, bounds, divide
from pipeline.keeping import entries
from pipeline.listening import Listener, listen
from pipeline.media.probe import probe
from pipeline.parts import Look, join, look
from pipeline.progress import CancelToken, silent
from pipeline.scan import scan
from pipeline.settings import Settings
from pipeline.splitting import look_at
from pipeline.types import Scan, VideoInfo
from tests.making import story, textured, tone, write_video

PART_S = 2 * RUN_UP_S
SETTINGS = Settings()


def looked_at(video: VideoInfo, parts: tuple[Part, ...], folder: Path) -> list[Look]:
    """What is seen of each part, on its own."""
    looks = []
    for number, part in enumerate(parts):
        frames = folder / str(number)
        frames.mkdir(parents=True)
        looks.append(look(video, part, SETTINGS, frames, silent, CancelToken()))
    return looks


def in_parts(path: Path, folder: Path, least: int = 2) -> Scan | None:
    """The scan of a video that is divided into at least so many parts."""
    video = probe(path)
    parts = divide(video, PART_S, CancelToken())
    assert len(parts) >= least
    return join(video, looked_at(video, parts, folder / "parts"), listen(video, CancelToken()), SETTINGS)


def in_one_go(path: Path, folder: Path) -> Scan:
    """Its ordinary scan."""
    frames = folder / "whole"
    frames.mkdir()
    return scan(probe(path), SETTINGS, frames, silent, CancelToken())


def assert_same(joined: Scan | None, whole: Scan) -> None:
    """Down to the last bit, pictures that were put aside included."""
    assert joined is not None
    for name, track in dataclasses.asdict(whole.signals).items():
        np.testing.assert_array_equal(getattr(joined.signals, name), track, err_msg=name)
    assert [frame.path.name for frame in joined.frames] == [frame.path.name for frame in whole.frames]
    for mine, theirs in zip(joined.frames, whole.frames, strict=True):
        assert mine.path.read_bytes() == theirs.path.read_bytes()
    plain = {"signals": whole.signals, "frames": whole.frames}
    assert dataclasses.replace(joined, **plain) == whole


@pytest.mark.parametrize("options", [
    {"g": "250"}, {"g": "25", "bf": "0"}, {"g": "50", "bf": "3", "x264-params": "open-gop=1:scenecut=0"},
], ids=["long GOPs", "no B-frames", "open GOPs"])
def test_parts_join_to_the_whole(tmp_path: Path, options: dict[str, str]) -> None:
    # 72 s in three parts from 24 and 48 s: cuts lie at every 4 s, and so at both bounds.
    path = story(tmp_path / "story.mp4", loud=range(41, 43), shots=18, options=options)
    whole = in_one_go(path, tmp_path)
    assert {24.0, 48.0} <= {round(scene.start_s, 3) for scene in whole.scenes}
    assert_same(in_parts(path, tmp_path, least=3), whole)


def test_cuts_close_to_a_bound(tmp_path: Path) -> None:
    # Parts of a video of 40 s meet at 20 s.
    for shift in (-6, -1, 0, 1, 6):
        at = sorted({0, 200, 500 + shift, 700})
        pictures = {start: textured(start) for start in at}
        path = write_video(tmp_path / f"{shift + 10}.mp4",
                           lambda i, at=at, pictures=pictures: np.roll(  # type: ignore[misc]
                               pictures[max(start for start in at if start <= i)], i // 4, axis=1), 1000)
        folder = tmp_path / f"of {shift}"
        folder.mkdir()
        whole = in_one_go(path, folder)
        assert 20 + shift / 25 in [pytest.approx(scene.start_s) for scene in whole.scenes]
        assert_same(in_parts(path, folder), whole)


def test_black_that_lasts_from_part_to_part(tmp_path: Path) -> None:
    def draw(i: int) -> np.ndarray:
        # Black from 16 to 50 s, over both bounds and the whole run-up of the third part.
        return textured(i // 1300) if not 400 <= i < 1250 else np.zeros((90, 160, 3), np.uint8)

    path = write_video(tmp_path / "black.mp4", draw, 1625, sound=tone(65, 0.1))
    whole = in_one_go(path, tmp_path)
    assert any(15 < scene.start_s < 50 for scene in whole.scenes)
    assert_same(in_parts(path, tmp_path, least=3), whole)


def test_uneven_frames_without_sound(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    times_s = np.cumsum(rng.choice([0.03, 0.05, 0.08], 900)).tolist()
    path = write_video(tmp_path / "uneven.mp4", lambda i: np.roll(textured(i // 150), i, axis=1), 900, times_s=times_s)
    assert probe(path).variable_fps
    assert_same(in_parts(path, tmp_path), in_one_go(path, tmp_path))


def test_a_recorded_screen_that_stands_still_for_long(tmp_path: Path) -> None:
    # No frame at all from 24 to 36 s.
    times_s = [i / 25 + (12 if i >= 600 else 0) for i in range(1100)]
    path = write_video(tmp_path / "still.mp4", lambda i: np.roll(textured(i // 300), i, axis=1), 1100, times_s=times_s,
                       sound=tone(56, 0.2))
    whole = in_one_go(path, tmp_path)
    assert_same(in_parts(path, tmp_path), whole)
    assert max(np.diff([frame.time_s for frame in whole.frames])) >= 12


@pytest.mark.parametrize("name", ["elephants_dream_72s_2audio.mp4", "sintel_trailer_480x204.mp4",
                                  "cc0_six_clips_concat.webm"])
def test_real_clips(media: Path, tmp_path: Path, name: str) -> None:
    path = media / "real" / name
    assert_same(in_parts(path, tmp_path), in_one_go(path, tmp_path))


def test_what_differs_when_entered_midway_is_not_joined(tmp_path: Path) -> None:
    """The second part is that of another video: as if a decoder that came in midway had shown something else."""
    options = {"g": "25"}
    first = probe(story(tmp_path / "a.mp4", loud=range(0), shots=10, options=options))
    other = probe(story(tmp_path / "b.mp4", loud=range(15, 25), shots=10, options=options))
    parts = divide(first, PART_S, CancelToken())
    mine, theirs = (looked_at(video, parts, tmp_path / video.path.stem) for video in (first, other))
    assert join(first, mine, Listener(), SETTINGS) is not None
    assert join(first, [mine[0], theirs[1]], Listener(), SETTINGS) is None


def damaged(path: Path) -> Path:
    """A video of 40 s with rubbish somewhere in the pictures of its second half."""
    write_video(path, lambda i: np.roll(textured(i // 150), 5 * i, axis=1), 1000)
    data = bytearray(path.read_bytes())
    at = len(data) * 6 // 10
    data[at:at + 2000] = b"\x55" * 2000
    path.write_bytes(data)
    return path


def test_what_is_damaged_is_not_joined(tmp_path: Path) -> None:
    path = damaged(tmp_path / "damaged.mp4")
    assert "damaged" in "".join(in_one_go(path, tmp_path).warnings)
    assert in_parts(path, tmp_path) is None


def test_where_a_video_is_divided() -> None:
    for duration_s in (5.0, 39.9, 40.0, 61.0, 3600.0, 36_001.5):
        for part_s in (0.1, 25.0, 600.0):
            found = [0, *bounds(duration_s, part_s), duration_s]
            lengths = [b - a for a, b in pairwise(found)]
            assert all(later > earlier for earlier, later in pairwise(found))
            assert len(lengths) == 1 or min(lengths) >= RUN_UP_S
            assert max(lengths) - min(lengths) <= 2
            assert max(lengths) <= 1.5 * max(part_s, 2 * RUN_UP_S) + 1


def test_slides_are_not_divided(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slides.mp4", lambda i: textured(i // 10), 100, fps=1)
    assert divide(probe(path), PART_S, CancelToken()) == (Part(0, None, None),)


def test_parts_that_others_look_at(tmp_path: Path) -> None:
    """By way of processes beside and the cache; what nobody has looked at is looked at by whoever joins."""
    path = story(tmp_path / "story.mp4", loud=range(31, 33), shots=15, options={"g": "50"})
    whole = analyse(path, Settings(scorer="signals", cache_dir=tmp_path / "one"))
    settings = Settings(scorer="signals", cache_dir=tmp_path / "other")
    parts = sandbox.divide(whole.video, PART_S, settings.limits, CancelToken())
    assert len(parts) == 3
    with open_cache(settings) as cache:
        for part in parts[1:]:
            look_at(whole.video, part, settings, cache, silent, CancelToken())
    runner.scan(path, settings, parts=parts)
    assert len(list((tmp_path / "other" / "part").iterdir())) == 3
    assert Counter(entry.part for entry in entries(tmp_path / "other")) == {"part": 3, "sound": 1, "scan": 1}
    # The scan is there: this one only reads it.
    joined = analyse(path, settings)
    assert_same(joined.scan, whole.scan)
    assert dataclasses.replace(choose(joined, settings), timings_s={}) == dataclasses.replace(
        choose(whole, settings), timings_s={})


def test_parts_that_make_no_whole_are_scanned_in_one_go(tmp_path: Path) -> None:
    path = damaged(tmp_path / "damaged.mp4")
    settings = Settings(scorer="signals", cache_dir=tmp_path / "cache")
    parts = sandbox.divide(probe(path), PART_S, settings.limits, CancelToken())
    assert len(parts) == 2
    runner.scan(path, settings, parts=parts)
    assert_same(analyse(path, settings).scan, in_one_go(path, tmp_path))
