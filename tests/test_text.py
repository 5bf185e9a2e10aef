"""Words as pictures: lines, fonts, and what is left of text that can't be drawn."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from pipeline.errors import SettingsError
from pipeline.rendering import fonts, text
from pipeline.rendering.fonts import Face, find_face
from pipeline.rendering.lines import ELLIPSIS, fit
from pipeline.rendering.text import Drawn, Letterer
from pipeline.settings import Style

NASTY = ["it's \"quoted\": 100 %", r"C:\new\table %{pts} {x} [in][out];,", "a=b:c|d'e\\'f", "-vf drawtext=text=x",
         "$(reboot) `ls` ${HOME}"]


def letterer(width: int = 640, height: int = 360, **style: object) -> Letterer:
    return Letterer(width, height, Style(**style))  # type: ignore[arg-type]


def on(drawn: Drawn | None, level: int, width: int = 640, height: int = 360) -> np.ndarray:
    """What is seen where a picture lies on a grey of this level: (h, w, 3)."""
    assert drawn is not None
    image = np.full((height, width, 3), float(level))
    pixels = drawn.pixels.astype(float)
    alpha = pixels[..., 3:] / 255
    part = image[drawn.y:drawn.y + pixels.shape[0], drawn.x:drawn.x + pixels.shape[1]]
    part[:] = part * (1 - alpha) + pixels[..., :3] * alpha
    return image


def mono(part: str, size: int) -> float:
    """A font in which every character is half as wide as high."""
    return len(part) * size / 2


# ---------------------------------------------------------------- lines

def test_lines_are_about_equally_long() -> None:
    block = fit("one two three four five six seven", mono, 100, [10], 3)
    assert len(block.lines) == 2 and max(map(len, block.lines)) - min(map(len, block.lines)) <= 4
    assert " ".join(block.lines) == "one two three four five six seven"


def test_text_shrinks_before_it_is_cut() -> None:
    words = "word " * 12
    assert fit(words, mono, 100, [20, 10], 3).size == 10
    cut = fit(words * 5, mono, 100, [20, 10], 3)
    assert len(cut.lines) == 3 and cut.lines[-1].endswith(ELLIPSIS)
    assert all(mono(line, cut.size) <= 100 for line in cut.lines)


def test_endless_words_and_scripts_without_blanks_break_anywhere() -> None:
    assert fit("x" * 50, mono, 100, [10], 3).lines == ("x" * 17, "x" * 17, "x" * 16)
    wide = fit("今日は湖で、家族みんなと一日を過ごしました。", lambda part, size: len(part) * size, 120, [10], 3)
    assert len(wide.lines) == 2 and not any(line[0] in "、。" for line in wide.lines)


def test_marks_stay_with_their_letters() -> None:
    decomposed = "é" * 30
    lines = fit(decomposed, lambda part, size: sum(c != "́" for c in part) * size / 2, 100, [10], 3).lines
    assert "".join(lines) == decomposed and not any(line.startswith("́") for line in lines)


def test_line_breaks_are_kept_where_there_is_room() -> None:
    assert fit("Day one\nThe lake", mono, 100, [10], 3).lines == ("Day one", "The lake")
    assert len(fit("a\nb\nc\nd\ne", mono, 100, [10], 3).lines) <= 3


# ---------------------------------------------------------------- pictures

@pytest.mark.parametrize("level", [0, 128, 255])
def test_captions_can_be_read_on_anything(level: int) -> None:
    seen = on(letterer().caption("Two men cross a bridge"), level)
    drawn = letterer().caption("Two men cross a bridge")
    assert drawn is not None
    box = seen[drawn.y + 4:drawn.y + drawn.picture.height - 4, drawn.x + 8:drawn.x + drawn.picture.width - 8]
    assert np.percentile(box, 99) > 240 and np.median(box) < 130
    assert np.percentile(box, 99) - np.median(box) > 100


@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (400, 400), (1280, 540), (160, 90)])
def test_words_stay_inside_the_safe_area_and_captions_off_faces(width: int, height: int) -> None:
    long = "A rather long description of all that can be seen in this clip, and of what can be heard in it too"
    made = letterer(width, height)
    caption, title = made.caption(long), made.title(long)
    assert caption is not None and title is not None
    assert caption.y >= 0.7 * height - 2 and caption.y + caption.picture.height <= 0.95 * height + 1
    assert caption.x >= 0.05 * width and caption.x + caption.picture.width <= 0.95 * width + 1
    words = np.argwhere((title.pixels[..., :3].min(axis=-1) > 200) & (title.pixels[..., 3] > 200))
    assert words[:, 1].min() >= 0.05 * width and words[:, 1].max() <= 0.95 * width
    assert (caption.x % 2, caption.y % 2, title.x % 2, title.y % 2) == (0, 0, 0, 0)


def test_500_characters_are_a_good_picture() -> None:
    for words in ("word " * 100, "x" * 500):
        drawn = letterer().title(words)
        seen = on(drawn, 255)
        rows = np.flatnonzero((seen.min(axis=-1) > 235)[90:270].any(axis=1))
        assert drawn is not None and len(rows) and drawn.picture.width == 640
    assert letterer().caption("word " * 100) is not None


@pytest.mark.parametrize("words", NASTY)
def test_every_character_is_only_a_character(words: str) -> None:
    made = letterer()
    assert made.caption(words) is not None and made.title(words) is not None and made.warnings == ()


@pytest.mark.parametrize("words", ["", "   ", "\n\n", "\0\x07\x1b", "​‮"])
def test_nothing_to_draw(words: str) -> None:
    made = letterer()
    assert made.caption(words) is None and made.title(words) is None and made.card(words) is None


@pytest.mark.parametrize(("width", "height"), [(2, 2), (16, 16), (2, 400), (400, 2), (40, 30)])
def test_tiny_reels_have_words_or_none(width: int, height: int) -> None:
    made = letterer(width, height)
    for drawn in (made.caption("Hello there"), made.title("Hello there"), made.card("Hello there")):
        assert drawn is None or (drawn.x + drawn.picture.width <= width and drawn.y + drawn.picture.height <= height)


def test_colours_are_those_of_the_style() -> None:
    drawn = letterer(text_colour="#ff2000", caption_shade=0.0).caption("Red")
    assert drawn is not None
    solid = drawn.pixels[(drawn.pixels[..., 3] == 255) & (drawn.pixels[..., 0] > 250)]
    assert len(solid) and (np.abs(solid[:, :3].astype(int) - (255, 32, 0)).max(axis=1) <= 2).any()
    with pytest.raises(SettingsError, match="#rrggbb"):
        Style(text_colour="red")


def test_a_picture_is_known_by_its_pixels(tmp_path: Path) -> None:
    one, same, other = (letterer().caption(words) for words in ("One", "One", "Other"))
    assert one and same and other and one.digest == same.digest != other.digest
    assert one.save(tmp_path) == same.save(tmp_path) and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- scripts and fonts

def test_emoji_are_left_out_without_a_word() -> None:
    made = letterer()
    assert made.caption("Goal \U0001f9ff\U0001f1e9\U0001f1ea\U0001f3fd‍️!") is not None
    assert made.warnings == ()


@pytest.fixture
def no_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without fonts."""
    monkeypatch.setattr(fonts, "font_folders", lambda: (tmp_path / "nothing",))


