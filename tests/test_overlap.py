"""Frames that are encoded while the scan goes on: the same results, and nothing left when a run ends early."""

from __future__ import annotations

import json
import queue
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import Cancelled, CancelToken, ModelError, Settings, analyse, sandbox
from pipeline import scan as scan_module
from pipeline.errors import FFmpegError
from pipeline.media.probe import probe
from pipeline.progress import Progress, silent
from pipeline.scorers import Eager
from pipeline.scorers.signals import SignalsScorer
from pipeline.scorers.smolvlm2 import ahead as ahead_module
from pipeline.scorers.smolvlm2 import gallery, loading
from pipeline.scorers.smolvlm2.ahead import AheadOfScan
from pipeline.scorers.smolvlm2.model import SmolVLM
from pipeline.scorers.smolvlm2.scorer import SmolVLM2Scorer
from pipeline.scorers.smolvlm2.store import Store
from pipeline.types import SampledFrame
from tests.making import write_video
from tests.smolvlm2_support import BLUE, RED, TINY, backdrop, draw, tiny, tiny_vlm

FPS, SCENE_S = 12, 4
SCENES = ("red circle", "", "still", "blue square")
COLOURS = {"red": RED, "blue": BLUE}


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes, of which one stands still and three move."""
    def frame(i: int) -> np.ndarray:
        scene, at = divmod(i / FPS / SCENE_S, 1)
        image = backdrop(100 + int(scene))
        what = SCENES[int(scene)]
        if what == "still":
            return np.asarray(image)
        colour, shape = (what or "blue circle").split()
        return np.asarray(draw(image, shape, COLOURS[colour], 0.2 + 0.6 * at, 0.5))

    return write_video(tmp_path_factory.mktemp("moving") / "moving.mp4", frame, len(SCENES) * SCENE_S * FPS, fps=FPS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(scorer="smolvlm2", model=str(TINY), device="cpu", detail="full", sample_fps=2,
                    cache_dir=tmp_path / "cache")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Every thread that takes frames ends with its run."""
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name == "ahead"]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlapped on this device, too."""
    monkeypatch.setattr("pipeline.scorers.smolvlm2.scorer.PAYS_ON", ("cpu",))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many pictures the model took, by the name of the thread."""
    counts: dict[str, int] = {}
    encode = SmolVLM.features

    def count(self: SmolVLM, pictures: Any) -> Any:
        name = threading.current_thread().name
        counts[name] = counts.get(name, 0) + len(pictures)
        return encode(self, pictures)

    monkeypatch.setattr(SmolVLM, "features", count)
    return counts


class Patient(AheadOfScan):
    """One that has looked at every frame that it was given when its block ends: tests don't depend on who is faster."""

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            while not self._waiting.empty() and self._thread.is_alive():
                self._thread.join(0.01)
        super().__exit__(*error)


def kept(folder: Path) -> dict[str, bytes]:
    """Every file of the model's store."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_results_are_the_same_to_the_byte(tmp_path: Path, video: Path, settings: Settings,
                                          monkeypatch: pytest.MonkeyPatch, counted: dict[str, int]) -> None:
    found, stores = [], []
    for pays, name in (((), "after"), (("cpu",), "ahead")):
        monkeypatch.setattr("pipeline.scorers.smolvlm2.scorer.PAYS_ON", pays)
        monkeypatch.setattr("pipeline.scorers.smolvlm2.scorer.AheadOfScan", Patient)
        own = replace(settings, cache_dir=tmp_path / name)
        counted.clear()
        analysis = analyse(video, own)
        assert ("ahead" in analysis.timings_s) == ("ahead" in counted) == bool(pays)
        found.append(analysis.scored)
        stores.append(kept(own.cache_dir / "smolvlm2"))
    # All but the last batch, which was not full, and the blank frame.
    assert counted["ahead"] >= 12 and counted["MainThread"] < 8
    assert stores[0] == stores[1] and any(name.endswith(".npy") for name in stores[0])
    after, ahead = found
    assert after.segments == ahead.segments and after.curve.tobytes() == ahead.curve.tobytes()
    assert json.dumps(dict(after.notes)) == json.dumps(dict(ahead.notes)) and after.warnings == ahead.warnings
    assert after.looks is not None and ahead.looks is not None and after.looks.tobytes() == ahead.looks.tobytes()


def test_what_a_neighbour_lends_it_still_lends(tmp_path: Path, video: Path, settings: Settings, eager: None,
                                               counted: dict[str, int]) -> None:
    """Frames of a still scene take one frame's features, although each has its own where it was encoded ahead."""
    scored = analyse(video, settings).scored
    frames = len(list((settings.cache_dir / "scan").rglob("*.jpg")))
    assert scored.notes["frames_encoded"] < frames


def test_frames_are_told_before_the_scan_is_said_to_be_done(tmp_path: Path, video: Path) -> None:
    told: list[tuple[SampledFrame, bytes]] = []
    shares: list[float] = [0.0]
    here = threading.get_ident()

    def take(frame: SampledFrame) -> None:
        # Not whether its result lies there yet: whoever listens may be slower than whoever scans.
        assert threading.get_ident() == here and shares[-1] < 1
        told.append((frame, frame.path.read_bytes()))

    def report(event: Progress) -> None:
        shares.append(event.fraction or 0)

    sandbox.scan(sandbox.probe(video), Settings(), tmp_path, report, CancelToken(), take)
    assert shares == sorted(shares) and shares[-1] == 1
    assert [frame.time_s for frame, _ in told] == sorted({frame.time_s for frame, _ in told})
    assert {frame.path: data for frame, data in told} == {
        path: path.read_bytes() for path in (tmp_path / "frames").glob("*.jpg")}


