"""Subtitles and chapters: on the reel's clock, whatever the words hold, read back by programs of others."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import av
import pysubs2
import pytest
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import Cancelled
from pipeline.export import export
from pipeline.export.chapters import Chapter, chapters_of, export_chapters, ffmetadata, youtube_list
from pipeline.export.kinds import EXPORTERS
from pipeline.export.placing import Cue, cues, windows
from pipeline.export.subtitles import export_srt, export_vtt, srt_text, vtt_text
from pipeline.export.words import lines_of, one_line, shortened, title, to_ascii
from pipeline.progress import CancelToken, silent
from pipeline.types import Caption
from tests.export_support import NASTY, claimed, claimed_video, clip, in_a_row, rendered
from tests.numbered import even, make_source, snapped

UNSEEN = "\u200b"


# ---------------------------------------------------------------- text

def test_lines() -> None:
    assert lines_of("a\r\n\r\n b\t\x00c \u2028d") == ["a", "b c", "d"]
    assert one_line(" a\n\n b  c ") == "a b c" and one_line("\ud800") == "\ufffd"
    assert shortened("one two three", 9) == "one two\u2026" and shortened("one", 9) == "one"
    assert len(shortened("x" * 50, 10)) == 10
    assert title(clip(0, 1, "a goal"), 3) == "A goal" and title(clip(0, 1, " \n"), 3) == "Clip 3"
    assert to_ascii("Caf\u00e9 \u2013 \u201cgo\u201d \u6620\U0001f3ac \u2026") == 'Cafe - "go" ...'


# ---------------------------------------------------------------- where words are

def test_captions_move_to_the_reel() -> None:
    placed = in_a_row([clip(20, 24), clip(5, 8)])
    found = cues([Caption(0, 1, "in no clip"), Caption(4, 6, "runs in"), Caption(21, 22, "inside"),
                  Caption(23, 30, "runs out"), Caption(24, 25, "just after"), Caption(7.9999, 8, "too short")], placed)
    assert found == (Cue(1000, 2000, ("inside",)), Cue(3000, 4000, ("runs out",)), Cue(4000, 5000, ("runs in",)))


def test_a_caption_is_shown_in_every_clip_that_has_it() -> None:
    placed = in_a_row([clip(4, 6), clip(0, 2), clip(5, 7)])
    found = cues([Caption(5, 5.5, "again")], placed)
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(1000, 1500), (4000, 4500)]


def test_crossfades_change_hands_half_way() -> None:
    placed = in_a_row([clip(0, 4), clip(10, 14)], crossfade_s=1.0, lead_s=2.0)
    assert [(w.start_s, w.end_s) for w in windows(placed)] == [(2.0, 5.5), (5.5, 9.0)]
    found = cues([Caption(0, 4, "first"), Caption(10, 14, "second")], placed)
    assert [(cue.start_ms, cue.end_ms) for cue in found] == [(2000, 5500), (5500, 9000)]
    assert cues([Caption(12, 13, "second")], placed)[0].start_ms == 7000


times = st.floats(0, 30).map(lambda t: round(t, 4))
captions = st.lists(st.builds(lambda t, d, w: Caption(t, t + d, w), times, st.floats(0.0001, 5),
                              st.text(max_size=12)), max_size=8)
placings = st.lists(st.builds(lambda t, d: clip(t, t + d), times, st.floats(0.05, 6)), min_size=1, max_size=4).map(
    in_a_row)


@given(captions, placings)
def test_cues_never_overlap_nor_are_empty(words: list[Caption], placed: object) -> None:
    found = cues(words, placed)  # type: ignore[arg-type]
    assert all(cue.start_ms < cue.end_ms and cue.lines and all(cue.lines) for cue in found)
    assert all(a.end_ms <= b.start_ms for a, b in itertools.pairwise(found))


@given(st.lists(st.text(min_size=1, max_size=40).filter(lambda t: bool(lines_of(t))), min_size=1, max_size=4))
def test_readers_find_every_cue_whatever_it_says(texts: list[str]) -> None:
    shown = [Cue(1000 * i, 1000 * i + 900, tuple(lines_of(text))) for i, text in enumerate(texts)]
    spans = [(cue.start_ms, cue.end_ms) for cue in shown]
    assert [(e.start, e.end) for e in pysubs2.SSAFile.from_string(srt_text(shown), "srt")] == spans
    assert [e.text.replace("\\N", "\n").replace(UNSEEN, "") for e in pysubs2.SSAFile.from_string(srt_text(shown), "srt")
            ] == ["\n".join(cue.lines).replace(UNSEEN, "") for cue in shown]
    found = webvtt.from_string(vtt_text(shown))
    assert [(c.start_time.in_milliseconds(), c.end_time.in_milliseconds()) for c in found] == spans
    assert [unescaped(c.raw_text) for c in found] == ["\n".join(cue.lines) for cue in shown]


def unescaped(text: str) -> str:
    """What a WebVTT player shows."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@pytest.mark.parametrize("text", [NASTY, "a --> b", "00:00:01,000 --> 00:00:02,000\nx", "<i>no</i> &lt; &amp; {\\b1}",
                                  "WEBVTT", "NOTE x", "12", "a\n5", "\u05e9\u05dc\u05d5\u05dd \U0001f600", "a < b > c"])
