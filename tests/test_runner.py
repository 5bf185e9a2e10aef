"""From file to reel through the Python API: the three steps, the cache, and what is left behind when they fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

import pipeline.cache
import pipeline.media.frames
import pipeline.runner
from assets import make_sample
from pipeline import (
    Cancelled,
    CancelToken,
    InputError,
    ModelError,
    OutputError,
    PlanError,
    Progress,
    Settings,
    analyse,
    choose,
    make_reel,
    read_plan,
    render,
)
from pipeline.types import Interval
from tests.making import RATE, story, textured, write_video


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a cache of the test's own."""
    return Settings(target_s=8, scorer="signals", cache_dir=tmp_path / "cache")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """32 s in shots of 4 s, of which the third is loud and fast."""
    return story(tmp_path / "story.mp4", loud=range(8, 12))


def shown_s(path: Path) -> float:
    """Length of a rendered file by its frames."""
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    return times[-1] - times[0] + (times[1] - times[0])


def test_a_reel_and_its_plan(tmp_path: Path, video: Path, settings: Settings) -> None:
    seen: list[Progress] = []
    result = make_reel(video, settings, tmp_path / "out", report=seen.append)
    folder = tmp_path / "out" / "story"
    assert {p.name for p in folder.iterdir()} == {"reel.mp4", "plan.json"}
    document = json.loads((folder / "plan.json").read_text())
    assert set(document) == {"version", "video", "settings", "scorer", "scenes", "segments", "curve", "clips",
                             "timings_s", "warnings", "notes", "focus"}
    assert set(document["video"]) == {"path", "sha256", "duration_s", "fps", "width", "height", "rotation_deg",
                                      "has_audio"}
    assert document["scorer"]["name"] == "signals" and document["settings"]["target_s"] == 8
    assert {"probe", "scan", "score", "select", "render"} <= set(document["timings_s"])
    assert shown_s(result.reel.path) == pytest.approx(result.plan.duration_s, abs=0.05)
    assert 7.2 <= result.reel.duration_s <= 8
    best = Interval(8.0, 12.0)
    assert sum(clip.interval.overlap_s(best) for clip in result.plan.clips) > 3
    stages = list(dict.fromkeys(event.stage for event in seen))
    assert stages == ["probe", "scan", "score", "render"]


@pytest.mark.parametrize("target_s", [12.0, 18.0, 24.0])
def test_the_best_of_the_sample_is_in_the_reel(sample: Path, settings: Settings, target_s: float) -> None:
    analysis = analyse(sample, settings)
    plan = choose(analysis, replace(settings, target_s=target_s))
    for best in make_sample.BEST_S:
        shown = sum(clip.interval.overlap_s(Interval(*best)) for clip in plan.clips)
        assert shown > 0.75 * (best[1] - best[0]), best
    for dull in make_sample.DULL_S:
        assert sum(clip.interval.overlap_s(Interval(*dull)) for clip in plan.clips) == 0
    cuts = [scene.start_s for scene in analysis.scan.scenes[1:]]
    middle = sum(make_sample.FADES_S[0]) / 2
    assert cuts == pytest.approx(sorted([*make_sample.CUTS_S, middle]), abs=1.01 / make_sample.FPS)


def test_loud_stretches_win_over_a_still_picture(media: Path, settings: Settings) -> None:
    analysis = analyse(media / "real" / "auto_editor_example_42s.mp4", settings)
    loudness = analysis.scan.signals.loudness_db
    assert loudness is not None
    for clip in choose(analysis, settings).clips:
        seconds = loudness[round(clip.start_s):round(clip.end_s)]
        assert np.median(seconds) > -35 and seconds.mean() > loudness.mean() + 10


