"""Words in the picture of encoded reels: they are burned in where and when they belong, and only as pictures."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.media.probe import probe
from pipeline.progress import CancelToken, silent
from pipeline.rendering.encode import clip_jobs, clip_key
from pipeline.rendering.graph import clip_args
from pipeline.rendering.overlays import Overlay, within
from pipeline.rendering.reel import render_reel
from pipeline.settings import Settings
from pipeline.types import Caption, Clip, Reel
from tests.making import write_video
from tests.numbered import QUICK, even, frames_of, make_source, order, snapped
from tests.test_text import NASTY

GREY = 90


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s of plain grey, 320 by 180."""
    return write_video(tmp_path_factory.mktemp("grey") / "grey.mp4", lambda i: np.full((180, 320, 3), GREY, np.uint8),
                       200)


def burn(source: Path, clips: list[Clip], captions: list[Caption], tmp_path: Path, settings: Settings = QUICK) -> Reel:
    """Render with these captions in the picture."""
    return render_reel(replace(order(probe(source), clips, tmp_path, settings), captions=tuple(captions)), silent,
                       CancelToken())


def pictures(path: Path) -> np.ndarray:
    """All frames: (n, h, w, 3) RGB."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def brightest(path: Path) -> np.ndarray:
    """The brightest that anything in the lower part of each frame is."""
    return pictures(path)[:, 120:].min(axis=-1).max(axis=(1, 2))


def test_captions_are_there_when_they_should_be(grey: Path, tmp_path: Path) -> None:
    clips = [snapped(25, 75, 25), snapped(100, 150, 25)]
    reel = burn(grey, clips, [Caption(1.5, 2.4, "Hello"), Caption(4.5, 9, "there")], tmp_path)
    level = brightest(reel.path)
    shown = level > 200
    # 0.5 s into the first clip for 0.9 s, with fades of 4 frames; from 0.5 s into the second to its end.
    first, second = np.flatnonzero(shown[:50]), np.flatnonzero(shown[50:])
    assert abs(first[0] - 16) <= 2 and abs(first[-1] - 31) <= 2 and len(first) == first[-1] - first[0] + 1
    assert abs(second[0] - 16) <= 2 and 44 <= second[-1] <= 48
    assert (level[:11] < GREY + 12).all() and (level[37:61] < GREY + 12).all()
    assert reel.way == "encode" and len(level) == 100


def test_white_is_white_and_the_rest_of_the_picture_stays(grey: Path, tmp_path: Path) -> None:
    clip = [snapped(0, 50, 25)]
    with_words = pictures(burn(grey, clip, [Caption(0, 2, "WWW MMM")], tmp_path).path)[25].astype(int)
    without = pictures(burn(grey, clip, [], tmp_path).path)[25].astype(int)
    white = with_words[(with_words.min(axis=-1) > 215)]
    assert len(white) > 20 and white.max() >= 245 and np.ptp(white, axis=1).max() <= 8
    assert np.abs(with_words[:120] - without[:120]).max() <= 3


def test_coloured_words_have_their_colour(grey: Path, tmp_path: Path) -> None:
    settings = replace(QUICK, crf=10, style=replace(QUICK.style, text_colour="#20c040", caption_size=0.1))
    image = pictures(burn(grey, [snapped(0, 50, 25)], [Caption(0, 2, "HHH")], tmp_path, settings).path)[25].astype(int)
    assert (np.abs(image - (0x20, 0xC0, 0x40)).max(axis=-1) <= 4).sum() > 20


@pytest.mark.parametrize("words", [*NASTY, "\U0001f600", "x" * 500, "a\nb\nc\nd\ne"])
def test_no_text_breaks_a_render(grey: Path, tmp_path: Path, words: str) -> None:
    reel = burn(grey, [snapped(0, 25, 25)], [Caption(0, 1, words)], tmp_path)
    assert len(pictures(reel.path)) == 25
    video = probe(grey)
    shown = Overlay(Path("/secret/words.png"), "0" * 32, 10, 20, 0, 25)
    job = replace(clip_jobs(video, [snapped(0, 25, 25)], QUICK)[0], overlays=(shown,))
    assert not any(words[:8] in argument for argument in clip_args(job, "file:a", "file:b"))


def test_frames_stay_in_their_slots(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    source = make_source(tmp_path / "a.mp4", even(200, rate), size=(320, 192), sound=(0, 6))
    reel = burn(source, [snapped(20, 80, rate), snapped(90, 120, rate)],
                [Caption(0.9, 1.5, "One"), Caption(1.4, 2.2, "Two"), Caption(3.2, 3.8, "Three")], tmp_path)
    numbers, times = frames_of(reel.path)
    assert numbers == [*range(20, 80), *range(90, 120)] and times == [i / rate for i in range(90)]


def test_the_same_words_twice_in_a_clip(grey: Path, tmp_path: Path) -> None:
    level = brightest(burn(grey, [snapped(0, 100, 25)], [Caption(0.4, 1.2, "Ha"), Caption(2, 2.8, "Ha")],
                           tmp_path).path) > 200
    assert np.flatnonzero(np.diff(level.astype(int)) > 0).size == 2


def test_a_clip_is_known_by_its_words_and_not_by_where_they_lie(grey: Path) -> None:
    video = probe(grey)
    job = clip_jobs(video, [snapped(0, 25, 25)], QUICK)[0]

    def key(folder: str, digest: str, first: int = 0) -> str:
        return clip_key(video, replace(job, overlays=(Overlay(Path(folder) / "a.png", digest, 2, 4, first, 25),)))

    assert key("/a", "d") == key("/b", "d") and len({key("/a", "d"), key("/a", "e"), key("/a", "d", 1)}) == 3
    assert clip_key(video, job) not in (key("/a", "d"),)


def test_another_caption_encodes_its_clip_alone(grey: Path, tmp_path: Path) -> None:
    clips = [snapped(0, 25, 25), snapped(50, 75, 25), snapped(100, 125, 25)]
    words = [Caption(c.start_s, c.end_s, f"clip at {c.start_s:g}") for c in clips]
    assert burn(grey, clips, words, tmp_path).clips_encoded == 3
    words[1] = replace(words[1], text="other words")
    again = burn(grey, clips, words, tmp_path)
    assert (again.clips_encoded, again.clips_reused) == (1, 2)


def test_overlays_go_on_from_one_piece_to_the_next(tmp_path: Path) -> None:
    shown = Overlay(tmp_path / "a.png", "d", 0, 0, 10, 40, 5)
    assert within([shown], 0, 10) == () and within([shown], 40, 10) == ()
    assert within([shown], 20, 10) == (replace(shown, first=-10, after=20),)


def test_many_captions_in_a_clip(grey: Path, tmp_path: Path) -> None:
    words = [Caption(i * 0.32, (i + 1) * 0.32, f"word {i}") for i in range(25)]
    level = brightest(burn(grey, [snapped(0, 200, 25)], words, tmp_path).path)
    assert np.flatnonzero(np.diff((level > 200).astype(int)) > 0).size == 25


def test_what_cannot_be_drawn_is_said(grey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rendering.fonts.font_folders", lambda: (tmp_path / "none",))
    reel = burn(grey, [snapped(0, 25, 25)], [Caption(0, 1, "日本語")], tmp_path)
    assert "日" in reel.warnings[0] and brightest(reel.path).max() < GREY + 12
