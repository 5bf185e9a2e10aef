"""Styled reels: what is rendered again and what is not, and what is left when one ends early or fails."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import Cancelled, FFmpegError
from pipeline.media.probe import probe
from pipeline.progress import CancelToken, Progress, silent
from pipeline.rendering import blend, encode
from pipeline.rendering.encode import clip_jobs, encode_clip
from pipeline.rendering.encoders import Encoder
from pipeline.rendering.follow import Piece
from pipeline.rendering.framing import Window, from_later
from pipeline.rendering.overlays import Overlay
from pipeline.rendering.parts import in_parts
from pipeline.rendering.reel import render_reel
from pipeline.sandbox import close_idle
from pipeline.settings import Settings
from pipeline.types import Caption, Clip, Reel
from tests.compose_support import CLIPS, STYLED, left_over, styled
from tests.making import textured, write_video
from tests.numbered import QUICK, beep_starts, frames_of, order, render, snapped, sound_of
from tests.watched import own_children


def made(reel: Reel) -> tuple[int, int]:
    """Pieces that a render made, and those that the reel has."""
    return reel.notes["pieces_made"], reel.notes["pieces"]


def test_only_what_changed_is_rendered_again(talk: Path, tmp_path: Path) -> None:
    settings = styled(closing="End", closing_s=0.6)
    clips = [snapped(50 + 100 * i, 100 + 100 * i, 25) for i in range(4)]

    def again(clips: Sequence[Clip], settings: Settings) -> tuple[int, int]:
        return made(render(talk, clips, tmp_path, settings))

    assert again(clips, settings) == (9, 9) and again(clips, settings) == (0, 9)
    # Another clip: itself and the crossfades at its two ends.
    other = [*clips[:1], snapped(180, 240, 25), *clips[2:]]
    assert again(other, settings)[0] == 3
    assert again(clips, replace(settings, style=replace(settings.style, closing="Other")))[0] == 1
    assert again(clips, replace(settings, style=replace(settings.style, title="Title", title_s=1)))[0] == 1
    assert again([clips[0], clips[0], clips[1]], settings)[0] <= 5


def test_a_clip_that_is_there_twice(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, [CLIPS[0]] * 4, tmp_path, STYLED)
    numbers, _ = frames_of(reel.path)
    assert len(numbers) == 4 * 60 - 3 * 10 and numbers[60:100] == list(range(60, 100)) == numbers[110:150]


def test_cancel_leaves_nothing(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled from another thread, while MoviePy is at work."""
    token, composing = CancelToken(), threading.Event()
    blended = blend._blended

    def told(*args: object) -> object:
        composing.set()
        return blended(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(blend, "_blended", told)
    threading.Thread(target=lambda: composing.wait(60) and token.cancel()).start()
    with pytest.raises(Cancelled):
        render_reel(order(probe(talk), CLIPS, tmp_path, styled(closing="End", crossfade_s=1)), silent, token)
    assert composing.is_set() and left_over(tmp_path) == [] and not (tmp_path / "out" / "reel.mp4").exists()
    # Whoever renders next is not disturbed.
    assert made(render(talk, CLIPS[:1], tmp_path, STYLED))[1] == 1


def test_moviepy_stops_at_once_and_closes_what_it_opened(talk: Path, tmp_path: Path) -> None:
    token, seen, before = CancelToken(), [], own_children()

    def tell(share: float) -> None:
        seen.append(share)
        token.cancel()

    job = clip_jobs(probe(talk), [snapped(0, 50, 25)], STYLED)[0]
    file = encode_clip(probe(talk), job, tmp_path, lambda share: None, CancelToken()).path
    with pytest.raises(Cancelled):
        blend.crossfade(file, file, 50, tmp_path / "x.mov", tell, token)
    assert len(seen) <= 2
    # A process that waits to decode more is no concern of this.
    close_idle()
    assert own_children() <= before


def test_a_failure_of_moviepy_is_ours(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "_CODEC", "no_such_codec")
    with pytest.raises(FFmpegError) as caught:
        render(talk, CLIPS[:2], tmp_path, STYLED)
    assert "\n" not in str(caught.value) and left_over(tmp_path) == []


def test_progress_rises_to_one(talk: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    here = threading.current_thread()
    render_reel(order(probe(talk), CLIPS, tmp_path, styled(closing="End")), lambda progress: (
        seen.append(progress), pytest.fail("another thread") if threading.current_thread() is not here else None),
        CancelToken())
    fractions = [p.fraction or 0.0 for p in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(set(fractions)) > 5


@pytest.mark.skipif(sys.platform == "darwin", reason="where VideoToolbox works")
def test_hardware_that_fails_midway_gives_way(talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.rendering.compose.choose_encoder",
                        lambda settings, cancel: encode.Choice(Encoder("videotoolbox")))
    reel = render(talk, CLIPS[:2], tmp_path, STYLED)
    assert reel.encoder == "libx264" and "failed midway" in reel.notes["tried"]["videotoolbox"]
    assert len(frames_of(reel.path)[0]) == 125


def test_a_moving_window_goes_on_in_every_part() -> None:
    window = Window((320, 192), (108, 192), True, (Piece(0, 0.3, 0.1), Piece(1, 0.4)), 2.0)
    later = from_later(window, 0.8)
    assert later == replace(window, begin_s=0.8) and from_later(later, 0.2) == replace(window, begin_s=1.0)
    assert from_later(None, 1) is None


def test_clips_with_many_captions_are_encoded_in_parts(talk: Path, tmp_path: Path) -> None:
    """Captions without end, as speech has them: no command line would hold all of them."""
    clips = [snapped(0, 500, 25), snapped(550, 575, 25)]
    words = tuple(Caption(i * 0.4, i * 0.4 + 0.4, f"word {i}") for i in range(50))
    job = replace(clip_jobs(probe(talk), clips, QUICK)[0], overlays=tuple(
        Overlay(Path("a.png"), "d", 0, 0, 10 * i, 10 * i + 10) for i in range(50)))
    assert [(part.part.lead, part.frames, len(part.overlays)) for part in in_parts(job)] == [(0, 400, 40),
                                                                                             (400, 100, 10)]
    for settings in (QUICK, STYLED):
        asked = replace(order(probe(talk), clips, tmp_path / settings.render, settings), captions=words)
        reel = render_reel(asked, silent, CancelToken())
        numbers, _ = frames_of(reel.path)
        assert numbers[:490] == list(range(490)) and (reel.clips_encoded, reel.clips_reused) == (2, 0)
        heard = beep_starts(sound_of(reel.path))
        assert all(min(abs(second - at) for at in heard) < 0.01 for second in range(1, 19))
        assert (render_reel(asked, silent, CancelToken()).clips_reused) == 2


def test_another_shape(tmp_path: Path) -> None:
    wide = write_video(tmp_path / "wide.mp4", lambda i: np.roll(textured(1, 320, 180), 2 * i, axis=1), 150)
    reel = render(wide, [snapped(0, 60, 25), snapped(70, 140, 25)], tmp_path,
                  replace(styled(title="Tall", closing="End", closing_s=1), aspect="9:16"))
    with av.open(str(reel.path)) as container:
        stream = container.streams.video[0]
        assert stream.width * 16 == pytest.approx(stream.height * 9, rel=0.03) and stream.frames == 60 + 70 - 10 + 25