def test_black_video_says_that_scores_are_flat(tmp_path: Path, settings: Settings) -> None:
    path = write_video(tmp_path / "black.mp4", [np.zeros((90, 160, 3), np.uint8)] * 600, fps=5,
                       sound=np.zeros(120 * RATE, np.float32))
    plan = choose(analyse(path, settings), replace(settings, target_s=30))
    assert any("flat" in warning for warning in plan.warnings)
    assert {int(clip.start_s // 30) for clip in plan.clips} == {0, 1, 2, 3}


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, analysis must not decode."""
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the video was decoded again")
    monkeypatch.setattr(pipeline.runner, "scan_video", refuse)
    monkeypatch.setattr(pipeline.media.frames, "decode_pictures", refuse)


def test_another_target_decodes_nothing_for_analysis(tmp_path: Path, video: Path, settings: Settings,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_reel(video, settings, tmp_path / "a")
    no_decoding(monkeypatch)
    second = make_reel(video, replace(settings, target_s=12), tmp_path / "b")
    assert second.plan.timings_s["scan"] < first.plan.timings_s["scan"] / 5
    assert second.plan.duration_s > first.plan.duration_s
    third = make_reel(video, settings, tmp_path / "c")
    assert third.plan.clips == first.plan.clips and third.reel.clips_encoded == 0


def test_what_is_cached_is_found_by_content_not_by_name(tmp_path: Path, video: Path, settings: Settings,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    before = analyse(video, settings)
    renamed = video.rename(tmp_path / "renamed.mp4")
    no_decoding(monkeypatch)
    assert analyse(renamed, settings).scored.segments == before.scored.segments


@pytest.mark.parametrize("change", [{"cut_change": 30.0}, {"sample_fps": 2.0}])
def test_settings_that_a_stage_reads_run_it_again(video: Path, settings: Settings, change: dict[str, float],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    analyse(video, settings)
    no_decoding(monkeypatch)
    with pytest.raises(AssertionError, match="decoded again"):
        analyse(video, replace(settings, **change))


def test_torn_and_altered_results_are_made_again(video: Path, settings: Settings) -> None:
    before = analyse(video, settings)
    results = [p for p in settings.cache_dir.rglob("*") if p.suffix in (".json", ".npz", ".jpg")]
    assert {p.suffix for p in results} == {".json", ".npz", ".jpg"}
    for suffix in (".json", ".npz", ".jpg"):
        for torn in (p for p in results if p.suffix == suffix):
            torn.write_bytes(b"")
        again = analyse(video, settings)
        assert again.scored.segments == before.scored.segments and again.scan.scenes == before.scan.scenes


def test_without_a_cache_nothing_is_kept(tmp_path: Path, video: Path, settings: Settings) -> None:
    make_reel(video, replace(settings, cache=False), tmp_path / "out")
    assert not settings.cache_dir.exists()


def test_plans_can_be_edited_and_rendered(tmp_path: Path, video: Path, settings: Settings) -> None:
    plan = make_reel(video, replace(settings, target_s=12), tmp_path / "a").plan
    assert len(plan.clips) > 1
    path = tmp_path / "a" / "story" / "plan.json"
    document = json.loads(path.read_text())
    document["clips"].pop(0)
    path.write_text(json.dumps(document))
    shorter = render(read_plan(path), tmp_path / "b", settings)
    assert shorter.duration_s == pytest.approx(plan.duration_s - plan.clips[0].interval.duration_s, abs=0.05)
    assert shorter.clips_encoded == 0
    turned = replace(plan, clips=plan.clips[::-1])
    reel = render(turned, tmp_path / "c", settings)
    with av.open(str(reel.path)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    shot = textured(int(turned.clips[0].start_s // 4))
    assert np.abs(first.mean(axis=(0, 1)) - shot.mean(axis=(0, 1))).max() < 12
    assert [c.start_s for c in read_plan(tmp_path / "c" / "story" / "plan.json").clips] == [
        pytest.approx(c.start_s) for c in turned.clips]


def test_a_plan_of_another_file_is_refused(tmp_path: Path, video: Path, settings: Settings) -> None:
    plan = choose(analyse(video, settings), settings)
    video.unlink()
    with pytest.raises(InputError, match="no such file"):
        render(plan, tmp_path / "out", settings)
    write_video(video, [textured(1)] * 50)
    with pytest.raises(PlanError, match="not the file"):
        render(plan, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_video_is_never_written_over(tmp_path: Path, video: Path, settings: Settings) -> None:
    folder = tmp_path / "reel"
    folder.mkdir()
    own = video.rename(folder / "reel.mp4")
    before = own.read_bytes()
    with pytest.raises(OutputError, match="the video itself"):
        make_reel(own, settings, tmp_path)
    assert own.read_bytes() == before


def test_scores_go_with_their_scan(video: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    analyse(video, settings)
    scored = list((settings.cache_dir / "score").iterdir())
    monkeypatch.setitem(pipeline.cache.STAGE_VERSIONS, "scan", 99)
    analyse(video, settings)
    assert len(list((settings.cache_dir / "score").iterdir())) == len(scored) + 1


@pytest.mark.parametrize("stage", ["scan", "render"])
def test_cancelling_leaves_nothing(tmp_path: Path, video: Path, settings: Settings, stage: str) -> None:
    token = CancelToken()

    def report(event: Progress) -> None:
        if event.stage == stage and event.fraction:
            token.cancel()

    with pytest.raises(Cancelled):
        make_reel(video, settings, tmp_path / "out", report=report, cancel=token)
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert left == [] and not [p for p in settings.cache_dir.rglob("*") if p.name.startswith(".")]
    assert make_reel(video, settings, tmp_path / "out").reel.path.is_file()


def test_an_output_folder_that_is_a_file(tmp_path: Path, video: Path, settings: Settings) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("mine")
    with pytest.raises(OutputError, match="another folder"):
        make_reel(video, settings, blocked / "out")
    assert blocked.read_text() == "mine"


def test_a_model_that_is_not_here(tmp_path: Path, video: Path, settings: Settings) -> None:
    with pytest.raises(ModelError, match="SmolVLM2-256M-Video-Instruct"):
        make_reel(video, replace(settings, scorer="smolvlm2"), tmp_path / "out")
    assert not settings.cache_dir.exists()
    (notice,) = analyse(video, replace(settings, scorer="auto")).warnings
    assert "since SmolVLM2 can't be used" in notice and "\n" not in notice
