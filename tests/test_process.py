"""ffmpeg's runner against the real program, and against stand-ins that misbehave in ways the real one rarely does."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.errors import Cancelled, FFmpegError, OutputError
from pipeline.media import process
from pipeline.media.process import ffmpeg_exe, ffmpeg_filters, input_url, run_ffmpeg
from pipeline.progress import CancelToken

ROOT = Path(__file__).parents[1]
TONE = ["-f", "lavfi", "-i", "sine=r=8000:d=2"]
# Real time, so that it is still running when it is stopped.
ENDLESS = ["-re", "-f", "lavfi", "-i", "sine=r=8000", "-f", "null", "-"]


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that the runner starts in this test."""
    started: list[subprocess.Popen[bytes]] = []
    start = process._start

    def remember(*args: object) -> subprocess.Popen[bytes]:
        started.append(start(*args))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(process, "_start", remember)
    return started


def assert_gone(children: list[subprocess.Popen[bytes]]) -> None:
    """No child is left, not even as a zombie."""
    assert children
    for child in children:
        assert child.returncode is not None
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a Python script in ffmpeg's place."""
    script = tmp_path / "ffmpeg-stand-in"
    script.write_text(f"#!{sys.executable}\nimport sys, time, os\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))


def test_runs_and_reports_progress_on_the_calling_thread(tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []
    target = tmp_path / "tone.wav"
    run_ffmpeg(["-re", *TONE, "-t", "1", input_url(target)], cancel=CancelToken(), timeout_s=60,
               on_progress=lambda done_s: seen.append((done_s, threading.get_ident())))
    assert target.stat().st_size > 15000
    assert {thread for _, thread in seen} == {threading.get_ident()}
    times = [done_s for done_s, _ in seen]
    assert times == sorted(set(times)) and len(times) >= 2 and times[0] >= 0 and times[-1] <= 1.1


def test_cancel_kills_the_child(children: list[subprocess.Popen[bytes]]) -> None:
    token = CancelToken()
    timer = threading.Timer(0.5, token.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        run_ffmpeg(ENDLESS, cancel=token, timeout_s=60)
    timer.join()
    assert_gone(children)


def test_nothing_starts_once_cancelled(children: list[subprocess.Popen[bytes]]) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        run_ffmpeg(ENDLESS, cancel=token, timeout_s=60)
    assert not children


def test_time_limit_kills_the_child(children: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(FFmpegError, match=r"after 0\.3 s"):
        run_ffmpeg(ENDLESS, cancel=CancelToken(), timeout_s=0.3, subject="talk.mp4")
    assert_gone(children)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_passing_through_leaves_no_child(children: list[subprocess.Popen[bytes]],
                                                      error: type[BaseException]) -> None:
    def interrupt(_: float) -> None:
        raise error

    with pytest.raises(error):
        run_ffmpeg(ENDLESS, cancel=CancelToken(), timeout_s=60, on_progress=interrupt)
    assert_gone(children)


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are POSIX")
def test_ctrl_c_of_the_terminal_does_not_reach_the_child(children: list[subprocess.Popen[bytes]]) -> None:
    sessions: list[int] = []
    token = CancelToken()

    def look(_: float) -> None:
        sessions.append(os.getsid(children[0].pid))
        token.cancel()

    with pytest.raises(Cancelled):
        run_ffmpeg(ENDLESS, cancel=token, timeout_s=60, on_progress=look)
    assert sessions == [children[0].pid] and sessions[0] != os.getsid(0)


def test_failure_keeps_what_ffmpeg_said(tmp_path: Path) -> None:
    missing = tmp_path / "missing.mp4"
    with pytest.raises(FFmpegError) as caught:
        run_ffmpeg(["-i", input_url(missing), "-f", "null", "-"], cancel=CancelToken(), timeout_s=60, subject="a.mp4")
    assert "No such file" in caught.value.detail and "missing.mp4" in caught.value.detail
    assert str(caught.value).startswith("a.mp4: ffmpeg ended with status") and "\n" not in str(caught.value)


def test_only_the_tail_of_a_flood_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, """
for i in range(100000): sys.stderr.write(f"complaint {i}\\n")
sys.stdout.write("out_time_us=N/A\\n" * 100000)
sys.exit(3)""")
    with pytest.raises(FFmpegError, match="status 3; it said: complaint 99999") as caught:
        run_ffmpeg([], cancel=CancelToken(), timeout_s=60)
    assert len(caught.value.detail) <= 8000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="disk is full") as caught:
        run_ffmpeg(["-y", *TONE, "-f", "nut", input_url(Path("/dev/full"))], cancel=CancelToken(), timeout_s=60,
                   subject="talk.mp4", output=tmp_path)
    assert caught.value.subject == str(tmp_path)


@pytest.mark.parametrize("words", ["Permission denied", "Read-only file system"])
def test_closed_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    # Root may write everywhere, so the real program can't be made to say it in every place that tests run.
    stand_in(tmp_path, monkeypatch, f"sys.exit('Error opening output file: {words}')")
    with pytest.raises(OutputError, match="no permission"):
        run_ffmpeg([], cancel=CancelToken(), timeout_s=60, output=tmp_path)


def test_killed_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "os.kill(os.getpid(), 9)")
    with pytest.raises(FFmpegError, match="ended by signal 9"):
        run_ffmpeg([], cancel=CancelToken(), timeout_s=60)


def test_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    with pytest.raises(FFmpegError, match="IMAGEIO_FFMPEG_EXE"):
        run_ffmpeg(TONE, cancel=CancelToken(), timeout_s=60)
    with pytest.raises(FFmpegError, match="/no/such/ffmpeg"):
        ffmpeg_filters()


@pytest.mark.parametrize(
    "name", ["-y.wav", "a:b.wav", "50%d %s.wav", "http:x.wav", "naïve 'quoted' \"name\".wav", "[0:v];.wav"])
def test_names_that_could_be_taken_for_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      name: str) -> None:
    monkeypatch.chdir(tmp_path)
    copy = Path(f"copy of {name}")
    run_ffmpeg([*TONE, input_url(Path(name))], cancel=CancelToken(), timeout_s=60)
    run_ffmpeg(["-i", input_url(Path(name)), input_url(copy)], cancel=CancelToken(), timeout_s=60)
    assert sorted(os.listdir(tmp_path)) == sorted([name, str(copy)])


def test_asks_the_build_for_its_filters() -> None:
    assert {"scale", "fps", "aresample", "anullsrc"} <= ffmpeg_filters()
    assert Path(ffmpeg_exe()).is_file()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no memory, or say nothing of it")
def test_freed_memory_goes_back_to_the_system() -> None:
    code = ("from pathlib import Path\n"
            "from pipeline.media.process import give_memory_back\n"
            "def held_mb(): return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 // 2**20\n"
            # What is left lies scattered, so that nothing is freed at the end.
            "blocks = [bytes(2000) for _ in range(50_000)]\n"
            "blocks = blocks[::500]\n"
            "before = held_mb()\n"
            "give_memory_back()\n"
            "print(before - held_mb())\n")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(run.stdout) > 50
