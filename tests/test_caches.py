"""All visitors' caches share one limit: those of visitors who made nothing for longest go first, none in use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import pipeline.runner
from app import edits
from app.caches import Caches
from app.estimates import Rates
from app.jobs import Jobs, Limits
from pipeline.keeping import entries, session, use
from tests.job_support import gate, jobs, made, until, video

__all__ = ["gate", "jobs", "video"]

ANN, BOB, CY = "ann", "bob", "cy"


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """Caches of three visitors, each of four clips of 100 bytes, that were used a minute ago."""
    found = {name: tmp_path / name for name in (ANN, BOB, CY)}
    for root in found.values():
        (root / "clips").mkdir(parents=True)
        for number in range(4):
            path = root / "clips" / f"{number}.mov"
            path.write_bytes(b"c" * 100)
            os.utime(path, (time.time() - 60 + number,) * 2)
    return found


def left(roots: dict[str, Path]) -> list[list[str]]:
    """The clips that are left, by visitor."""
    return [sorted(path.stem for path in (root / "clips").glob("*.mov")) for root in roots.values()]


ALL = ["0", "1", "2", "3"]


def used(caches: Caches, *roots: Path) -> None:
    """Use caches in this order."""
    for root in roots:
        caches.use(root)
        time.sleep(0.002)


def test_what_was_used_longest_ago_goes_first(roots: dict[str, Path]) -> None:
    caches = Caches(1200)
    used(caches, roots[BOB], roots[ANN], roots[CY])
    caches.bound(lambda: ())
    assert left(roots) == [ALL, ALL, ALL]
    caches = Caches(600)
    used(caches, roots[BOB], roots[ANN], roots[CY])
    caches.bound(lambda: ())
    assert left(roots) == [["2", "3"], [], ALL]
    # What a visitor adds is counted once they have used their cache.
    (roots[BOB] / "clips" / "new.mov").write_bytes(b"c" * 300)
    used(caches, roots[BOB])
    caches.bound(lambda: ())
    assert left(roots) == [[], ["new"], ["1", "2", "3"]]


def test_never_one_in_use(roots: dict[str, Path]) -> None:
    caches = Caches(0)
    used(caches, *roots.values())
    caches.bound(lambda: {roots[BOB]})
    assert left(roots) == [[], ALL, []]
    # A run that has only just begun, too, keeps what it has found.
    with session(roots[BOB]):
        use(roots[BOB] / "clips" / "2.mov")
        caches.bound(lambda: ())
        assert left(roots)[1] == ["2"]
    caches.bound(lambda: ())
    assert left(roots)[1] == []


def test_a_visitor_who_is_gone_counts_no_more(roots: dict[str, Path]) -> None:
    caches = Caches(800)
    used(caches, *roots.values())
    caches.forget(roots[CY])
    caches.bound(lambda: ())
    assert left(roots) == [ALL, ALL, ALL]


def test_a_reel_can_be_corrected_when_its_cache_is_gone(tmp_path: Path, video: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs(tmp_path / "runs", Limits(cache_gb=0), rates=Rates(tmp_path / "rates.json"))
    try:
        run = made(jobs, video)
        cache = run.settings.cache_dir
        assert entries(cache)
        jobs.sweep()
        assert not entries(cache) and jobs.get(run.id) is not None
        monkeypatch.setattr(pipeline.runner, "scan_video", lambda *_: pytest.fail("the video was scanned again"))
        assert run.draft is not None
        again = until(jobs, jobs.update(run.id, "ann", edits.leave_out(run.draft, 0)))
        assert again.error is None and again.version == 2 and again.draft is not None
        longer = until(jobs, jobs.retarget(run.id, "ann", again.draft, run.settings.with_given(target_s=12.0)))
        assert longer.error is None and longer.version == 3
    finally:
        jobs.close()
