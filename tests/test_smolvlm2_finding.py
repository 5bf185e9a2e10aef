"""Whether what was asked for is there at all, decided from a few readings; and that wishes outlast the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cache import load_scored, save_scored
from pipeline.scorers.smolvlm2.finding import ABSENT, Evidence, is_found
from pipeline.types import Scored, ScoredSegment, ScorerInfo, Wish


def evidence(asked: float, own: float | None, bias: float = 0.0) -> Evidence:
    """Of a model that answers -4 to what is absent; one of the absent things is there. `bias` is for yes."""
    return Evidence(asked + bias, (-4 + bias, -4.5 + bias, 6 + bias), None if own is None else own + bias)


@pytest.mark.parametrize("bias", [-10, 0, 10])
def test_a_habit_of_saying_yes_or_no_changes_nothing(bias: float) -> None:
    assert evidence(3, 6, bias).shows(0.6)
    assert not evidence(1, 6, bias).shows(0.6)
    assert evidence(1, 6, bias).shows(0.4)
    assert evidence(8, 6, bias).shows(1)


@pytest.mark.parametrize("own", [None, -4.0, -9.0, -3.5])
def test_without_a_scale_its_word_is_taken(own: float | None) -> None:
    assert evidence(0.5, own).shows(0.6)
    assert not evidence(-0.5, own).shows(0.6)


def test_one_segment_is_enough() -> None:
    nowhere = evidence(-4, 6)
    assert not is_found([nowhere] * 4, 0.6)
    assert is_found([nowhere, nowhere, evidence(5, 6)], 0.6)
    assert not is_found([], 0.6)
    assert is_found([nowhere], 0)


def test_the_middle_of_what_is_absent_is_one_of_it() -> None:
    assert len(ABSENT) % 2 == 1 and len(set(ABSENT)) == len(ABSENT)


def test_wishes_are_kept_between_runs(tmp_path: Path) -> None:
    segments = (ScoredSegment(0, 2, 0.7, {"query": 1.0}, "a dog"),)
    wishes = (Wish("a dog", np.array([0.25, 1.0]), True), Wish("a \u732b", np.array([0.5, 0.5]), False))
    scored = Scored(segments, np.array([0.5, 0.75]), ScorerInfo("smolvlm2"), False, ("careful",), {"a": [1]}, wishes,
                    np.array([[0.6, 0.8], [1, 0]], dtype=np.float32))
    save_scored(scored, tmp_path)
    loaded = load_scored(tmp_path)
    np.testing.assert_array_equal(loaded.looks, scored.looks)
    assert loaded.looks is not None and loaded.looks.dtype == np.float32
    assert [(wish.text, wish.found) for wish in loaded.wishes] == [("a dog", True), ("a \u732b", False)]
    for one, other in zip(loaded.wishes, wishes, strict=True):
        np.testing.assert_array_equal(one.curve, other.curve)
    assert (loaded.segments, loaded.scorer, loaded.warnings, loaded.notes) == (
        segments, scored.scorer, scored.warnings, scored.notes)


def test_looks_that_are_lost_are_noticed(tmp_path: Path) -> None:
    scored = Scored((), np.zeros(1), ScorerInfo("smolvlm2"), looks=np.ones((1, 1), dtype=np.float32))
    save_scored(scored, tmp_path)
    (tmp_path / "looks.npz").unlink()
    with pytest.raises(OSError):
        load_scored(tmp_path)
    save_scored(replace(scored, looks=None), tmp_path)
    assert load_scored(tmp_path).looks is None
