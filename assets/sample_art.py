"""The drawing kit of the sample film (see make_sample.py): shapes, light, weather, plants and people.

Coordinates are those of the finished 640x360 frame, as floats. Shapes are drawn twice as large with sixteenths of a
pixel and averaged down at the end, so that edges are smooth and slow things glide. Nothing is remembered between
frames: particles have closed formulas, and chance comes from seeded generators.
"""

from functools import lru_cache
from math import atan2, cos, exp, hypot, pi, sin

import cv2
import numpy as np

W, H = 640, 360
SCALE = 2  # supersampling


def c(text: str) -> np.ndarray:
    """'#rrggbb' as three floats."""
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], float)


def mix(a: str, b: str, k: float) -> np.ndarray:
    return c(a) * (1 - k) + c(b) * k


def ease(t: float, start: float, end: float) -> float:
    """0 before start, 1 after end, and smooth between."""
    k = min(max((t - start) / (end - start), 0.0), 1.0)
    return k * k * (3 - 2 * k)


def ink(colour) -> tuple:
    return tuple(float(v) for v in (c(colour) if isinstance(colour, str) else colour))


def px(points) -> np.ndarray:
    return np.round(np.asarray(points, float) * (SCALE * 16)).astype(np.int32)


def poly(img, points, colour) -> None:
    cv2.fillPoly(img, [px(points)], ink(colour), cv2.LINE_AA, 4)


def disc(img, x, y, r, colour) -> None:
    centre = px((x, y))
    cv2.circle(img, (int(centre[0]), int(centre[1])), max(int(r * SCALE * 16), 1), ink(colour), -1, cv2.LINE_AA, 4)


def oval(img, x, y, rx, ry, colour) -> None:
    a = np.linspace(0, 2 * pi, 40)
    poly(img, np.stack([x + rx * np.cos(a), y + ry * np.sin(a)], 1), colour)


def stroke(img, points, colour, width=1.0, closed=False) -> None:
    cv2.polylines(img, [px(points)], closed, ink(colour), max(round(width * SCALE), 1), cv2.LINE_AA, 4)


def rect(img, x0, y0, x1, y1, colour) -> None:
    poly(img, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour)


def turn(points, x=0.0, y=0.0, angle=0.0, size=1.0) -> np.ndarray:
    """Points scaled, rotated (clockwise on the screen) and moved to (x, y)."""
    s, k = sin(angle) * size, cos(angle) * size
    return np.asarray(points, float) @ np.array([[k, s], [-s, k]]) + (x, y)


def sky(*stops) -> np.ndarray:
    """A fresh canvas with a vertical gradient through (y, colour) stops."""
    rows = (np.arange(H * SCALE) + 0.5) / SCALE
    table = np.array([ink(colour) for _, colour in stops])
    column = np.stack([np.interp(rows, [y for y, _ in stops], table[:, i]) for i in range(3)], 1)
    return np.ascontiguousarray(np.broadcast_to(column[:, None].round().astype(np.uint8), (H * SCALE, W * SCALE, 3)))


@lru_cache(maxsize=64)
def _glow_sprite(r: int, colour: tuple, strength: float) -> np.ndarray:
    y, x = np.mgrid[-r : r + 1, -r : r + 1] / r
    fall = np.clip(1 - np.hypot(x, y), 0, 1) ** 2
    return (fall[..., None] * np.array(colour) * strength).round().astype(np.uint8)


def glow(img, x, y, r, colour, strength=0.5) -> None:
    """Add a soft round light."""
    sprite = _glow_sprite(round(r * SCALE), ink(colour), round(strength, 2))
    n, left, top = sprite.shape[0], round(x * SCALE) - sprite.shape[0] // 2, round(y * SCALE) - sprite.shape[0] // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + n, W * SCALE), min(top + n, H * SCALE)
    if x0 < x1 and y0 < y1:
        part = img[y0:y1, x0:x1]
        part[:] = cv2.add(part, sprite[y0 - top : y1 - top, x0 - left : x1 - left])


