"""contact-sheet.png: every clip at a glance, with when it happens, how it scored and what is in it."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.export.material import Material
from pipeline.export.pictures import Picture, pictures_at
from pipeline.export.placing import Window, windows
from pipeline.export.words import clock, one_line, title
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FILE_NAME = "contact-sheet.png"
# A sheet shows this many clips; more of them would be a file that nobody opens.
_MOST = 120
_MARGIN, _GAP, _PAD = 40, 24, 14
_BACKGROUND, _CARD, _INK, _QUIET, _ACCENT, _TRACK = (
    "#14161b", "#1e2128", "#f2f3f5", "#9aa1ad", "#7c9cff", "#343a46")
_TITLE, _TEXT, _SMALL = 34, 18, 16
_TEXT_LINES = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Pixels of a sheet.

    columns, rows: of cards
    picture: width and height of a card's picture
    """

    columns: int
    rows: int
    picture: tuple[int, int]

    @property
    def card_height(self) -> int:
        """A card: picture, a line of facts and the description."""
        return self.picture[1] + 2 * _PAD + _SMALL + 8 + _TEXT_LINES * (_TEXT + 6)

    @property
    def head_height(self) -> int:
        """What is above the cards."""
        return _MARGIN + _TITLE + 14 + _TEXT + 30

    @property
    def size(self) -> tuple[int, int]:
        """The whole sheet."""
        width = 2 * _MARGIN + self.columns * self.picture[0] + (self.columns - 1) * _GAP
        return width, self.head_height + self.rows * (self.card_height + _GAP) - _GAP + _MARGIN


def export_sheet(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write contact-sheet.png. Raises InputError, OutputError, Cancelled."""
    shown = windows(material.reel.placed)[:_MOST]
    reel = material.reel
    layout = lay_out(len(shown), reel.width / reel.height)
    pictures = pictures_at(reel.path, [window.middle_s for window in shown], max(layout.picture), cancel)
    path = material.folder / FILE_NAME
    image = draw(material, shown, pictures, layout)
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    write_whole(path, data.getvalue())
    return [path]


def lay_out(count: int, aspect: float) -> Layout:
    """A grid that suits the number of clips and the shape of the reel, with as few empty places as can be.

    aspect: width of the reel's picture over its height
    """
    wide = aspect >= 1
    usual = ((3, 4) if count <= 9 else (4, 3)) if wide else (5, 4, 6)
    columns = {1: 1, 2: 2, 4: 2 if wide else 4}.get(count) or min(usual, key=lambda n: -count % n)
    columns = min(columns, count)
    width = (640 if count < 3 else 420) if wide else 300
    return Layout(columns, math.ceil(count / columns), (width, max(60, min(round(width / aspect), 2 * width))))


def draw(material: Material, shown: Sequence[Window], pictures: Sequence[Picture], layout: Layout) -> Image:
    """The sheet as an image."""
    from PIL import Image as Images
    from PIL import ImageDraw as Drawing

    sheet = Images.new("RGB", layout.size, _BACKGROUND)
    pen = Drawing.Draw(sheet)
    width = layout.size[0] - 2 * _MARGIN
    name = one_line(material.video.path.name)
    pen.text((_MARGIN, _MARGIN - 6), _fitted(pen, name, _font(_TITLE), width), _INK, _font(_TITLE))
    count = len(material.reel.placed)
    facts = f"{count} {'clip' if count == 1 else 'clips'}, {clock(material.reel.duration_s)} of " \
            f"{clock(material.video.duration_s)}"
    pen.text((_MARGIN, _MARGIN + _TITLE + 14), _fitted(pen, facts, _font(_TEXT), width), _QUIET, _font(_TEXT))
    for place, (window, picture) in enumerate(zip(shown, pictures, strict=True)):
        row, column = divmod(place, layout.columns)
        corner = (_MARGIN + column * (layout.picture[0] + _GAP), layout.head_height + row * (layout.card_height + _GAP))
        _draw_card(sheet, pen, corner, layout, window, place + 1, Images.fromarray(picture))
    return sheet


def _draw_card(sheet: Image, pen: ImageDraw, corner: tuple[int, int], layout: Layout, window: Window, number: int,
               picture: Image) -> None:
    """A clip: its picture, number, time and score, and what is in it."""
    from PIL import ImageOps

    x, y = corner
    width, height = layout.picture
    _fill(sheet, (x, y, width, layout.card_height), 12, _CARD)
    # The picture reaches over the card's upper corners only: its mask goes on below.
    mask = _rounded((width, height + 24), 12).crop((0, 0, width, height))
    sheet.paste(ImageOps.fit(picture, layout.picture), corner, mask)
    badge = str(number)
    badge_width = max(32, round(pen.textlength(badge, _font(_TEXT))) + 20)
    _fill(sheet, (x + 10, y + 10, badge_width, 32), 16, _BACKGROUND)
    pen.text((x + 10 + badge_width / 2, y + 26), badge, _INK, _font(_TEXT), anchor="mm")
    clip, at = window.clip, y + height + _PAD
    pen.text((x + _PAD, at), f"{clock(clip.start_s)} - {clock(clip.end_s)}", _ACCENT, _font(_SMALL))
    if clip.score is not None:
        right = x + width - _PAD
        pen.text((right, at), f"{clip.score:.2f}", _INK, _font(_SMALL), anchor="ra")
        _fill(sheet, (right - 100, at + 6, 56, 8), 4, _TRACK)
        _fill(sheet, (right - 100, at + 6, max(8, round(56 * min(1.0, clip.score))), 8), 4, _ACCENT)
    for line in _wrapped(pen, title(clip, number, 200), _font(_TEXT), width - 2 * _PAD, _TEXT_LINES):
        at += _TEXT + 6
        pen.text((x + _PAD, at + 2), line, _INK, _font(_TEXT))


def _fill(sheet: Image, box: tuple[int, int, int, int], radius: int, colour: str) -> None:
    """Paint a rectangle with round corners; box: left, top, width, height."""
    sheet.paste(colour, (box[0], box[1], box[0] + box[2], box[1] + box[3]), _rounded(box[2:], radius))


@lru_cache(maxsize=32)
def _rounded(size: tuple[int, int], radius: int) -> Image:
    """A mask with smooth round corners, which Pillow itself draws in steps: drawn larger, then made smaller."""
    from PIL import Image as Images
    from PIL import ImageDraw as Drawing

    mask = Images.new("L", (4 * size[0], 4 * size[1]), 0)
    Drawing.Draw(mask).rounded_rectangle((0, 0, 4 * size[0] - 1, 4 * size[1] - 1), 4 * radius, 255)
    return mask.resize(size, Images.Resampling.LANCZOS)


@lru_cache(maxsize=8)
def _font(size: int) -> Any:
    """The font of all text here: DejaVu, which knows most scripts, where the machine has it, else Pillow's own."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _fitted(pen: ImageDraw, text: str, font: Any, width: float) -> str:
    """A text that is no wider than `width`, with an ellipsis where it was cut."""
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(f"{text}\u2026", font) > width:
        text = text[:-1]
    return f"{text.rstrip()}\u2026"


def _wrapped(pen: ImageDraw, text: str, font: Any, width: float, most: int) -> list[str]:
    """A text in at most `most` lines, none wider than `width`."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < most - 1:
        line = words.pop(0)
        while words and pen.textlength(f"{line} {words[0]}", font) <= width:
            line = f"{line} {words.pop(0)}"
        lines.append(_fitted(pen, line, font, width))
    return [*lines, _fitted(pen, " ".join(words), font, width)] if words else lines
