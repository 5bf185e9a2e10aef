"""Rendering in a process beside: whatever becomes of it, one line is told, and neither a process nor a file is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import Cancelled, CancelToken, InputError, Limits, OutputError, Progress, Settings, make_reel, sandbox
from pipeline.errors import FFmpegError, PlanError, SettingsError
from pipeline.export import Material
from pipeline.export.kinds import EXPORTERS
from pipeline.media import process
from pipeline.media.process import PythonChild
from pipeline.media.sound import read_sound
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import silent
from pipeline.rendering.order import Order
from pipeline.rendering.reel import render_reel
from pipeline.settings import EXPORTS, Style
from pipeline.types import Clip
from tests.making import story
from tests.numbered import make_source
from tests.sandbox_support import remembered
from tests.watched import NOTE, at_work, left_at_work, started_in

ROOT = Path(__file__).resolve().parent.parent
# Slow enough to be still at work when it is looked at.
SLOW = Settings(render="encode", preset="slow", crf=10)
QUICK = Settings(render="encode", preset="ultrafast", crf=28)

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s, with sound."""
    return make_source(tmp_path_factory.mktemp("source") / "talk.mp4", [Fraction(i, 25) for i in range(500)],
                       size=(640, 360), sound=(0, 20))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[PythonChild]]:
    """Every process that renders in this test, and notes what it starts; none is left to the next."""
    monkeypatch.setattr(sandbox, "MODULE", "tests.watched")
    (tmp_path / "started").touch()
    monkeypatch.setenv(NOTE, str(tmp_path / "started"))
    with remembered(monkeypatch) as started:
        yield started
    assert all(child.status is not None for child in started)


def order(source: Path, folder: Path, settings: Settings = SLOW, clips: int = 1) -> Order:
    """An order of the source's first seconds."""
    video = sandbox.probe(source)
    plan = Plan(PlanVideo(str(source), video.sha256),
                tuple(Clip(i, i + 18 / clips, 0.5, f"clip {i}", "") for i in range(clips)))
    return Order(video, plan, (), folder / "out" / "reel.mp4", settings, folder / "clips")


def left_in(folder: Path) -> list[Path]:
    """Files of a render, whole ones of clips aside."""
    return [path for path in (*(folder / "out").rglob("*"), *(folder / "clips").rglob("*")) if path.is_file()
            and (path.name.startswith(".") or path.name == "reel.mp4")]


def while_encoding(folder: Path, do: Callable[[], object]) -> Callable[[Progress], None]:
    """A report that does something once, as soon as ffmpeg encodes."""
    done: list[bool] = []

    def report(event: Progress) -> None:
        if not done and at_work(folder, "libx264"):
            done.append(True)
            do()

    return report


