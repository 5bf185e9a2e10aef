"""From file to reel with a model that really sees: known moments in, those moments out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline import ModelError, Plan, Progress, Settings, make_reel
from pipeline.scorers.smolvlm2 import model as model_module
from pipeline.types import Interval
from tests.making import tone, write_video
from tests.smolvlm2_support import BLUE, GREEN, RED, TINY, YELLOW, backdrop, draw

SCENE_S, FPS = 4, 12
SCENES = ["", "blue square", "red circle", "", "green triangle", "red square", "red circle", "yellow circle", "",
          "blue square", "red circle", "green circle"]
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE, "yellow": YELLOW}


def scenes_with(seen: str) -> list[Interval]:
    """When it is shown."""
    return [Interval(SCENE_S * i, SCENE_S * (i + 1)) for i, what in enumerate(SCENES) if what == seen]


def share_inside(plan: Plan, intervals: list[Interval]) -> float:
    """Share of the reel's seconds that lie in the intervals."""
    inside = sum(clip.interval.overlap_s(interval) for clip in plan.clips for interval in intervals)
    return inside / plan.duration_s


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes over different backdrops, of which three show a red circle."""
    def frame(i: int) -> np.ndarray:
        scene = i // (SCENE_S * FPS)
        image = backdrop(100 + scene)
        if SCENES[scene]:
            colour, shape = SCENES[scene].split()
            at = (i % (SCENE_S * FPS)) / (SCENE_S * FPS)
            image = draw(image, shape, COLOURS[colour], 0.35 + 0.3 * at, 0.5)
        return np.asarray(image)

    count = len(SCENES) * SCENE_S * FPS
    return write_video(tmp_path_factory.mktemp("known") / "known.mp4", frame, count, fps=FPS,
                       sound=tone(len(SCENES) * SCENE_S, 0.1))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The tiny model, and a cache of the test's own."""
    return Settings(target_s=10, scorer="smolvlm2", model=str(TINY), device="cpu", cache_dir=tmp_path / "cache")


def test_the_reel_shows_the_known_moments(tmp_path: Path, video: Path, settings: Settings) -> None:
    plan = make_reel(video, settings, tmp_path / "out").plan
    assert share_inside(plan, scenes_with("red circle")) >= 0.9
    document = json.loads((tmp_path / "out" / "known" / "plan.json").read_text())
    assert document["scorer"]["name"] == "smolvlm2" and document["scorer"]["device"] == "cpu"
    assert len(document["scorer"]["revision"]) == 16 and document["scorer"]["dtype"] in ("float32", "bfloat16")
    assert {"vlm", "motion"} <= set(document["segments"][0]["parts"])
    assert document["notes"]["highlight"]
    assert all("ircle" in clip.description for clip in plan.clips)


@pytest.mark.parametrize("wanted", ["blue square", "green triangle"])
def test_a_query_moves_the_reel(tmp_path: Path, video: Path, settings: Settings, wanted: str) -> None:
    target_s = 4.0 * len(scenes_with(wanted))
    plan = make_reel(video, replace(settings, query=f"a {wanted}", target_s=target_s), tmp_path / "out").plan
    assert share_inside(plan, scenes_with(wanted)) >= 0.9
    assert "query" in plan.segments[0].parts


def test_another_query_encodes_no_image_and_decodes_no_video(tmp_path: Path, video: Path, settings: Settings,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    make_reel(video, settings, tmp_path / "a")

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("done again")
    monkeypatch.setattr("pipeline.runner.scan_video", refuse)
    monkeypatch.setattr(model_module.SmolVLM, "features", refuse)
    plan = make_reel(video, replace(settings, query="a blue square"), tmp_path / "b").plan
    assert share_inside(plan, scenes_with("blue square")) > 0.6


def test_what_is_nowhere_is_said_each_time(tmp_path: Path, video: Path, settings: Settings) -> None:
    wanted = replace(settings, query="a person who laughs; a blue square", target_s=8)
    for out in ("first", "from the cache"):
        told: list[Progress] = []
        plan = make_reel(video, wanted, tmp_path / out, report=told.append).plan
        assert next(progress.found for progress in reversed(told) if progress.found) == plan.segments
        assert 'nothing in this video looks like "a person who laughs"; it is left out' in plan.warnings
        assert share_inside(plan, scenes_with("blue square")) >= 0.9
        document = json.loads((tmp_path / out / "known" / "plan.json").read_text())
        assert [wish["found"] for wish in document["notes"]["wishes"]] == [False, True]


def test_circles_over_a_real_film(media: Path, tmp_path: Path, settings: Settings) -> None:
    """A red circle over three stretches of a film that the model never saw."""
    marked = [Interval(10, 15), Interval(33, 38), Interval(55, 60)]

    def frames() -> list[np.ndarray]:
        found = []
        with av.open(str(media / "real" / "elephants_dream_72s_2audio.mp4")) as container:
            for i, frame in enumerate(container.decode(video=0)):
                if i % 2:
                    continue
                image = Image.fromarray(frame.to_ndarray(format="rgb24")).resize((320, 180))
                if any(x.start_s <= frame.time < x.end_s for x in marked):
                    image = draw(image, "circle", RED, 0.5, 0.5)
                found.append(np.asarray(image))
        return found

    path = write_video(tmp_path / "film.mp4", frames(), fps=12)
    plan = make_reel(path, replace(settings, target_s=12), tmp_path / "out").plan
    assert share_inside(plan, marked) >= 0.9


def test_a_model_that_breaks_in_the_middle_of_auto(tmp_path: Path, video: Path, settings: Settings) -> None:
    torn = tmp_path / "torn"
    torn.mkdir()
    for file in TINY.iterdir():
        data = file.read_bytes()
        (torn / file.name).write_bytes(data[:1000] if file.suffix == ".safetensors" else data)
    with pytest.raises(ModelError, match="fetch it again"):
        make_reel(video, replace(settings, model=str(torn)), tmp_path / "out")
    plan = make_reel(video, replace(settings, model=str(torn), scorer="auto"), tmp_path / "out").plan
    assert plan.scorer.name == "signals" and any("SmolVLM2 can't be used" in warning for warning in plan.warnings)
