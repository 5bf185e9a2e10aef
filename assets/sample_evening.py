"""The later scenes of the sample film (see make_sample.py), each a pure function of its own time in seconds."""

from functools import lru_cache
from math import exp, pi, sin

import cv2
import numpy as np
from sample_art import (
    SCALE,
    H,
    W,
    bicycle,
    c,
    cloud,
    confetti,
    disc,
    ease,
    glow,
    haze,
    ink,
    mix,
    oval,
    person,
    pine,
    poly,
    px,
    rect,
    ridge,
    sky,
    stroke,
    tree,
    turn,
    write,
)

# What happens when, in seconds of the scene's own time; the soundtrack reads these too.
KICK_S, GOAL_S = 1.72, 2.5
CAR_S = 2.7
# Fireworks: when, where, how wide, in which colour.
BURSTS = [
    (1.20, 330, 92, 92, "#ffd36b"), (1.72, 180, 120, 70, "#ff5d8f"), (2.08, 490, 80, 84, "#5fe3ff"),
    (2.52, 270, 70, 80, "#b98bff"), (2.84, 410, 128, 66, "#7dff9a"), (3.12, 120, 84, 78, "#ff9d4d"),
    (3.48, 545, 118, 70, "#ff6bd0"), (3.76, 340, 84, 104, "#fff2b8"), (4.12, 210, 106, 76, "#5fb2ff"),
    (4.40, 460, 76, 88, "#ff5d5d"), (4.72, 320, 118, 72, "#8dffd8"), (5.02, 150, 80, 70, "#ffd36b"),
    (5.02, 500, 100, 84, "#c79bff"),
]  # fmt: skip
ROCKET_S = 0.7  # how long a rocket climbs before it bursts


@lru_cache
def _town():
    """Buildings as (left, right, top, depth) and their windows as (x, y, moment when lit)."""
    rng, blocks = np.random.default_rng(11), []
    for depth, low, high in ((0, 90, 150), (1, 130, 205)):
        x = -20.0
        while x < W + 20:
            w, top = rng.uniform(46, 84), rng.uniform(low, high)
            panes = [(px_, py, rng.uniform(-5, 6)) for px_ in np.arange(x + 8, x + w - 10, 13)
                     for py in np.arange(top + 12, 262, 18) if rng.uniform() < 0.6]  # fmt: skip
            blocks.append((x, x + w - 2, top, depth, panes))
            x += w
    return blocks


def _traffic(img, t):
    tram = 700 - 62 * t
    poly(img, [(tram, 238), (tram + 10, 228), (tram + 240, 228), (tram + 240, 304), (tram, 304)], "#1aa39a")
    rect(img, tram, 282, tram + 240, 288, "#fff1dc")
    for i in range(6):
        rect(img, tram + 9 + 38 * i, 240, tram + 38 + 38 * i, 268, "#ffe6a3")
        disc(img, tram + 24 + 38 * i, 262, 6.5, ("#5d3a6b", "#7a3f5c", "#3f3f6b")[i % 3])
    for x in (40, 70, 170, 200):
        disc(img, tram + x, 304, 8, "#1c1030")
    glow(img, tram + 2, 288, 50, "#fff0b0", 0.6)
    car = -120 + 290 * max(0.0, t - 1.0)
    body = [(0, -8), (4, -22), (30, -26), (48, -44), (92, -44), (112, -25), (134, -20), (138, -8)]
    poly(img, turn(body, car, 344), "#e63956")
    poly(img, turn([(38, -26), (51, -40), (68, -40), (68, -26)], car, 344), "#ffd9a0")
    poly(img, turn([(73, -26), (73, -40), (90, -40), (104, -26)], car, 344), "#ffd9a0")
    for x in (30, 108):
        disc(img, car + x, 338, 11, "#160b26")
        disc(img, car + x, 338, 5, "#b7a6c9")
    glow(img, car + 138, 329, 64, "#fff2bf", 0.7)
    glow(img, car + 190, 338, 70, "#ffe08a", 0.3)
    glow(img, car + 1, 326, 26, "#ff3030", 0.7)


