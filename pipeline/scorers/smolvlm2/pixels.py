"""From frames to the numbers that the vision tower takes, by the arithmetic of transformers' SmolVLM processors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float32]
Thumbnail = npt.NDArray[np.float32]

_THUMB_SIDE = 32
# A picture is another's near copy when no part of a thumbnail changed by more than noise and codecs make it change:
# the greatest change tells a small thing that moves, the mean a slow pan.
_SAME_GREATEST, _SAME_MEAN = 14.0, 1.5


def usable_side(wanted: int | None, image_side: int, patch: int, scale_factor: int) -> int:
    """The greatest side, up to `wanted` pixels and the model's own, that makes a whole grid of image tokens.

    wanted: pixels; None for the model's own side
    image_side, patch, scale_factor: of the model's config
    """
    if wanted is None or wanted >= image_side:
        return image_side
    return max(wanted // (patch * scale_factor), 1) * patch * scale_factor


def tokens_per_frame(side: int, patch: int, scale_factor: int) -> int:
    """How many tokens a square of `side` pixels takes."""
    return (side // patch) ** 2 // scale_factor**2


def fitted_size(width: int, height: int, side: int) -> tuple[int, int]:
    """Width and height with the longer edge at `side`, the shorter one rounded down and then up to even."""
    aspect = width / height
    if width >= height:
        width, height = side, int(side / aspect)
        height += height % 2
    else:
        width, height = int(side * aspect), side
        width += width % 2
    return max(width, 1), max(height, 1)


def read_picture(path: Path) -> Picture:
    """(height, width, 3) RGB of an image file; OSError or ValueError where it can't be decoded."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def to_pixels(picture: Picture, side: int) -> Pixels:
    """(3, side, side) values from -1 to 1.

    The longer edge goes to the side and the picture is then squashed to a square, each time with Lanczos and rounded to
    bytes: the model never saw anything else. No value is ever exactly 0, as long as the input is bytes; a frame that is
    0 all over would be dropped by the model as padding.
    """
    image = Image.fromarray(picture)
    image = image.resize(fitted_size(image.width, image.height, side), Image.Resampling.LANCZOS)
    image = image.resize((side, side), Image.Resampling.LANCZOS)
    values = np.asarray(image, dtype=np.float32).transpose(2, 0, 1)
    return (values / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


def blank_picture() -> Picture:
    """A frame that shows nothing: what the model answers to it is its habit, not its sight."""
    return np.full((_THUMB_SIDE, _THUMB_SIDE, 3), 127, dtype=np.uint8)


def thumbnail(picture: Picture) -> Thumbnail:
    """A small copy to compare pictures by."""
    image = Image.fromarray(picture).resize((_THUMB_SIDE, _THUMB_SIDE), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float32)


def nearly_same(first: Thumbnail, second: Thumbnail) -> bool:
    """Whether two thumbnails are of pictures that the model could hardly tell apart."""
    change = np.abs(first - second)
    return bool(change.max() <= _SAME_GREATEST and change.mean() <= _SAME_MEAN)


def spread(times_s: Sequence[float], start_s: float, end_s: float, count: int) -> list[int]:
    """Indices of at most `count` frames spread through `[start_s, end_s)`, in order.

    The interval is cut into equal parts and the frame next to the middle of each is taken, so that the first frame,
    often still part of a transition, is no favourite. Where none lies inside, the nearest to the middle is taken.

    times_s: when the frames are shown, in order, at least one
    """
    inside = [index for index, time_s in enumerate(times_s) if start_s <= time_s < end_s]
    if not inside:
        middle = (start_s + end_s) / 2
        return [min(range(len(times_s)), key=lambda index: abs(times_s[index] - middle))]
    parts = min(count, len(inside))
    chosen: list[int] = []
    for part in range(parts):
        middle = start_s + (part + 0.5) / parts * (end_s - start_s)
        # Those that later parts still need are left to them.
        low = inside.index(chosen[-1]) + 1 if chosen else 0
        free = inside[low:len(inside) - (parts - part - 1)]
        chosen.append(min(free, key=lambda index: abs(times_s[index] - middle)))
    return chosen
