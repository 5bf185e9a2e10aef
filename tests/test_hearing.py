"""Phrases and onsets: pure parts on levels made up for it, the whole on sound with a voice in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.hearing import RATE, Ear, find_onsets, find_phrases
from pipeline.types import Heard, Interval


def levels(seconds: float, base_db: float = -60.0) -> np.ndarray:
    """An even level, one value every 10 ms."""
    return np.full(round(seconds * 100), base_db)


def marked(seconds: float, *spoken: tuple[float, float]) -> np.ndarray:
    """What a detector says of speech in some stretches."""
    voice = np.zeros(round(seconds * 100), np.float32)
    for a, b in spoken:
        voice[round(a * 100):round(b * 100)] = 0.9
    return voice


def bounds(phrases: tuple[Interval, ...]) -> list[tuple[float, float]]:
    """Their bounds, to a hundredth of a second."""
    return [(round(p.start_s, 2), round(p.end_s, 2)) for p in phrases]


def test_a_deep_pause_divides_what_the_detector_takes_for_one() -> None:
    level = levels(6)
    level[100:250] = level[270:400] = -15
    phrases = find_phrases(level, marked(6, (1, 4)), 6.0)
    assert bounds(phrases) == [(pytest.approx(0.98, abs=0.03), pytest.approx(2.52, abs=0.03)),
                               (pytest.approx(2.68, abs=0.03), pytest.approx(4.02, abs=0.03))]


@pytest.mark.parametrize(("pause_s", "floor_db"), [(0.08, -60.0), (0.4, -35.0)])
def test_neither_a_short_nor_a_shallow_gap_is_a_pause(pause_s: float, floor_db: float) -> None:
    level = levels(6)
    level[100:400] = -15
    level[250:250 + round(pause_s * 100)] = floor_db
    assert len(find_phrases(level, marked(6, (1, 4)), 6.0)) == 1


def test_over_music_the_detector_alone_decides() -> None:
    level = levels(8, -18.0)
    phrases = find_phrases(level, marked(8, (1, 3), (5, 6)), 8.0)
    assert [(round(p.start_s), round(p.end_s)) for p in phrases] == [(1, 3), (5, 6)]


def test_a_word_that_was_heard_late_is_followed_back() -> None:
    level = levels(6)
    level[100:300] = -15
    (phrase,) = find_phrases(level, marked(6, (1.4, 2.8)), 6.0)
    assert bounds((phrase,)) == [(pytest.approx(0.98, abs=0.03), pytest.approx(3.02, abs=0.03))]


@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.2, 0.35, 0.5])
def test_a_moment_can_be_all_speech(seconds: float) -> None:
    phrases = find_phrases(levels(seconds, -15.0), marked(seconds, (0, seconds)), seconds)
    assert bounds(phrases) == ([(0.0, seconds)] if seconds >= 0.1 else [])


def test_where_nobody_speaks_there_is_no_phrase() -> None:
    assert find_phrases(levels(5, -10.0), marked(5), 5.0) == ()


def test_onsets_are_sudden_and_apart_and_not_in_speech() -> None:
    level = levels(6)
    for at in (100, 200, 205, 400):
        level[at:at + 4] = -12
    level[500:560] = np.linspace(-60, -12, 60)
    assert find_onsets(level, ()) == pytest.approx((1.0, 2.0, 4.0), abs=0.035)
    assert find_onsets(level, (Interval(3.9, 4.5),)) == pytest.approx((1.0, 2.0), abs=0.035)
    assert find_onsets(levels(0.05), ()) == ()


def test_a_long_recording_is_gone_through_in_pieces_that_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    level = np.clip(rng.normal(0, 5, 9000) - np.repeat(rng.uniform(5, 70, 180), 50), -90, 0)
    voice = np.repeat(rng.random(90), 100).astype(np.float32) ** 2
    found = []
    for piece in (len(level), 4000, 701, 10):
        monkeypatch.setattr("pipeline.hearing._PIECE", piece)
        phrases = find_phrases(level, voice, 90.0)
        found.append((phrases, find_onsets(level, phrases)))
    assert len(found[0][0]) > 10 and len(found[0][1]) > 10 and all(one == found[0] for one in found)


def spoken(media: Path) -> np.ndarray:
    """Eleven seconds of a speech, (n,) at RATE."""
    with av.open(str(media / "odd" / "audio_file_jfk.flac")) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        return np.concatenate([part.to_ndarray()[0] for frame in container.decode(audio=0)
                               for part in resampler.resample(frame)])


def heard(sound: np.ndarray, block: int = 1024, start_s: float = 0.0) -> Heard:
    """What the ear makes of it."""
    ear = Ear()
    for at in range(0, len(sound), block):
        ear.push(start_s + at / RATE, sound[at:at + block])
    return ear.finish(start_s + len(sound) / RATE)[0]


def test_blocks_don_t_show(media: Path) -> None:
    """However the sound arrives, and where its blocks end, the same is heard."""
    words = spoken(media)
    alone = heard(words)
    assert len(alone.phrases) == 5
    assert heard(words, block=50_000) == alone
    quiet = np.random.default_rng(0).normal(0, 1e-4, 57 * RATE).astype(np.float32)
    # The 64 s after which a block ends lie in the middle of the speech.
    late = heard(np.concatenate([quiet, words]))
    moved = [(p.start_s - 57, p.end_s - 57) for p in late.phrases]
    assert moved == [(pytest.approx(p.start_s, abs=0.15), pytest.approx(p.end_s, abs=0.15)) for p in alone.phrases]


def test_a_gap_in_the_track_moves_nothing(media: Path) -> None:
    words = spoken(media)
    ear = Ear()
    ear.push(-0.5, np.zeros(RATE // 2, np.float32))
    ear.push(100.0, words)
    marks, level = ear.finish(120.0)
    assert len(level) == 12_000 and level[:9_900].max() < -80
    assert len(marks.phrases) == 5 and marks.phrases[0].start_s == pytest.approx(100.3, abs=0.15)


def test_silence_and_noise_hold_no_speech() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 5 * RATE).astype(np.float32)
    assert heard(np.zeros(5 * RATE, np.float32)) == Heard() and heard(noise).phrases == ()
    assert Ear().finish(3.0)[0] == Heard()


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, nothing may be listened to."""
    def refuse(_: np.ndarray) -> None:
        raise AssertionError("silence was listened to")
    return lambda: monkeypatch.setattr("pipeline.hearing._detector", lambda: refuse)


@pytest.mark.parametrize("length_s", [9.0, 11.0, 12.0, 80.0])
def test_who_takes_over_from_one_that_ended_needs_no_detector(media: Path, deaf: Callable[[], None],
                                                              length_s: float) -> None:
    words = spoken(media)
    one, other, heir = Ear(), Ear(), Ear()
    for ear in (one, other):
        ear.push(0.0, words)
    marks, level = one.finish(length_s)
    other.end()
    deaf()
    heir.take(other.kept())
    told, same = heir.finish(length_s)
    assert told == marks and np.array_equal(same, level)


def test_hours_in_which_nothing_is_recorded_are_not_listened_to(deaf: Callable[[], None]) -> None:
    deaf()
    heard, level = Ear().finish(3 * 3600)
    assert heard.phrases == () and len(level) == 3 * 3600 * 100 and level.max() <= -70
