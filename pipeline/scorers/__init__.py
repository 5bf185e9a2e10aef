"""Scorers, and which ones a run may use."""

from __future__ import annotations

from pipeline.scorers.base import Ahead, Eager, Scorer
from pipeline.scorers.signals import SignalsScorer
from pipeline.scorers.smolvlm2.scorer import SmolVLM2Scorer
from pipeline.settings import Settings

__all__ = ["Ahead", "Eager", "Scorer", "candidates"]


def candidates(settings: Settings) -> tuple[Scorer, ...]:
    """The scorers to try, best first; the next one takes over where a model can't be had."""
    signals = SignalsScorer()
    by_name: dict[str, tuple[Scorer, ...]] = {
        "signals": (signals,),
        "smolvlm2": (SmolVLM2Scorer(signals),),
        "auto": (SmolVLM2Scorer(signals), signals),
    }
    return by_name[settings.scorer]