def haze(img, y0, y1, colour, alpha) -> None:
    """Mist lying between two heights, densest half way."""
    part = img[y0 * SCALE : y1 * SCALE]
    k = (np.sin(np.linspace(0, pi, len(part))) * alpha)[:, None, None].astype(np.float32)
    part[:] = (part * (1 - k) + np.array(ink(colour), np.float32) * k).round()


def ridge(img, colour, base, waves, shift=0.0) -> None:
    """Hills: the area below a sum of sines (height, length, phase)."""
    x = np.linspace(-4, W + 4, 110)
    y = base + sum(a * np.sin((x + shift) / length + p) for a, length, p in waves)
    poly(img, [*np.stack([x, y], 1), (W + 4, H + 4), (-4, H + 4)], colour)


def cloud(img, x, y, size, light, shade) -> None:
    puffs = [(-34, 1, 13), (-15, -8, 19), (8, -13, 22), (31, -3, 16), (48, 3, 10)]
    for dx, dy, colour in ((0, 0, shade), (-2.5, -4, light)):
        for px_, py, r in puffs:
            disc(img, x + (px_ + dx) * size, y + (py + dy) * size, r * size * (1 if dx == 0 else 0.9), colour)
    for base, colour in ((8, shade), (2, light)):
        stroke(img, [(x - 36 * size, y + base * size), (x + 49 * size, y + base * size)], colour, 12 * size)


# The letters we need, on a grid 4 wide and 6 high: lines, and arcs from smooth curves.
ROUND = [(2 + 2 * sin(a), 3 - 3 * cos(a)) for a in np.linspace(0, -2 * pi, 33)]
OPEN = [(2 + 2 * sin(a), 3 - 3 * cos(a)) for a in np.linspace(0.85, 0, 7)] + ROUND[:23]
BOWL = [(0, 6), (0, 0), (2.4, 0), *[(2.4 + 1.6 * sin(a), 1.6 - 1.6 * cos(a)) for a in np.linspace(0, pi, 13)], (0, 3.2)]
TURNS = [(2.05 - 1.8 * sin(a), 1.55 - 1.55 * cos(a)) for a in np.linspace(-1.0, pi, 15)]
TURNS += [(1.95 + 2.0 * sin(a), 4.55 - 1.45 * cos(a)) for a in np.linspace(0.2, pi + 1.1, 15)]
LETTERS = {
    "A": [[(0, 6), (2, 0), (4, 6)], [(0.8, 4.1), (3.2, 4.1)]],
    "C": [[*OPEN, (3.5, 5)]],
    "E": [[(3.6, 0), (0, 0), (0, 6), (3.6, 6)], [(0, 3), (3, 3)]],
    "F": [[(3.6, 0), (0, 0), (0, 6)], [(0, 3), (3, 3)]],
    "G": [[*OPEN, (4, 4.6), (4, 3.4), (2.6, 3.4)]],
    "H": [[(0, 0), (0, 6)], [(4, 0), (4, 6)], [(0, 3), (4, 3)]],
    "L": [[(0.3, 0), (0.3, 6), (3.7, 6)]],
    "M": [[(0, 6), (0, 0), (2, 3.4), (4, 0), (4, 6)]],
    "O": [ROUND],
    "P": [BOWL],
    "R": [BOWL, [(2, 3.2), (4, 6)]],
    "S": [TURNS],
    "U": [[(0, 0), (0, 4), *[(2 - 2 * cos(a), 4 + 2 * sin(a)) for a in np.linspace(0, pi, 13)], (4, 0)]],
    "Y": [[(0, 0), (2, 3), (4, 0)], [(2, 3), (2, 6)]],
    "!": [[(0.5, 0), (0.5, 3.9)], [(0.5, 5.9), (0.5, 6)]],
    " ": [],
}


def write(img, text, x, y, size, colour, width) -> None:
    """Text centred on (x, y) in our own round letters: cv2's fonts differ between its versions."""
    for i, letter in enumerate(text):
        for line in LETTERS[letter]:
            at = (x + (5.7 * (i - (len(text) - 1) / 2) - 2) * size, y - 3 * size)
            stroke(img, np.array(line) * size + at, colour, width * size)


