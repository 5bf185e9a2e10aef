"""How well picks find moments that were hidden in a dull video, and how close clips keep to them.

    python -m bench.planted --seeds 20
    python -m bench.planted --seeds 5 --model tests/tiny_smolvlm/model

Each seed makes another video: calm shots that look and sound alike, cut at random, in which moments of four kinds are
hidden far from any cut: a red circle is seen (visual), a crowd bursts out (loud), the picture shakes (fast), someone
speaks in syllables without words (spoken). They last 4 to 8 s and fill nine tenths of the target together, so that a
perfect reel has room for all. A moment counts as found when at least half of it lies in the reel. Columns:

  all, visual …   share of the moments that were found
  precision       share of the reel's seconds that lie in moments
  edge s          median distance from a found moment's beginning or end to the nearest edge of a clip that shows it

`random` and `uniform` are picks of the same length that look at nothing. The model's row asks for `--query`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from pipeline import Settings, analyse, choose
from pipeline.types import Interval
from tests.making import RATE, write_video

KINDS = ("visual", "loud", "fast", "spoken")
WIDTH, HEIGHT, FPS = 320, 180, 15.0
SHORTEST_S, LONGEST_S = 4.0, 8.0
# Share of the target that the moments fill together, and seconds that lie between two of them at least.
FILLED, APART_S = 0.9, 3.0
# No cut is this close to a moment, so that its edges are found by what happens or not at all.
CLEAR_S = 1.5
SHOT_S = (5.0, 18.0)
# Shots return to a few places: what is dull looks alike.
PLACES = 4
# Of a pick that looks at nothing.
BLIND_CLIP_S = 6.0
FOUND_SHARE = 0.5
_FADE_S = 0.15
_MARGIN = 48

Picture = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Moment(Interval):
    """Something worth seeing or hearing, and of which of KINDS it is."""

    kind: str


@dataclass(frozen=True, slots=True)
class Planted:
    """What a video will hold.

    seed: decides everything that the other fields leave open
    moments: in time order, on whole frames; they don't overlap
    cuts: when shots end, in order
    """

    seed: int
    duration_s: float
    moments: tuple[Moment, ...]
    cuts: tuple[float, ...]


def plant(seed: int, duration_s: float, target_s: float, kinds: Sequence[str] = KINDS) -> Planted:
    """Decide what a video holds; raises ValueError where it is too short for as many moments as the target asks."""
    rng = np.random.default_rng(seed)
    lengths: list[float] = []
    while sum(lengths) + SHORTEST_S <= FILLED * target_s:
        room_s = FILLED * target_s - sum(lengths)
        # What would leave a rest too short for a moment takes the rest, where it may be that long.
        length = rng.uniform(SHORTEST_S, min(LONGEST_S, room_s))
        lengths.append(min(LONGEST_S, room_s) if room_s - length < SHORTEST_S else length)
    starts = scattered(lengths, duration_s, APART_S, rng)
    order = [kinds[i % len(kinds)] for i in range(len(lengths))]
    rng.shuffle(order)
    moments = tuple(Moment(_on_frame(start), _on_frame(start + length), kind)
                    for start, length, kind in zip(starts, lengths, order, strict=True))
    cuts, time_s = [], 0.0
    while (time_s := _on_frame(time_s + rng.uniform(*SHOT_S))) < duration_s - SHOT_S[0] / 2:
        if not any(m.start_s - CLEAR_S < time_s < m.end_s + CLEAR_S for m in moments):
            cuts.append(time_s)
    return Planted(seed, duration_s, moments, tuple(cuts))


def scattered(lengths: Sequence[float], duration_s: float, apart_s: float, rng: np.random.Generator) -> list[float]:
    """Where stretches of these lengths begin, in order: anywhere, but `apart_s` from one another and from the ends."""
    spare_s = duration_s - sum(lengths) - apart_s * (len(lengths) + 1)
    if spare_s < 0:
        raise ValueError(f"{duration_s:g} s of video are too short for {len(lengths)} stretches of "
                         f"{sum(lengths):.0f} s together; make it longer or the target shorter")
    before = np.sort(rng.uniform(0, spare_s, len(lengths)))
    passed = np.concatenate([[0.0], np.cumsum(lengths)[:-1]]) if lengths else np.zeros(0)
    return [float(gap + past + apart_s * (i + 1)) for i, (gap, past) in enumerate(zip(before, passed, strict=True))]


def _on_frame(time_s: float) -> float:
    """The nearest instant at which a frame begins."""
    return round(time_s * FPS) / FPS


def write(planted: Planted, path: Path) -> Path:
    """Make the video."""
    return write_video(path, _Painter(planted).frame, round(planted.duration_s * FPS), fps=FPS,
                       sound=sound_of(planted), options={"preset": "ultrafast", "crf": "24"})


class _Painter:
    """Draws any frame of a planted video."""

    def __init__(self, planted: Planted) -> None:
        rng = np.random.default_rng([planted.seed, 1])
        self._planted = planted
        self._places = [_place(rng) for _ in range(PLACES)]
        self._bounds = np.array([0.0, *planted.cuts])
        shots = len(self._bounds)
        steps = rng.integers(1, PLACES, shots)
        self._place_of = np.cumsum(steps) % PLACES
        self._drift = rng.uniform(-4, 4, (shots, 2))
        self._gain = rng.uniform(0.93, 1.07, shots)
        self._grain = rng.integers(0, 7, (8, HEIGHT, WIDTH, 1), dtype=np.uint8).repeat(3, axis=3)
        self._circle = {m: (rng.uniform(0.25, 0.75), rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.34),
                            (int(rng.integers(195, 245)), int(rng.integers(10, 55)), int(rng.integers(10, 55))))
                        for m in planted.moments if m.kind == "visual"}

    def frame(self, index: int) -> Picture:
        """(HEIGHT, WIDTH, 3) RGB."""
        time_s = index / FPS
        shot = int(np.searchsorted(self._bounds, time_s + 1e-6, "right")) - 1
        moment = next((m for m in self._planted.moments if m.start_s <= time_s + 1e-6 < m.end_s), None)
        since_s = time_s - self._bounds[shot]
        x, y = (_MARGIN / 2 * np.tanh(self._drift[shot] * since_s / _MARGIN)).tolist()
        if moment is not None and moment.kind == "fast":
            at_s, amount = time_s - moment.start_s, 0.5 * _MARGIN * _envelope(time_s, moment)
            x += amount * math.sin(2 * math.pi * 2.3 * at_s)
            y += amount * math.sin(2 * math.pi * 1.7 * at_s)
        shift = np.array([[1, 0, x - _MARGIN], [0, 1, y - _MARGIN]])
        picture = cv2.warpAffine(self._places[self._place_of[shot]], shift, (WIDTH, HEIGHT))
        picture = cv2.convertScaleAbs(picture, alpha=float(self._gain[shot]))
        if moment is not None and moment.kind == "visual":
            picture = _with_circle(picture, *self._circle[moment], time_s - moment.middle_s, _envelope(time_s, moment))
        return np.asarray(cv2.add(picture, self._grain[index % len(self._grain)]), dtype=np.uint8)


def _place(rng: np.random.Generator) -> Picture:
    """A soft, pale, greyish view, wider than the picture by a margin on every side."""
    coarse, fine = (rng.uniform(20, 200, (rows, columns, 1)) for rows, columns in ((5, 8), (18, 30)))
    tint = rng.uniform(-12, 12, 3)
    size = (WIDTH + 2 * _MARGIN, HEIGHT + 2 * _MARGIN)
    grown = [cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC)[..., None] for layer in (coarse, fine)]
    return np.asarray((0.7 * grown[0] + 0.3 * grown[1] + tint).clip(0, 240), dtype=np.uint8)


def _with_circle(picture: Picture, x: float, y: float, radius: float, colour: tuple[int, int, int], at_s: float,
                 opacity: float) -> Picture:
    """A copy with a red circle that moves a little; shares are of the picture, of its height for the radius."""
    over = picture.copy()
    centre = (round(16 * WIDTH * (x + 0.01 * at_s)), round(16 * HEIGHT * y))
    cv2.circle(over, centre, round(16 * HEIGHT * radius), colour, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.addWeighted(over, opacity, picture, 1 - opacity, 0), dtype=np.uint8)


def _envelope(time_s: float, moment: Interval) -> float:
    """0 to 1: how far a moment has come in, and not yet gone out; there from its first frame to its last."""
    inside_s = min(time_s - moment.start_s, moment.end_s - time_s - 1 / FPS) + 1 / FPS
    return min(1.0, max(0.0, inside_s / _FADE_S))


def sound_of(planted: Planted) -> Samples:
    """A quiet room, another one for every shot, and what is heard in the moments: (n,) at RATE."""
    rng = np.random.default_rng([planted.seed, 2])
    count = round(planted.duration_s * RATE)
    # A few seconds of noise, over and over: as good to hear, and soon made.
    hum = _coloured(rng, 7 * RATE, 120, 900)
    room = np.resize(hum, count)
    for start_s, end_s in pairwise([0.0, *planted.cuts, planted.duration_s]):
        room[round(start_s * RATE):round(end_s * RATE)] *= 10 ** (rng.uniform(-46, -40) / 20)
    makers: dict[str, Callable[[np.random.Generator, int], Samples]] = {"loud": _crowd, "spoken": _speech}
    for moment in planted.moments:
        if moment.kind in makers:
            first, last = round(moment.start_s * RATE), round(moment.end_s * RATE)
            made = makers[moment.kind](rng, last - first)
            fade = np.minimum(1, np.minimum(np.arange(len(made)), np.arange(len(made))[::-1]) / (_FADE_S * RATE))
            room[first:last] += (made * fade).astype(np.float32)
    return room.astype(np.float32)


def _coloured(rng: np.random.Generator, count: int, low_hz: float, high_hz: float) -> Samples:
    """Noise of one band at RMS 1."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / RATE)
    noise = np.fft.irfft(spectrum / (1 + (low_hz / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / high_hz) ** 4), count)
    return np.asarray(noise / noise.std(), dtype=np.float32)


