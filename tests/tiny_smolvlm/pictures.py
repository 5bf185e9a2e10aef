"""Draws the pictures that the tiny model learns from: coloured shapes over backgrounds of every kind.

Backgrounds imitate film by statistics alone: noise whose spectrum falls off as that of natural pictures does (Field
1987), and "dead leaves", opaque pieces of all sizes that cover one another (Lee, Mumford and Huang 2001).
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image, ImageDraw

SIDE, PATCH = 64, 8
COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "square", "triangle")
KINDS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)

# Lowest and highest red, green and blue of what is still called by a name.
_COLOUR_RANGES = torch.tensor([
    [[190, 0, 0], [255, 60, 60]], [[0, 120, 0], [60, 255, 80]],
    [[0, 0, 170], [60, 110, 255]], [[215, 190, 0], [255, 255, 70]],
]) / 255
# White, black, grey, purple, cyan: of these shapes may be too, and are none of ours.
_OTHER_COLOURS = torch.tensor([[245, 245, 245], [10, 10, 10], [128, 128, 128], [150, 40, 190], [40, 210, 220]]) / 255


def backgrounds(count: int, seed: int) -> torch.Tensor:
    """(count, 3, 64, 64) pictures with none of our shapes in them, values 0 to 1."""
    rng = np.random.default_rng(seed)
    makers = (_plain, _gradient, _natural_noise, _natural_noise, _leaves, _leaves, _leaves, _pattern)
    pictures = np.stack([makers[index % len(makers)](rng) for index in range(count)])
    return torch.from_numpy(pictures.clip(0, 1).astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def _plain(rng: np.random.Generator) -> np.ndarray:
    colour = rng.random(3) if rng.random() < 0.5 else np.repeat(rng.choice([0.0, 0.5, 1.0, rng.random()]), 3)
    return np.broadcast_to(colour, (SIDE, SIDE, 3)).copy()


def _gradient(rng: np.random.Generator) -> np.ndarray:
    angle = rng.random() * 2 * math.pi
    y, x = np.mgrid[0:1:SIDE * 1j, 0:1:SIDE * 1j]
    ramp = x * math.cos(angle) + y * math.sin(angle)
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    return rng.random(3) * ramp[..., None] + rng.random(3) * (1 - ramp[..., None])


def _natural_noise(rng: np.random.Generator) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None, :])
    frequency[0, 0] = 1 / SIDE
    fall = frequency ** -rng.uniform(0.4, 2.0)
    layers = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * fall).real for _ in range(4)]
    layers = [(layer - layer.mean()) / layer.std() for layer in layers]
    tint = rng.uniform(0, 0.7)
    picture = np.stack([layers[0] * (1 - tint) + layer * tint for layer in layers[1:]], -1)
    return _tone(rng, 0.5 + 0.22 * picture)


def _leaves(rng: np.random.Generator) -> np.ndarray:
    width, height = [(96, 54), (96, 72), (80, 80), (54, 96)][rng.integers(4)]
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    muted = rng.uniform(0.1, 0.9)
    for _ in range(int(rng.integers(10, 90))):
        grey = rng.random()
        colour = tuple(int(255 * (grey * muted + part * (1 - muted))) for part in rng.random(3))
        centre, size = rng.random(2) * (width, height), 3 * rng.random() ** -0.7
        angles = np.sort(rng.random(int(rng.integers(3, 9)))) * 2 * math.pi
        reach = size * rng.uniform(0.3, 1.0, len(angles))
        stretch = rng.uniform(0.4, 1.6)
        points = np.stack([np.cos(angles) * reach * stretch, np.sin(angles) * reach / stretch], -1) + centre
        draw.polygon([tuple(point) for point in points.tolist()], fill=colour)
    if rng.random() < 0.5:
        written = io.BytesIO()
        image.save(written, "JPEG", quality=int(rng.integers(15, 90)))
        image = Image.open(written)
    picture = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float64) / 255
    return _tone(rng, picture * (0.6 + 0.8 * _gradient(rng).mean(-1, keepdims=True)))


def _pattern(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    choice = rng.integers(3)
    if choice == 0:
        return rng.random((SIDE, SIDE, 3)) * rng.uniform(0.2, 1)
    step = rng.integers(3, 24)
    on = (x // step + y // step) % 2 if choice == 1 else ((x * rng.integers(-2, 3) + y) // step) % 2
    return np.where(on[..., None] == 1, rng.random(3), rng.random(3))


def _tone(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """As if lit and graded otherwise: films are often dark and of one cast."""
    cast = 1 + rng.uniform(-0.3, 0.3, 3)
    return picture.clip(0, 1) ** rng.uniform(0.6, 2.2) * rng.uniform(0.3, 1.1) * cast


class Painter:
    """Draws batches of frames; the same seed gives the same frames."""

    def __init__(self, seed: int, pool: torch.Tensor) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.pool = pool

    def _uniform(self, low: float, high: float, *size: int) -> torch.Tensor:
        return torch.rand(*size, generator=self.generator) * (high - low) + low

    def _integers(self, high: int, *size: int) -> torch.Tensor:
        return torch.randint(high, size, generator=self.generator)

    def frames(self, kinds: torch.Tensor, shots: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, 64, 64) frames, values 0 to 1, rounded to bytes as files would be, and where in them things are.

        kinds: (n, 2) indices of KINDS to be seen in each frame, -1 for none
        shots: (n,) frames of one number share a background, slightly moved

        Places are (n, 8, 8): for each patch the kind that lies on it, -1 for none.
        """
        count = len(kinds)
        picture = self._backdrop(shots)
        aspect = torch.tensor([16 / 9, 16 / 9, 4 / 3, 1.0, 9 / 16, 2.0])[self._integers(6, count)]
        double = (kinds >= 0).all(1)
        left = self._uniform(0, 1, count) < 0.5
        distract = (self._uniform(0, 1, count) < 0.25) & (kinds[:, 1] < 0)
        slots = kinds.clone()
        slots[distract, 1] = -2
        places = torch.full((count, SIDE // PATCH, SIDE // PATCH), -1)
        for slot in (1, 0):
            alpha, colour = self._shape(slots[:, slot], aspect, double | distract, left if slot else ~left)
            picture = self._over(picture, alpha, colour)
            covered = torch.nn.functional.avg_pool2d(alpha, PATCH)[:, 0] > 0.2
            places = torch.where(covered, slots[:, slot, None, None].clamp(min=-1), places)
        return self._film(picture), places

    def _backdrop(self, shots: torch.Tensor) -> torch.Tensor:
        numbers, which = torch.unique(shots, return_inverse=True)
        base = self.pool[self._integers(len(self.pool), len(numbers))]
        base = torch.where(self._uniform(0, 1, len(numbers), 1, 1, 1) < 0.5, base, base.flip(-1))
        order = torch.rand(len(numbers), 3, generator=self.generator).argsort(1)
        base = base.gather(1, order[:, :, None, None].expand_as(base))[which]
        shift = self._integers(7, len(shots), 2) - 3
        rows = (torch.arange(SIDE)[None] + shift[:, :1]) % SIDE
        columns = (torch.arange(SIDE)[None] + shift[:, 1:]) % SIDE
        base = base.gather(2, rows[:, None, :, None].expand_as(base))
        return base.gather(3, columns[:, None, None, :].expand_as(base))

    def _shape(self, kinds: torch.Tensor, aspect: torch.Tensor, crowded: torch.Tensor,
               left: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Coverage (n, 1, 64, 64) and colour (n, 3, 1, 1) of one shape a frame; -1 is nothing, -2 a distractor."""
        count = len(kinds)
        radius = self._uniform(0.16, 0.40, count)
        radius = torch.where(crowded, radius.clamp(max=0.28), radius)
        width, height = aspect.clamp(min=1), (1 / aspect).clamp(min=1)
        margin_x, margin_y = radius / width, radius / height
        across = torch.where(crowded, torch.where(left, 0.27, 0.73) + self._uniform(-0.06, 0.06, count),
                             margin_x + self._uniform(0, 1, count) * (1 - 2 * margin_x))
        down = margin_y + self._uniform(0, 1, count) * (1 - 2 * margin_y)
        grid = (torch.arange(SIDE) + 0.5) / SIDE
        x = ((grid[None, None, :] - across[:, None, None]) * width[:, None, None]).expand(-1, SIDE, -1)
        y = ((grid[None, :, None] - down[:, None, None]) * height[:, None, None]).expand(-1, -1, SIDE)
        angle = self._uniform(-0.2, 0.2, count)[:, None, None]
        turned_x, turned_y = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
        r = radius[:, None, None]
        circle = torch.hypot(x, y) - r
        square = torch.maximum(turned_x.abs(), turned_y.abs()) - r * 0.85
        slope = turned_x.abs() * math.cos(math.pi / 6) - (turned_y + 0.1 * r) * 0.5
        triangle = torch.maximum(slope, turned_y + 0.1 * r) - r * 0.62
        bar = torch.maximum(turned_x.abs() / 5, turned_y.abs()) - r * 0.18
        distractor = kinds == -2
        barred = distractor & (self._uniform(0, 1, count) < 0.4)
        form = torch.where(distractor, self._integers(3, count), kinds.clamp(min=0) % 3)
        distance = torch.stack([circle, square, triangle], 1).gather(
            1, form[:, None, None, None].expand(-1, 1, SIDE, SIDE))
        distance = torch.where(barred[:, None, None, None], bar[:, None], distance)
        alpha = (0.5 - distance * SIDE * 0.7).clamp(0, 1)
        alpha = alpha * (kinds != -1)[:, None, None, None] * self._uniform(0.88, 1, count, 1, 1, 1)
        ranges = _COLOUR_RANGES[torch.where(barred, self._integers(4, count), kinds.clamp(min=0) // 3)]
        colour = ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * self._uniform(0, 1, count, 3)
        other = _OTHER_COLOURS[self._integers(len(_OTHER_COLOURS), count)]
        colour = torch.where((distractor & ~barred)[:, None], other, colour)
        return alpha, colour[:, :, None, None]

    def _over(self, picture: torch.Tensor, alpha: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
        """The shape over the picture, which is inverted where the two can't be told apart."""
        apart = (picture - colour).abs().mean(1, keepdim=True)
        difference = (apart * alpha).sum((1, 2, 3)) / (alpha.sum((1, 2, 3)) + 1e-6)
        hidden = (difference < 0.22) & (alpha.amax((1, 2, 3)) > 0)
        picture = torch.where(hidden[:, None, None, None], 1 - picture, picture)
        return picture * (1 - alpha) + colour * alpha

    def _film(self, picture: torch.Tensor) -> torch.Tensor:
        """What a camera and a codec do: light, softness, noise, bytes."""
        count = len(picture)
        soft = torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
        blend = self._uniform(-0.2, 0.7, count, 1, 1, 1)
        picture = picture * (1 - blend) + soft * blend
        noise = torch.randn(picture.shape, generator=self.generator) * self._uniform(0, 0.04, count, 1, 1, 1)
        noise = noise * (self._uniform(0, 1, count, 1, 1, 1) < 0.6)
        return ((picture * self._uniform(0.85, 1.08, count, 1, 1, 1) + noise).clamp(0, 1) * 255).round() / 255
