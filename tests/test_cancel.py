"""Cancelling in every stage: Cancelled comes, no process goes on, and nothing half-made is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline import Cancelled, CancelToken, ModelError, Progress, Settings, make_reel, sandbox
from pipeline.scorers.smolvlm2 import loading
from tests.making import story
from tests.smolvlm2_support import TINY, tiny_vlm
from tests.watched import NOTE, at_work, own_children, started_in

# Only so that a stage that doesn't listen fails and doesn't hang: the whole run up to its moment takes a second or two,
# and on a busy machine some more.
HANG_S = 60.0


@dataclass(frozen=True)
class Moment:
    """When to cancel.

    stage: as events call it
    settings: what brings a run there
    at: what the event's message holds
    child: what the arguments hold of the process that must run then; None where the event alone will do
    """

    stage: str
    settings: dict[str, object]
    at: str = ""
    child: str | None = None


SIGNALS = {"scorer": "signals"}
VLM = {"scorer": "smolvlm2", "model": str(TINY), "device": "cpu"}
MOMENTS = {
    "probe": Moment("probe", SIGNALS),
    "scan": Moment("scan", SIGNALS),
    "looking": Moment("score", VLM, at="looking"),
    "judging": Moment("score", VLM, at="judging"),
    "copy": Moment("render", {**SIGNALS, "render": "copy"}, at="copying"),
    "mixed": Moment("render", SIGNALS, child="libx264"),
    "encode": Moment("render", {**SIGNALS, "render": "encode"}, child="libx264"),
    "join": Moment("render", {**SIGNALS, "render": "encode"}, child="concat"),
    "styled": Moment("render", {**SIGNALS, "render": "styled"}, child="libx264"),
    "crossfade": Moment("render", {**SIGNALS, "render": "styled"}, child="rawvideo"),
    "gif": Moment("export", {**SIGNALS, "export": ("csv", "gif")}, child="palette"),
    "clips": Moment("export", {**SIGNALS, "export": ("csv", "clips")}, at="clips"),
}


class Canceller:
    """Cancels a run at its moment, which it learns from events and from the note of the processes that were started."""

    def __init__(self, moment: Moment, note: Path) -> None:
        self.token = CancelToken()
        self._moment, self._note = moment, note
        self._there = self._over = False
        self._watcher = threading.Thread(target=self._watch)

    def report(self, event: Progress) -> None:
        """As the caller of a run."""
        self._there = event.stage == self._moment.stage and self._moment.at in event.message and event.fraction != 1.0
        if self._there and self._moment.child is None:
            self.token.cancel()

    def __enter__(self) -> Canceller:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._watcher.join()

    def _watch(self) -> None:
        """Cancel as soon as the process of the moment runs."""
        wanted = self._moment.child
        while not self._over and wanted is not None:
            if self._there and any(wanted in argument for line in started_in(self._note) for argument in line):
                self.token.cancel()
                return
            time.sleep(0.005)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """16 s in four shots: with a keyframe every second, as copying needs, and with one a shot."""
    folder = tmp_path_factory.mktemp("videos")
    return {name: story(folder / f"{name}.mp4", loud=range(8, 12), shots=4, options=options)
            for name, options in (("dense", {"g": "25"}), ("sparse", {}))}


def run_beside(work: Callable[[], object]) -> BaseException | None:
    """What `work` raises on a thread of its own; it must end well before anybody would give up."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HANG_S)
    assert not thread.is_alive()
    return raised[0] if raised else None


@pytest.mark.parametrize("name", MOMENTS)
def test_cancelling_in_every_stage(name: str, tmp_path: Path, videos: dict[str, Path],
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    # One that waits would not know what to watch for.
    sandbox.close_idle()
    monkeypatch.setattr(sandbox, "MODULE", "tests.watched")
    note = tmp_path / "started"
    note.touch()
    monkeypatch.setenv(NOTE, str(note))
    before = own_children()
    out, cache = tmp_path / "out", tmp_path / "cache"
    settings = Settings(target_s=8, cache_dir=cache, **MOMENTS[name].settings)  # type: ignore[arg-type]
    video = videos["dense" if name == "copy" else "sparse"]
    with Canceller(MOMENTS[name], note) as canceller:
        error = run_beside(lambda: make_reel(video, settings, out, report=canceller.report, cancel=canceller.token))
    assert isinstance(error, Cancelled), error
    # What was at work has ended; one that the stages before have left waits for more, and ends when it is told to.
    assert at_work(tmp_path) == []
    sandbox.close_idle()
    assert own_children() <= before
    assert [path for path in out.rglob("*") if path.is_file()] == []
    assert [path for path in cache.rglob("*") if path.name.startswith(".")] == []
    # What is left in the cache is whole: the next run goes on from it.
    again = make_reel(video, settings, out)
    assert again.reel.path.is_file() and len(again.exports) == len(settings.export)
    sandbox.close_idle()


@pytest.mark.parametrize("way", ["copy", "encode"])
def test_a_cancel_as_the_reel_appears_leaves_what_was_there(way: str, tmp_path: Path, videos: dict[str, Path]) -> None:
    settings = Settings(target_s=8, scorer="signals", render=way, cache_dir=tmp_path / "cache", export=("csv",))
    folder = tmp_path / "out" / "dense"
    reel = folder / "reel.mp4"

    class Late(CancelToken):
        """Is set once there is another reel than before."""

        def __init__(self, before: bytes | None) -> None:
            super().__init__()
            self._before = before

        @property
        def cancelled(self) -> bool:
            return reel.is_file() and reel.read_bytes() != self._before

    with pytest.raises(Cancelled):
        make_reel(videos["dense"], settings, tmp_path / "out", cancel=Late(None))
    assert not folder.exists() or list(folder.iterdir()) == []
    make_reel(videos["dense"], settings, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Cancelled):
        make_reel(videos["dense"], settings.with_given(target_s=4, export=("srt",)), tmp_path / "out",
                  cancel=Late(before["reel.mp4"]))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_batch_of_the_model_can_be_left_in_its_middle() -> None:
    vlm, token = tiny_vlm(), CancelToken()
    picture = np.zeros((3, vlm.image_side, vlm.image_side), np.float32)
    with vlm.stopping(token):
        vlm.features([picture + 0.5])
        token.cancel()
        with pytest.raises(Cancelled):
            vlm.features([picture + 0.5])
    assert len(vlm.features([picture + 0.5])) == 1


def test_another_threads_work_goes_on() -> None:
    vlm, token = tiny_vlm(), CancelToken()
    token.cancel()
    picture = np.full((3, vlm.image_side, vlm.image_side), 0.5, np.float32)
    with vlm.stopping(token):
        assert run_beside(lambda: vlm.features([picture])) is None


def test_a_model_that_loads_for_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    token, go_on = CancelToken(), threading.Event()

    def slowly(*_: object) -> None:
        go_on.wait(60)
        # What it returned would be kept, by then for the tests that follow.
        raise ModelError("nobody waits for it any more", "model")

    monkeypatch.setattr(loading, "_load", slowly)
    monkeypatch.setattr(loading, "_loaded", {})
    try:
        error = run_beside(lambda: loading.load(str(TINY), "cpu", lambda _: token.cancel(), token))
    finally:
        go_on.set()
    assert isinstance(error, Cancelled)
