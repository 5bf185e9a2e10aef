"""The daytime scenes of the sample film (see make_sample.py), each a pure function of its own time in seconds."""

from functools import lru_cache
from math import pi, sin

import cv2
import numpy as np
from sample_art import (
    SCALE,
    H,
    W,
    bicycle,
    bird,
    cloud,
    confetti,
    disc,
    ease,
    glow,
    haze,
    mix,
    oval,
    pine,
    poly,
    rect,
    ridge,
    sky,
    stroke,
    tree,
    turn,
)

# What happens when, in seconds of the scene's own time; the soundtrack reads these too.
LEAP_S, SPLASH_S = 1.9, 3.0
FLIP_START_S, FLIP_END_S = 5.3, 6.6

RIDER_X, ROAD_Y = 225, 300


def sunrise(t):
    k = ease(t, -0.5, 6.2)
    img = sky((0, mix("#34356f", "#7fb2dd", k)), (110, mix("#8d5588", "#f3c39a", k)),
              (215, mix("#f2936b", "#ffe7ad", k)))  # fmt: skip
    sun = (432, 232 - 96 * k)
    glow(img, *sun, 210, "#ffb56b", 0.55)
    glow(img, *sun, 90, "#ffdf9e", 0.5)
    disc(img, *sun, 25, "#fff3cf")
    light, shade = mix("#e79a93", "#fff4e2", k), mix("#b26a86", "#f4cfae", k)
    for x, y, size, speed in ((90, 78, 1.15, 5), (300, 48, 0.7, 3), (545, 96, 0.9, 4)):
        cloud(img, x + speed * t, y, size, light, shade)
    for i, (dx, dy) in enumerate(((0, 0), (-16, 7), (-30, 15), (15, 8), (31, 17))):
        bird(img, 165 + dx + 17 * t, 128 + dy - 5 * t, 0.85, t * 8 + i, mix("#54304f", "#6b5063", k))
    ridge(img, mix("#a4627e", "#d8a98c", k), 222, [(17, 75, 1.0), (7, 31, 2)])
    haze(img, 205, 270, mix("#e8977c", "#ffdcae", k), 0.6)
    ridge(img, mix("#74466f", "#a99a70", k), 252, [(20, 92, 3.4), (6, 35, 0)])
    haze(img, 235, 310, mix("#c97a78", "#f7d59c", k), 0.5)
    ridge(img, mix("#48345f", "#6f8a54", k), 283, [(20, 110, 0.4), (5, 41, 1)])
    for i in range(9):
        x, y, size = 375 + i * 27 + 9 * sin(i * 5), 276 + 6 * sin(i * 2.2), 0.9 + 0.3 * sin(i * 3)
        pine(img, x, y, size, mix("#3a2b54", "#58754a", k))
    haze(img, 262, 340, mix("#8d5b76", "#e3cf8d", k), 0.38)
    ridge(img, mix("#2b2349", "#3f6141", k), 318, [(18, 130, 2.3), (4, 37, 1)])
    wall, roof = mix("#4a3a5e", "#f0dfc0", k), mix("#35264b", "#b5523b", k)
    rect(img, 130, 285, 176, 313, wall)
    poly(img, [(124, 287), (153, 264), (182, 287)], roof)
    rect(img, 162, 263, 169, 280, roof)
    for x in (138, 158):
        rect(img, x, 293, x + 9, 303, mix("#ffd98a", "#8fb7c9", ease(t, 3, 6)))
    for i in range(9):
        age = (t * 0.35 + i / 9) % 1
        oval(img, 166 + 26 * age * age + 3 * sin(i + t), 258 - 46 * age, 2.5 + 6 * age, 2 + 5 * age,
             mix("#76567f", "#f3dcc0", k) * (1 - age) + mix("#b07a86", "#f0cda0", k) * age)  # fmt: skip
    for x, y, size in ((92, 318, 1.5), (212, 314, 1.15), (238, 318, 1.5), (36, 328, 1.9)):
        tree(img, x, y, size, mix("#241d40", "#2f5238", k), mix("#32294f", "#4d7a46", k))
    return img


