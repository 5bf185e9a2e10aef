"""Scorers, and which one a run gets."""

from __future__ import annotations

from pipeline.errors import ModelError
from pipeline.scorers.base import Scorer
from pipeline.scorers.signals import SignalsScorer
from pipeline.settings import Settings


def pick_scorer(settings: Settings) -> tuple[Scorer, tuple[str, ...]]:
    """The scorer that `settings` ask for, and what a person should be told about it.

    Raises ModelError where it was asked for by name and can't be had.
    """
    if settings.scorer == "smolvlm2":
        raise ModelError("this version has no SmolVLM2 scorer yet; use --scorer signals", "smolvlm2")
    if settings.scorer == "auto":
        return SignalsScorer(), ("scored by what can be measured in picture and sound, not by SmolVLM2, "
                                 "which this version doesn't have yet",)
    return SignalsScorer(), ()
