"""Decoding in a process beside: whatever becomes of it, the caller hears one line and lives, and no process is left."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline import Cancelled, CancelToken, InputError, Limits, Progress, Settings, make_reel, sandbox, sandboxed, wire
from pipeline.cache import load_scan
from pipeline.errors import FFmpegError, OutputError
from pipeline.media import probe as measuring
from pipeline.media.process import PythonChild
from pipeline.progress import LinkedToken, silent
from pipeline.scan import scan as scan_here
from pipeline.types import VideoInfo
from tests.making import replace_box, story, textured, write_video
from tests.sandbox_support import remembered

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PythonChild]]:
    """Every process that decodes in this test; none of another test is taken up, and none is left to the next."""
    with remembered(monkeypatch) as started:
        yield started
    assert all(child.status is not None for child in started)


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch, children: list[PythonChild]) -> list[PythonChild]:
    """The decoders of `tests.misbehaving`."""
    monkeypatch.setattr(sandbox, "MODULE", "tests.misbehaving")
    return children


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds."""
    return write_video(tmp_path_factory.mktemp("plain") / "plain.mp4",
                       [np.roll(textured(0), i, 1) for i in range(50)])


def named(plain: Path, folder: Path, name: str) -> Path:
    """The same under another name."""
    path = folder / f"{name}.mp4"
    path.write_bytes(plain.read_bytes())
    return path


def test_it_finds_what_is_found_here(tmp_path: Path, children: list[PythonChild]) -> None:
    path = story(tmp_path / "naïve \udcff -i.mp4", loud=range(2, 4), shots=3, shot_s=2)
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "frames").mkdir(parents=True)
    there.mkdir()
    video = sandbox.probe(path)
    assert video == measuring.probe(path)
    shares: list[float | None] = []
    settings = Settings(sample_fps=2)
    sandbox.scan(video, settings, there, lambda event: shares.append(event.fraction), CancelToken())
    found, wanted = load_scan(there), scan_here(video, settings, here / "frames", silent, CancelToken())
    assert found.scenes == wanted.scenes and found.heard == wanted.heard and len(found.scenes) == 3
    assert [frame.time_s for frame in found.frames] == [frame.time_s for frame in wanted.frames]
    assert np.array_equal(found.signals.motion, wanted.signals.motion)
    assert shares == sorted(shares) and shares[-1] == 1  # type: ignore[type-var]
    # The one process did both.
    assert len(children) == 1 and children[0].status is None


def test_a_still_is_as_a_viewer_sees_it(tmp_path: Path, plain: Path, children: list[PythonChild]) -> None:
    video = sandbox.probe(plain)
    for at_s, shift in ((0.0, 0), (1.0, 25), (60.0, 49)):
        jpeg = sandbox.still(video, at_s, 160, 95)
        assert jpeg is not None
        image = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert np.abs(image.astype(int) - np.roll(textured(0), shift, 1)).mean() < 12
    assert len(children) == 1