def street(t):
    img = sky((0, "#3a1f66"), (120, "#a63d87"), (210, "#ff8a5c"), (275, "#ffc46b"))
    glow(img, 330, 250, 240, "#ff9a4d", 0.35)
    for x, y, size in ((120, 70, 0.9), (480, 52, 1.1)):
        cloud(img, x - 3 * t, y, size, "#c25590", "#93407f")
    for left, right, top, depth, panes in _town():
        rect(img, left, top, right, 280, ("#8c3f7d", "#4a2361")[depth])
        if depth:
            rect(img, left + 4, top - 5, right - 4, top + 1, "#3d1c53")
        for x, y, lit in panes:
            rect(img, x, y, x + 6.5, y + 9, mix(("#7a3573", "#3b1b50")[depth], "#ffd27a", ease(t, lit, lit + 0.25)))
    rect(img, 60, 226, 196, 280, "#2c1440")
    rect(img, 68, 240, 188, 276, "#ffc76b")
    for i in range(9):
        rect(img, 56 + 16 * i, 226, 72 + 16 * i, 241, ("#ff5d73", "#fff1dc")[i % 2])
    glow(img, 128, 214, 60, "#ff3f8f", 0.55)
    write(img, "CAFE", 128, 213, 2.6, "#ff5fa8", 1.5)
    write(img, "CAFE", 128, 213, 2.6, "#fff0f7", 0.6)
    rect(img, -4, 278, 644, 296, "#6b3a6e")
    rect(img, -4, 294, 644, 297, "#8c4f80")
    rect(img, -4, 297, 644, 364, "#2f1a45")
    for i in range(8):
        rect(img, i * 92 - 10, 326, i * 92 + 34, 329.5, "#a8698f")
    for x in (30, 245, 460, 640):
        stroke(img, [(x, 292), (x, 178), (x + 7, 168), (x + 22, 168)], "#24123a", 3)
        oval(img, x + 24, 171, 7, 3.4, "#fff0c4")
        glow(img, x + 24, 174, 62, "#ffbf66", 0.5)
        glow(img, x + 24, 292, 50, "#ff9d4d", 0.22)
    for x, speed, shirt in ((300, 17, "#ffb84d"), (380, 14, "#5fd0c5"), (10, 20, "#ff6f91")):
        person(img, x + speed * t, 292, 0.82, t * 5 + x, shirt, "#3d2a5c", 0.0)
    _traffic(img, t)
    return img


@lru_cache
def _crowd():
    rng = np.random.default_rng(21)
    shirts = ["#ff4d6d", "#ffd23f", "#4d9de0", "#ffffff", "#ff8c42", "#8e6bd6"]
    skins = ["#e8ae87", "#a9714f", "#d99a76", "#6f4a38"]
    return [(col * 15 + rng.uniform(-3, 3) + 7 * (row % 2), 26 + 15 * row, shirts[rng.integers(6)],
             skins[rng.integers(4)], rng.uniform(0, 7)) for row in range(9) for col in range(-1, 66)]  # fmt: skip


def football_ball(t):
    """Where the ball is, in the world of the pitch."""
    if t < KICK_S:
        return 242.0, 318.0
    p = min((t - KICK_S) / (GOAL_S - KICK_S), 1.0)
    x, y = 242 + 548 * p, 318 - 96 * p - 190 * p * (1 - p)
    fall = max(0.0, t - GOAL_S)
    return x - 26 * min(fall, 1.0), min(y + 150 * fall * fall, 306)


def football_camera(t):
    return 290 * ease(t, 1.3, 2.8)


def _stand(img, t, cam, joy):
    """The crowd, out of focus and smeared by the pan, behind the boards."""
    rect(img, -4, -4, W + 4, 18, "#16345c")
    for x, y, shirt, skin, phase in _crowd():
        x -= cam
        if -10 < x < W + 10:
            y -= (1 + 6 * joy) * abs(sin(t * (2 + 6 * joy) + phase))
            for side in (-1, 1) if joy > 0 else ():
                stroke(img, [(x + 4 * side, y + 2), (x + 6 * side, y - 9 * joy)], shirt, 2.4)
            oval(img, x, y + 5, 5.6, 7, shirt)
            disc(img, x, y - 4, 3.8, skin)
    part = img[18 * SCALE : 158 * SCALE]
    smear = 1 + round(abs(cam - football_camera(t - 0.04)) * SCALE * 0.8)
    part[:] = cv2.GaussianBlur(cv2.blur(part, (smear, 1)), (0, 0), 0.8 * SCALE) // 4 * 3 + np.uint8([9, 16, 30])
    boards = (("GO GO GO", "#234a7d", "#ffffff"), ("SMOL CUP", "#b3352f", "#ffd23f"), ("HURRAY", "#ffffff", "#ff4d6d"))
    for i in range(11):
        x, (text, letters, board) = i * 110 - 60 - cam, boards[i % 3]
        rect(img, x, 158, x + 108, 184, board)
        write(img, text, x + 54, 171, 2.1, letters, 1.2)


