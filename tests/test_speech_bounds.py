"""Reels of a real speech: no clip begins or ends inside a phrase where a pause is near."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import Analysis, Settings, analyse, choose, read_plan, render
from pipeline.types import Interval
from tests.making import RATE, textured, write_video

FPS, SECONDS, SHOT_S = 25.0, 200.0, 17.3
OFFSETS_S = [4.0 + 14.7 * k for k in range(13)]
TARGETS_S = [float(t) for t in range(8, 88, 4)]
# As the product promises: a pause is this long, this far below the phrases around it, and used where it is this near.
PAUSE_S, PAUSE_DB, NEAR_S = 0.15, 25.0, 1.5
LEVEL_S = 0.01


@dataclass(frozen=True)
class Talk:
    """A video of a speech that is given several times.

    spans: where it is given
    pauses: measured in its sound, in and around those
    """

    path: Path
    analysis: Analysis
    spans: list[Interval]
    pauses: list[Interval]


def speech(path: Path) -> np.ndarray:
    """The recording, (n,) at RATE."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        return np.concatenate([part.to_ndarray()[0] for frame in container.decode(audio=0)
                               for part in resampler.resample(frame)])


def pauses_of(sound: np.ndarray, spans: list[Interval]) -> list[Interval]:
    """Where the level is PAUSE_DB below the loud syllables within two seconds, for PAUSE_S or longer."""
    hop = round(LEVEL_S * RATE)
    power = (sound[:len(sound) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1)
    smooth = np.convolve(power, np.full(5, 0.2), "same")
    syllables = np.convolve(power, np.full(30, 1 / 30), "same")
    padded = np.pad(syllables, 200, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 401).max(axis=1)
    spoken = np.zeros(len(power), dtype=bool)
    for span in spans:
        spoken[round(span.start_s / LEVEL_S):round(span.end_s / LEVEL_S)] = True
    quiet = ~spoken | (smooth <= around * 10 ** (-PAUSE_DB / 10))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], quiet, [False]]).astype(int))) * LEVEL_S
    return [Interval(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True) if b - a >= PAUSE_S]


@pytest.fixture(scope="module")
def talk(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """Pictures that pan, and that cut wherever they like; a speech over them, in a quiet room."""
    folder = tmp_path_factory.mktemp("talk")
    words = speech(media / "odd" / "audio_file_jfk.flac")
    sound = np.random.default_rng(0).normal(0, 3e-4, round(SECONDS * RATE)).astype(np.float32)
    spans = [Interval(at, at + len(words) / RATE) for at in OFFSETS_S if at + len(words) / RATE < SECONDS]
    for span in spans:
        first = round(span.start_s * RATE)
        sound[first:first + len(words)] += words
    pictures = [textured(seed) for seed in range(int(SECONDS / SHOT_S) + 1)]
    path = write_video(folder / "talk.mp4",
                       lambda i: np.roll(pictures[int(i / FPS / SHOT_S)], i // 4 + (i // 90) % 5 * 3, axis=1),
                       round(SECONDS * FPS), fps=FPS, sound=sound, options={"g": "50"})
    analysis = analyse(path, Settings(scorer="signals", cache_dir=folder / "cache"))
    return Talk(path, analysis, spans, pauses_of(sound, spans))


def inside(time_s: float, intervals: list[Interval], slack_s: float = 0.0) -> bool:
    """Whether an instant lies in one of the intervals."""
    return any(i.start_s - slack_s <= time_s <= i.end_s + slack_s for i in intervals)


def judged(talk: Talk, clips: list[Interval]) -> tuple[list[float], list[float], list[float]]:
    """Edges that fall in the speech, those that lie in a pause, and those that don't though one was near."""
    scenes = talk.analysis.scan.scenes
    edges = [(edge, clip) for clip in clips for edge in (clip.start_s, clip.end_s) if inside(edge, talk.spans)]
    good = [edge for edge, _ in edges if inside(edge, talk.pauses)]
    bad = []
    for edge, clip in edges:
        scene = next(s for s in scenes if s.start_s <= clip.middle_s < s.end_s)
        near = Interval(max(0.0, edge - NEAR_S, scene.start_s), min(edge + NEAR_S, scene.end_s))
        if not inside(edge, talk.pauses) and any(p.overlap_s(near) > PAUSE_S for p in talk.pauses):
            bad.append(edge)
    return [edge for edge, _ in edges], good, bad


def test_the_pauses_are_those_that_one_hears(talk: Talk) -> None:
    """The speech has four of them: "And so, my fellow Americans | ask not | what … do for you | ask what …"."""
    first = talk.spans[0]
    within = [p for p in talk.pauses if first.start_s + 1 < p.start_s and p.end_s < first.end_s]
    assert [round(p.middle_s - first.start_s, 1) for p in within] == pytest.approx([2.7, 3.8, 4.9, 7.9], abs=0.15)
    heard = [p for p in talk.analysis.scan.heard.phrases if p.overlap_s(first)]
    assert len(heard) == 5
    for (a, b), pause in zip(pairwise(heard), within, strict=True):
        assert (a.end_s, b.start_s) == pytest.approx((pause.start_s, pause.end_s), abs=0.06)


def test_edges_lie_in_pauses_over_twenty_targets(talk: Talk) -> None:
    edges, good, bad = [], [], []
    for target_s in TARGETS_S:
        plan = choose(talk.analysis, Settings(target_s=target_s, scorer="signals"))
        assert 0.85 * target_s <= plan.duration_s <= target_s + 1e-6
        for all_of, part in zip((edges, good, bad), judged(talk, [c.interval for c in plan.clips]), strict=True):
            all_of.extend(part)
    assert len(edges) > 100
    assert len(good) >= 0.95 * len(edges)
    assert not bad


def test_a_sentence_dies_away(talk: Talk) -> None:
    phrases = talk.analysis.scan.heard.phrases
    gaps = [(a.end_s, b.start_s) for a, b in pairwise(phrases)]
    for target_s in TARGETS_S:
        for clip in choose(talk.analysis, Settings(target_s=target_s, scorer="signals")).clips:
            for end_s, next_s in gaps:
                # A pause that is too short for it gives all but what the next phrase needs.
                if end_s < clip.end_s < next_s and not inside(clip.end_s, list(talk.analysis.scan.scenes[1:0])):
                    assert clip.end_s - end_s >= min(0.3, max((next_s - end_s) / 2, next_s - end_s - 0.1)) - 0.04


@pytest.mark.parametrize("way", ["copy", "auto", "encode"])
def test_copying_cuts_no_word_either(talk: Talk, tmp_path: Path, way: str) -> None:
    settings = Settings(target_s=40, scorer="signals", render=way, cache_dir=tmp_path / "cache")
    plan = choose(talk.analysis, settings)
    render(plan, tmp_path, settings)
    made = read_plan(tmp_path / "talk" / "plan.json")
    edges, good, bad = judged(talk, [c.interval for c in made.clips])
    assert len(good) >= 0.95 * len(edges) and not bad