def test_frames_are_told_while_the_scan_goes_on(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At any moment only a few that were put aside wait to be told."""
    monkeypatch.setattr(scan_module, "_REPORT_EVERY_S", -1.0)
    told: list[SampledFrame] = []
    known: list[tuple[float, int]] = []
    info = probe(video)
    scan_module.scan(info, Settings(), tmp_path, lambda event: known.append((event.fraction or 0, len(told))),
                     CancelToken(), told.append)
    assert len(told) > 3 * scan_module._MOST_UNWRITTEN
    for share, count in known:
        put_aside = sum(frame.time_s <= share * info.duration_s + 1e-6 for frame in told)
        assert 0 <= put_aside - count <= scan_module._MOST_UNWRITTEN


@pytest.mark.parametrize("name", ["../x.jpg", "/etc/passwd", "1.png", "", "1.jpg\n"])
def test_a_name_leads_nowhere_else(name: str) -> None:
    child: Any = SimpleNamespace(lines=queue.Queue())
    child.lines.put(json.dumps({"frame": [0.0, name]}).encode())
    with pytest.raises(FFmpegError, match="makes no sense"):
        sandbox._answer(child, Settings().limits, "x.mp4", silent, CancelToken(), pytest.fail)


def test_nothing_is_told_to_who_does_not_ask(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_FRAME_NAME", None)
    assert not isinstance(SignalsScorer(), Eager)
    analysis = analyse(video, Settings(scorer="signals", cache_dir=tmp_path))
    assert "ahead" not in analysis.timings_s


def test_scores_that_are_kept_need_no_frames(video: Path, settings: Settings, eager: None,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    first = analyse(video, settings)
    shutil.rmtree(settings.cache_dir / "scan")
    monkeypatch.setattr(SmolVLM2Scorer, "ahead", pytest.fail)
    assert analyse(video, settings).scored.segments == first.scored.segments


def test_a_cancel_in_the_scan_ends_the_thread(video: Path, settings: Settings, eager: None) -> None:
    token = CancelToken()

    def report(event: Progress) -> None:
        if event.stage == "scan":
            token.cancel()

    with pytest.raises(Cancelled):
        analyse(video, settings, report=report, cancel=token)


def test_a_video_that_breaks_the_scan_ends_the_thread(video: Path, settings: Settings, eager: None,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FFmpegError("broke")

    monkeypatch.setattr("pipeline.runner.scan_video", refuse)
    with pytest.raises(FFmpegError, match="broke"):
        analyse(video, settings)


def test_a_model_that_breaks_ahead_is_done_without(tmp_path: Path, video: Path, settings: Settings, eager: None,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.scorers.smolvlm2.scorer.AheadOfScan", Patient)
    encode = SmolVLM.features

    def broken(self: SmolVLM, pictures: Any) -> Any:
        if threading.current_thread().name == "ahead":
            raise ModelError("broke")
        return encode(self, pictures)

    monkeypatch.setattr(SmolVLM, "features", broken)
    with pytest.raises(ModelError, match="broke"):
        analyse(video, settings)
    analysis = analyse(video, replace(settings, scorer="auto", cache_dir=tmp_path / "other"))
    assert analysis.scored.scorer.name == "signals"
    assert any("SmolVLM2 can't be used: broke" in warning for warning in analysis.warnings)


def test_memory_that_runs_out_ahead_is_no_error(video: Path, settings: Settings, eager: None,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    encode = SmolVLM.features

    def short(self: SmolVLM, pictures: Any) -> Any:
        if threading.current_thread().name == "ahead":
            raise MemoryError
        return encode(self, pictures)

    monkeypatch.setattr(SmolVLM, "features", short)
    assert analyse(video, settings).scored.scorer.name == "smolvlm2"


def test_frames_beyond_the_queue_are_left_for_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "_MOST_WAITING", 2)
    arrived, go = threading.Event(), threading.Event()

    def load(_: CancelToken) -> loading.Loaded:
        arrived.set()
        assert go.wait(30)
        return tiny()

    frames = []
    for number in range(8):
        backdrop(number).save(tmp_path / f"{number}.jpg", quality=90)
        frames.append(SampledFrame(float(number), tmp_path / f"{number}.jpg"))
    monkeypatch.setitem(gallery.BATCH, "cpu", 1)
    side = tiny_vlm().side(None)
    with Patient(load, lambda vlm: vlm.side(None), Store(None), CancelToken()) as ahead:
        assert arrived.wait(30)
        for frame in frames:
            ahead.take(frame)
        go.set()
    assert list(ahead.ready) == [gallery.frame_name(tiny(), side, gallery.content_of(frame.path))
                                 for frame in frames[:2]]
    assert ahead.error is None and ahead.busy_s > 0


def test_a_frame_that_was_moved_is_left_for_later(tmp_path: Path) -> None:
    with Patient(lambda _: tiny(), lambda vlm: vlm.side(None), Store(None), CancelToken()) as ahead:
        ahead.take(SampledFrame(0.0, tmp_path / "gone.jpg"))
    assert not ahead.ready and ahead.error is None
