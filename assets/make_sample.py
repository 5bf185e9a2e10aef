"""Draws and plays sample.mp4: a day out in nine small scenes, the video that a newcomer's first run works on.

    python assets/make_sample.py [-o PATH]

Everything in it is ours: the pictures come from sample_day.py and sample_evening.py, drawn with the kit in
sample_art.py, and the sound is synthesised below. The film is made to be worth cutting down: most of it is quiet, two
stretches are plainly dull, and three are plainly the best. Where those lie is written here as constants, which tests
read; importing this file draws nothing and needs only NumPy.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from types import ModuleType

import numpy as np

HERE = Path(__file__).resolve().parent
FPS = 25
SIZE = (640, 360)
RATE = 48_000
ENCODER = {"crf": "27", "preset": "slower", "tune": "animation", "flags": "+bitexact"}

# Scenes in order, with their lengths in frames. Rain fades out to black and the street fades in from it; night fades
# out at the end; every other join is a hard cut.
SHOTS = (
    ("sunrise", 148), ("boat", 131), ("ride", 283), ("rain", 130), ("street", 128),
    ("football", 152), ("fog", 118), ("fireworks", 164), ("night", 136),
)  # fmt: skip
_STARTS = dict(zip((name for name, _ in SHOTS), accumulate((n for _, n in SHOTS), initial=0), strict=False))
FRAMES = sum(frames for _, frames in SHOTS)
FADE_FRAMES = 30  # from full light to black, and back
BLACK_FRAMES = 9  # black on each side of the join

DURATION_S = FRAMES / FPS
CUTS_S = tuple(_STARTS[name] / FPS for name, _ in SHOTS if name not in ("sunrise", "street"))


def _span(shot: str, first: int, end: int) -> tuple[float, float]:
    """Frames of one shot as seconds of the film."""
    return (_STARTS[shot] + first) / FPS, (_STARTS[shot] + end) / FPS


# Where the picture is black, which is the middle of each fade.
FADES_S = (
    ((_STARTS["street"] - BLACK_FRAMES) / FPS, (_STARTS["street"] + BLACK_FRAMES) / FPS),
    ((FRAMES - BLACK_FRAMES) / FPS, DURATION_S),
)
# The sprint and the somersault past the crowd; the shot at goal and the cheer; the salvo of fireworks.
BEST_S = (_span("ride", 112, 200), _span("football", 38, 138), _span("fireworks", 42, 148))
# A rainy window, and a park bench in fog.
DULL_S = (_span("rain", 0, 130), _span("fog", 0, 118))


# ---- sound: each piece is a pure function giving mono or stereo samples ----


def clock(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def noise(seconds: float, low: float, high: float, seed: int) -> np.ndarray:
    """Noise of unit power between two frequencies with soft edges."""
    n = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(n))
    f = np.fft.rfftfreq(n, 1 / RATE) + 1e-9
    spectrum *= 1 / np.sqrt((1 + (low / f) ** 4) * (1 + (f / high) ** 4))
    sound = np.fft.irfft(spectrum, n)
    return sound / np.sqrt(np.mean(sound**2))


def ramp(sound: np.ndarray, attack: float, release: float) -> np.ndarray:
    """Raised-cosine edges: nothing may begin or end with a click."""
    n, shape = len(sound), np.ones(len(sound))
    for seconds, edge in ((attack, slice(None)), (release, slice(None, None, -1))):
        k = min(round(seconds * RATE), n)
        shape[edge][:k] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(k) / k)
    return sound * shape


def pad(seconds: float, notes: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """A slow warm chord of slightly detuned voices, left and right differing."""
    t, rng = clock(seconds), np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        voice = np.zeros_like(t)
        for note in notes:
            f = 440 * 2 ** ((note - 69) / 12) * (1 + rng.uniform(-0.0025, 0.0025))
            swell = 1 + 0.25 * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * t + rng.uniform(0, 6))
            phase = 2 * np.pi * f * t + rng.uniform(0, 6)
            voice += swell * (np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.1 * np.sin(3 * phase))
        sides.append(voice / len(notes))
    return np.stack([ramp(side, 0.7, 0.7) for side in sides], 1)


def pluck(note: float, seconds: float = 0.9) -> np.ndarray:
    """A marimba-like note."""
    t, f = clock(seconds), 440 * 2 ** ((note - 69) / 12)
    tone = np.sin(2 * np.pi * f * t) * np.exp(-5 * t) + 0.35 * np.sin(2 * np.pi * 3.93 * f * t) * np.exp(-18 * t)
    return ramp(tone, 0.004, 0.2)


def drum(start_hz: float, end_hz: float, seconds: float, hiss: float, seed: int) -> np.ndarray:
    t = clock(seconds)
    f = end_hz + (start_hz - end_hz) * np.exp(-t * 22)
    body = np.sin(2 * np.pi * np.cumsum(f) / RATE) * np.exp(-t * 4.5 / seconds)
    return ramp(body + hiss * noise(seconds, 900, 7000, seed) * np.exp(-t * 26), 0.003, 0.06)


def bang(seed: int, size: float) -> np.ndarray:
    """A firework: a deep thump, a cracking edge, and crackle dying away."""
    t, rng = clock(1.9), np.random.default_rng(seed)
    thump = np.sin(2 * np.pi * np.cumsum(38 + 60 * np.exp(-t * 14)) / RATE) * np.exp(-t * 4.2)
    crack = noise(1.9, 90, 2600, seed) * np.exp(-t * (11 - 3 * size))
    crackle = np.zeros_like(t)
    for at in rng.uniform(0.35, 1.5, 40):
        k = round(at * RATE)
        crackle[k : k + 400] += rng.uniform(0.2, 1) * np.exp(-np.arange(400) / 70) * rng.standard_normal(400)
    return ramp(size * (1.5 * thump + 0.8 * crack) + 0.22 * crackle * np.exp(-t), 0.003, 0.3)


def whistle(seconds: float, seed: int) -> np.ndarray:
    t = clock(seconds)
    f = 900 + 1500 * (t / seconds) ** 0.6 + 18 * np.sin(2 * np.pi * 23 * t)
    return ramp(np.sin(2 * np.pi * np.cumsum(f) / RATE) * 0.5 + 0.35 * noise(seconds, 2500, 6000, seed), 0.15, 0.12)


def crowd(seconds: float, seed: int) -> np.ndarray:
    """Many voices: noise through the resonances of an open 'ah', each band wavering by itself, in stereo."""
    t, rng, sides = clock(seconds), np.random.default_rng(seed), []
    for side in range(2):
        voice = np.zeros_like(t)
        for i, (low, high, gain) in enumerate(((350, 800, 1.0), (900, 1400, 0.8), (2200, 3000, 0.35))):
            waver = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(2, 5) * t + rng.uniform(0, 6))
            voice += gain * waver * noise(seconds, low, high, seed * 10 + side * 3 + i)
        sides.append(voice / 1.5)
    return np.stack(sides, 1)


def rise(t: np.ndarray, start: float, end: float) -> np.ndarray:
    k = np.clip((t - start) / (end - start), 0, 1)
    return k * k * (3 - 2 * k)


class Track:
    """The soundtrack of one shot, to which sounds are added at a time, a level and a place (-1 left, 1 right)."""

    def __init__(self, seconds: float) -> None:
        self.samples = np.zeros((round(seconds * RATE), 2))
        self.t = clock(seconds)
        self.seconds = seconds

    def add(self, sound: np.ndarray, at: float = 0.0, gain: float = 1.0, place: float = 0.0) -> None:
        if sound.ndim == 1:
            angle = (place + 1) * np.pi / 4
            sound = sound[:, None] * np.array([np.cos(angle), np.sin(angle)]) * 2**0.5
        start = round(at * RATE)
        part = self.samples[start : start + len(sound)]
        part += gain * sound[: len(part)]

    def bed(self, low: float, high: float, gain, seed: int) -> None:
        """Noise on both sides all through; gain may change over time."""
        for side in range(2):
            self.samples[:, side] += gain * noise(self.seconds, low, high, seed + side)


def sound_sunrise(track: Track, _) -> None:
    track.add(pad(track.seconds, (48, 55, 62, 64), 1), gain=0.035)
    track.bed(200, 700, 0.006 * (1 + 0.5 * np.sin(track.t)), 1)
    for i, at in enumerate((1.3, 1.55, 3.4, 3.6, 3.8, 5.0)):
        t = clock(0.14)
        chirp = np.sin(2 * np.pi * (2700 * t + (1500 - 200 * i) * t * t * 4)) * np.sin(np.pi * t / 0.14) ** 2
        track.add(chirp, at, 0.02, -0.5 + 0.2 * i)


def sound_boat(track: Track, scene) -> None:
    track.add(pad(track.seconds, (53, 60, 64, 69), 2), gain=0.03)
    track.bed(250, 1500, 0.02 * (1 + 0.6 * np.sin(2.1 * track.t)), 10)
    for i, note in enumerate((65, 69, 72, 76, 72, 69, 65, 69, 72, 77)):
        track.add(pluck(note), 0.25 + 0.5 * i, 0.035, 0.4 * (-1) ** i)
    for at, gain in ((scene.LEAP_S, 0.07), (scene.SPLASH_S, 0.12)):
        splash = noise(0.9, 500, 5000, 14) * np.exp(-clock(0.9) * 5)
        track.add(ramp(splash, 0.03, 0.3), at, gain, 0.4)


def sound_ride(track: Track, scene) -> None:
    t, start, end = track.t, 4.4, 8.0
    rush = rise(t, start - 0.4, start + 0.3) - rise(t, end - 0.3, end + 0.5)
    track.add(pad(track.seconds, (55, 59, 62), 3), gain=0.02)
    track.bed(150, 900, 0.006 + 0.05 * rush, 20)
    track.samples += 0.17 * crowd(track.seconds, 2) * (rush * (0.65 + 0.5 * rise(t, 5.2, 6.0)))[:, None]
    beat = 60 / 132 / 2
    tune = (67, 71, 74, 79, 76, 74, 71, 74, 69, 72, 76, 81, 79, 76, 74, 71)
    for i in range(int((end - start) / beat)):
        at = start + i * beat
        track.add(pluck(tune[i % 16], 0.5), at, 0.13, 0.5 * (-1) ** i)
        track.add(pluck((43, 48)[i // 8 % 2], 0.5), at, 0.14 * (i % 2 == 0))
        if i % 2 == 0:
            track.add(drum(150, 48, 0.28, 0.05, 5), at, 0.36)
        else:
            track.add(drum(320, 190, 0.16, 0.5, 6), at, 0.11, 0.1)
    landing = drum(120, 40, 0.5, 0.3, 9)
    track.add(landing, scene.FLIP_END_S, 0.4)


def sound_rain(track: Track, _) -> None:
    track.bed(1200, 6000, 0.0045, 30)


def sound_street(track: Track, scene) -> None:
    track.add(pad(track.seconds, (52, 59, 62, 67), 4), gain=0.035)
    track.bed(80, 400, 0.016, 40)
    swell = np.exp(-((track.t - scene.CAR_S) ** 2) / 0.5)
    track.bed(100, 1300, 0.045 * swell, 44)
    for i, note in enumerate((71, 74, 76, 79, 76, 74)):
        track.add(pluck(note, 1.2), 0.9 + 0.66 * i, 0.04, -0.3 + 0.1 * i)


def sound_football(track: Track, scene) -> None:
    t = track.t
    hush = 0.03 + 0.05 * rise(t, 0.9, scene.KICK_S)
    joy = 0.17 * rise(t, scene.GOAL_S - 0.1, scene.GOAL_S + 0.35) * (1 - 0.45 * rise(t, 4.6, 6.2))
    track.samples += crowd(track.seconds, 5) * (hush + joy)[:, None]
    track.add(drum(190, 70, 0.22, 0.6, 50), scene.KICK_S, 0.45, -0.4)
    track.add(ramp(noise(0.35, 800, 5000, 51) * np.exp(-clock(0.35) * 9), 0.01, 0.1), scene.GOAL_S, 0.14, 0.5)
    for i in range(9):
        track.add(drum(130, 60, 0.3, 0.15, 52), scene.GOAL_S + 0.35 + 0.34 * i, 0.26, -0.2)
    for note, place in ((65, -0.3), (69, 0.3), (72, 0.0)):
        horn = pad(1.7, (note, note + 0.06, note + 12), note).mean(1)
        track.add(ramp(horn, 0.05, 0.3), scene.GOAL_S + 0.2, 0.08, place)


def sound_fog(track: Track, _) -> None:
    track.bed(90, 260, 0.0028, 60)


def sound_fireworks(track: Track, scene) -> None:
    track.add(pad(track.seconds, (48, 55, 60, 64, 67), 6), gain=0.05)
    track.samples += crowd(track.seconds, 7) * (0.015 + 0.06 * rise(track.t, 1.2, 3.0))[:, None]
    for n, (at, x, _, size, _) in enumerate(scene.BURSTS):
        place = (x - 320) / 420
        track.add(bang(70 + n, 0.55 + 0.45 * (size - 66) / 38), at, 0.32, place)
        track.add(whistle(scene.ROCKET_S, 90 + n), at - scene.ROCKET_S, 0.018, place)


def sound_night(track: Track, _) -> None:
    track.add(pad(track.seconds, (41, 53, 57, 60, 64), 8), gain=0.03)
    for i in range(12):
        t = clock(0.22)
        cricket = np.sin(2 * np.pi * 4300 * t) * np.sin(np.pi * t / 0.22) * (0.5 - 0.5 * np.cos(2 * np.pi * 36 * t))
        track.add(cricket, 0.3 + 0.4 * i, 0.008, 0.6 * (-1) ** i)


SOUNDS = {
    "sunrise": sound_sunrise, "boat": sound_boat, "ride": sound_ride, "rain": sound_rain, "street": sound_street,
    "football": sound_football, "fog": sound_fog, "fireworks": sound_fireworks, "night": sound_night,
}  # fmt: skip


def soundtrack(scenes: dict[str, ModuleType]) -> np.ndarray:
    """The whole film's sound, float32 of shape (samples, 2), below -3 dBFS: AAC overshoots."""
    parts = []
    for name, frames in SHOTS:
        track = Track(frames / FPS)
        SOUNDS[name](track, scenes[name])
        parts.append(np.stack([ramp(side, 0.03, 0.04) for side in track.samples.T], 1))
    film = np.concatenate(parts)
    t, (out, back), (end, _) = clock(DURATION_S), FADES_S[0], FADES_S[1]
    fade = FADE_FRAMES / FPS
    film *= (1 - rise(t, out - fade, out) + rise(t, back, back + fade) - rise(t, end - 2 * fade, end))[:, None]
    return (0.66 * np.tanh(film / 0.66)).astype(np.float32)  # rounds off the loudest peaks instead of clipping