def _crowd(rng: np.random.Generator, count: int) -> Samples:
    """Cheers: broad noise that swells a few times a second, at about -16 dB."""
    time_s = np.arange(count) / RATE
    swell = 1 + 0.25 * np.sin(2 * np.pi * rng.uniform(2, 4) * time_s + rng.uniform(0, 6))
    return np.asarray(0.16 * swell * _coloured(rng, count, 400, 4000), dtype=np.float32)


def _speech(rng: np.random.Generator, count: int) -> Samples:
    """Syllables: pulses of a voice's pitch through the formants of changing vowels, with pauses, at about -22 dB."""
    vowels = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
    pitch_hz, voice = rng.uniform(95, 210), np.zeros(count)
    at = 0
    while at < count:
        length = min(int(rng.uniform(0.13, 0.26) * RATE), count - at)
        time_s = np.arange(length) / RATE
        phase = pitch_hz * rng.uniform(0.9, 1.15) * (time_s - 0.3 * time_s ** 2)
        spectrum = np.fft.rfft((np.diff(np.floor(phase), prepend=0) > 0).astype(float))
        hertz = np.fft.rfftfreq(length, 1 / RATE)
        formants = vowels[rng.integers(len(vowels))]
        gain = sum(0.6 ** k / (1 + ((hertz - hz) / (50 + 0.05 * hz)) ** 2) for k, hz in enumerate(formants))
        syllable = np.fft.irfft(spectrum * gain, length) * np.hanning(length)
        voice[at:at + length] = syllable / max(float(syllable.std()), 1e-9)
        # Between words a little longer than between syllables.
        at += length + int(rng.choice([0.01, 0.01, 0.02, 0.16]) * RATE)
    return np.asarray(0.09 * voice, dtype=np.float32)


