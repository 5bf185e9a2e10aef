"""How long a run will take: guesses at first, then what was measured here; a damaged file is no reason to fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.estimates import FILE_NAME, Estimate, Rates, expected, part_of, rates_of
from pipeline import Settings
from pipeline.types import HeaderClaims, VideoInfo

SIGNALS = Settings(scorer="signals", target_s=30)
VLM = Settings(scorer="smolvlm2", device="cpu", target_s=30)
TOOK = {"probe": 0.1, "scan": 20.0, "score": 90.0, "render": 5.0, "select": 0.1}


def video(minutes: float = 10, width: int = 1920, height: int = 1080, fps: float = 25) -> VideoInfo:
    """A video as it would be measured."""
    return VideoInfo(
        path=Path("match.mp4"), sha256="0" * 64, size_bytes=300_000_000, container="mov", video_stream=0,
        audio_stream=1, codec="h264", pixel_format="yuv420p", origin_s=0, container_start_s=0,
        duration_s=60 * minutes, fps=fps, frame_count=round(60 * minutes * fps), variable_fps=False,
        coded_width=width, coded_height=height, width=width, height=height, rotation_deg=0, mirrored=False,
        sample_aspect=1, bit_depth=8, transfer="sdr", header=HeaderClaims(None, None, None))


@pytest.fixture
def rates(tmp_path: Path) -> Rates:
    """Nothing measured yet."""
    return Rates(tmp_path / "cache" / FILE_NAME)


def test_a_guess_knows_what_costs(rates: Rates) -> None:
    guess = expected(video(), SIGNALS, rates)
    assert not guess.measured and guess.low < guess.seconds < guess.high
    # Ten minutes of 1080p are 15,000 frames; some 290 are decoded a second.
    assert guess.stages["scan"] == pytest.approx(15_000 / 290, rel=0.2)
    look = expected(video(), VLM, rates).stages["score"]
    assert look == pytest.approx(10 * 16, rel=0.1)
    assert expected(video(), replace(VLM, detail="full"), rates).stages["score"] == pytest.approx(10 * 48, rel=0.1)
    assert expected(video(), replace(VLM, model="HuggingFaceTB/SmolVLM2-2.2B-Instruct"), rates).seconds > 4 * look
    assert expected(video(20), SIGNALS, rates).seconds > 1.8 * guess.seconds
    assert expected(video(10, 3840, 2160), SIGNALS, rates).seconds > 2.5 * guess.seconds
    assert expected(video(), replace(SIGNALS, render="styled"), rates).seconds > guess.seconds
    speech = expected(video(), replace(SIGNALS, captions="speech", export=("gif", "srt")), rates)
    assert list(speech.stages) == ["probe", "scan", "score", "speech", "render", "export"]


def test_what_was_measured_counts(rates: Rates) -> None:
    rates.record(video(), VLM, TOOK, {"scan", "score", "render"})
    told = expected(video(), VLM, rates)
    assert told.measured and told.stages["scan"] == pytest.approx(20) and told.stages["score"] == pytest.approx(90)
    assert told.low < told.seconds < told.high < 1.5 * told.seconds
    # Twice the video takes twice as long; other details, models and devices were not measured.
    assert expected(video(20), VLM, rates).stages["score"] == pytest.approx(180)
    for other in (replace(VLM, detail="full"), replace(VLM, model="/models/b"), replace(VLM, device="cuda")):
        assert not expected(video(), other, rates).measured


def test_what_the_cache_had_says_nothing(rates: Rates) -> None:
    rates.record(video(), VLM, {**TOOK, "scan": 0.01}, {"score"})
    assert rates.of("scan") == [] and not expected(video(), VLM, rates).measured


def test_the_middle_of_the_last_runs_counts(rates: Rates) -> None:
    for took_s in (500.0, *[20.0] * 5, 30.0, 20.0, 200.0, 20.0):
        rates.record(video(), SIGNALS, {"scan": took_s, "score": 0.1}, {"scan", "score"})
    told = expected(video(), SIGNALS, rates)
    assert told.stages["scan"] == pytest.approx(20) and len(rates.of("scan")) == 8
    assert told.high > 190


def test_a_folder_of_a_model_is_kept_without_its_path(rates: Rates, tmp_path: Path) -> None:
    rates.record(video(), replace(VLM, model="/home/ann/models/mine"), TOOK, {"score"})
    text = (tmp_path / "cache" / FILE_NAME).read_text()
    assert "mine" in text and "ann" not in text


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"version": 9, "rates": {"scan": [1]}}',
                                    '{"version": 1, "rates": [1]}', '{"version": 1, "rates": {"scan": "abc"}}',
                                    '{"version": 1, "rates": {"scan": [null]}}', '{"version": 1}',
                                    '{"version": 1, "rates": {"scan": [-1, 0, 1e99]}}', "\x00\xff"])
def test_a_damaged_file_counts_as_none(rates: Rates, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cache" / FILE_NAME
    path.parent.mkdir()
    path.write_bytes(damage.encode("latin-1"))
    assert not expected(video(), SIGNALS, rates).measured
    rates.record(video(), SIGNALS, TOOK, {"scan", "score"})
    assert expected(video(), SIGNALS, rates).measured
    assert [each.name for each in path.parent.iterdir()] == [FILE_NAME]


def test_a_place_that_can_not_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    rates = Rates(tmp_path / "file" / FILE_NAME)
    rates.record(video(), SIGNALS, TOOK, {"scan"})
    assert rates.of("scan") == [] and (tmp_path / "file").read_text() == "mine"


def test_rates_lie_in_the_cache(tmp_path: Path) -> None:
    settings = replace(SIGNALS, cache_dir=tmp_path)
    rates_of(settings).record(video(), settings, TOOK, {"scan", "score"})
    assert (tmp_path / FILE_NAME).is_file() and expected(video(), settings).measured


def test_a_part_of_an_estimate() -> None:
    whole = Estimate(100, 50, 200, True, {"scan": 80, "render": 20})
    assert part_of(whole, {"render": 20}) == Estimate(20, 10, 40, True, {"render": 20})


@pytest.mark.parametrize(("seconds", "words"), [
    (0.4, "a few seconds"), (12, "10 seconds"), (41, "40 seconds"), (57, "a minute"), (200, "3 minutes"),
    (1300, "20 minutes"), (3500, "an hour"), (5300, "1.5 hours"), (7300, "2 hours"),
])
def test_words(seconds: float, words: str) -> None:
    measured = Estimate(seconds, seconds, seconds, True, {})
    assert measured.words().endswith(f"{words}; measured on this machine")
    guess = Estimate(seconds, seconds, 60 * seconds, False, {})
    assert guess.words().endswith("a guess until the first run") and words in guess.words()


@given(st.floats(0, 1e6))
def test_every_length_has_words(seconds: float) -> None:
    words = Estimate(seconds, seconds, seconds, True, {}).words()
    assert "about 0" not in words and "about 1 " not in words