# ---- picture and file ----


def load_scenes() -> dict[str, ModuleType]:
    """The module that draws each shot; its times of kicks and bangs are what the sound follows."""
    sys.path.insert(0, str(HERE))  # they lie beside this file, wherever it was started from
    import sample_day
    import sample_evening

    return {name: sample_day if hasattr(sample_day, name) else sample_evening for name, _ in SHOTS}


def brightness(frame: int) -> float:
    """1, or less within a fade; 0 where FADES_S says black."""
    join = _STARTS["street"]
    distance = min(FRAMES - 1 - frame, join - 1 - frame if frame < join else frame - join)
    return min(max((distance - BLACK_FRAMES + 1) / (FADE_FRAMES + 1), 0.0), 1.0)


def iris(light: float) -> np.ndarray:
    """How bright each pixel is in a fade, which closes softly from the corners.

    Hue and saturation jump when a pixel reaches black. Were that the same frame everywhere, detectors that compare
    colours would see two cuts in one fade.
    """
    x, y = (np.linspace(-1, 1, n) for n in SIZE)
    distance = np.hypot(*np.meshgrid(x, y)) / 2**0.5
    k = np.clip((light * 1.8 - distance) / 0.8, 0, 1)
    return (k * k * (3 - 2 * k))[..., None]