@dataclass(slots=True)
class Tally:
    """What a way of picking has found so far.

    planted, found: moments by kind
    reel_s, inside_s: seconds of all reels, and those of them that lie in moments
    edges_s: of each edge of each moment that was found, how far the nearest edge of a clip that shows it is
    missed: (seed, moment)
    """

    planted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    reel_s: float = 0.0
    inside_s: float = 0.0
    edges_s: list[float] = field(default_factory=list)
    missed: list[tuple[int, Moment]] = field(default_factory=list)

    def add(self, planted: Planted, clips: Sequence[Interval]) -> None:
        """Count one video's clips, which don't overlap."""
        self.reel_s += sum(clip.duration_s for clip in clips)
        for moment in planted.moments:
            showing = [clip for clip in clips if clip.overlap_s(moment) > 0]
            inside_s = sum(clip.overlap_s(moment) for clip in showing)
            self.inside_s += inside_s
            self.planted[moment.kind] += 1
            if inside_s < FOUND_SHARE * moment.duration_s - 1e-9:
                self.missed.append((planted.seed, moment))
                continue
            self.found[moment.kind] += 1
            self.edges_s.append(min(abs(clip.start_s - moment.start_s) for clip in showing))
            self.edges_s.append(min(abs(clip.end_s - moment.end_s) for clip in showing))

    def recall(self, *kinds: str) -> float:
        """Share of the moments of these kinds, of all where none is named, that were found; NaN where there were none.
        """
        total = sum(self.planted[kind] for kind in kinds or KINDS)
        return sum(self.found[kind] for kind in kinds or KINDS) / total if total else math.nan

    @property
    def precision(self) -> float:
        """Share of the reels' seconds that lie in moments."""
        return self.inside_s / self.reel_s if self.reel_s else 0.0

    @property
    def edge_s(self) -> float:
        """Median distance of edges; NaN where nothing was found."""
        return statistics.median(self.edges_s) if self.edges_s else math.nan