def _goal(img, t, cam):
    """The net, which the ball pushes out, the keeper's dive, and the frame of the goal."""
    left, right, top, foot = 716 - cam, 800 - cam, 176, 306
    bulge = 26 * exp(-2.4 * (t - GOAL_S)) if t >= GOAL_S else 0.0
    for u in np.linspace(0, 1, 13):
        push = bulge * exp(-((u - 0.42) ** 2) / 0.05)
        back = (right - 14 * (1 - u) + push, top + 14 + (foot - top - 26) * u)
        stroke(img, [(left, top + (foot - top) * u), back], "#d6ecd8", 0.9)
        x = left + (right - left - 8) * u
        net = [(x, top + 14 * u), (x + bulge * u, (top + foot) / 2), (x + 4 * u, foot - 12 * u)]
        stroke(img, net, "#d6ecd8", 0.9)
    dive = ease(t, 2.12, 2.62)
    person(img, 690 - cam + 20 * dive, 312 - 52 * dive + 46 * ease(t, 2.62, 3.0), 1.25, 0.25 + 0.5 * dive, "#ffd23f",
           "#22223b", dive, -1.25 * dive)  # fmt: skip
    stroke(img, [(left, foot + 4), (left, top), (right - 14, top + 14), (right, foot - 8)], "#ffffff", 3.6)
    stroke(img, [(left, foot + 6), (left, top)], "#ffffff", 5)


def _ball(img, t, cam):
    x, y = football_ball(t)
    oval(img, x - cam, 322 - 14 * (x > 700), 8, 2.4, "#3a8f36")
    for i in range(6, 0, -1) if KICK_S < t < GOAL_S else ():
        past = football_ball(max(KICK_S, t - 0.022 * i))
        disc(img, past[0] - cam, past[1], 8.4 - i, mix("#ffffff", "#8fd08a", i / 7))
    disc(img, x - cam, y, 9, "#ffffff")
    patches = [(5.6 * sin(a), -5.6 * sin(a - pi / 2)) for a in np.arange(5) * 0.4 * pi]
    for spot in turn(patches, x - cam, y, 14 * min(t, GOAL_S)):
        disc(img, *spot, 2.1, "#2b2d42")


def football(t):
    cam, joy = football_camera(t), ease(t, 2.5, 2.75)
    img = sky((0, "#234a7d"), (200, "#234a7d"))
    _stand(img, t, cam, joy)
    for i in range(-1, 11):
        x = i * 96 - cam
        low = (x + 70, x - 70) if i % 2 else (x + 110, x - 30)
        poly(img, [(x, 184), (x + 96, 184), (low[0], 364), (low[1], 364)], ("#4fb548", "#45a63f")[i % 2])
    stroke(img, [(-4, 200), (W + 4, 200)], "#e9f7e4", 2)
    stroke(img, [(560 - cam, 201), (500 - cam, 364)], "#e9f7e4", 2.4)
    _goal(img, t, cam)
    _ball(img, t, cam)
    run = 66 + 150 * min(ease(t, 0.0, 2.2) * 1.42, 1.02) + 330 * ease(t, 2.7, 5.4) - cam
    stride = t * 9.5 if t < 1.5 or t > 2.2 else 15.2  # the leg stays out after the kick
    lean = -0.3 * (ease(t, 1.5, 1.75) - ease(t, 1.9, 2.3))
    person(img, run, 328, 1.45, stride, "#e63946", arms=joy, lean=lean)
    person(img, run - 120, 322, 1.3, t * 9 + 1, "#e63946", arms=joy, skin="#8a5a3f")
    confetti(img, t - GOAL_S - 0.1, 31, 150, (10, 90, 630, 260))
    confetti(img, t - GOAL_S - 1.0, 32, 110, (10, 120, 630, 280))
    since = t - GOAL_S - 0.12
    if since > 0:
        pop = ease(since, 0, 0.28) + 0.08 * sin(since * 9) * exp(-2 * max(0.0, since - 0.18))
        for colour, width, dy in (("#8f1230", 2.85, 4.8), ("#ffffff", 2.42, 0), ("#ffb703", 1.24, 0)):
            write(img, "GOAL!", W / 2 + 20, 92 + dy * pop, 13.5 * pop + 0.1, colour, width)
    return img