def test_without_fonts_the_one_that_pillow_brings_is_used(no_fonts: None) -> None:
    made = letterer()
    assert find_face("Hello", None) == Face(None)
    assert made.caption("Hello") is not None and made.warnings == ()
    # It has little more than ASCII: letters keep their places, cut-off text still ends in dots.
    assert made.caption("Zürich")
    assert text._drawable("ü", Face(None)) in "üu" and text._drawable("“", Face(None)) in "“\""
    assert text._drawable("日", Face(None)) == ""
    assert made.caption("word " * 100) is not None


def test_characters_that_no_font_has_are_left_out_and_said(no_fonts: None) -> None:
    made = letterer()
    both, only = made.caption("Hello 日本"), made.caption("日本語")
    assert both is not None and only is None
    assert both.digest == letterer().caption("Hello").digest  # type: ignore[union-attr]
    assert len(made.warnings) == 1 and "日" in made.warnings[0] and "install a font" in made.warnings[0]


def test_the_first_font_that_has_everything_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "fonts"
    folder.mkdir()
    monkeypatch.setattr(fonts, "font_folders", lambda: (folder,))
    (folder / "Inter-Bold.ttf").write_bytes(b"not a font")
    (folder / "Roboto-Bold.ttf").write_bytes(fonts._bytes_of_default())
    assert find_face("Hello", None).path == folder / "Roboto-Bold.ttf"