def at_random(planted: Planted, reel_s: float) -> list[Interval]:
    """Clips anywhere."""
    count = max(1, round(reel_s / BLIND_CLIP_S))
    rng = np.random.default_rng([planted.seed, 3])
    starts = scattered([reel_s / count] * count, planted.duration_s, 0.0, rng)
    return [Interval(start, start + reel_s / count) for start in starts]


def evenly(planted: Planted, reel_s: float) -> list[Interval]:
    """Clips at even distances."""
    count = max(1, round(reel_s / BLIND_CLIP_S))
    middles = (np.arange(count) + 0.5) * planted.duration_s / count
    return [Interval(m - reel_s / count / 2, m + reel_s / count / 2) for m in middles.tolist()]


def picked(video: Path, settings: Settings) -> list[Interval]:
    """What the product picks."""
    return [clip.interval for clip in choose(analyse(video, settings), settings).clips]


def measure(seed: int, options: argparse.Namespace, tallies: dict[str, Tally]) -> None:
    """Make one video, pick from it in every way, and count."""
    planted = plant(seed, options.minutes * 60, options.target, options.kinds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write(planted, folder / "planted.mp4")
        # The scan is shared between the scorers and goes with the folder.
        settings = Settings(target_s=options.target, scorer="signals", cache_dir=folder / "cache")
        ways = {"signals": picked(video, settings)}
        if options.model:
            seeing = settings.with_given(scorer="smolvlm2", model=options.model, query=options.query)
            ways["smolvlm2"] = picked(video, seeing)
    reel_s = sum(clip.duration_s for clip in ways["signals"])
    ways |= {"random": at_random(planted, reel_s), "uniform": evenly(planted, reel_s)}
    for way, clips in ways.items():
        tallies.setdefault(way, Tally()).add(planted, clips)


def table(tallies: dict[str, Tally], kinds: Sequence[str]) -> str:
    """A row a way."""
    lines = [f"{'way':<10}{'all':>8}" + "".join(f"{kind:>8}" for kind in kinds) + f"{'precision':>11}{'edge s':>8}"]
    for way, tally in tallies.items():
        shares = "".join(f"{_percent(share):>8}" for share in (tally.recall(), *map(tally.recall, kinds)))
        edge = "-" if math.isnan(tally.edge_s) else f"{tally.edge_s:.2f}"
        lines.append(f"{way:<10}{shares}{_percent(tally.precision):>11}{edge:>8}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Such as "92%"; a dash where there was nothing to count."""
    return "-" if math.isnan(share) else f"{100 * share:.0f}%"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="how many videos")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long each is")
    parser.add_argument("--target", type=float, default=60.0, help="seconds of reel")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS),
                        help="what is hidden, such as loud,fast")
    parser.add_argument("--model", help="a SmolVLM2's folder or hub id, for a row of its own")
    parser.add_argument("--query", default="a red circle", help="what the model is asked for")
    parser.add_argument("--missed", action="store_true", help="list the moments that were not found")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}; kinds are {', '.join(KINDS)}")
    tallies: dict[str, Tally] = {}
    try:
        for seed in range(options.first, options.first + options.seeds):
            measure(seed, options, tallies)
    except ValueError as error:
        parser.error(str(error))
    print(f"{options.seeds} videos of {options.minutes:g} minutes, {sum(tallies['signals'].planted.values())} moments, "
          f"{options.target:g} s of reel each")
    print(table(tallies, options.kinds))
    if options.missed:
        for way, tally in tallies.items():
            if way in ("signals", "smolvlm2"):
                for seed, moment in tally.missed:
                    print(f"{way} missed, seed {seed}: {moment.kind} {moment.start_s:.1f} to {moment.end_s:.1f} s")


if __name__ == "__main__":
    main()