def dolphin(img, x, y, angle):
    body = [(30, 2), (24, -4), (12, -9), (2, -10), (-3, -18), (-9, -9), (-22, -3), (-36, -7), (-31, 0), (-36, 7),
            (-22, 3), (-5, 6), (-3, 13), (4, 7), (20, 5)]  # fmt: skip
    poly(img, turn(body, x, y, angle, 1.15), "#3d6f9e")
    poly(img, turn([(28, 3), (20, 5), (4, 7), (-16, 4), (4, 2)], x, y, angle, 1.15), "#d5ebf2")
    disc(img, *turn([(19, -2)], x, y, angle, 1.15)[0], 1.5, "#12283d")


def _yacht(img, t, x, y):
    tilt = 0.055 * sin(t * 2.1 + 1)
    stroke(img, turn([(4, -10), (4, -140)], x, y, tilt), "#7a4b32", 3.4)
    belly = 7 * sin(t * 1.3)
    poly(img, turn([(8, -136), (30 + belly, -104), (62 + belly, -58), (70, -24), (8, -26)], x, y, tilt), "#ffffff")
    for a, b in ((0.30, 0.47), (0.64, 0.81)):
        strip = [(8, -136 + 110 * a), (10 + (64 + belly * 0.7) * a**0.85, -136 + 110 * a),
                 (10 + (64 + belly * 0.7) * b**0.85, -136 + 110 * b), (8, -136 + 110 * b)]  # fmt: skip
        poly(img, turn(strip, x, y, tilt), "#ef5b5b")
    poly(img, turn([(0, -128), (-34 + belly / 2, -58), (-40, -26), (0, -28)], x, y, tilt), "#ffe8b5")
    poly(img, turn([(4, -140), (4, -132), (-13, -136 + 2 * sin(t * 9))], x, y, tilt), "#ffd23f")
    disc(img, *turn([(-36, -25)], x, y, tilt)[0], 6, "#e8ae87")
    stroke(img, turn([(-37, -16), (-37, -8)], x, y, tilt), "#34495e", 9)
    stroke(img, turn([(-41, -29), (-30, -29)], x, y, tilt), "#e63946", 4)
    poly(img, turn([(-66, -12), (74, -14), (56, 14), (-46, 14)], x, y, tilt), "#8d4f33")
    poly(img, turn([(-66, -12), (74, -14), (70, -7), (-63, -5)], x, y, tilt), "#fff4e0")


