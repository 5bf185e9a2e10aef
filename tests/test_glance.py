"""The first look: keyframes from all over a video, upright, and a guess at where its scenes begin."""

from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from app import firstlook, work
from app.jobs import Jobs, Run
from pipeline import Cancelled, CancelToken, sandbox
from pipeline.glance import glance, guess_marks, moments
from pipeline.media.keyframes import decode_keyframes, keyframe_times
from pipeline.media.probe import probe
from pipeline.settings import Limits
from pipeline.types import Glance
from tests.job_support import SETTINGS, jobs, made, until
from tests.making import story, textured, write_video
from tests.numbered import damaged, even, make_source, read_number

__all__ = ["jobs"]
CUTS_S = [5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]


@pytest.fixture(scope="module")
def long_story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s in shots of 5 s, of which only the first second is loud; the encoder sets keyframes at cuts."""
    return story(tmp_path_factory.mktemp("story") / "story.mp4", loud=range(1), shots=8, shot_s=5)


def number_of(picture: bytes) -> int:
    """The number that is drawn into a picture, made as large again as it was."""
    grey = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    return read_number(grey)


@pytest.mark.parametrize("name", ["s.mp4", "s.mkv", "s.ts", "s.webm"])
def test_pictures_are_keyframes_and_their_times_are_right(tmp_path: Path, name: str) -> None:
    video = probe(make_source(tmp_path / name, even(1000, 25), gop=50,
                              codec="libvpx" if name.endswith("webm") else "libx264"))
    seen = glance(video, 160, CancelToken())
    numbers = [number_of(picture) for picture in seen.pictures]
    assert len(numbers) >= 18 and numbers == sorted(set(numbers)) and numbers[-1] >= 900
    assert [round(time_s * 25) for time_s in seen.times_s] == numbers
    if not name.endswith("webm"):
        assert all(number % 50 == 0 for number in numbers)


def test_scenes_begin_at_early_keyframes(long_story: Path) -> None:
    seen = glance(probe(long_story), 160, CancelToken())
    assert seen.marks_s == pytest.approx(CUTS_S, abs=0.1)


def test_scenes_begin_between_unlike_pictures_where_keyframes_are_even(tmp_path: Path) -> None:
    video = probe(story(tmp_path / "s.mp4", loud=range(1), shots=8, shot_s=5,
                        options={"g": "25", "sc_threshold": "0"}))
    seen = glance(video, 160, CancelToken())
    assert len(seen.times_s) == 40 and seen.marks_s == pytest.approx(CUTS_S, abs=0.1)


@pytest.mark.parametrize(("keyframes_s", "mark_s"), [
    ([0, 2, 4, 5, 7, 9, 11], 5), ([0, 2, 4, 6, 8, 10, 12], 6), ([0, 8, 16], 8), ([], 6), ([0, 1, 2, 3, 5, 6, 7, 8], 6)])
def test_where_between_two_pictures(keyframes_s: list[float], mark_s: float) -> None:
    """Before its time; else at the second of two neighbours; else in the middle."""
    looks = [np.eye(2)[0], np.eye(2)[1]]
    assert guess_marks([4, 8], looks, np.array(keyframes_s, dtype=float)) == [mark_s]


def test_one_scene_has_no_marks() -> None:
    assert guess_marks([0, 1, 2], [np.ones(4)] * 3, np.arange(3.0)) == []
    assert guess_marks([], [], np.empty(0)) == [] and guess_marks([1], [np.zeros(4)], np.empty(0)) == []


def test_moments_are_spread_and_lie_on_keyframes() -> None:
    assert moments(48, np.empty(0)) == pytest.approx(np.arange(48) + 0.5)
    on_keyframes = moments(3600, np.arange(0, 3600, 2.0))
    assert len(on_keyframes) == 48 and all(time_s % 2 == 0 for time_s in on_keyframes)
    assert max(np.diff(on_keyframes)) <= 78 and moments(100, np.array([0.0, 50.0])) == [0, 50]


def test_pictures_stand_upright(tmp_path: Path) -> None:
    half = np.zeros((96, 160, 3), np.uint8)
    half[:, :80] = 255
    write_video(tmp_path / "flat.mp4", lambda _: half, 50, options={"g": "10"})
    with av.open(str(tmp_path / "flat.mp4")) as source, av.open(str(tmp_path / "turned.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        stream.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    video = probe(tmp_path / "turned.mp4")
    seen = glance(video, 160, CancelToken())
    picture = cv2.imdecode(np.frombuffer(seen.pictures[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture.shape == (160, 96) == (video.height, video.width)
    top, bottom = picture[:60].mean(), picture[100:].mean()
    assert (top > 230 and bottom < 25) if video.rotation_deg == 90 else (top < 25 and bottom > 230)


def test_a_damaged_keyframe_is_left_out(talk: Path, tmp_path: Path) -> None:
    whole = probe(make_source(tmp_path / "s.mp4", even(400, 25), gop=50))
    broken = probe(damaged(whole.path, 8.0, tmp_path / "broken.mp4"))
    times = [[at_s for at_s, _ in decode_keyframes(video, range(0, 16, 2), CancelToken())] for video in (whole, broken)]
    assert times[0] == pytest.approx(range(0, 16, 2)) and set(times[1]) <= set(times[0]) and len(times[1]) >= 6


def test_it_is_the_same_from_a_process_beside_and_can_be_cancelled(long_story: Path) -> None:
    video = probe(long_story)
    assert sandbox.glance(video, 96, Limits(), CancelToken()) == glance(video, 96, CancelToken())
    assert len(keyframe_times(video)) >= 8
    stopped = CancelToken()
    stopped.cancel()
    with pytest.raises(Cancelled):
        glance(video, 96, stopped)


def test_a_run_shows_its_video_before_it_is_scanned(jobs: Jobs, long_story: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    make, seen = work.make_reel, list[Glance]()

    def waiting(*given: object, **named: object) -> object:
        assert until(jobs, run, lambda now: now.glance is not None)
        return make(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(work, "make_reel", waiting)
    run = jobs.submit("ann", long_story, "story.mp4", SETTINGS)

    def done(now: Run) -> bool:
        seen.extend([now.glance] if now.glance else [])
        return not now.busy

    assert until(jobs, run, done).state == "done"
    assert seen and seen[0].marks_s == pytest.approx(CUTS_S, abs=0.1)
    after = jobs.get(run.id)
    assert after is not None and after.glance is None


def test_what_is_known_or_short_is_not_looked_at(jobs: Jobs, long_story: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    made(jobs, long_story)
    looked: list[str] = []
    monkeypatch.setattr(firstlook, "_look", lambda video, *_: looked.append(video.path.name))
    made(jobs, long_story)
    made(jobs, write_video(tmp_path / "short.mp4", lambda i: textured(i // 50), 300))
    assert looked == []


def test_a_look_that_fails_spoils_nothing(jobs: Jobs, long_story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> Glance:
        time.sleep(0.05)
        raise sandbox.InputError("is gone", "story.mp4")

    monkeypatch.setattr(sandbox, "glance", gone)
    assert made(jobs, long_story).glance is None