def test_it_renders_what_is_rendered_here(source: Path, tmp_path: Path, children: list[PythonChild],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = (order(source, tmp_path / name, QUICK, clips=3) for name in ("here", "there"))
    seen: list[tuple[Progress, int]] = []
    reel = sandbox.render(there, lambda event: seen.append((event, threading.get_ident())), CancelToken())
    wanted = render_reel(here, silent, CancelToken())
    assert replace(wanted, path=reel.path) == reel and reel.path.stat().st_size > 10_000
    assert sorted(path.name for path in there.clip_dir.iterdir()) == sorted(p.name for p in here.clip_dir.iterdir())
    assert {thread for _, thread in seen} == {threading.get_ident()}
    fractions = [event.fraction for event, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1  # type: ignore[type-var]
    assert any(event.message.startswith("encoding clip") for event, _ in seen)
    # All was done there, and the second time the clips are found.
    assert any("libx264" in command for command in started_in(tmp_path / "started"))
    assert sandbox.render(there, silent, CancelToken()).clips_reused == 3 and len(children) == 1
    # Paths may count from where the caller is.
    monkeypatch.chdir(tmp_path)
    near = replace(there, target=Path("near/reel.mp4"))
    assert sandbox.render(near, silent, CancelToken()).path == near.target and near.target.is_file()


def test_exports_and_sound_are_the_same(source: Path, tmp_path: Path, children: list[PythonChild]) -> None:
    wanted = order(source, tmp_path, QUICK, clips=2)
    reel = sandbox.render(wanted, silent, CancelToken())
    material = Material(wanted.plan, wanted.video, reel, (), reel.path.parent)
    for name in ("csv", "clips", "edl", "contact-sheet", "html"):
        (path,) = sandbox.export(name, material, Limits(), CancelToken())
        data = path.read_bytes()
        (again,) = EXPORTERS[name](material, CancelToken())
        assert again == path and (name == "clips" or again.read_bytes() == data)
    there = sandbox.sound(wanted.video, 0.5, 2.5, 16000, Limits(), CancelToken())
    here = read_sound(wanted.video, 0.5, 2.5, 16000, CancelToken())
    assert there.dtype == np.float32 and np.array_equal(there, here) and there.any()
    assert len(children) == 1


def test_errors_keep_their_kind_and_the_process_goes_on(source: Path, tmp_path: Path,
                                                        children: list[PythonChild]) -> None:
    good = order(source, tmp_path, QUICK)
    with pytest.raises(PlanError, match=r"^talk\.mp4: it has no clips"):
        sandbox.render(replace(good, plan=replace(good.plan, clips=())), silent, CancelToken())
    with pytest.raises(OutputError, match="is a folder; name a file"):
        sandbox.render(replace(good, target=tmp_path), silent, CancelToken())
    with pytest.raises(SettingsError, match="another shape"):
        sandbox.render(replace(good, settings=replace(QUICK, render="copy", aspect="1:1")), silent, CancelToken())
    with pytest.raises(SettingsError, match="font"):
        sandbox.check_settings(Settings(style=Style(font=str(source))))
    with pytest.raises(InputError, match="no such file"):
        sandbox.check_settings(Settings(render="styled", style=Style(music="/nowhere.mp3")))
    assert len(children) == 1
    sandbox.close_idle()
    sandbox.check_settings(Settings(render="styled"))
    assert len(children) == 1


@pytest.mark.parametrize(("sent", "says"), [(signal.SIGSEGV, "makes the decoder crash (signal 11)"),
                                            (signal.SIGKILL, "made the system stop the decoder"),
                                            (signal.SIGSTOP, "keeps the decoder busy without getting any further")])
def test_what_becomes_of_it_is_one_line(source: Path, tmp_path: Path, children: list[PythonChild], sent: signal.Signals,
                                        says: str) -> None:
    wanted = order(source, tmp_path, replace(SLOW, limits=Limits(stall_s=1)))
    with pytest.raises(InputError) as caught:
        sandbox.render(wanted, while_encoding(tmp_path, lambda: os.kill(children[0]._child.pid, sent)), CancelToken())
    assert str(caught.value).startswith(f"talk.mp4: {says}") and "\n" not in str(caught.value)
    # Its ffmpegs went with it.
    assert left_at_work(tmp_path) == [] and left_in(tmp_path) == []
    assert sandbox.render(replace(wanted, settings=QUICK), silent, CancelToken()).clips_encoded == 1
    assert len(children) == 2


@pytest.mark.parametrize(("name", "says", "limits"), [
    ("render-segfault", "makes the decoder crash (signal 11)", Limits()),
    ("render-hang", "keeps the decoder busy without getting any further (for 1 s)", Limits(stall_s=1)),
    ("render-hog", "asks for more memory than the limit of 2048 MB for decoding", Limits(memory_mb=2048))])
def test_a_thread_that_decodes_for_a_render(source: Path, tmp_path: Path, children: list[PythonChild], name: str,
                                            says: str, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "MODULE", "tests.misbehaving")
    path = tmp_path / f"{name}.mp4"
    path.write_bytes(source.read_bytes())
    wanted = order(path, tmp_path, replace(QUICK, limits=limits))
    with pytest.raises(InputError) as caught:
        sandbox.render(wanted, silent, CancelToken())
    assert str(caught.value).startswith(f"{name}.mp4: {says}") and "\n" not in str(caught.value)
    assert left_at_work(tmp_path) == [] and left_in(tmp_path) == []


def test_a_lie_is_not_believed(source: Path, tmp_path: Path, children: list[PythonChild],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = order(source, tmp_path, QUICK)
    reel = sandbox.render(wanted, silent, CancelToken())
    sandbox.close_idle()
    monkeypatch.setattr(sandbox, "MODULE", "tests.misbehaving")
    monkeypatch.setenv("SMOLREEL_LIE", "1")
    with pytest.raises(FFmpegError, match="answered what makes no sense"):
        sandbox.render(wanted, silent, CancelToken())
    with pytest.raises(FFmpegError, match="answered what makes no sense"):
        sandbox.export("csv", Material(wanted.plan, wanted.video, reel, (), tmp_path), Limits(), CancelToken())


@pytest.mark.parametrize("deaf", [False, True])
def test_cancelling_leaves_nothing(source: Path, tmp_path: Path, children: list[PythonChild], deaf: bool) -> None:
    token = CancelToken()

    def cancel() -> None:
        if deaf:
            os.kill(children[0]._child.pid, signal.SIGSTOP)
        token.cancel()

    with pytest.raises(Cancelled):
        sandbox.render(order(source, tmp_path), while_encoding(tmp_path, cancel), token)
    assert left_at_work(tmp_path) == [] and left_in(tmp_path) == [] and children[0].status is not None


def test_nothing_outlives_a_caller_that_is_killed(source: Path, tmp_path: Path) -> None:
    code = ("import os, sys\nfrom pathlib import Path\nfrom pipeline import CancelToken, sandbox\n"
            "from tests.test_sandbox_render import order, while_encoding\n"
            "folder = Path(sys.argv[2])\n"
            "sandbox.render(order(Path(sys.argv[1]), folder), while_encoding(folder / 'clips',\n"
            "               lambda: os.kill(os.getpid(), 9)), CancelToken())\n")
    run = subprocess.run([sys.executable, "-c", code, str(source), str(tmp_path)], cwd=ROOT)
    assert run.returncode == -signal.SIGKILL
    assert left_at_work(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")
def test_an_ffmpeg_that_asks_for_more_than_the_limit() -> None:
    code = ("from pipeline import CancelToken, InputError\n"
            "from pipeline.media.process import limit_memory, run_ffmpeg\n"
            "limit_memory(1000)\n"
            "try:\n    run_ffmpeg(['-f', 'lavfi', '-i', 'color=size=12000x8000', '-frames:v', '60', '-c:v',\n"
            "                'libx264', '-f', 'null', '-'], cancel=CancelToken(), timeout_s=60, subject='a.mp4')\n"
            "except InputError as error:\n    print(error)\n")
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("a.mp4: asks for more memory than the limit of 1000 MB for decoding, as")
    assert run.stdout.count("\n") == 1 and run.stderr == ""


def test_nothing_of_a_run_is_decoded_here(tmp_path: Path, children: list[PythonChild], whisper: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    source = story(tmp_path / "story.mp4", loud=range(1, 2), shots=3, shot_s=2, size=(160, 90), fps=10)
    music = tmp_path / "music.mp4"
    music.write_bytes(source.read_bytes())
    settings = Settings(target_s=3, scorer="signals", render="styled", preset="ultrafast", captions="speech",
                        speech_model=str(whisper), style=Style(title="T", closing="C", music=str(music)),
                        export=EXPORTS, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("opened here"))
    monkeypatch.setattr(process, "run_ffmpeg", lambda *_, **__: pytest.fail("ran ffmpeg here"))
    began: list[str] = []
    start = process._start
    monkeypatch.setattr(process, "_start", lambda command, *rest: began.append(command[-1]) or start(command, *rest))
    result = make_reel(source, settings, tmp_path / "out")
    assert result.reel.way == "styled" and result.reel.notes["music"] and len(result.exports) >= len(EXPORTS)
    assert began == ["tests.watched"] and started_in(tmp_path / "started")
