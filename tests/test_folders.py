"""Names that can't be guessed, files that are taken over safely, and folders that go when their process has."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.folders import Folders, safe_name, take_over
from app.limits import Refused

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("name", "safe"), [
    ("match.mp4", "match.mp4"), ("Mein Urlaub (2).MOV", "Mein Urlaub (2).MOV"), ("夏休み.mp4", "夏休み.mp4"),
    ("../../etc/passwd", "passwd"), ("C:\\films\\a.avi", "a.avi"), ("-rf.mp4", "rf.mp4"), (".hidden.mkv", "hidden.mkv"),
    ("a:b?c*.mp4", "a_b_c_.mp4"), ("a\n\0b.mp4", "a__b.mp4"), ("", "video"), ("...", "video"), ("con.mp4", "_con.mp4"),
    ("clip", "clip"), (".mp4", "mp4"),
])
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_a_file_can_have(name: str) -> None:
    safe = safe_name(name)
    assert safe and safe not in (".", "..") and not set(safe) & set('/\\:*?"<>|\0\n') and len(safe.encode()) <= 100
    assert not safe.startswith(("-", "."))


def test_folders_are_private_and_not_to_be_guessed(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "runs")
    try:
        run = folders.run("ann")
        assert run.parent == folders.visitor("ann") != folders.visitor("bob")
        for folder in (run, run.parent, folders.home):
            assert len(folder.name) >= 16
            if os.name == "posix":
                assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        folders.forget("ann")
        assert not run.parent.exists() and folders.visitor("bob").is_dir()
    finally:
        folders.close()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_file_is_linked_copied_or_moved(tmp_path: Path) -> None:
    source = tmp_path / "up.mp4"
    source.write_bytes(b"film")
    linked = take_over(source, tmp_path / "a", "film.mp4", move=False)
    assert linked.read_bytes() == b"film" and linked.samefile(source)
    moved = take_over(source, tmp_path / "b", "film.mp4", move=True)
    assert moved.read_bytes() == b"film" and not source.exists()


def test_a_file_on_another_disk_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    source = tmp_path / "up.mp4"
    source.write_bytes(b"film")
    monkeypatch.setattr(os, "link", refuse)
    copied = take_over(source, tmp_path / "a", "film.mp4", move=False)
    assert copied.read_bytes() == b"film" and not copied.samefile(source)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holiday: is not there any more"):
        take_over(tmp_path / "gone.mp4", tmp_path / "a", "holiday", move=False)
    with pytest.raises(Refused, match="is no file"):
        take_over(tmp_path, tmp_path / "a", "holiday", move=False)


def test_a_sweep_deletes_what_a_crashed_process_left_and_nothing_else(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from app.folders import Folders
folders = Folders(Path({str(tmp_path)!r}))
(folders.run("ann") / "film.mp4").write_text("film")
print(folders.home, flush=True)
sys.stdin.readline()
os._exit(1)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        home = Path(other.stdout.readline().strip())
        folders = Folders(tmp_path)
        try:
            folders.sweep()
            assert list(home.rglob("film.mp4"))
            other.stdin.write("\n")
            other.stdin.flush()
            other.wait(30)
            assert home.is_dir()
            folders.sweep()
            assert not home.exists() and folders.home.is_dir()
        finally:
            folders.close()