@pytest.mark.parametrize(("name", "says"), [
    ("segfault", "makes the decoder crash (signal 11); save it again with another program"),
    ("abort", "makes the decoder crash (signal 6); save it again"),
    ("bad_alloc", "asks for more memory than the limit of 8192 MB for decoding, as damaged files and"),
    ("killed", "made the system stop the decoder, most likely for lack of memory; scale it down first")])
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_crash_is_one_line(tmp_path: Path, plain: Path, misbehaving: list[PythonChild], name: str,
                             says: str) -> None:
    path = named(plain, tmp_path, name)
    with pytest.raises(InputError) as caught:
        sandbox.probe(path)
    assert str(caught.value).startswith(f"{name}.mp4: {says}") and "\n" not in str(caught.value)
    assert [child.status is None for child in misbehaving] == [False]
    # The next one is none the worse for it.
    assert sandbox.probe(plain).frame_count == 50


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_memory_has_a_limit(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    with pytest.raises(InputError, match="more memory than the limit of 2048 MB for decoding"):
        sandbox.probe(named(plain, tmp_path, "hog"), limits=Limits(memory_mb=2048))


def test_a_table_that_claims_a_billion_entries(tmp_path: Path, plain: Path, children: list[PythonChild]) -> None:
    table = bytes(4) + struct.pack(">III", 0x7FFFFFFF, 1, 1)
    path = tmp_path / "many.mp4"
    path.write_bytes(replace_box(plain.read_bytes(), ("moov", "trak", "mdia", "minf", "stbl", "stts"), table))
    with pytest.raises(InputError, match=r"^many\.mp4: asks for more memory than the limit of 3000 MB for"):
        sandbox.probe(path, limits=Limits(memory_mb=3000))
    with pytest.raises(InputError, match=r"^many\.mp4: asks for more memory than decoding may take, as"):
        measuring.probe(path)
    assert [child.status is None for child in children] == [False]


def test_a_hang_has_an_end(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    limits = Limits(stall_s=2)
    with pytest.raises(InputError, match=r"hang\.mp4: keeps the decoder busy without getting any further \(for 2 s\)"):
        sandbox.probe(named(plain, tmp_path, "hang"), limits=limits)
    assert [child.status is None for child in misbehaving] == [False]
    # Slowness is none: longer than that altogether, but never without a sign of life.
    assert sandbox.probe(named(plain, tmp_path, "slow"), limits=Limits(stall_s=2)).frame_count == 50


def test_a_reel_of_such_a_file_leaves_nothing(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    path, cache = named(plain, tmp_path, "abort"), tmp_path / "cache"
    with pytest.raises(InputError, match=r"abort\.mp4: makes the decoder crash"):
        make_reel(path, Settings(scorer="signals", cache_dir=cache), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not cache.exists()


def test_cancelling_ends_it_at_once(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    token = CancelToken()
    timer = threading.Timer(0.5, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        sandbox.probe(named(plain, tmp_path, "hang"), token)
    timer.join()
    assert [child.status is None for child in misbehaving] == [False]


def test_an_exception_passing_through_ends_it(tmp_path: Path, children: list[PythonChild]) -> None:
    video = sandbox.probe(story(tmp_path / "a.mp4", loud=range(1), shots=2, shot_s=2))

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sandbox.scan(video, Settings(), tmp_path, interrupt, CancelToken())
    assert [child.status is None for child in children] == [False]


def test_what_libraries_print_comes_not_between(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    assert sandbox.probe(named(plain, tmp_path, "chatter")).frame_count == 50


def test_faults_of_ours_are_not_the_files(tmp_path: Path, plain: Path, misbehaving: list[PythonChild]) -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a fault of ours"):
        sandbox.probe(named(plain, tmp_path, "fault"))
    with pytest.raises(FFmpegError, match="status 3"):
        sandbox.probe(named(plain, tmp_path, "leave"))


def test_errors_come_through_and_the_process_goes_on(tmp_path: Path, plain: Path, children: list[PythonChild]) -> None:
    (tmp_path / "text.mp4").write_text("Dear diary\n" * 100)
    with pytest.raises(InputError, match=r"^text\.mp4: is a text file"):
        sandbox.probe(tmp_path / "text.mp4")
    with pytest.raises(InputError, match=r"^gone\.mp4: no such file"):
        sandbox.probe(tmp_path / "gone.mp4")
    with pytest.raises(InputError, match="the limit is 100 on the longer side"):
        sandbox.probe(plain, limits=Limits(max_side=100))
    video = sandbox.probe(plain)
    (tmp_path / "frames").write_text("in the way")
    with pytest.raises(RuntimeError, match="FileExistsError"):
        sandbox.scan(video, Settings(), tmp_path, silent, CancelToken())
    assert len(children) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told(tmp_path: Path, plain: Path, children: list[PythonChild]) -> None:
    video = sandbox.probe(plain)
    (tmp_path / "scan.json").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="disk is full"):
        sandbox.scan(video, Settings(), tmp_path, silent, CancelToken())


def test_one_that_went_home_is_replaced(plain: Path, children: list[PythonChild]) -> None:
    sandbox.probe(plain)
    children[0].close()
    assert sandbox.probe(plain).frame_count == 50 and len(children) == 2


def test_many_at_once(plain: Path, children: list[PythonChild]) -> None:
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(sandbox.probe(plain).frame_count)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [50] * 4 and sum(child.status is None for child in children) <= 2


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("how", ["ends", "is killed"])
def test_it_ends_with_its_caller(tmp_path: Path, plain: Path, how: str) -> None:
    path = plain if how == "ends" else named(plain, tmp_path, "hang")
    code = ("import sys, threading, os\nfrom pathlib import Path\nfrom pipeline import sandbox\n"
            "sandbox.MODULE = 'tests.misbehaving'\n"
            "work = threading.Thread(target=sandbox.probe, args=(Path(sys.argv[1]),), daemon=True)\nwork.start()\n"
            "while not list(Path(f'/proc/self/task').glob('*/children')) or not ''.join("
            "p.read_text() for p in Path('/proc/self/task').glob('*/children')).strip(): pass\n"
            "print(''.join(p.read_text() for p in Path('/proc/self/task').glob('*/children')), flush=True)\n"
            + ("work.join()" if how == "ends" else "import time; time.sleep(1); os.kill(os.getpid(), 9)"))
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert (run.returncode == 0) == (how == "ends")
    child = int(run.stdout.split()[0])
    deadline = time.monotonic() + 30
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Whether a process runs; one whose status nobody took doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_modules_are_not_taken_from_where_we_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Path,
                                                        children: list[PythonChild]) -> None:
    for name in ("json.py", "av.py", "pipeline.py"):
        (tmp_path / name).write_text("raise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert sandbox.probe(plain).frame_count == 50


def test_what_was_measured_survives_json(tmp_path: Path, plain: Path) -> None:
    video = measuring.probe(plain)
    odd = replace(video, path=Path(os.fsdecode(b"/a/\xff.mp4")), matrix=None, mirrored=True)
    for each in (video, odd):
        assert wire.from_json(VideoInfo, json.loads(json.dumps(wire.to_json(each)))) == each


def test_a_part_of_the_work_that_is_asked_about_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.BytesIO()
    beat = sandboxed._Beat(sandboxed._Voice(said))
    monkeypatch.setattr(sandboxed, "_BEAT_S", -1.0)
    LinkedToken(beat).check()
    assert json.loads(said.getvalue()) == {"beat": True}