def fog(t):
    img = sky((0, "#c3c8ca"), (200, "#cdd1d2"), (262, "#bfc4c5"), (360, "#aeb4b5"))
    for x, y, size in ((80, 262, 3.0), (560, 258, 2.4), (250, 256, 1.8)):
        tree(img, x, y, size, "#bcc2c4", "#c0c6c8", "#bac0c2")
    haze(img, 180, 300, "#cdd1d2", 0.55)
    stroke(img, [(470, 300), (470, 130), (462, 122), (446, 122)], "#979da0", 4)
    oval(img, 443, 125, 9, 4, "#dfe2e0")
    for x in (228, 322):
        stroke(img, [(x, 308), (x, 268)], "#858b8e", 5)
    for y in (262, 272, 286):
        stroke(img, [(212, y), (340, y)], "#92989b", 5)
    x = 405 - 1.6 * t
    oval(img, x, 331, 13, 3.4, "#8f9492")
    disc(img, x + 3, 324, 8.5, "#9a958c")
    disc(img, x + 3.5, 324, 4.6, "#88837b")
    stroke(img, [(x - 10, 330), (x - 13, 323)], "#8f9492", 2)
    return img


def _sparks(layer, t):
    for n, (when, x, y, size, colour) in enumerate(BURSTS):
        age = t - when
        if -ROCKET_S < age < 0:
            p = 1 + age / ROCKET_S
            for i in range(10):
                q = max(0.0, p - i * 0.02)
                disc(layer, x + 3 * sin(q * 20), 262 + (y - 262) * (1 - (1 - q) ** 2), 1.9 - 0.17 * i,
                     mix("#ffe9b0", "#5a2f16", i / 10))  # fmt: skip
        if not 0 <= age < 2.2:
            continue
        rng, fade = np.random.default_rng(100 + n), max(0.0, 1 - (age / 2.2) ** 2)
        angle = np.arange(78) * 2.399963
        reach = 1.12 * size * np.sqrt(rng.uniform(0.12, 1.0, 78))

        def place(a, angle=angle, reach=reach, x=x, y=y):
            grow = 1 - exp(-3.4 * max(a, 0.0))
            fall = 17 * max(a, 0.0) ** 2
            return np.stack([x + reach * grow * np.cos(angle), y + reach * grow * np.sin(angle) + fall], 1)

        head, tail = px(place(age)), px(place(age - 0.14 - 0.1 * age))
        hue = c(colour)
        for i in range(78):
            twinkle = fade * (1 if age < 0.8 else 0.55 + 0.45 * sin(age * 26 + i * 2.2))
            shine = (hue * 0.9 + 50 * (i % 3 == 0) + 300 * max(0.0, 0.2 - age)) * twinkle
            cv2.line(layer, tail[i], head[i], ink(np.clip(shine * 0.7, 0, 255)), 3, cv2.LINE_AA, 4)
            cv2.circle(layer, head[i], 36, ink(np.clip(shine, 0, 255)), -1, cv2.LINE_AA, 4)


