"""`python -m app cache`: what is kept, and clearing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.__main__ import main
from app.upkeep import _HOLDS, age_words, cleared_line
from pipeline import Settings, analyse
from pipeline.cache import STAGE_VERSIONS
from pipeline.keeping import PARTS, RESULTS, Taken, entries, session, use
from tests.making import story


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The cache of a run, whose scan was last used two days ago."""
    folder = tmp_path / "cache"
    analyse(story(tmp_path / "story.mp4", loud=range(4, 8), shots=3), Settings(scorer="signals", cache_dir=folder))
    (scan,) = (entry.path for entry in entries(folder) if entry.part == "scan")
    os.utime(scan / "manifest.json", (time.time() - 2 * 86_400 - 60,) * 2)
    return folder


def test_what_is_kept(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--cache-dir", str(cache)]) == 0
    first, scan, score, total = capsys.readouterr().out.splitlines()
    assert first == f"the cache is in {cache}"
    assert scan.split()[:2] == ["scan", "1"] and scan.endswith("used 2 days ago")
    assert score.split()[:2] == ["score", "1"] and score.endswith("used under a minute ago")
    assert "kB are kept; at most 20.0 GB after a run" in total
    assert main(["cache", "--cache-dir", str(cache), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    size = sum(path.stat().st_size for path in cache.glob("s*/**/*") if path.is_file())
    assert facts["bytes"] == size and set(facts["parts"]) == {"scan", "score"} and facts["entries"] == 2
    assert facts["parts"]["scan"]["oldest_s"] == pytest.approx(2 * 86_400 + 60, abs=60)


def test_clearing_spares_what_is_in_use(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (scan,) = (entry.path for entry in entries(cache) if entry.part == "scan")
    (score,) = (entry.path for entry in entries(cache) if entry.part == "score")
    os.utime(score / "manifest.json", (time.time() - 100,) * 2)
    with session(cache):
        use(scan, scan / "manifest.json")
        done = subprocess.run([sys.executable, "-m", "app", "cache", "--clear", "--cache-dir", str(cache)],
                              cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("cleared 1 entry (") and "1 entry stays, since a run is using" in done.stdout
        assert scan.is_dir() and not score.is_dir()
    assert main(["cache", "--clear", "--json", "--cache-dir", str(cache)]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 1 and entries(cache) == []


def test_an_empty_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "--cache-dir", str(tmp_path / "gone")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is kept; at most 20.0 GB after a run"
    assert main(["cache", "--clear", "--cache-dir", str(tmp_path / "gone")]) == 0
    assert capsys.readouterr().out.startswith("cleared 0 entries (0 bytes)")
    assert not (tmp_path / "gone").exists()


def test_a_size_that_makes_no_sense_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reel", "a.mp4", "-o", "out", "--cache-max-gb", "-1"]) == 2
    assert "cache_max_bytes" in capsys.readouterr().err


def test_no_stage_s_results_are_forgotten() -> None:
    # How segments are cut is part of what scores are kept under; they are made anew in no time.
    assert set(RESULTS) == set(STAGE_VERSIONS) - {"segment"}
    assert set(_HOLDS) == set(PARTS)


def test_words() -> None:
    assert [age_words(s) for s in (3, 60, 7199, 7200, 86_400 * 3)] == [
        "under a minute", "1 minute", "1 hour", "2 hours", "3 days"]
    assert cleared_line(Path("c"), Taken(3, 2_000_000, 2)) == (
        "cleared 3 entries (2.0 MB) from c; 2 entries stay, since a run is using them")
