"""Room is estimated near what a run really writes, and what there is no room for is refused before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import pipeline.space
from pipeline import OutputError, Settings, make_reel
from pipeline.media.probe import probe
from pipeline.progress import CancelToken
from pipeline.space import Needs, check_room, needs, size_words
from tests.making import story


def written(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("render", ["encode", "copy"])
def test_estimates_are_near_what_is_written(sample: Path, tmp_path: Path, render: str) -> None:
    settings = Settings(target_s=5, scorer="signals", render=render, cache_dir=tmp_path / "cache", export=("clips",))
    wanted = needs(probe(sample, CancelToken()), settings)
    make_reel(sample, settings, tmp_path / "out")
    assert written(tmp_path / "cache") / 5 < wanted.cache_bytes < 5 * written(tmp_path / "cache")
    assert written(tmp_path / "out") / 5 < wanted.out_bytes < 5 * written(tmp_path / "out")


def test_what_more_is_asked_for_takes_more(sample: Path) -> None:
    video, plain = probe(sample, CancelToken()), Settings(scorer="signals")
    base = needs(video, plain)
    assert needs(video, plain, scanned=True).cache_bytes < base.cache_bytes
    assert needs(video, replace(plain, scorer="smolvlm2")).cache_bytes > base.cache_bytes
    assert needs(video, replace(plain, render="styled")).cache_bytes > base.cache_bytes
    assert needs(video, replace(plain, export=("html",))).out_bytes > base.out_bytes
    assert needs(video, plain, reel_s=0).out_bytes == 0
    hours = replace(video, duration_s=7200.0, width=3840, height=2160, coded_width=3840, coded_height=2160,
                    size_bytes=40_000_000_000)
    assert 1e8 < needs(hours, plain).cache_bytes < 1e9
    assert base.cache_bytes < 2e7 and base.out_bytes < 2e7


def test_room_is_made_before_a_run_is_refused(tmp_path: Path) -> None:
    free = [1_000_000]
    asked: list[int] = []

    def make_room(count: int) -> None:
        asked.append(count)
        free[0] += 300_000

    check_room(Needs(700_000, 200_000), tmp_path / "cache", tmp_path / "out", make_room, lambda _: free[0])
    assert asked == []
    check_room(Needs(700_000, 600_000), tmp_path / "cache", tmp_path / "out", make_room, lambda _: free[0])
    assert asked == [300_000]
    with pytest.raises(OutputError, match=r"about 2\.0 MB are needed, and 1\.6 MB are free; .* with -o"):
        check_room(Needs(1_400_000, 600_000), tmp_path / "cache", tmp_path / "out", make_room, lambda _: free[0])


def test_disks_are_told_apart(tmp_path: Path) -> None:
    other = Path("/proc")
    if not other.is_dir():
        pytest.skip("no second file system that is always there")
    free = {str(other): 100, str(tmp_path): 10_000}

    def free_of(folder: Path) -> int:
        return free[str(folder)]

    check_room(Needs(9_000, 90), tmp_path, other, lambda _: None, free_of)
    with pytest.raises(OutputError, match="/proc: too little room: about 200 bytes are needed, and 100 bytes are free"):
        check_room(Needs(9_000, 200), tmp_path, other, lambda _: None, free_of)
    with pytest.raises(OutputError, match="choose another cache with --cache-dir"):
        check_room(Needs(11_000, 90), tmp_path, other, lambda _: None, free_of)


def test_a_disk_that_is_too_small_is_told_before_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = story(tmp_path / "story.mp4", loud=range(4, 8), shots=3)
    settings = Settings(target_s=6, scorer="signals", cache_dir=tmp_path / "cache")
    monkeypatch.setattr(pipeline.space, "_free_bytes", lambda folder: 50_000)
    seen: list[str] = []
    with pytest.raises(OutputError, match=r"too little room: about .* kB are needed, and 50 kB are free"):
        make_reel(video, settings, tmp_path / "out", report=lambda event: seen.append(event.stage))
    assert set(seen) == {"probe"} and written(tmp_path / "out") == 0


def test_sizes_in_words() -> None:
    assert [size_words(n) for n in (0, 999, 1000, 45_600, 3_400_000, 456_000_000, 2e10, 3e12)] == [
        "0 bytes", "999 bytes", "1 kB", "46 kB", "3.4 MB", "456 MB", "20.0 GB", "3.0 TB"]
