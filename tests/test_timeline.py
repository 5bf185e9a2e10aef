"""Where clips and captions lie in a reel whose clips overlap: no media."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.rendering.timeline import Timeline, caption_times, lay_out
from pipeline.types import Caption, Clip

RATE = Fraction(25)


def clip(start_s: float, end_s: float) -> Clip:
    return Clip(start_s, end_s, None, "", "")


def test_clips_overlap_and_the_card_follows_the_last() -> None:
    line = lay_out([50, 60, 70], RATE, crossfade_s=0.4, card_s=2)
    assert line.overlaps == (10, 10, 10) and line.starts == (0, 40, 90)
    assert (line.clips_end, line.frames) == (160, 210)
    assert [line.body(i) for i in range(3)] == [(0, 40), (10, 50), (10, 60)]
    places = [(p.start_s, p.end_s) for p in line.placed([clip(0, 2), clip(5, 7.4), clip(9, 11.8)])]
    assert places == [(0, 2), (1.6, 4), (3.6, 6.4)]


@pytest.mark.parametrize(("counts", "card_s", "overlaps"), [
    ([50], 0, (0,)), ([1, 50, 1], 0, (0, 0, 0)), ([50, 2, 50], 0, (0, 0, 0)), ([50, 5, 50], 0, (2, 2, 0)),
    ([3, 50], 0, (2, 0)), ([50, 50], 1, (10, 10)), ([1], 1, (0,)), ([50], 0.16, (4,)), ([4, 4], 1, (1, 1)),
])
def test_short_clips_shorten_their_crossfades(counts: list[int], card_s: float, overlaps: tuple[int, ...]) -> None:
    assert lay_out(counts, RATE, 0.4, card_s).overlaps == overlaps


@hypothesis_settings(max_examples=200, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=12), fade=st.floats(0, 3), card=st.floats(0, 3))
def test_every_clip_has_a_frame_to_itself(counts: list[int], fade: float, card: float) -> None:
    line = lay_out(counts, RATE, fade, card)
    pieces = [line.body(i)[1] - line.body(i)[0] for i in range(len(counts))]
    assert min(pieces) >= 1
    assert sum(pieces) + sum(line.overlaps) + line.card == line.frames
    assert sum(counts) - sum(line.overlaps[:-1]) == line.clips_end


def test_captions_change_in_the_middle_of_a_crossfade() -> None:
    line = lay_out([50, 50], RATE, crossfade_s=0.4)
    clips = [clip(10, 12), clip(20, 22)]
    captions = [Caption(10, 12, "a"), Caption(20, 22, "b")]
    assert caption_times(line, clips, captions) == (("a", 0, 45), ("b", 45, 90))
    plain = lay_out([50, 50], RATE)
    assert caption_times(plain, clips, captions) == (("a", 0, 50), ("b", 50, 100))


def test_captions_are_cut_to_their_clips_and_to_one_another() -> None:
    line = Timeline(RATE, (100,), (0,))
    words = [Caption(3, 6, "first"), Caption(5.5, 8, "second"), Caption(8, 8.1, "a flicker"), Caption(20, 21, "else")]
    assert caption_times(line, [clip(5, 9)], words) == (("first", 0, 12), ("second", 12, 75))


def test_a_clip_shown_twice_has_its_caption_twice() -> None:
    line = lay_out([50, 50], RATE)
    assert caption_times(line, [clip(1, 3), clip(1, 3)], [Caption(1, 2, "x")]) == (("x", 0, 25), ("x", 50, 75))


def test_captions_wait_for_the_title() -> None:
    words = [Caption(0, 0.8, "gone"), Caption(0.8, 2, "cut short"), Caption(2, 4, "whole")]
    line = Timeline(RATE, (100,), (0,))
    assert caption_times(line, [clip(0, 4)], words, from_frame=25) == (("cut short", 25, 50), ("whole", 50, 100))
