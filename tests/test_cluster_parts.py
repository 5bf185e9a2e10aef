"""One long video on three raylets: they look at its parts side by side, and its plan is the one of a single process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import Plan, Settings, make_reel
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.joining import joined
from pipeline.batch.shared import twice
from pipeline.batch.work import DONE, Item, Outcome
from pipeline.plan import FILE_NAME, read_plan
from pipeline.progress import CancelToken
from tests.cluster_support import Machines, executions, machines, name_of, watching
from tests.making import story, with_other_bytes

# Ray leaves files and sockets of its own for the collector when a test's cluster ends.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
GIVEN: dict[str, Any] = {"scorer": "signals", "target_s": 6.0}
PART_S = 20.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Three machines of one CPU each, and a connection that keeps their workers."""
    with machines(tmp_path_factory.mktemp("machines")) as found, joined(found.address, CancelToken()):
        yield found


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, Plan]:
    """A video of 80 s, which makes four parts, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("film")
    path = story(folder / "film.mp4", loud=range(38, 42), shots=20, size=(640, 360), options={"g": "50"})
    make_reel(path, Settings(**GIVEN, cache_dir=folder / "cache"), folder)
    return Item(str(path), "film", "film.mp4"), read_plan(folder / "film" / FILE_NAME)


def run(film: Item, out: Path, made: Machines) -> Outcome:
    """Its reel, by the cluster."""
    return reels_on_cluster([film], str(out), Settings(**GIVEN), ClusterSettings(made.address, part_s=PART_S))[0]


def check(outcome: Outcome, out: Path, alone: Plan) -> None:
    """The reel is there, and its plan the same in all but what is no choice."""
    assert (outcome.state, outcome.message) == (DONE, "")
    plan = read_plan(out / "film" / FILE_NAME)
    for name in ("clips", "scenes", "segments", "curve", "focus", "phrases", "warnings"):
        assert getattr(plan, name) == getattr(alone, name), name


def test_a_long_video_is_looked_at_side_by_side(made: Machines, filmed: tuple[Item, Plan], tmp_path: Path) -> None:
    film, alone = filmed
    check(run(film, tmp_path / "out", made), tmp_path / "out", alone)
    known = executions(str(tmp_path / "out" / ".stages"))
    assert Counter(one.stage for one in known) == {"part": 4, "sound": 1, "scan": 1, "score": 1, "render": 1}
    assert all(one.done for one in known)
    assert len({one.worker for one in known if one.stage in ("part", "sound")}) > 1
    # What is in the scan isn't kept twice.
    assert sorted(path.parent.name for path in (tmp_path / "out" / ".stages").glob("*/*.tar")) == ["scan", "score"]


def test_a_machine_that_is_lost_takes_only_the_parts_that_it_was_at(made: Machines, filmed: tuple[Item, Plan],
                                                                    tmp_path: Path) -> None:
    film, alone = filmed
    # No machine's cache knows parts of this one.
    film = replace(film, source=str(with_other_bytes(Path(film.source), tmp_path / "film.mp4", 1)))
    lost: list[str] = []
    store = str(tmp_path / "out" / ".stages")

    def look() -> bool:
        at = [one for one in executions(store) if one.stage == "part" and not one.done]
        for node in made.nodes:
            names = [one.worker for one in at if one.worker.endswith(name_of(node))]
            if names:
                made.lose(node)
                lost.append(names[0])
                return True
        return False

    with watching(look) as seen:
        outcome = run(film, tmp_path / "out", made)
    assert seen.is_set()
    check(outcome, tmp_path / "out", alone)
    known = executions(store)
    assert twice(known, tuple(lost)) == []
    assert 1 <= sum(not one.done for one in known) <= 2
    made.add()