def bird(img, x, y, size, flap, colour) -> None:
    lift = sin(flap) * 0.6
    wing = [(-9, -5 * lift - 1), (-4, -4 * lift - 2), (0, 0), (4, -4 * lift - 2), (9, -5 * lift - 1)]
    stroke(img, turn(wing, x, y, 0, size), colour, 1.4 * size)


def tree(img, x, y, size, leaf, light, trunk="#5b3f35") -> None:
    rect(img, x - 1.6 * size, y - 16 * size, x + 1.6 * size, y + 3, trunk)
    for dx, dy, r in ((-6, -18, 8), (6, -19, 8), (0, -27, 10)):
        disc(img, x + dx * size, y + dy * size, r * size, leaf)
    for dx, dy, r in ((-7, -21, 4.5), (-1, -31, 6)):
        disc(img, x + dx * size, y + dy * size, r * size, light)


def pine(img, x, y, size, colour) -> None:
    for k in range(3):
        w, top = (9 - 2 * k) * size, y - (14 + 9 * k) * size
        poly(img, [(x - w, top + 12 * size), (x, top - 4 * size), (x + w, top + 12 * size)], colour)
    rect(img, x - size, y - 3 * size, x + size, y + 3, colour)


def confetti(img, t, seed, count, box, drift=0.0) -> None:
    """Paper thrown up at t = 0 from a box (x0, y0, x1, y1), which flutters for three seconds.

    drift is how many units a second the camera leaves it behind.
    """
    if not 0 < t < 2.9:
        return
    rng = np.random.default_rng(seed)
    palette = ["#ff4d6d", "#ffd23f", "#3bceac", "#4d9de0", "#ff8c42", "#ffffff"]
    for i in range(count):
        x, y = rng.uniform(box[0], box[2]), rng.uniform(box[1], box[3])
        vx, up, phase, spin = rng.uniform(-60, 60), rng.uniform(90, 230), rng.uniform(0, 7), rng.uniform(3, 9)
        slow = (1 - exp(-2.2 * t)) / 2.2
        x += vx * slow * 1.6 + 7 * sin(phase + 4 * t) - drift * t
        y += -up * slow * 1.6 + 60 * t * min(t, 1.0)
        card = [(-2.4, -1.5), (2.4, -1.5), (2.4, 1.5), (-2.4, 1.5)] * np.array([1, 0.35 + abs(sin(spin * t + phase))])
        poly(img, turn(card, x, y, phase + spin * t * 0.5, 1.25 * (1 - ease(t, 2.0, 2.9))), palette[i % 6])


