"""A GPU that is lent for one call: scores are made in it, and the run finds them in the cache."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app import zero
from pipeline import Cancelled, CancelToken, ModelError, Progress, Settings, make_reel
from pipeline.media.probe import probe
from tests.making import story
from tests.smolvlm2_support import TINY


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds of GPU that are asked for, where the Space's own package is a stand-in that lends nothing."""
    durations: list[float] = []

    def lend(duration: Callable[..., float]) -> Callable[[Any], Any]:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                durations.append(duration(*given))
                return function(*given)

            return call

        return decorate

    package = types.ModuleType("spaces")
    package.GPU = lend  # type: ignore[attr-defined]
    package.__spec__ = types.SimpleNamespace(name="spaces")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "spaces", package)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    zero.call.cache_clear()
    yield durations
    zero.call.cache_clear()


def test_scores_are_made_in_the_call(asked: list[float], tmp_path: Path) -> None:
    video = probe(story(tmp_path / "video.mp4", loud=range(8, 12), shots=4))
    settings = Settings(scorer="smolvlm2", model=str(TINY), device="cpu", target_s=6, cache_dir=tmp_path / "cache")
    told: list[Progress] = []
    zero.warm(video.path, settings, video, told.append, CancelToken())
    assert {event.stage for event in told} >= {"scan", "score"}
    assert asked == [30]
    later: list[Progress] = []
    result = make_reel(video.path, settings, tmp_path / "out", video=video, report=later.append)
    assert result.plan.scorer.name == "smolvlm2"
    # What was scored in the call isn't scored again.
    assert [event.fraction for event in later if event.stage == "score" and event.fraction is not None] == [1.0]


def test_what_goes_wrong_in_the_call_is_told(asked: list[float], tmp_path: Path) -> None:
    video = probe(story(tmp_path / "video.mp4", loud=range(4, 6), shots=2))
    settings = Settings(scorer="smolvlm2", model=str(tmp_path), device="cpu", cache_dir=tmp_path / "cache")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        zero.warm(video.path, settings, video, lambda _: None, CancelToken())


def test_cancel_ends_the_call(asked: list[float], tmp_path: Path) -> None:
    video = probe(story(tmp_path / "video.mp4", loud=range(4, 6), shots=2))
    settings = Settings(scorer="smolvlm2", model=str(TINY), device="cpu", cache_dir=tmp_path / "cache")
    token = CancelToken()

    def stop(event: Progress) -> None:
        if event.stage == "score":
            token.cancel()

    with pytest.raises(Cancelled):
        zero.warm(video.path, settings, video, stop, token)


def test_other_machines_lend_nothing(tmp_path: Path) -> None:
    assert not zero.is_on()
    zero.warm(tmp_path / "none.mp4", Settings(scorer="smolvlm2"), None, lambda _: None,  # type: ignore[arg-type]
              CancelToken())
