"""Draws words: titles, captions and cards as pictures with transparency."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError
from pipeline.rendering.fonts import Face, counts, find_face
from pipeline.rendering.lines import ELLIPSIS, Block, fit
from pipeline.settings import Style

# Television's title-safe area ends 5 % from each edge.
_MARGIN = 0.05
# Captions stay under this share of the height, where faces aren't.
_CAPTIONS_FROM = 0.7
# A title is larger and stands alone, so it may begin a little higher.
_TITLE_FROM = 0.6
# A tall reel is held in the hand: its captions may be larger than its width alone would suggest.
_TALL = 1.25
_LEADING = 1.16
_SMALLEST = 8
# Text shrinks to this share of its size before it is cut off.
_TITLE_SHRINK, _CAPTION_SHRINK = 0.5, 0.7
_TITLE_LINES, _CAPTION_LINES = 4, 3
_SHADOW = 0.75
# Marks of control that letters of some scripts need: zero-width non-joiner and joiner.
_JOINERS = "\u200c\u200d"
# Typographers' quotes and dashes, for fonts that have only a typewriter's.
_PLAIN = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2026": "..."}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture of words in its place.

    picture: a PIL image, RGBA
    x, y: of its upper left corner in the reel, even
    """

    picture: Any
    x: int
    y: int

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """It as numbers: (h, w, 4) RGBA."""
        return np.asarray(self.picture)

    @property
    def digest(self) -> str:
        """Hash of its pixels."""
        return hashlib.sha256(repr(self.picture.size).encode() + self.picture.tobytes()).hexdigest()[:32]

    def save(self, folder: Path) -> Path:
        """Write it as a PNG named after its digest, if it isn't there yet. Raises OutputError."""
        path = folder / f"{self.digest}.png"
        try:
            if not path.exists():
                self.picture.save(path, compress_level=1)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror or error}); check the disk", str(folder)) from error
        return path