def boat(t):
    img = sky((0, "#3fb7de"), (120, "#a9e6ef"), (188, "#f1fdf6"))
    for x, y, size, speed in ((120, 62, 1.2, 7), (390, 40, 0.8, 5), (570, 86, 1.0, 6)):
        cloud(img, x + speed * t, y, size, "#ffffff", "#d4eef5")
    poly(img, [(470, 190), (500, 170), (540, 160), (590, 166), (644, 176), (644, 190)], "#6fae87")
    poly(img, [(500, 190), (548, 176), (600, 178), (644, 184), (644, 190)], "#8cc494")
    poly(img, [(561, 168), (564, 122), (574, 122), (577, 168)], "#ffffff")
    for y in (132, 150):
        poly(img, [(563.2 - (y - 132) / 20, y), (574.8 + (y - 132) / 20, y), (575.6, y + 9), (562.4, y + 9)], "#ef5b5b")
    rect(img, 562, 112, 576, 122, "#34495e")
    poly(img, [(560, 113), (569, 104), (578, 113)], "#ef5b5b")
    for i in range(4):
        bird(img, 120 + 95 * i + 26 * t, 118 + 13 * sin(i * 2.4 + t), 1.0 - 0.1 * i, t * 7 + 2 * i, "#ffffff")
    ridge(img, "#2fa7bf", 189, [(0.8, 16, t * 1.5)])
    for i in range(70):
        x, y = (i * 97.3) % W, 193 + (i * 31.7) % 42
        shine = max(0.0, sin(t * 3 + i * 2.1))
        stroke(img, [(x - 7 * shine, y), (x + 7 * shine, y)], mix("#3fb0c5", "#e9fbf4", shine), 0.8)
    ridge(img, "#2796b3", 226, [(2.6, 34, t * 1.7), (1.2, 13, -t)])
    p = (t - LEAP_S) / (SPLASH_S - LEAP_S)
    if 0 < p < 1:
        dolphin(img, 410 + 118 * p, 262 - 330 * p * (1 - p), -0.95 + 1.9 * p)
    x, y = 130 + 42 * t, 252 + 3.5 * sin(t * 2.1)
    _yacht(img, t, x, y)
    ridge(img, "#1d82a6", 258, [(4, 46, t * 2.0), (1.5, 17, -t * 1.4)])
    for i in range(16):
        age = (t * 0.9 + i / 16) % 1
        foam = (9 * (1 - age) + 1, 2.6 * (1 - age) + 0.5)
        oval(img, x - 48 - 74 * age, 262 + 5 * sin(i * 3) + 6 * age, *foam, "#d9f5f2")
    for when, where in ((LEAP_S, 412), (SPLASH_S, 530)):
        for i in range(60):
            age, side, up = t - when, (i * 0.618034) % 2 - 1, (i * 0.414214) % 1
            if 0 < age < 0.95:
                lift = (70 + 130 * up * (1.1 - abs(side))) * age - 210 * age * age
                r = (1.5 + 2.4 * up) * (1 - age) + 0.5
                disc(img, where + 70 * side * (0.3 + up) * age, 262 - lift, r, "#eefcfb")
    ridge(img, "#166e94", 296, [(5, 60, t * 2.3 + 1), (2, 22, -t)])
    ridge(img, "#115b80", 332, [(6, 75, t * 2.6 + 4), (2, 27, -t)])
    return img


@lru_cache
def _ride_table():
    """Distance over time: calm, a sprint in the middle, calm again."""
    times = np.arange(0, 12.5, 0.01)
    speed = [38 + 330 * (ease(t, 4.0, 4.9) - ease(t, 7.7, 8.6)) for t in times]
    return times, np.cumsum(speed) * 0.01


def ride_distance(t):
    return float(np.interp(t, *_ride_table()))


