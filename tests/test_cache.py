"""What is kept between runs: found whole or made again, shared by processes, taken away when there is too much."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import OutputError, Settings, analyse, make_reel
from pipeline.cache import Cache, open_cache
from pipeline.keeping import entries, evict, session, tidy, use
from pipeline.locks import take
from pipeline.media.files import PREFIX, appearing, sweep, working_folder
from pipeline.scorers.smolvlm2.store import Store
from pipeline.sealing import is_sealed
from tests.making import story
from tests.test_sealing import flip

ROOT = Path(__file__).resolve().parent.parent
KEY = "ab" * 32
# A process that says a word where the test shall go on, and then waits to be told or to be killed.
HOLD = """
import sys
from pathlib import Path
from pipeline.keeping import session, use
from pipeline.media.files import claimed, working_folder
root = Path(sys.argv[1])
"""


def write(text: str):  # type: ignore[no-untyped-def]
    """Makes a result of one file."""
    return lambda folder: (folder / "result").write_text(text)


def read(folder: Path) -> str:
    """Reads it."""
    return (folder / "result").read_text()


def refuse(folder: Path) -> None:
    """Makes nothing: the result should have been found."""
    raise AssertionError("made again")


def age(path: Path, seconds: float) -> None:
    """Make an entry look as if it was last used `seconds` ago."""
    mark = path / "manifest.json" if path.is_dir() else path
    os.utime(mark, (time.time() - seconds,) * 2)


def child(code: str, root: Path) -> subprocess.Popen[str]:
    """A process that runs `code` after HOLD, up to its first printed line."""
    started = subprocess.Popen([sys.executable, "-c", HOLD + code, str(root)], cwd=ROOT, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None and started.stdout.readline() == "ready\n"
    return started


def end(started: subprocess.Popen[str], *, kill: bool = False) -> None:
    """Kill it, or tell it to end."""
    if kill:
        started.kill()
    assert started.stdin is not None
    # Its pipes are closed already where it was told before.
    if not started.stdin.closed:
        started.communicate("\n", timeout=20)


def pictures(path: Path) -> np.ndarray:
    """Every frame of a film: (frames, height, width) of luma."""
    with av.open(str(path)) as container:
        return np.array([frame.to_ndarray(format="gray") for frame in container.decode(video=0)], dtype=int)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A cache's folder."""
    return tmp_path / "cache"


def test_results_are_found_whole_or_made_again(root: Path) -> None:
    cache = Cache(root)
    assert cache.get("scan", KEY, read, write("one")) == ("one", False)
    assert cache.get("scan", KEY, read, refuse) == ("one", True)
    flip(root / "scan" / KEY / "result", 1)
    assert cache.get("scan", KEY, read, write("two")) == ("two", False)
    (root / "scan" / KEY / "manifest.json").unlink()
    assert cache.get("scan", KEY, read, write("three")) == ("three", False)
    (root / "scan" / KEY / "result").unlink()
    assert cache.get("scan", KEY, read, write("four")) == ("four", False)
    cache.end(done=False)
    assert [p.name for p in (root / "scan").iterdir()] == [KEY] and not list((root / "sessions").iterdir())


def test_what_fails_leaves_nothing(root: Path) -> None:
    def fail(folder: Path) -> None:
        write("half")(folder)
        raise KeyboardInterrupt

    cache = Cache(root)
    with pytest.raises(KeyboardInterrupt):
        cache.get("scan", KEY, read, fail)
    assert list((root / "scan").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"the cache can't be written \(.*; choose another with --cache-dir"):
        Cache(tmp_path / "file").get("scan", KEY, read, write("x"))