@dataclass(slots=True)
class Letterer:
    """Sets words for a reel of one size in one style, and notes what couldn't be drawn.

    width, height: of the reel
    """

    width: int
    height: int
    style: Style
    _lost: dict[str, None] = field(default_factory=dict)
    _bent: bool = False

    def caption(self, text: str) -> Drawn | None:
        """A caption: up to three lines low in the picture, on a translucent box. None where nothing is left to draw."""
        size = max(_SMALLEST, round(min(self.height, _TALL * self.width) * self.style.caption_size))
        room = round(self.height * (1 - _MARGIN - _CAPTIONS_FROM))
        set_ = self._set(text, self.width * (1 - 4 * _MARGIN), size, _CAPTION_LINES, room - round(0.8 * size),
                         _CAPTION_SHRINK)
        if set_ is None:
            return None
        block, face = set_
        pad_x, pad_y = round(0.5 * block.size), round(0.22 * block.size)
        words = self._words(block, face, self.style.text_colour)
        box = _rounded(words.width + 2 * pad_x, words.height + 2 * pad_y, round(0.42 * block.size),
                       (*_rgb(self.style.shade_colour), round(255 * self.style.caption_shade)))
        box.alpha_composite(words, (pad_x, pad_y))
        bottom = round(self.height * (1 - 1.3 * _MARGIN))
        return _placed(box, (self.width - box.width) // 2, max(0, bottom - box.height))

    def title(self, text: str) -> Drawn | None:
        """The opening title: up to four lines in the lower part, off people's faces, on a shade that rises with it."""
        words = self._headline(text, self.height * (1 - _MARGIN - _TITLE_FROM))
        if words is None:
            return None
        top = max(0, round(self.height * (1 - 1.3 * _MARGIN)) - words.height)
        reach = min(float(top), 1.2 * words.height)
        rise = np.clip((np.arange(self.height) + 0.5 - (top - reach)) / max(1.0, reach + words.height / 2), 0, 1)
        alpha = self.style.title_shade * np.sin(np.pi / 2 * rise) ** 2
        shade = np.zeros((self.height, self.width, 4), np.uint8)
        shade[..., :3] = _rgb(self.style.shade_colour)
        # Noise of one step hides the bands that 8 bits would show in so slow a gradient.
        noise = np.random.default_rng(0).random((self.height, self.width))
        shade[..., 3] = (alpha[:, None] * 255 + noise * (alpha[:, None] > 0)).astype(np.uint8)
        picture = _image(shade)
        picture.alpha_composite(words, ((self.width - words.width) // 2, top))
        box = picture.getbbox()
        return _placed(picture.crop((0, box[1] // 2 * 2, self.width, box[3])), 0, box[1] // 2 * 2)

    def card(self, text: str) -> Drawn | None:
        """The closing card's words, in the middle, without a shade."""
        words = self._headline(text, self.height * (1 - 6 * _MARGIN))
        if words is None:
            return None
        return _placed(words, (self.width - words.width) // 2, max(0, (self.height - words.height) // 2))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What couldn't be drawn as it should, for people."""
        said = []
        if self._lost:
            some = " ".join(list(self._lost)[:8])
            said.append(f"no font was found for {some}{' …' if len(self._lost) > 8 else ''}; these characters are left "
                        "out of the picture, or stripped of their marks: install a font that has them (Noto Sans has "
                        "most), or name one with --font")
        if self._bent:
            said.append("this Pillow lacks raqm, so that right-to-left letters aren't joined; install Pillow's wheel")
        return tuple(said)

    def _headline(self, text: str, room: float) -> Any | None:
        """A title's words with a short bar over them, at most `room` pixels high."""
        size = max(_SMALLEST, round(min(self.height, self.width) * self.style.title_size))
        set_ = self._set(text, self.width * (1 - 4 * _MARGIN), size, _TITLE_LINES, room - 0.8 * size, _TITLE_SHRINK)
        if set_ is None:
            return None
        from PIL import Image

        block, face = set_
        words = self._words(block, face, self.style.text_colour)
        thick, gap = max(2, round(0.07 * block.size)), round(0.42 * block.size)
        bar = _rounded(max(2, round(1.1 * block.size)), thick, thick // 2, (*_rgb(self.style.accent_colour), 255))
        picture = Image.new("RGBA", (words.width, words.height + gap + thick))
        picture.alpha_composite(bar, ((picture.width - bar.width) // 2, 0))
        picture.alpha_composite(words, (0, gap + thick))
        return picture

    def _set(self, text: str, width: float, size: int, lines: int, height: float,
             shrink: float) -> tuple[Block, Face] | None:
        """A text broken into lines that fit, and its font; None where there is nothing to draw or no room for it.

        shrink: share of its size that the text shrinks to before it is cut off
        """
        text = _clean(text)
        face = find_face(text, self.style.font)
        kept = "".join(_drawable(c, face) for c in text)
        self._lost |= {c: None for c in text if counts(c) and not face.has(c)}
        kept = "\n".join(filter(None, (" ".join(line.split()) for line in kept.split("\n"))))
        smallest = min(size, max(_SMALLEST, round(size * shrink)))
        lines = min(lines, int(height / (_LEADING * smallest)))
        if not kept.strip(_JOINERS + "\n ") or width < 2 * smallest or lines < 1:
            return None

        def measure(part: str, at: int) -> float:
            return float(_font(face, at).getlength(part))

        sizes = [*range(size, smallest, -max(1, size // 24)), smallest]
        end = ELLIPSIS if face.has(ELLIPSIS) else "..."
        block = fit(kept, measure, width, sizes, lines, end)
        while len(block.lines) * _LEADING * block.size > height and block.size > smallest:
            block = fit(kept, measure, width, [s for s in sizes if s < block.size], lines, end)
        return block, face

    def _words(self, block: Block, face: Face, colour: str) -> Any:
        """Lines of text, centred, on a soft shadow; as large as it takes."""
        from PIL import Image, ImageDraw, ImageFilter

        font, size = _font(face, block.size), block.size
        ascent, descent = font.getmetrics()
        step = round(_LEADING * size)
        edge = max(2, round(0.12 * size))
        wide = max(float(font.getlength(line)) for line in block.lines)
        rise = round(ascent * size / max(1, ascent + descent) * 1.02)
        picture = Image.new("RGBA", (round(wide) + 2 * edge, step * len(block.lines) + 2 * edge))
        shadow = Image.new("L", picture.size)
        places = [((picture.width / 2, edge + rise + step * i + (step - size) / 2), self._seen(line))
                  for i, line in enumerate(block.lines)]
        for place, line in places:
            ImageDraw.Draw(shadow).text(place, line, 255, font, anchor="ms", stroke_width=max(1, round(0.03 * size)))
        shadow = shadow.filter(ImageFilter.GaussianBlur(max(1.0, 0.05 * size))).point(lambda v: round(_SHADOW * v))
        picture.paste(Image.new("RGBA", picture.size, (*_rgb(self.style.shade_colour), 255)), (0, 0), shadow)
        # Drawn on a layer of its own: drawing writes transparency where it should cover.
        layer = Image.new("RGBA", picture.size, (*_rgb(colour), 0))
        for place, line in places:
            ImageDraw.Draw(layer).text(place, line, (*_rgb(colour), 255), font, anchor="ms")
        picture.alpha_composite(layer)
        return picture

    def _seen(self, line: str) -> str:
        """A line in the order in which Pillow draws it: right-to-left text is turned where raqm can't do it."""
        from PIL import features

        if features.check("raqm") or not any(_leftwards(c) for c in line):
            return line
        self._bent = True
        return _turned(line)


def _clean(text: str) -> str:
    """Text without control characters, its line breaks kept."""
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(c for c in text if c == "\n" or c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def _drawable(character: str, face: Face) -> str:
    """A character, or what stands in for it where there is no glyph: its letter without marks, or nothing."""
    if character.isspace() or character in _JOINERS or face.has(character):
        return character
    plain = _PLAIN.get(character) or unicodedata.normalize("NFKD", character)
    return "".join(c for c in plain if face.has(c))


def _leftwards(character: str) -> bool:
    return unicodedata.bidirectional(character) in ("R", "AL")


def _turned(line: str) -> str:
    """Right-to-left text from left to right, with words that run the other way the right way round."""
    runs: list[str] = []
    for character in reversed(line):
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "EN", "AN") and runs and unicodedata.bidirectional(runs[-1][-1]) in ("L", "EN", "AN"):
            runs[-1] = character + runs[-1]
        else:
            runs.append(character)
    return "".join(runs)


def _placed(picture: Any, x: int, y: int) -> Drawn:
    """The picture with its corner on even pixels, as colour at half resolution wants it."""
    from PIL import Image

    grown = Image.new("RGBA", (picture.width + x % 2, picture.height + y % 2))
    grown.paste(picture, (x % 2, y % 2))
    return Drawn(grown, x - x % 2, y - y % 2)


def _rounded(width: int, height: int, radius: int, colour: tuple[int, int, int, int]) -> Any:
    """A box with round corners, drawn at four times its size for smooth edges."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (4 * width, 4 * height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, 4 * width - 1, 4 * height - 1), 4 * radius, 255)
    mask = mask.resize((width, height), Image.Resampling.BOX).point(lambda v: round(v * colour[3] / 255))
    box = Image.new("RGBA", (width, height), (*colour[:3], 0))
    box.putalpha(mask)
    return box


def _image(pixels: Any) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def _rgb(colour: str) -> tuple[int, int, int]:
    """#rrggbb in numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@lru_cache(maxsize=256)
def _font(face: Face, size: int) -> Any:
    """A font at a size, opened once."""
    return face.at(size)