def fan(img, x, y, t, i, size=1.0):
    """A cheering spectator."""
    shirt = ("#ff4d6d", "#ffd23f", "#4d9de0", "#ff8c42", "#8e6bd6", "#ffffff")[i % 6]
    skin = ("#e8ae87", "#a9714f", "#d99a76")[i % 3]
    y -= 7 * size * abs(sin(t * 7 + i * 1.7))
    for side in (-1, 1):
        wave = 3 * sin(t * 11 + i + side)
        hand = (x + (9 * side + wave) * size, y - 38 * size)
        stroke(img, [(x + 4 * side * size, y - 21 * size), hand], skin, 3 * size)
    stroke(img, [(x, y - 18 * size), (x, y - 5 * size)], shirt, 12 * size)
    stroke(img, [(x - 2.5 * size, y), (x - 2.5 * size, y + 12 * size)], "#30518c", 4 * size)
    stroke(img, [(x + 2.5 * size, y), (x + 2.5 * size, y + 12 * size)], "#30518c", 4 * size)
    disc(img, x, y - 31 * size, 5.6 * size, skin)
    oval(img, x, y - 34.5 * size, 5.6 * size, 3.2 * size, ("#4a2c2a", "#22223b", "#c58b3b")[(i // 2) % 3])


def _party(img, t, s):
    """The cheering crowd along the road, under bunting."""
    party, party_end = ride_distance(5.2) + RIDER_X + 30, ride_distance(7.5) + RIDER_X
    for i in range(44):
        x = party + i * (party_end - party) / 44 - s
        if -30 < x < W + 30:
            fan(img, x + 7 * sin(i * 5), 272 + 5 * (i % 2), t, i)
    flags = party - 20 - s
    poles = int((party_end - party) / 88) + 2
    for i in range(poles):
        x0 = flags + i * 88
        if -100 < x0 < W + 10:
            rect(img, x0 - 1.3, 168, x0 + 1.3, 284, "#7a5a44")
            for j in range(7 if i < poles - 1 else 0):
                u = (j + 0.5) / 7
                y = 172 + 26 * 4 * u * (1 - u) / 2
                tip = (x0 + 88 * u + 3 * sin(t * 9 + j), y + 13)
                hue = ("#ff4d6d", "#ffd23f", "#4d9de0", "#3bceac")[(i + j) % 4]
                poly(img, [(x0 + 88 * u - 5, y), (x0 + 88 * u + 5, y), tip], hue)


def _rider(img, t, s, rush):
    """The ramp, the somersault, dust and confetti."""
    lip = ride_distance(FLIP_START_S) + RIDER_X
    poly(img, [(lip - 78 - s, 304), (lip + 32 - s, 268), (lip + 32 - s, 304)], "#b5793f")
    poly(img, [(lip - 78 - s, 303), (lip + 32 - s, 267), (lip + 32 - s, 273), (lip - 78 - s, 306)], "#e0a35a")
    p = (t - FLIP_START_S) / (FLIP_END_S - FLIP_START_S)
    height, roll = 0.0, 0.0
    if p < 0:
        up = min(max((s + RIDER_X - lip + 78) / 110, 0), 1)
        height, roll = 36 * up, -0.31 * min(up * 4, 1)
    elif p < 1:
        height, roll = 26 * (1 - p) + 420 * p * (1 - p), -0.31 - (2 * pi - 0.31) * ease(p, 0.0, 1.0)
    oval(img, RIDER_X, ROAD_Y + 3, 44 - 0.15 * height, 4, "#c4a671")
    bicycle(img, (RIDER_X, ROAD_Y - height), roll, s / 19, True, rush, t)
    for i in range(14):
        age = (t * 2.2 + i / 14) % 1
        if rush > 0.3 and not 0 < p < 1:
            dust = (RIDER_X - 40 - 90 * age, ROAD_Y - 3 - 16 * age * sin(i * 3) ** 2)
            disc(img, *dust, 2 + 6 * age, mix("#d8be8c", "#e6cf9f", age))
    confetti(img, t - FLIP_END_S + 0.3, 5, 150, (120, 150, 980, 290), 190)
    confetti(img, t - FLIP_START_S + 0.3, 6, 80, (380, 180, 800, 290), 190)


def ride(t):
    s = ride_distance(t)
    rush = ease(t, 4.2, 5.0) - ease(t, 7.7, 8.5)
    img = sky((0, "#8fc9ea"), (150, "#dff1ee"), (230, "#fdf6d8"))
    glow(img, 90, 40, 150, "#fff0b8", 0.3)
    disc(img, 90, 56, 20, "#fff7d6")
    for i in range(4):
        x, size = (i * 230 + 150 - s * 0.03) % 860 - 110, 0.95 + 0.2 * sin(i * 4)
        cloud(img, x, 62 + 26 * sin(i * 2.6), size, "#ffffff", "#dcecf2")
    ridge(img, "#b3d4c4", 196, [(22, 88, 0), (8, 37, 1)], s * 0.06)
    ridge(img, "#96c59c", 222, [(19, 105, 2), (6, 43, 0)], s * 0.13)
    ridge(img, "#7db56f", 248, [(13, 120, 4), (4, 39, 2)], s * 0.28)
    for k in range(int((s * 0.28 - 60) // 74), int((s * 0.28 + 720) // 74)):
        x, size = k * 74 + 20 * sin(k * 4.1) - s * 0.28, 0.9 + 0.25 * sin(k * 5.3)
        tree(img, x, 254 + 5 * sin(k * 2.3), size, "#5f9a57", "#7fb768")
    ridge(img, "#8fc35c", 268, [(4, 90, 1)], s * 0.6)
    for k in range(int((s * 0.7 - 60) // 210), int((s * 0.7 + 760) // 210)):
        x = k * 210 + 50 * sin(k * 3.7) - s * 0.7
        tree(img, x, 276, 1.7 + 0.3 * sin(k * 2.9), "#437f46", "#68a555")
    rect(img, -4, 286, W + 4, 318, "#e6cf9f")
    rect(img, -4, 286, W + 4, 288.5, "#cfae78")
    _party(img, t, s)
    _rider(img, t, s, rush)
    rect(img, -4, 318, W + 4, H + 4, "#6faa4a")
    for k in range(int((s * 1.5 - 30) // 26), int((s * 1.5 + 680) // 26)):
        x = k * 26 + 9 * sin(k * 7.7) - s * 1.5
        tall, sway = 16 + 7 * sin(k * 3.1), 3 * sin(t * 2 + k) - 7 * rush
        for lean in (-5, 0, 5):
            stroke(img, [(x + lean / 2, 364), (x + lean + sway, 352 - tall)], "#4f8c3c", 1.8)
        if k % 3 == 0:
            disc(img, x + sway, 352 - tall - 2, 3.6, ("#ff6f91", "#ffffff", "#ffd23f")[k // 3 % 3])
    return img


def rain(t):
    img = sky((0, "#6f7a85"), (170, "#87919a"), (300, "#7a848c"))
    rng = np.random.default_rng(3)
    for _ in range(10):
        x, top, w = rng.uniform(0, W), rng.uniform(90, 190), rng.uniform(30, 60)
        rect(img, x - w, top, x + w, 300, mix("#78838d", "#69747e", rng.uniform()))
    img = cv2.GaussianBlur(img, (0, 0), 9 * SCALE)
    for _ in range(14):
        x, y, r = rng.uniform(20, 620), rng.uniform(150, 270), rng.uniform(6, 13)
        disc(img, x, y, r, mix("#8d969c", "#a09f98", rng.uniform()))
    img = cv2.GaussianBlur(img, (0, 0), 2 * SCALE)
    for _ in range(110):
        x, y, r = rng.uniform(0, W), rng.uniform(0, 300), rng.uniform(0.8, 2.6)
        oval(img, x, y, r, r * 1.25, "#98a3ab")
        disc(img, x - r * 0.3, y - r * 0.4, r * 0.4, "#bcc5ca")
    for i in range(9):
        x, speed = rng.uniform(20, 620), rng.uniform(14, 30)
        y = (rng.uniform(0, 330) + speed * t) % 330 - 15
        stroke(img, [(x + sin(i), y - 44), (x, y)], "#8b969f", 2)
        oval(img, x, y, 3, 4.4, "#a3aeb5")
        disc(img, x - 0.9, y - 1.6, 1.1, "#cbd3d7")
    frame, edge = "#565c63", "#666d74"
    for x0, x1 in ((-4, 26), (312, 328), (614, 644)):
        rect(img, x0, -4, x1, 300, frame)
        rect(img, x1 - 3, -4, x1, 300, edge)
    rect(img, -4, -4, 644, 18, frame)
    rect(img, -4, 288, 644, 364, "#5f656b")
    rect(img, -4, 288, 644, 298, "#757c82")
    cat = "#33383e"
    tail = [(505 + 6 * i, 290 + 7 * sin(i * 0.4) + 2.0 * sin(t * 1.6 + i * 0.5) * i / 8) for i in range(11)]
    stroke(img, tail, cat, 8)
    breath = 1.2 * sin(t * 1.7)
    oval(img, 470, 268 - breath / 2, 46, 25 + breath, cat)
    disc(img, 428, 266, 18, cat)
    for x in (418, 436):
        poly(img, [(x - 7, 256), (x, 240), (x + 7, 254)], cat)
    stroke(img, [(417, 268), (421, 270), (425, 268)], "#7d848a", 1)
    rect(img, 120, 262, 146, 292, "#8a8f93")
    oval(img, 133, 262, 13, 3, "#6b6f73")
    stroke(img, [(146, 268), (154, 271), (153, 281), (146, 284)], "#8a8f93", 3)
    return img
