"""Each preset is legal, says why, and prefers what it promises to prefer."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from app.__main__ import _settings, main
from pipeline import presets
from pipeline.errors import SettingsError
from pipeline.progress import CancelToken, silent
from pipeline.scorers.signals import SignalsScorer
from pipeline.settings import STAGE_FIELDS, Settings, SignalWeights
from pipeline.types import Scan, Scene, Segment, Signals

# For each preset: the signals that speak up in a stretch that it prefers, and in one that is preferred without it.
PROMISES = {
    "sports": ({"loudness", "onset"}, {"motion", "novelty"}),
    "travel": ({"novelty", "colour", "sharpness"}, {"loudness", "onset"}),
    "family": ({"loudness", "onset"}, {"motion", "novelty"}),
    "gaming": ({"motion", "onset"}, {"loudness", "novelty"}),
    "talk": ({"loudness"}, {"motion", "colour"}),
    "cooking": ({"colour", "sharpness"}, {"motion"}),
}
# (calm, lively) values of each signal.
RANGES = {"motion": (0.01, 0.1), "loudness": (-40.0, -10.0), "onset": (0.05, 0.5), "novelty": (0.1, 0.5),
          "colour": (10.0, 60.0), "sharpness": (4.0, 8.0)}


def scan_with(*stretches: set[str]) -> tuple[Scan, list[Segment]]:
    """A video that is calm but for stretches of four seconds, between calm ones, in each of which signals speak up."""
    segments = [Segment(4.0 * i, 4.0 * i + 4) for i in range(2 * len(stretches) + 1)]
    count = 4 * len(segments)
    rng = np.random.default_rng(1)
    tracks = {}
    for name, (calm, lively) in RANGES.items():
        track = calm + 0.05 * (lively - calm) * rng.random(count)
        for number, loud in enumerate(stretches):
            if name in loud:
                track[8 * number + 4:8 * number + 8] += lively - calm
        tracks[name] = track
    even = np.full(count, 0.5)
    signals = Signals(motion=tracks["motion"], sharpness=tracks["sharpness"], brightness=even, contrast=even,
                      colour=tracks["colour"], novelty=tracks["novelty"], loudness_db=tracks["loudness"],
                      onset=tracks["onset"], looks=np.ones((count, 1), dtype=np.float32))
    scenes = tuple(Scene(segment.start_s, segment.end_s) for segment in segments)
    return Scan(float(count), count, scenes, signals, ()), segments


def winner(settings: Settings, *stretches: set[str]) -> set[str]:
    """The stretch with the best score."""
    scan, segments = scan_with(*stretches)
    scored = SignalsScorer().score(scan, segments, settings, silent, CancelToken())
    best = int(np.argmax([segment.score for segment in scored.segments]))
    assert best % 2, "a calm stretch won"
    return stretches[best // 2]


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_prefers_what_it_promises(name: str) -> None:
    promised, rival = PROMISES[name]
    for order in ((promised, rival), (rival, promised)):
        assert winner(Settings(), *order) == rival
        assert winner(presets.with_preset(Settings(), name), *order) == promised


@pytest.mark.parametrize("name", presets.NAMES)
def test_every_value_is_legal_and_said_why(name: str) -> None:
    settings = presets.with_preset(Settings(), name)
    assert Settings.from_json(settings.to_json()) == settings
    assert settings.highlight and settings.highlight.endswith(".")
    why = presets.why(name)
    assert why.endswith(".") and "\n" not in why and len(why) <= 120
    given = {f.name for f in fields(Settings) if getattr(settings, f.name) != getattr(Settings(), f.name)}
    assert {"highlight", "weights"} <= given <= STAGE_FIELDS["score"] | STAGE_FIELDS["select"]


def test_no_two_presets_are_one() -> None:
    assert set(PROMISES) == set(presets.NAMES)
    assert len({str(presets.with_preset(Settings(), name).to_json()) for name in presets.NAMES}) == len(presets.NAMES)


def test_what_a_preset_is_silent_about_stays() -> None:
    settings = presets.with_preset(Settings(target_s=12, query="a dog"), "talk")
    assert (settings.target_s, settings.query, settings.max_clip_s) == (12, "a dog", 25)


def test_what_is_given_wins_over_the_preset() -> None:
    weights = SignalWeights(motion=1)
    settings = _settings("travel", weights=weights, target_s=20, max_clip_s=None)
    assert (settings.weights, settings.target_s, settings.max_clip_s) == (weights, 20, 6)
    assert _settings(None, target_s=20) == Settings(target_s=20)


@pytest.mark.parametrize("call", [lambda: presets.why("opera"), lambda: presets.with_preset(Settings(), "opera")])
def test_an_unknown_preset_is_one_line(call: object) -> None:
    with pytest.raises(SettingsError) as caught:
        call()  # type: ignore[operator]
    assert str(caught.value) == "preset: 'opera' is none of sports, travel, family, gaming, talk, cooking"


def test_the_command_line_complains_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["reel", "x.mp4", "-o", str(tmp_path), "--preset", "opera"]) == 2
    assert capsys.readouterr().err == (
        "smolreel: preset: 'opera' is none of sports, travel, family, gaming, talk, cooking\n")