def draw(frame: int, scenes: dict[str, ModuleType]) -> np.ndarray:
    """One frame of the film, (height, width, 3) RGB."""
    import cv2

    shot, start = max(((name, at) for name, at in _STARTS.items() if at <= frame), key=lambda item: item[1])
    picture = cv2.resize(getattr(scenes[shot], shot)((frame - start) / FPS), SIZE, interpolation=cv2.INTER_AREA)
    light = brightness(frame)
    return picture if light == 1 else (picture * iris(light)).round().astype(np.uint8)


def pictures(scenes: dict[str, ModuleType]) -> Iterator[np.ndarray]:
    """All frames in order, drawn a few ahead: OpenCV lets go of the interpreter while it draws."""
    with ThreadPoolExecutor(2) as pool:
        for first in range(0, FRAMES, 50):
            yield from pool.map(lambda k: draw(k, scenes), range(first, min(first + 50, FRAMES)))


def write(path: Path, frames: Iterator[np.ndarray], sound: np.ndarray, report: Callable[[int], None]) -> None:
    """Encode to H.264 and AAC in an MP4 that starts playing before it is whole.

    One thread and bit-exact flags: x264 divides its work by threads, and its output differs with their number.
    """
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as box:
        video = box.add_stream("libx264", rate=FPS, options=ENCODER)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = 3 * FPS
        for field in ("color_primaries", "color_trc", "colorspace", "color_range"):
            setattr(video.codec_context, field, 1)  # BT.709, limited range
        audio = box.add_stream("aac", rate=RATE, layout="stereo", options={"flags": "+bitexact"})
        audio.bit_rate = 80_000
        step, done = RATE // FPS, 0
        for k, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            box.mux(video.encode(frame))
            part = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[done : done + step].T), "fltp", "stereo")
            part.sample_rate, part.pts, part.time_base = RATE, done, Fraction(1, RATE)
            box.mux(audio.encode(part))
            done += step
            report(k)
        box.mux(video.encode(None))
        box.mux(audio.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw SmolReel's sample video.")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "sample.mp4")
    output = parser.parse_args().output
    scenes = load_scenes()

    def report(k: int) -> None:
        if k % 100 == 0 or k == FRAMES - 1:
            print(f"\rframe {k + 1} of {FRAMES}", end="", flush=True)

    unfinished = output.with_name(f".{output.name}.part")
    try:
        write(unfinished, pictures(scenes), soundtrack(scenes), report)
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"\n{output}: {DURATION_S:.2f} s, {output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