def test_words_read_as_they_were(tmp_path: Path, text: str) -> None:
    material = claimed(claimed_video(), [clip(10, 12), clip(3, 5)], tmp_path,
                       [Caption(10, 11, text), Caption(3.5, 4.25, "next")])
    (srt,), (vtt,) = export_srt(material, CancelToken()), export_vtt(material, CancelToken())
    said = "\n".join(lines_of(text))
    first, second = webvtt.read(str(vtt))
    assert unescaped(first.raw_text) == said
    assert "-->" not in first.raw_text and "<" not in first.raw_text
    assert (second.start, second.end, second.text) == ("00:00:02.500", "00:00:03.250", "next")
    events = list(pysubs2.load(str(srt), encoding="utf-8"))
    assert [(e.start, e.end) for e in events] == [(0, 1000), (2500, 3250)]
    assert events[0].text.replace("\\N", "\n").replace(UNSEEN, "") == said
    assert srt.read_text(encoding="utf-8").count("-->") == 2
    assert re.search(r"<\w|\{\\", srt.read_text(encoding="utf-8")) is None


def test_a_reel_without_words(tmp_path: Path) -> None:
    material = claimed(claimed_video(), [clip(10, 12)], tmp_path)
    (srt,), (vtt,) = export_srt(material, CancelToken()), export_vtt(material, CancelToken())
    assert srt.read_bytes() == b"" and vtt.read_text() == "WEBVTT\n" and len(webvtt.read(str(vtt))) == 0


# ---------------------------------------------------------------- chapters

def packets_of(path: Path) -> list[tuple[str, int, int, bytes]]:
    """Everything that picture and sound consist of."""
    with av.open(str(path)) as container:
        return [(p.stream.type, p.pts or 0, p.dts or 0, bytes(p))
                for p in container.demux(*container.streams.video, *container.streams.audio) if p.size]


def boxes_of(path: Path) -> list[bytes]:
    """Names of a file's outermost boxes, in order."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4:at + 8])
        at += int.from_bytes(data[at:at + 4], "big")
    return names


def test_chapters_are_set_into_the_reel_and_nothing_else_changes(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(200, 25), sound=(0, 8))
    clips = [clip(4, 6, "a=goal; #1 \\ x\n\u6620\U0001f3ac"), clip(0.5, 1.5), snapped(100, 130, 25)]
    material = rendered(source, clips, tmp_path)
    reel, before = material.reel.path, packets_of(material.reel.path)
    for _ in range(2):
        (listing,) = export_chapters(material, CancelToken())
        assert packets_of(reel) == before
        with av.open(str(reel)) as container:
            chapters = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"]), c["metadata"]["title"])
                        for c in container.chapters()]
            assert len(container.streams.video) == len(container.streams.audio) == 1
            assert len(container.streams.data) <= 1
        assert chapters == [(0.0, 2.0, "A=goal; #1 \\ x \u6620\U0001f3ac"), (2.0, 3.0, "Clip 2"), (3.0, 4.2, "Clip 3")]
        assert boxes_of(reel).index(b"moov") < boxes_of(reel).index(b"mdat")
    assert listing.read_text(encoding="utf-8").splitlines() == [
        "0:00 A=goal; #1 \\ x \u6620\U0001f3ac", "0:02 Clip 2", "0:03 Clip 3"]
    assert {path.name for path in material.folder.iterdir()} == {"reel.mp4", "chapters.txt"}


def test_chapters_tile_a_reel_with_a_title_and_crossfades(tmp_path: Path) -> None:
    placed = in_a_row([clip(0, 4, "one"), clip(10, 14, "two")], crossfade_s=1.0, lead_s=2.0)
    reel = claimed(claimed_video(), [clip(0, 1)], tmp_path).reel
    found = chapters_of(replace(reel, placed=placed, duration_s=12.0))
    assert found == (Chapter(0, 5500, "One"), Chapter(5500, 12000, "Two"))


def test_the_list_for_youtube() -> None:
    listed = youtube_list([Chapter(0, 900, "A"), Chapter(900, 61_000, "B"), Chapter(61_000, 3_725_000, "C"),
                           Chapter(3_725_000, 3_800_000, "D")])
    assert listed == "0:00 A\n1:01 C\n1:02:05 D\n"
    assert "title=a\\=b\\;c\\#d\\\\e\n" in ffmetadata([Chapter(0, 1, "a=b;c#d\\e")])


def test_a_cancelled_export_leaves_the_reel_as_it_was(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(50, 25), sound=(0, 2))
    material = rendered(source, [clip(0, 1)], tmp_path)
    before, token = material.reel.path.read_bytes(), CancelToken()
    token.cancel()
    for name in ("clips", "chapters", "gif", "html", "contact-sheet", "srt", "edl"):
        with pytest.raises(Cancelled):
            export([name], material, silent, token, lambda kind, *given: EXPORTERS[kind](*given))
    assert material.reel.path.read_bytes() == before and len(list(material.folder.iterdir())) == 1