def limb(img, start, end, upper, lower, bend, colours, width) -> None:
    """Two bones from start towards end; bend (+1 or -1) says which way the joint points."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    far = min(hypot(dx, dy), upper + lower - 0.01)
    a = np.arccos(np.clip((upper**2 + far**2 - lower**2) / (2 * upper * far), -1, 1))
    direction = atan2(dy, dx) - bend * a
    joint = (start[0] + upper * cos(direction), start[1] + upper * sin(direction))
    stroke(img, [joint, end], colours[1], width * 0.85)
    stroke(img, [start, joint], colours[0], width)


def bicycle(img, at, roll, wheel_turn, rider=True, wind=0.0, t=0.0) -> None:
    """A bicycle whose tyres touch the ground at `at`, leaning back by roll about its middle; maybe its rider."""
    size = 1.75
    mid = np.array((1.0, -26.0))

    def place(*points):
        return turn(np.asarray(points, float) - mid, at[0] + mid[0] * size, at[1] + mid[1] * size, roll, size)

    crank = np.array((1.0, -11.0))
    angle = wheel_turn * 0.45
    pedal = np.array((cos(angle), sin(angle))) * 5.2
    bones, hip = (13.6 * size, 14.2 * size), (-7.5, -32)
    if rider:
        limb(img, *place(hip, crank - pedal), *bones, 1, ("#27406b", "#c98d6b"), 4.6 * size)
    for x in (-17, 20):
        hub = place((x, -11.5))[0]
        stroke(img, turn([(11 * cos(a), 11 * sin(a)) for a in np.linspace(0, 2 * pi, 33)], *hub, 0, size),
               "#2b2d42", 1.9 * size, True)  # fmt: skip
        for a in np.arange(0, pi, pi / 5):
            spoke = turn([(-10.5, 0), (10.5, 0)], *hub, wheel_turn + a, size)
            stroke(img, spoke, "#c9ced6", 0.5)
    for tube in (((-17, -11.5), crank, (-6, -27), (-17, -11.5)), ((-6, -27), (14, -27), crank),
                 ((20, -11.5), (14, -29))):  # fmt: skip
        stroke(img, place(*tube), "#e63946", 2.1 * size)
    stroke(img, place((14, -29), (13, -33), (18, -34)), "#2b2d42", 1.6 * size)
    stroke(img, place((-6, -27), (-7, -30)), "#2b2d42", 1.4 * size)
    stroke(img, place((-11, -30.5), (-3, -30.5)), "#2b2d42", 2.4 * size)
    if not rider:
        return
    stroke(img, place(crank, crank + pedal), "#2b2d42", 1.3 * size)
    scarf = [(4 - 4.2 * i * (0.6 + 0.4 * wind), -50 + 1.3 * i * (1 - wind) + (0.5 + i * 0.55) * sin(t * 17 - i * 1.1))
             for i in range(6)]  # fmt: skip
    stroke(img, place(*scarf), "#ffd23f", 2.6 * size)
    limb(img, *place(hip, crank + pedal), *bones, 1, ("#30518c", "#e0a07a"), 5 * size)
    poly(img, place((-11, -31), (-5, -30), (8, -44), (8, -51), (2, -51)), "#f77f00")
    stroke(img, place((-8, -33), (4, -48)), "#f77f00", 6 * size)
    limb(img, *place((5, -48), (17, -34)), 10 * size, 10.5 * size, -1, ("#d96c00", "#e0a07a"), 3.4 * size)
    disc(img, *place((9, -56))[0], 5.2 * size, "#e8ae87")
    helmet = [(8.4 + 6.6 * cos(a), -57.4 + 5.8 * sin(a)) for a in np.linspace(-pi * 1.08, 0.02 * pi, 24)]
    poly(img, place(*helmet), "#ffffff")
    band = [(8.4 + 4.4 * cos(a), -57.8 + 3.4 * sin(a)) for a in np.linspace(-2.7, -0.5, 9)]
    stroke(img, place(*band), "#e63946", 2.4)
    disc(img, *place((12, -55))[0], 1.3, "#22223b")


def person(img, x, y, size, stride, shirt, shorts="#ffffff", arms=0.0, lean=0.0, skin="#d99a76") -> None:
    """Somebody seen from the side who runs to the right; stride is the phase of the legs, arms 1 raises them."""
    def at(px_, py):
        return turn([(px_, py)], x, y, lean, size)[0]

    hop = abs(sin(stride)) * 2
    for side, shade in ((pi, 0.85), (0, 1.0)):
        swing = sin(stride + side)
        foot = at(11 * swing, -1 - 7 * max(0, cos(stride + side)))
        legs = (c(skin) * shade, c("#f1f1f1") * shade)
        limb(img, at(0, -24 - hop), foot, 12.5 * size, 13 * size, 1, legs, 4.6 * size)
        stroke(img, [foot, foot + np.array((3.4, 0)) * size], "#22223b", 3.4 * size)
        hand = at(2 + 10 * swing * (1 - arms) - 5 * arms * cos(side), -30 - 33 * arms - hop)
        limb(img, at(1.5, -42 - hop), hand, 10 * size, 10 * size, -1, (c(shirt) * shade, c(skin) * shade), 3.6 * size)
    stroke(img, [at(0, -27 - hop), at(1.5, -41 - hop)], shirt, 10 * size)
    stroke(img, [at(-0.5, -23 - hop), at(1.0, -23 - hop)], shorts, 9 * size)
    disc(img, *at(3, -53 - hop), 6 * size, skin)
    hair = np.linspace(-pi * 1.1, -0.12 * pi, 14)
    poly(img, [at(3 + 6.4 * cos(a), -54 - hop + 6.2 * sin(a)) for a in hair], "#4a2c2a")
