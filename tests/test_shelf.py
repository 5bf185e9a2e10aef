"""The shelf: what isn't used goes to a file and comes back as it was; a file is data and nothing else."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import edits
from app.desk import Desk, Desks
from app.edits import Draft
from app.jobs import Jobs, Run
from app.shelf import Shelf
from pipeline import Settings, analyse
from tests.job_support import SETTINGS, gate, jobs, made, until, video

__all__ = ["gate", "jobs", "video"]


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if is_dataclass(one) and not isinstance(one, type):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_what_is_used_least_goes_to_a_file_and_comes_back_as_it_was(tmp_path: Path, video: Path) -> None:
    analysis = analyse(video, Settings(scorer="signals", cache_dir=tmp_path / "cache"))
    shelf = Shelf(most=2)
    for name in "abc":
        shelf.put(tmp_path / name, (name, analysis))
    assert [(tmp_path / name).is_file() for name in "abc"] == [True, False, False]
    back = shelf.get(tmp_path / "a")
    assert back[1] is not analysis and same(back, ("a", analysis)) and shelf.get(tmp_path / "a") is back
    assert (tmp_path / "b").is_file() and not (tmp_path / "c").exists()
    assert shelf.get(tmp_path / "nothing") is None


class Harmful:
    """What runs a program where it is read by those who trust it."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._proof),)


@pytest.mark.parametrize("what", ["function", "method", "cut", "text", "folder"])
def test_a_file_of_other_hands_is_none(tmp_path: Path, what: str) -> None:
    path, proof = tmp_path / "outcome", tmp_path / "proof"
    given = {"function": pickle.dumps(Harmful(proof)), "cut": pickle.dumps(Settings())[:-40], "text": b"Dear diary",
             "method": b"\x80\x04capp.folders\nPath.mkdir\n."}
    if what == "folder":
        path.mkdir()
    else:
        path.write_bytes(given[what])
    assert Shelf().get(path) is None and not proof.exists()


def test_what_is_forgotten_is_not_written(tmp_path: Path) -> None:
    shelf = Shelf(most=1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    shelf.put(tmp_path / "a" / "1", "mine")
    shelf.forget(tmp_path / "a")
    shelf.put(tmp_path / "b" / "1", "kept")
    shutil.rmtree(tmp_path / "b")
    shelf.put(tmp_path / "2", "other")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a"]
    assert shelf.get(tmp_path / "a" / "1") is None and shelf.get(tmp_path / "b" / "1") is None


def test_what_can_not_be_written_stays(tmp_path: Path) -> None:
    shelf = Shelf(most=1)
    (tmp_path / "a" / "in the way").mkdir(parents=True)
    shelf.put(tmp_path / "a", "mine")
    shelf.put(tmp_path / "b", "other")
    assert shelf.get(tmp_path / "a") == "mine"


def corrected(jobs: Jobs, run: Run) -> list[Draft | None]:
    """What is on the desk after each of many steps, over another reel and back."""
    desks, drafts = Desks(jobs), list[Draft | None]()

    def note(desk: Desk | None) -> None:
        drafts.append(desk and desk.draft)

    note(desks.edit(run, lambda draft: edits.leave_out(draft, 0)))
    note(desks.aim(run, desks.of(run).draft.settings.with_given(target_s=12.0)))
    note(desks.step(run, forward=False))
    run = until(jobs, jobs.update(run.id, run.owner, desks.of(run).draft))
    assert run.error is None and run.made is not None and not desks.of(run).changed
    note(desks.step(run, forward=False))
    note(desks.step(run, forward=True))
    run = until(jobs, jobs.retarget(run.id, run.owner, desks.of(run).draft, run.settings.with_given(target_s=5.0)))
    note(desks.of(run))
    note(desks.step(run, forward=False))
    note(desks.aim(run, run.settings.with_given(target_s=9.0)))
    return drafts


def test_corrections_are_the_same_from_files(jobs: Jobs, video: Path) -> None:
    runs = [made(jobs, video), made(jobs, video, owner="bob")]
    at_hand = corrected(jobs, runs[0])
    # Each look at a run's result puts its corrections away, and the other way round.
    jobs.shelf._most = 1
    from_files = corrected(jobs, runs[1])
    assert (runs[1].folder / "desk").is_file() and None not in at_hand
    assert [draft and (draft.clips, draft.left_out, draft.chosen, draft.note) for draft in at_hand] == [
        draft and (draft.clips, draft.left_out, draft.chosen, draft.note) for draft in from_files]


def test_a_crowd_leaves_a_few_results_in_memory(jobs: Jobs, video: Path) -> None:
    jobs.shelf._most = 2
    runs = [made(jobs, video, replaced) for replaced in (SETTINGS, *(Settings(target_s=t, scorer="signals")
                                                                     for t in (5, 6, 7)))]
    assert len(jobs.shelf._near) == 2
    assert [run.plan.settings["target_s"] for run in runs if run.plan] == [8, 5, 6, 7]
    assert all(run.draft and run.found and run.files[0].is_file() for run in runs)
    jobs.forget_owner("ann")
    assert not jobs.shelf._near and [run.outcome for run in runs] == [None] * 4
