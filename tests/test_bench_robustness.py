"""The robustness bench: its mutations are what they are called, it counts rightly, and it sees what goes wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import bench.robustness
from bench.robustness import (
    MUTATIONS,
    OUTCOMES,
    Bench,
    Tried,
    boxes,
    flip_headers,
    mutation,
    small_files,
    table,
    truncate,
)
from bench.robustness_child import attempt
from tests.making import textured, tone, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small videos."""
    folder = tmp_path_factory.mktemp("small")
    for name in ("a.mp4", "b.mkv"):
        write_video(folder / name, [textured(i // 10) for i in range(30)], sound=tone(1.2, 0.2))
    (folder / "README.md").write_text("no video")
    return folder


def test_boxes_are_found_at_any_depth(folder: Path) -> None:
    data = (folder / "a.mp4").read_bytes()
    found = boxes(data)
    names = [box.name for box in found]
    assert {b"ftyp", b"mdat", b"moov", b"trak", b"stbl", b"stsd", b"stco"} <= set(names)
    assert all(data[box.start + 4:box.start + 8] == box.name for box in found)
    assert boxes((folder / "b.mkv").read_bytes()) == [] and boxes(b"") == []


@pytest.mark.parametrize("kind", MUTATIONS)
@pytest.mark.parametrize("name", ["a.mp4", "b.mkv"])
def test_mutations_change_something_and_can_be_made_again(folder: Path, kind: str, name: str) -> None:
    data = (folder / name).read_bytes()
    made = [MUTATIONS[kind](data, random.Random(seed)) for seed in range(30)]
    assert made == [MUTATIONS[kind](data, random.Random(seed)) for seed in range(30)]
    assert sum(each != data for each in made) >= 25 and all(made)


def test_headers_alone_are_hit(folder: Path) -> None:
    data = (folder / "a.mp4").read_bytes()
    (mdat,) = (box for box in boxes(data) if box.name == b"mdat")
    for seed in range(20):
        changed = flip_headers(data, random.Random(seed))
        assert changed[mdat.start:mdat.end] == data[mdat.start:mdat.end] and len(changed) == len(data)
        assert len(truncate(data, random.Random(seed))) < len(data)


def test_the_same_seed_makes_the_same_files(folder: Path) -> None:
    sources = small_files(folder)
    assert [path.name for path in sources] == ["a.mp4", "b.mkv"]
    assert mutation(sources, 3, 5) == mutation(sources, 3, 5)
    assert mutation(sources, 4, 5)[2] != mutation(sources, 3, 5)[2]


def test_a_sound_file_becomes_a_reel_and_a_bad_one_a_line(folder: Path, tmp_path: Path) -> None:
    assert attempt(folder / "a.mp4", tmp_path / "a") == ("reel", "")
    outcome, said = attempt(folder / "README.md", tmp_path / "b")
    assert outcome == "refused" and said.startswith("README.md: is a text file")


def test_a_few_mutations_go_through(folder: Path, tmp_path: Path) -> None:
    told: list[Tried] = []
    tried = Bench(small_files(folder), 1, tmp_path / "work", tmp_path / "bad", 60).run(range(6), 1, told.append)
    assert [each.number for each in tried] == list(range(6)) and sorted(told, key=lambda t: t.number) == tried
    assert {each.outcome for each in tried} <= {"reel", "refused", "unmade"}
    assert not (tmp_path / "bad").exists() and not list((tmp_path / "work").rglob("m*.m*"))


CHILD = """
import json, os, sys, time
sys.path.insert(0, {root!r})
from bench import robustness_child
def attempt(path, folder):
    kind = (folder.parent / "kind").read_text()
    if kind == "crash": os.kill(os.getpid(), 11)
    if kind == "hang": time.sleep(600)
    if kind == "fault": raise ZeroDivisionError("ours")
    if kind == "left": (folder / "tmp" / "litter").write_text("")
    return "reel", ""
robustness_child.attempt = attempt
robustness_child.main()
"""


@pytest.mark.parametrize("kind", ["crash", "hang", "fault", "left"])
def test_what_goes_wrong_is_seen(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "bench_stand_in.py").write_text(CHILD.format(root=str(Path(__file__).parent.parent)))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bench.robustness, "MODULE", "bench_stand_in")
    (tmp_path / "work" / "0").mkdir(parents=True)
    (tmp_path / "work" / "0" / "kind").write_text(kind)
    limit_s = 3.0 if kind == "hang" else 60.0
    tried = Bench(small_files(folder), 1, tmp_path / "work", tmp_path / "bad", limit_s).run([4], 1, lambda _: None)
    assert [each.outcome for each in tried] == [kind]
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["m4.mp4"]


def test_the_table_adds_up() -> None:
    tried = [Tried(k, "a.mp4", kind, outcome, "") for k, (kind, outcome) in enumerate(
        [("bits", "reel"), ("bits", "refused"), ("surgery", "crash"), ("surgery", "refused")])]
    lines = [line.split() for line in table(tried).splitlines()]
    assert lines[0][2:] == list(OUTCOMES) and lines[-1] == ["all", "4", "1", "2", "0", "0", "0", "1", "0", "0"]


def test_the_exit_status_says_it(folder: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    for outcome, status in (("reel", 0), ("contained", 0), ("hang", 1), ("left", 1), ("fault", 1), ("crash", 1)):
        monkeypatch.setattr(Bench, "run", lambda *_, outcome=outcome: [Tried(0, "a.mp4", "bits", outcome, "")])
        monkeypatch.setattr("sys.argv", ["robustness", str(folder), "--count", "1"])
        assert bench.robustness.main() == status
        assert "2 files, 1 mutations, seed 1" in capsys.readouterr().out
