"""Where things happen: drawn pictures with one thing that moves, stands out, or doesn't; no media."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.focus import FocusMeter, box_of, own_motion, upright
from pipeline.types import FOCUS_STEP_S
from tests.making import textured

Grey = npt.NDArray[np.uint8]


def ground(width: int = 320, height: int = 180, contrast: float = 0.4) -> Grey:
    """A still, soft, textured background."""
    return (60 + contrast * (textured(3, width, height)[..., 0].astype(float) - 128)).clip(0, 255).astype(np.uint8)


def with_square(base: Grey, x: float, y: float, side: int = 24, light: int = 240) -> Grey:
    """A picture with a bright square, its middle at shares of width and height."""
    picture = base.copy()
    left, top = (int(share * size - side / 2) for share, size in zip((x, y), base.shape[::-1], strict=True))
    picture[max(0, top):top + side, max(0, left):left + side] = light
    return picture


def measured(draw: Callable[[int], Grey], seconds: float = 2.0, fps: float = 25.0,
             meter: FocusMeter | None = None) -> npt.NDArray[np.float64]:
    """Rows of x, y, width, height, weight for drawn frames."""
    meter = meter or FocusMeter()
    for i in range(int(seconds * fps)):
        meter.push(i / fps, draw(i))
    return meter.finish(seconds)


@pytest.mark.parametrize(("x", "y"), [(0.15, 0.3), (0.5, 0.5), (0.8, 0.7), (0.9, 0.2)])
def test_what_moves_is_found(x: float, y: float) -> None:
    base = ground()
    rows = measured(lambda i: with_square(base, x + 0.02 * np.sin(i), y + 0.02 * np.cos(i)))
    assert rows.shape == (4, 5)
    assert np.abs(rows[:, :2] - (x, y)).max() < 0.06
    assert (rows[:, 2:4] < 0.4).all() and (rows[:, 4] > 0.8).all()


def test_a_moving_thing_is_followed_step_by_step() -> None:
    base = ground()
    rows = measured(lambda i: with_square(base, 0.15 + 0.7 * i / 100, 0.5), 4.0)
    middles = 0.15 + 0.7 * (np.arange(8) + 0.5) * FOCUS_STEP_S / 4
    assert np.abs(rows[:, 0] - middles).max() < 0.07


def test_a_pan_counts_nowhere() -> None:
    wide = ground(900, 180, 1.0)
    panned = measured(lambda i: np.ascontiguousarray(wide[:, 3 * i:3 * i + 320]))
    base = ground(contrast=1.0)
    moving = measured(lambda i: with_square(base, 0.8 + 0.02 * np.sin(i), 0.5))
    assert panned[:, 4].max() < 0.7 < moving[:, 4].min()


@pytest.mark.parametrize("x", [0.2, 0.75])
def test_what_moves_by_itself_is_found_in_a_pan(x: float) -> None:
    wide = ground(900, 180, 1.0)
    rows = measured(lambda i: with_square(np.ascontiguousarray(wide[:, 3 * i:3 * i + 320]), x, 0.5, 36))
    assert np.abs(rows[:, 0] - x).max() < 0.1 and (rows[:, 4] > 0.5).all()


def test_what_stands_out_is_found_where_nothing_moves() -> None:
    still = with_square(ground(contrast=0.1), 0.75, 0.4)
    rows = measured(lambda i: still)
    assert np.abs(rows[:, 0] - 0.75).max() < 0.06 and np.abs(rows[:, 1] - 0.4).max() < 0.08
    assert (rows[:, 4] == 0).all()


def test_a_plain_picture_has_its_focus_in_the_middle() -> None:
    rows = measured(lambda i: np.full((180, 320), 128, np.uint8))
    assert np.allclose(rows[:, :2], 0.5, atol=0.01) and (rows[:, 2:4] > 0.6).all() and (rows[:, 4] == 0).all()


def test_a_cut_is_no_motion() -> None:
    scenes = [with_square(ground(), 0.2, 0.5), with_square(ground(contrast=1.0), 0.8, 0.5)]
    rows = measured(lambda i: scenes[int(i >= 31)])
    assert (rows[:, 4] == 0).all()


def test_two_things_far_apart_are_wide() -> None:
    base = ground()
    rows = measured(lambda i: with_square(with_square(base, 0.1 + 0.02 * np.sin(i), 0.5), 0.9 + 0.02 * np.cos(i), 0.5))
    assert (rows[:, 2] > 0.7).all() and (rows[:, 3] < 0.4).all()


def test_missing_frames_are_no_motion() -> None:
    meter = FocusMeter()
    for i in range(12):
        meter.skip()
        meter.push(i / 25, with_square(ground(), 0.1 + 0.07 * i, 0.5))
    assert meter.finish(0.5)[0, 4] == 0


def test_steps_without_a_frame_keep_what_was_shown() -> None:
    meter = FocusMeter()
    for i in range(12):
        meter.push(i / 25, with_square(ground(), 0.2 + 0.02 * np.sin(i), 0.5))
    rows = meter.finish(3.2)
    assert len(rows) == 7 and (rows == rows[0]).all()
    assert FocusMeter().finish(1.0).tolist() == [[0.5, 0.5, 1.0, 1.0, 0.0]] * 2


@pytest.mark.parametrize("shape", [(16, 16), (17, 301), (301, 17), (180, 320), (208, 277)])
def test_any_size(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = measured(lambda i: rng.integers(0, 255, shape).astype(np.uint8))
    assert np.isfinite(rows).all() and (rows >= 0).all() and (rows <= 1).all()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_boxes_are_upright(rotation_deg: int, mirrored: bool) -> None:
    shown = with_square(ground(180, 320), 0.25, 0.2, 30)
    # How the camera stored it: what stands it upright, undone.
    turns = rotation_deg // 90
    moved = with_square(ground(180, 320), 0.3, 0.22, 30)
    stored = [np.ascontiguousarray(np.rot90(p, turns)) for p in (shown, moved)]
    if mirrored:
        stored = [np.ascontiguousarray(p[:, ::-1]) for p in stored]
    assert np.array_equal(upright(stored[0].astype(float), rotation_deg, mirrored), shown)
    rows = measured(lambda i: stored[i % 2], meter=FocusMeter(rotation_deg, mirrored))
    assert np.abs(rows[:, :2] - (0.275, 0.21)).max() < 0.07


def test_motion_that_the_camera_explains() -> None:
    texture = np.full((6, 6), 8.0), np.full((6, 6), 3.0)
    change = np.full((6, 6), 30.0)
    assert own_motion(change, *texture).max() == 0
    change[2, 3] = 80
    assert np.argwhere(own_motion(change, *texture)).tolist() == [[2, 3]]
    change[2, 3] = 0
    assert np.argwhere(own_motion(change, *texture)).tolist() == [[2, 3]]


def test_boxes_hold_what_matters() -> None:
    grid = np.zeros((10, 20))
    grid[4:6, 12:16] = 1
    x, y, width, height = box_of(grid)
    assert (x, y) == (pytest.approx(0.7, abs=0.02), pytest.approx(0.5, abs=0.02))
    assert width == pytest.approx(0.8 * 0.2, abs=0.02) and height == pytest.approx(0.8 * 0.2, abs=0.02)
    assert box_of(np.zeros((4, 4))) == (0.5, 0.5, 1.0, 1.0)
