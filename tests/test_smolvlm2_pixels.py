"""Pixels, held against the arithmetic of transformers' own processors."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.video_processing_smolvlm import get_resize_output_image_size

from pipeline.scorers.smolvlm2 import pixels

SIZES = [(512, 288), (288, 512), (512, 512), (320, 180), (512, 217), (37, 301), (1920, 1080), (64, 64), (500, 9)]


def picture(width: int, height: int) -> pixels.Picture:
    return np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("side", [64, 252, 256, 384])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_sizes_are_the_video_processors(width: int, height: int, side: int) -> None:
    expected = get_resize_output_image_size(np.empty((3, height, width)).view(_Sized), side)
    assert pixels.fitted_size(width, height, side) == expected[::-1]


class _Sized(np.ndarray):  # type: ignore[type-arg]
    """An array that tells its size as a tensor does."""

    @property
    def size(self):  # type: ignore[no-untyped-def, override]
        return lambda: self.shape


@pytest.mark.parametrize("side", [64, 96, 256])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_values_are_the_processors(width: int, height: int, side: int) -> None:
    processor = SmolVLMImageProcessorPil(size={"longest_edge": side}, max_image_size={"longest_edge": side},
                                         do_image_splitting=False)
    expected = processor(picture(width, height), return_tensors="np")["pixel_values"][0, 0]
    made = pixels.to_pixels(picture(width, height), side)
    assert made.shape == (3, side, side)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_no_frame_is_taken_for_padding() -> None:
    for level in range(256):
        assert np.all(pixels.to_pixels(np.full((9, 16, 3), level, dtype=np.uint8), 64) != 0)
    assert np.all(pixels.to_pixels(pixels.blank_picture(), 64) != 0)


@pytest.mark.parametrize(("wanted", "image", "patch", "scale", "side", "tokens"), [
    (256, 512, 16, 4, 256, 16), (384, 512, 16, 4, 384, 36), (None, 512, 16, 4, 512, 64), (300, 512, 16, 4, 256, 16),
    (256, 384, 14, 3, 252, 36), (384, 384, 14, 3, 384, 81), (None, 384, 14, 3, 384, 81), (256, 64, 8, 4, 64, 4),
    (10, 512, 16, 4, 64, 1)])
def test_sides_make_whole_tokens(wanted: int | None, image: int, patch: int, scale: int, side: int,
                                 tokens: int) -> None:
    assert pixels.usable_side(wanted, image, patch, scale) == side
    assert pixels.tokens_per_frame(side, patch, scale) == tokens


def test_frames_are_spread_and_not_the_first_only() -> None:
    times = [0.5 + second for second in range(20)]
    assert pixels.spread(times, 4, 10, 3) == [4, 6, 8]
    assert pixels.spread(times, 4, 10, 1) == [6]
    assert pixels.spread(times, 4, 7, 8) == [4, 5, 6]
    assert pixels.spread(times, 0, 20, 2) == [4, 14]
    assert pixels.spread(times, 5.6, 6.4, 3) == [5]
    assert pixels.spread([0.0, 0.1, 0.2, 9.9], 0, 10, 3) == [1, 2, 3]


def test_spread_frames_are_distinct_and_in_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = np.sort(rng.random(rng.integers(1, 30)) * 10).tolist()
        start = float(rng.random() * 9)
        chosen = pixels.spread(times, start, start + float(rng.random() * 5) + 0.01, int(rng.integers(1, 9)))
        assert chosen == sorted(set(chosen))
        assert chosen


def test_near_copies_are_told_from_small_things_that_move() -> None:
    base = picture(320, 180) // 4 + 90
    noise = np.random.default_rng(1).integers(-3, 4, base.shape)
    moved = base.copy()
    moved[80:100, 100:120] = 255
    thumb = pixels.thumbnail(base)
    assert pixels.nearly_same(thumb, pixels.thumbnail((base + noise).astype(np.uint8)))
    assert not pixels.nearly_same(thumb, pixels.thumbnail(moved))
    assert not pixels.nearly_same(thumb, pixels.thumbnail(base + 2))


def test_pictures_of_every_mode_are_read_as_rgb(tmp_path: Path) -> None:
    Image.new("L", (8, 6), 200).save(tmp_path / "grey.png")
    assert pixels.read_picture(tmp_path / "grey.png").shape == (6, 8, 3)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing")
    with pytest.raises(OSError, match="Truncated"):
        pixels.read_picture(tmp_path / "broken.jpg")