def test_which_characters_a_font_has() -> None:
    face = Face(None)
    assert all(map(face.has, "AZaz09!?&%"))
    assert not any(map(face.has, "日\U0001f600")) and not face.has("\uffff")
    # What Pillow draws where there is no glyph tells the same.
    font = ImageFont.load_default(40)
    blank = bytes(font.getmask("\U0010ffff"))
    for character in "AbZ09&?éßΩЖ中ا":
        assert face.has(character) == (bytes(font.getmask(character)) != blank), character


def test_right_to_left_text(monkeypatch: pytest.MonkeyPatch) -> None:
    hebrew = "שלום 123"
    if not all(map(find_face(hebrew, None).has, hebrew.replace(" ", ""))):
        pytest.skip("no font with Hebrew on this machine")
    shaped = letterer()
    with_raqm = shaped.caption(hebrew)
    assert with_raqm is not None and shaped.warnings == ()
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    plain = letterer()
    assert plain.caption(hebrew) is not None and "raqm" in plain.warnings[0]
    assert text._turned("שלום 123 abc") == "abc 123 םולש"


def test_a_font_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "my font.ttf"
    mine.write_bytes(fonts._bytes_of_default())
    assert find_face("x", str(mine)).path == mine
    monkeypatch.setattr(fonts, "font_folders", lambda: (tmp_path / "fonts",))
    (tmp_path / "fonts").mkdir()
    for name in ("OpenSans-Italic.ttf", "OpenSans-Bold.ttf", "OpenSans-Regular.ttf"):
        shutil.copy(mine, tmp_path / "fonts" / name)
    assert find_face("x", "Open Sans").path == tmp_path / "fonts" / "OpenSans-Bold.ttf"


@pytest.mark.parametrize("given", ["No Such Family", "/nowhere/a.ttf", "{tmp}/empty.ttf", "{tmp}/words.txt", ""])
def test_fonts_that_cannot_be_had(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty.ttf").write_bytes(b"")
    (tmp_path / "words.txt").write_text("no font")
    with pytest.raises(SettingsError) as caught:
        letterer(font=given.format(tmp=tmp_path)).caption("x")
    assert caught.value.subject == "font" and "\n" not in str(caught.value)


def test_torn_fonts_have_nothing(tmp_path: Path) -> None:
    whole = fonts._bytes_of_default()
    for length in (0, 3, 40, 400, len(whole) // 2):
        torn = tmp_path / f"{length}.ttf"
        torn.write_bytes(whole[:length])
        assert fonts.Face(torn).has("\uffff") is False


@pytest.mark.skipif(sys.platform == "win32", reason="folders of POSIX systems")
def test_where_fonts_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Path("/System/Library/Fonts") in fonts.font_folders()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_DIRS", "/a:/b")
    assert Path("/b/fonts") in fonts.font_folders()
