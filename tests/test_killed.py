"""Killed at any moment, the same command goes on and ends as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import av
import pytest

from tests.making import story

ROOT = Path(__file__).resolve().parent.parent
KILLS = int(os.environ.get("SMOLREEL_KILLS", "6"))
# Encoding, speech-free exports and a zip: every way of writing that a run has.
ARGUMENTS = ("--target", "8", "--scorer", "signals", "--render", "encode", "--export", "clips,srt,chapters")


def start(video: Path, folder: Path) -> subprocess.Popen[str]:
    """The command line on `video`, with all that it writes in `folder`."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    return subprocess.Popen([sys.executable, "-m", "app", "reel", str(video), "-o", str(folder / "out"), "--cache-dir",
                             str(folder / "cache"), "--json", *ARGUMENTS], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder / "tmp")})


def finish(video: Path, folder: Path) -> float:
    """Run to the end; seconds that it took."""
    began = time.monotonic()
    run = start(video, folder)
    said, complaint = run.communicate(timeout=120)
    assert run.returncode == 0, complaint
    assert json.loads(said.splitlines()[-1])["event"] == "result"
    return time.monotonic() - began


def results(folder: Path) -> dict[str, object]:
    """Every result by its name: texts byte for byte, the plan without its timings; of films how much they show.

    x264 doesn't give the same bytes every time, killed or not.
    """
    found: dict[str, object] = {}
    for path in (path for path in (folder / "out").rglob("*") if path.is_file()):
        if path.name == "plan.json":
            document = json.loads(path.read_text())
            del document["timings_s"]
            found[path.name] = json.dumps(document)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
                found[path.name] = archive.namelist()
        elif path.suffix == ".mp4":
            with av.open(str(path)) as container:
                found[path.name] = [frame.time for frame in container.decode(video=0)]
        else:
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def temporary(folder: Path) -> list[Path]:
    """What should be gone once a run has ended."""
    # Libraries leave things of their own in the system's folder.
    return [path for path in folder.rglob("*") if path.name.startswith((".smolreel", "smolreel"))
            or (path.name.startswith(".") and path.parent != folder / "tmp") or path.suffix == ".lock"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_and_run_again(tmp_path: Path) -> None:
    video = story(tmp_path / "story.mp4", loud=range(8, 12), shots=6)
    took_s = finish(video, tmp_path / "whole")
    expected = results(tmp_path / "whole")
    assert len(expected) == 5 and not temporary(tmp_path / "whole")
    dice = random.Random(20)
    for kill in range(KILLS):
        folder = tmp_path / "killed"
        run = start(video, folder)
        try:
            # Starting Python is half of it, in which nothing is written.
            time.sleep(took_s * dice.uniform(0.3, 1.0))
        finally:
            run.send_signal(signal.SIGKILL)
            run.communicate()
        if kill % 3 != 2:
            # Each goes on from what the one before left.
            continue
        finish(video, folder)
        assert results(folder) == expected
        assert not temporary(folder)
        shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_whole_stages_are_not_done_again(tmp_path: Path) -> None:
    video = story(tmp_path / "story.mp4", loud=range(4, 8), shots=4)
    run = start(video, tmp_path)
    assert run.stdout is not None
    seen = ""
    for line in run.stdout:
        seen += line
        if json.loads(line)["stage"] == "render":
            run.send_signal(signal.SIGKILL)
            break
    run.communicate()
    assert "looking for scenes" in seen and list((tmp_path / "cache" / "sessions").iterdir())
    said, _ = start(video, tmp_path).communicate(timeout=60)
    assert "looking for scenes" not in said and json.loads(said.splitlines()[-1])["event"] == "result"
    assert not temporary(tmp_path)