def test_altered_clips_and_frames_reach_no_reel(tmp_path: Path) -> None:
    video = story(tmp_path / "story.mp4", loud=range(4, 8), shots=4)
    settings = Settings(target_s=8, scorer="signals", render="encode", cache_dir=tmp_path / "cache")
    first = make_reel(video, settings, tmp_path / "out")
    whole = pictures(first.reel.path)
    clips = sorted((settings.cache_dir / "clips").glob("*.mov"))
    assert clips and all(map(is_sealed, clips))
    for path in (clips[0], *list(settings.cache_dir.glob("scan/*/frames/*.jpg"))[:1]):
        # In the middle of what is coded: the file opens, and shows something else.
        flip(path, path.stat().st_size // 2)
    again = make_reel(video, settings, tmp_path / "out")
    assert again.reel.clips_encoded == 1 and np.abs(pictures(again.reel.path) - whole).max() < 40
    assert again.plan.clips == first.plan.clips and all(map(is_sealed, clips))


def test_altered_features_and_answers_are_forgotten(root: Path) -> None:
    store, values = Store(root), np.ones((4, 8), np.float16)
    store.keep_features(KEY, values)
    store.keep_answer(KEY, {"yes": 0.5})
    np.testing.assert_array_equal(store.features(KEY), values)  # type: ignore[arg-type]
    assert store.answer(KEY) == {"yes": 0.5}
    for path in root.rglob("*.*"):
        flip(path, path.stat().st_size - 60)
    assert store.features(KEY) is None and store.answer(KEY) is None
    assert not [p for p in root.rglob("*") if p.name.startswith(".")]


def filled(root: Path, count: int = 4) -> list[Path]:
    """Entries of all kinds, a thousand bytes and some each, the first used longest ago."""
    cache = Cache(root)
    for n in range(count):
        cache.get("scan", f"{n}" * 64, read, write("x" * 1000))
    (root / "clips").mkdir()
    for n in range(count):
        (root / "clips" / f"{n}.mov").write_bytes(b"x" * 1000)
    Store(root / "smolvlm2").keep_answer(KEY, "x" * 1000)
    cache.end(done=False)
    found = [root / "smolvlm2" / "ab" / f"{KEY}.json"]
    found += [root / "scan" / (f"{n}" * 64) for n in range(count)] + [root / "clips" / f"{n}.mov" for n in range(count)]
    for order, path in enumerate(found):
        age(path, 10_000 - order)
    return found


def test_what_was_used_longest_ago_goes_first(root: Path) -> None:
    paths = filled(root)
    assert [entry.path for entry in entries(root)] == paths
    total = sum(entry.size_bytes for entry in entries(root))
    assert evict(root, total).entries == 0
    taken = evict(root, total - 2500)
    assert (taken.entries, taken.in_use) == (3, 0) and 2500 <= taken.size_bytes < 4500
    assert [entry.path for entry in entries(root)] == paths[3:]
    assert use(paths[3], paths[3] / "manifest.json") and not use(paths[0])
    evict(root, 2500)
    assert [entry.path for entry in entries(root)] == [paths[-1], paths[3]]
    assert evict(root, 0).entries == 2 and entries(root) == []
    assert not [p for p in root.rglob("*") if p.name.startswith(".")]


def test_nothing_that_a_run_uses_is_taken(root: Path) -> None:
    paths = filled(root)
    running = child(f"""
with session(root):
    assert use(root / "clips" / "2.mov") and use(root / "scan" / {"1" * 64!r}, root / "scan" / {"1" * 64!r} /
                                                 "manifest.json")
    print("ready", flush=True)
    sys.stdin.readline()
""", root)
    try:
        taken = evict(root, 0)
        assert taken.in_use == 2 and {entry.path for entry in entries(root)} == {paths[2], paths[7]}
        end(running)
        assert evict(root, 0).entries == 2
    finally:
        end(running, kill=True)


def test_a_killed_run_holds_nothing(root: Path) -> None:
    filled(root)
    running = child("""
with session(root), working_folder(root / "scan") as folder:
    (folder / "half").touch()
    use(root / "clips" / "2.mov")
    print("ready", flush=True)
    sys.stdin.readline()
""", root)
    sweep(root / "scan")
    assert len([p for p in (root / "scan").iterdir() if p.name.startswith(PREFIX)]) == 2
    end(running, kill=True)
    with session(root):
        assert not [p for p in (root / "scan").iterdir() if p.name.startswith(PREFIX)]
    assert evict(root, 0).in_use == 0 and not list((root / "sessions").iterdir())


def test_one_makes_what_two_want(root: Path) -> None:
    code = f"""
from pipeline.cache import Cache
def make(folder):
    print("ready", flush=True)
    sys.stdin.readline()
    (folder / "result").write_text("theirs")
print(Cache(root).get("scan", {KEY!r}, lambda folder: (folder / "result").read_text(), make))
"""
    other = child(code, root)
    waited: list[int] = []

    def wait() -> None:
        waited.append(1)
        if len(waited) == 3:
            assert other.stdin is not None
            other.stdin.write("\n")
            other.stdin.flush()

    try:
        assert Cache(root).get("scan", KEY, read, refuse, wait) == ("theirs", True)
        assert len(waited) >= 3
    finally:
        end(other)
    assert other.returncode == 0


def test_what_a_killed_process_was_making_is_made(root: Path) -> None:
    other = child(f"""
from pipeline.cache import Cache
def make(folder):
    (folder / "half").touch()
    print("ready", flush=True)
    sys.stdin.readline()
Cache(root).get("scan", {KEY!r}, lambda folder: None, make)
""", root)
    end(other, kill=True)
    assert Cache(root).get("scan", KEY, read, write("ours")) == ("ours", False)
    assert [p.name for p in (root / "scan").iterdir()] == [KEY]
    assert not (root / "scan" / KEY / "half").exists()


def test_many_processes_on_one_small_cache(tmp_path: Path) -> None:
    """Each takes away all that it may after every run, which must never break another's."""
    videos = [story(tmp_path / f"{n}.mp4", loud=range(n, n + 4), shots=3) for n in (1, 5)]
    code = """
import os
from pipeline import Settings, make_reel
settings = Settings(target_s=6, scorer="signals", render="encode", cache_dir=root / "cache", cache_max_bytes=0)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(2):
    for name in ("1.mp4", "5.mp4"):
        plan = make_reel(root / name, settings, root / str(os.getpid())).plan
        print(name, [(clip.start_s, clip.end_s) for clip in plan.clips], plan.warnings)
"""
    both = [child(code, tmp_path) for _ in range(2)]
    for each in both:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = [each.communicate(timeout=60)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert said[0] == said[1] and len(set(said[0].splitlines())) == len(videos)
    assert evict(tmp_path / "cache", 0).in_use == 0 and entries(tmp_path / "cache") == []


def test_a_run_brings_the_cache_back_to_its_size(tmp_path: Path) -> None:
    settings = Settings(scorer="signals", cache_dir=tmp_path / "cache")
    first, second = (story(tmp_path / f"{n}.mp4", loud=range(n, n + 4), shots=3) for n in (1, 5))
    analyse(first, settings)
    old = {entry.path for entry in entries(settings.cache_dir)}
    size = sum(entry.size_bytes for entry in entries(settings.cache_dir))
    analyse(second, replace(settings, cache_max_bytes=size + 1))
    left = {entry.path for entry in entries(settings.cache_dir)}
    assert len(left) == 2 and not left & old


def test_parts_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), appearing(tmp_path / "a") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    with appearing(tmp_path / "a") as part:
        part.write_text("whole")
        sweep(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    with working_folder(tmp_path) as folder:
        sweep(tmp_path)
        assert folder.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_only_what_is_old_goes_without_a_lock(tmp_path: Path) -> None:
    stray, mine = tmp_path / f"{PREFIX}abc.part", tmp_path / ".mine.part"
    stray.touch()
    mine.touch()
    sweep(tmp_path)
    assert stray.exists()
    age(stray, 4000)
    age(mine, 400_000)
    sweep(tmp_path)
    assert not stray.exists() and mine.exists()


def test_a_lock_that_vanishes_is_not_held(tmp_path: Path) -> None:
    lock = take(tmp_path / "a.lock")
    assert lock is not None and take(tmp_path / "a.lock") is None
    lock.release()
    again = take(tmp_path / "a.lock")
    assert again is not None
    again.release()
    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_the_temporary_one_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_cache(Settings(cache=False)) as cache:
        assert cache.get("scan", KEY, read, write("x")) == ("x", False)
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_a_cache_with_much_room_is_not_looked_through_every_time(root: Path) -> None:
    paths = filled(root)
    tidy(root, 1_000_000)
    paths[0].write_bytes(b"x" * 2_000_000)
    tidy(root, 1_000_000)
    assert paths[0].exists()
    age(root / "size.txt", 1000)
    age(paths[0], 10_000)
    tidy(root, 1_000_000)
    assert not paths[0].exists() and paths[1].exists()
    tidy(root, 3_000)
    assert sum(entry.size_bytes for entry in entries(root)) <= 3_000
