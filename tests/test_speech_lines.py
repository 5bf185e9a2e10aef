"""Words become captions that can be read: pure functions, for any words."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.speech.lines import LINE_WIDTH, LONGEST_S, PAUSE_S, SHORTEST_S, to_captions, width
from pipeline.types import Interval, Word


def said(text: str, start_s: float = 0.0, word_s: float = 0.3) -> list[Word]:
    """Words said one after another; `|` stands for a second's silence."""
    words: list[Word] = []
    for token in text.split():
        if token == "|":
            start_s += 1.0
            continue
        words.append(Word(start_s, start_s + word_s, f" {token}"))
        start_s += word_s
    return words


def texts(text: str, stretch: Interval | None = None) -> list[str]:
    """The captions' texts."""
    return [caption.text for caption in to_captions(said(text), stretch or Interval(0, 600))]


def test_a_sentence_is_one_caption() -> None:
    (caption,) = to_captions(said("Ask not what you can do.", 2.0), Interval(0, 10))
    assert caption.text == "Ask not what you can do." and caption.start_s == 2.0
    assert caption.end_s == pytest.approx(2.0 + 6 * 0.3 + 0.2)


def test_sentences_part() -> None:
    assert texts("This is the first of them. And this is another one.") == [
        "This is the first of them.", "And this is another one."]


def test_short_sentences_share_a_caption_rather_than_flash() -> None:
    assert texts("Yes. No. I do not know what to say.") == ["Yes. No.", "I do not know what to say."]


def test_pauses_part() -> None:
    assert texts("one two three four | five six seven eight") == ["one two three four", "five six seven eight"]


def test_a_long_sentence_breaks_at_a_comma_and_in_two_even_lines() -> None:
    text = ("If we had only known about it that very same morning, we would surely have packed our things and left "
            "the house before noon.")
    first, second = [caption.text for caption in to_captions(said(text, word_s=0.25), Interval(0, 600))]
    assert first.endswith("morning,")
    upper, lower = second.split("\n")
    assert abs(len(upper) - len(lower)) < 12


@pytest.mark.parametrize("text", ["我们选择去月球。" * 6, "ここに来て、みんなで話しましょう。" * 4])
def test_chinese_and_japanese_have_no_spaces(text: str) -> None:
    words = [Word(i * 0.2, i * 0.2 + 0.2, character) for i, character in enumerate(text)]
    captions = to_captions(words, Interval(0, 600))
    assert "".join(caption.text for caption in captions).replace("\n", "") == text
    assert all(caption.text[-1] in "。、" for caption in captions)
    assert max(len(line) for caption in captions for line in caption.text.split("\n")) <= LINE_WIDTH // 2


def test_close_captions_leave_no_gap_and_distant_ones_do() -> None:
    words = [*said("This is the very first of them.", 0.0), *said("Here comes the second one.", 2.3),
             *said("And the third is far away.", 8.0)]
    first, second, third = to_captions(words, Interval(0, 20))
    assert first.end_s == second.start_s == 2.3
    assert second.end_s < third.start_s - 3


def test_a_short_word_stays_a_second_and_at_the_end_comes_early() -> None:
    (caption,) = to_captions([Word(3.0, 3.2, " Go!")], Interval(0, 10))
    assert (caption.start_s, caption.end_s) == (3.0, 4.0)
    (caption,) = to_captions([Word(9.6, 9.8, " Go!")], Interval(0, 10))
    assert (caption.start_s, caption.end_s) == (9.0, 10.0)


def test_words_belong_where_their_middle_lies() -> None:
    words = [Word(3.8, 4.3, " border"), Word(4.3, 4.6, " inside"), Word(7.9, 8.3, " beyond")]
    assert to_captions(words, Interval(0, 4)) == ()
    (caption,) = to_captions(words, Interval(4, 8))
    assert caption.text == "border inside" and caption.start_s == 4.0
    (caption,) = to_captions(words, Interval(8, 12))
    assert caption.text == "beyond" and caption.start_s == 8.0


def test_what_can_not_be_shown_is_left_out() -> None:
    words = [Word(0, 1, " a\x07b\ufffd"), Word(1, 2, " \x00"), Word(1.2, 3, " c\n d")]
    (caption,) = to_captions(words, Interval(0, 10))
    assert caption.text == "ab c d"
    assert to_captions([Word(0, 1, "  "), Word(1, 2, "\x01")], Interval(0, 10)) == ()


times = st.floats(0, 60, allow_nan=False)
tokens = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from([" and", " go.", " why,", " really?", "月", "。", " " + "x" * 130, " (aside)"]))
anything = st.lists(st.builds(lambda start_s, length_s, text: Word(start_s, start_s + length_s, text), times,
                              st.floats(0, 12), tokens), max_size=60)
bounds = st.tuples(st.floats(0, 50), st.floats(0.05, 30)).map(lambda ends: Interval(ends[0], ends[0] + ends[1]))


@given(anything, bounds)
def test_any_words_can_be_read(words: list[Word], stretch: Interval) -> None:
    captions = to_captions(words, stretch)
    for caption in captions:
        lines = caption.text.split("\n")
        assert len(lines) <= 2 and all(line and line == line.strip() and width(line) <= LINE_WIDTH for line in lines)
        assert stretch.start_s <= caption.start_s < caption.end_s <= stretch.end_s
        assert caption.end_s - caption.start_s <= LONGEST_S + 1e-6
    for one, next_one in pairwise(captions):
        assert one.end_s <= next_one.start_s
    edges = [stretch.start_s, *(edge for caption in captions for edge in (caption.start_s, caption.end_s)),
             stretch.end_s]
    for i, caption in enumerate(captions):
        if caption.end_s - caption.start_s < SHORTEST_S - 1e-6:
            assert edges[2 * i] == caption.start_s and edges[2 * i + 3] == caption.end_s


def spoken(gaps: st.SearchStrategy[float]) -> st.SearchStrategy[list[Word]]:
    """Words as a speaker says them, with such gaps between them."""
    letters = st.text("abcdefgh", min_size=1, max_size=9)
    word = st.tuples(gaps, st.floats(0.1, 0.6), letters, st.sampled_from(["", "", "", ",", ".", "?"]))

    def place(parts: list[tuple[float, float, str, str]]) -> list[Word]:
        words, at_s = [], 0.0
        for gap_s, length_s, text, end in parts:
            words.append(Word(at_s + gap_s, at_s + gap_s + length_s, f" {text}{end}"))
            at_s += gap_s + length_s
        return words

    return st.lists(word, min_size=1, max_size=50).map(place)


@given(spoken(st.floats(0, 2)))
def test_no_word_of_a_speaker_is_lost_and_none_shows_early(words: list[Word]) -> None:
    captions = to_captions(words, Interval(0, 1000))
    shown = [(caption, text) for caption in captions for text in caption.text.split()]
    assert [text for _, text in shown] == [word.text.strip() for word in words]
    for (caption, _), word in zip(shown, words, strict=True):
        assert caption.start_s <= word.start_s + 1e-9
        assert word.start_s < caption.end_s
    for (one, _), (other, _), word, next_word in zip(shown, shown[1:], words, words[1:], strict=False):
        if next_word.start_s - word.end_s >= PAUSE_S:
            assert one != other