def fireworks(t):
    horizon = 262
    img = sky((0, "#12113f"), (170, "#2b2a78"), (262, "#5a3f8f"))
    layer = np.zeros_like(img)
    _sparks(layer, t)
    for when, x, y, size, colour in BURSTS:
        if 0 < t - when < 1.2:
            glow(layer, x, y, size * 1.35, colour, round(0.42 * exp(-3 * (t - when)), 2))
    small = cv2.GaussianBlur(cv2.resize(layer, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), (0, 0), 3)
    bloom = cv2.resize(small, (W * SCALE, H * SCALE), interpolation=cv2.INTER_LINEAR)
    img = cv2.add(cv2.add(img, layer), cv2.convertScaleAbs(bloom, alpha=1.5))
    ridge(img, "#2a2363", 250, [(9, 60, 1), (4, 23, 0)])
    rng = np.random.default_rng(8)
    for i in range(26):
        x, top = i * 25 - 6 + rng.uniform(-4, 4), 238 - rng.uniform(4, 44) * (1.0 if 5 < i < 21 else 0.5)
        rect(img, x, top, x + 23, horizon, "#1b1748")
        for wx in (x + 4, x + 10, x + 16):
            for wy in np.arange(top + 5, horizon - 5, 8):
                if rng.uniform() < 0.45:
                    rect(img, wx, wy, wx + 3, wy + 3.6, "#ffcf7a")
    depth = (H - horizon) * SCALE
    y, x = np.mgrid[0:depth, 0 : W * SCALE].astype(np.float32)
    wave = 6 * np.sin(y / 5.0 + t * 5) * (0.3 + y / depth) + 3 * np.sin(y / 2.1 - t * 7)
    mirror = cv2.remap(img, x + wave, horizon * SCALE - 1 - y * 1.9, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    img[horizon * SCALE :] = cv2.addWeighted(mirror, 0.75, np.full_like(mirror, ink("#141046")[2]), 0.12, 4)
    for i, x0 in enumerate((60, 130, 215, 330, 420, 505, 590)):
        y0 = 342 + 7 * sin(i * 2.3)
        disc(img, x0, y0 - 13, 7.5, "#0b0826")
        stroke(img, [(x0, y0 + 2), (x0, y0 + 24)], "#0b0826", 19)
        for side in (-1, 1) if i % 2 else ():
            lift = 12 * (0.5 + 0.5 * sin(t * 6 + i))
            stroke(img, [(x0 + 8 * side, y0), (x0 + 15 * side, y0 - 14 - lift)], "#0b0826", 4.5)
    return img


def night(t):
    img = sky((0, "#0d4a5c"), (150, "#1f8285"), (280, "#63b8a0"))
    rng = np.random.default_rng(41)
    for i in range(90):
        x, y, r = rng.uniform(0, W), rng.uniform(0, 230), rng.uniform(0.5, 1.3)
        disc(img, x, y, r, mix("#3f9a9a", "#f5fff2", 0.6 + 0.4 * sin(t * 2 + i)))
    glow(img, 470, 104, 170, "#bff0d0", 0.4)
    disc(img, 470, 104, 44, "#fdf8dc")
    for x, y, r in ((455, 92, 9), (484, 112, 12), (462, 124, 6), (488, 86, 5)):
        disc(img, x, y, r, "#eee6c0")
    p = (t - 1.5) / 0.7
    if 0 < p < 1:
        for i in range(16):
            q = p - i * 0.016
            disc(img, 90 + 220 * q, 40 + 70 * q, 2.2 - 0.13 * i, mix("#ffffff", "#2b8a8c", i / 16))
    ridge(img, "#2f8f86", 258, [(17, 80, 1), (6, 30, 2)])
    haze(img, 240, 300, "#7cc9ae", 0.35)
    ridge(img, "#17595f", 284, [(13, 100, 4), (4, 33, 1)])
    for i in range(16):
        pine(img, i * 42 + 10 * sin(i * 4), 292 + 5 * sin(i * 2), 1.2 + 0.4 * sin(i * 3.3), "#124a52")
    ridge(img, "#0c3440", 318, [(6, 120, 0.5), (2, 40, 1)])
    glow(img, 180, 300, 120, "#ff9d42", 0.35 + 0.02 * round(2 * sin(t * 11) + sin(t * 17)))
    poly(img, [(96, 330), (172, 248), (248, 330)], "#f28c38")
    poly(img, [(172, 248), (248, 330), (272, 322), (180, 247)], "#b85c24")
    poly(img, [(146, 330), (172, 262), (198, 330)], "#ffe2a0")
    stroke(img, [(172, 262), (172, 330)], "#e0a050", 1.4)
    bicycle(img, (372, 331), 0.0, 0.6, rider=False)
    return img
