"""The command line as a person runs it: statuses, one line for what is wrong, nothing half-made."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.making import story, textured, with_other_bytes, write_video

ROOT = Path(__file__).resolve().parent.parent


def command(*arguments: str | Path) -> list[str]:
    """The command line of a run."""
    return [sys.executable, "-m", "app", *map(str, arguments)]


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    done = subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=120,
                          **options)  # type: ignore[call-overload]
    assert "Traceback" not in done.stdout + done.stderr
    return done


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on standard error."""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("smolreel: ")
    return line


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A short video with a loud middle."""
    return story(tmp_path / "my clip.mp4", loud=range(8, 12), shots=5)


def test_a_reel(tmp_path: Path, video: Path) -> None:
    done = run("reel", video, "-o", tmp_path / "out", "--target", "6", "--scorer", "signals", "--cache-dir",
               tmp_path / "cache")
    assert done.returncode == 0 and done.stderr == ""
    folder = tmp_path / "out" / "my clip"
    assert str(folder / "reel.mp4") in done.stdout and (folder / "reel.mp4").is_file()
    assert json.loads((folder / "plan.json").read_text())["settings"]["target_s"] == 6
    assert (tmp_path / "cache").is_dir()


def test_a_plan_rendered_again(tmp_path: Path, video: Path) -> None:
    run("reel", video, "-o", tmp_path / "out", "--target", "8", "--scorer", "signals")
    plan = tmp_path / "out" / "my clip" / "plan.json"
    document = json.loads(plan.read_text())
    document["clips"] = [{"start_s": 1, "end_s": 2.2}]
    plan.write_text(json.dumps(document))
    done = run("render", plan, "-o", tmp_path / "again")
    assert done.returncode == 0 and "0:01.2" in done.stdout


def test_pinned_and_banned(tmp_path: Path, video: Path) -> None:
    run("reel", video, "-o", tmp_path, "--target", "8", "--scorer", "signals", "--pin", "0:01-0:02.5,13-14", "--ban",
        "8-12", "--render", "encode")
    clips = json.loads((tmp_path / "my clip" / "plan.json").read_text())["clips"]
    assert [1, 2.5] in [[c["start_s"], c["end_s"]] for c in clips]
    assert any(c["start_s"] <= 13 and c["end_s"] >= 14 for c in clips)
    assert not any(c["start_s"] < 12 and c["end_s"] > 8 for c in clips)


def test_exports(tmp_path: Path, video: Path) -> None:
    names = ["clips.zip", "reel.srt", "reel.vtt", "chapters.txt", "reel.csv", "reel.edl", "reel.fcpxml", "reel.otio",
             "contact-sheet.png", "preview.gif", "reel.html"]
    arguments = ("reel", video, "-o", tmp_path / "out", "--target", "6", "--scorer", "signals", "--export",
                 "html,clips,srt,vtt,chapters,csv,edl,fcpxml,otio,contact-sheet,gif")
    done = run(*arguments)
    assert done.returncode == 0 and f"beside it: {', '.join(names)}" in done.stdout
    folder = tmp_path / "out" / "my clip"
    assert {path.name for path in folder.iterdir()} == {"reel.mp4", "plan.json", *names}
    assert all(path.stat().st_size for path in folder.iterdir())
    again = run(*arguments, "--json")
    assert json.loads(again.stdout.splitlines()[-1])["exports"] == [str(folder / name) for name in names]


def test_json_lines(tmp_path: Path, video: Path) -> None:
    done = run("reel", video, "-o", tmp_path / "out", "--target", "6", "--json", "--no-cache")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and {e["event"] for e in events[:-1]} == {"progress"}
    assert events[-1]["event"] == "result" and Path(events[-1]["reel"]).is_file()
    assert {"probe", "scan", "score", "render"} == {e["stage"] for e in events[:-1]}


def test_goes_on_after_a_bad_file_and_names_it(tmp_path: Path, video: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    done = run("reel", bad, video, "-o", tmp_path / "out", "--target", "6", "--scorer", "signals")
    assert done.returncode == 2 and (tmp_path / "out" / "my clip" / "reel.mp4").is_file()
    first, last = done.stderr.strip().splitlines()
    assert first.startswith("smolreel: bad.mp4: ") and "1 of 2 videos failed: bad.mp4" in last
    assert not (tmp_path / "out" / "bad").exists()


def test_two_videos_of_one_name(tmp_path: Path, video: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_video(tmp_path / "other" / video.name, [textured(3)] * 100)
    assert run("reel", video, other, "-o", tmp_path / "out", "--target", "5").returncode == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"my clip", "my clip-2", "summary.csv", "summary.html"}
    first = (tmp_path / "out" / "my clip" / "reel.mp4").read_bytes()
    done = run("render", tmp_path / "out" / "my clip-2" / "plan.json", "-o", tmp_path / "out")
    assert done.returncode == 0 and (tmp_path / "out" / "my clip" / "reel.mp4").read_bytes() == first


def test_any_name_will_do(tmp_path: Path, video: Path) -> None:
    names = ("two\nlines.mp4", "100%.mp4", "'\"$;.mp4", "\u6620\u753b \U0001f3ac.mp4", "bad\udcff.mp4",
             "[bold]x[b].mp4", "-y.mp4")
    odd = [tmp_path / name for name in names]
    for number, path in enumerate(odd):
        with_other_bytes(video, path, number)
    done = run("reel", *odd, "-o", tmp_path / "out", "--target", "5", "--scorer", "signals", errors="backslashreplace")
    assert done.returncode == 0, done.stderr
    for path in odd:
        assert (tmp_path / "out" / path.stem / "reel.mp4").is_file()
        assert (tmp_path / "out" / path.stem / "plan.json").is_file()
        path.unlink()
    gone = run("reel", *odd, "-o", tmp_path / "out", errors="backslashreplace")
    # One line for each, and one for all.
    assert gone.returncode and gone.stderr.count("\n") == len(odd) + 1


def bad_inputs(folder: Path) -> dict[str, Path]:
    """A file of every kind that is no video."""
    files = {name: folder / name for name in ("empty.mp4", "text.mp4", "list.mp4", "concat.mp4", "missing.mp4", "dir")}
    files["empty.mp4"].touch()
    files["text.mp4"].write_text("hello\n" * 100)
    files["list.mp4"].write_text("#EXTM3U\n#EXTINF:1,\nreal.ts\n")
    files["concat.mp4"].write_text("ffconcat version 1.0\nfile real.ts\n")
    files["dir"].mkdir()
    return files


def test_every_bad_input_is_one_line(tmp_path: Path) -> None:
    for name, path in bad_inputs(tmp_path).items():
        done = run("reel", path, "-o", tmp_path / "out")
        assert done.returncode == 2 and f"smolreel: {name}: " in complaint(done), name
        assert not list((tmp_path / "out").rglob("*"))


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_file_that_may_not_be_read(tmp_path: Path, video: Path) -> None:
    """As a user who is not root: root may read everything."""
    nobody = 65534
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and os.getuid() == 0 and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    video.chmod(0)
    code = ("import os, sys\nfrom pathlib import Path\nfrom pipeline.media.readable import check_readable\n"
            f"if os.getuid() == 0: os.setgid({nobody}); os.setuid({nobody})\n"
            "try: check_readable(Path(sys.argv[1]), 'x')\n"
            "except Exception as error: print(error)\n")
    done = subprocess.run([sys.executable, "-c", code, str(video)], cwd=ROOT, capture_output=True, text=True)
    assert "may not be read" in done.stdout


@pytest.mark.parametrize(("arguments", "says"), [
    (["reel"], "VIDEO"),
    (["reel", "a.mp4"], "--out"),
    (["fly"], "fly"),
    (["reel", "a.mp4", "-o", "out", "--target", "soon"], "'--target'"),
    (["reel", "a.mp4", "-o", "out", "--target", "-5"], "target_s"),
    (["reel", "a.mp4", "-o", "out", "--scorer", "magic"], "scorer"),
    (["reel", "a.mp4", "-o", "out", "--export", "srt,docx"], "export: 'docx'"),
    (["reel", "a.mp4", "-o", "out", "--nonsense"], "--nonsense"),
    (["reel", "a.mp4", "-o", "out", "--pin", "soon"], "--pin: 'soon' is no stretch"),
    (["reel", "a.mp4", "-o", "out", "--pin", "1:00-2:00", "--ban", "90-95.5"], "both pinned and banned"),
    (["reel", "assets/sample.mp4", "-o", "out", "--scorer", "smolvlm2", "--model", "./gone"], "./gone: is no folder"),
    (["reel", "assets/sample.mp4", "-o", "out", "--scorer", "smolvlm2", "--model", "assets"], "holds no config.json"),
    (["render", "gone.json", "-o", "out"], "gone.json"),
])
def test_usage_errors_are_one_line(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and says in complaint(done) and done.stdout == ""


def test_an_output_folder_that_can_not_be_written(tmp_path: Path, video: Path) -> None:
    (tmp_path / "file").touch()
    done = run("reel", video, "-o", tmp_path / "file" / "out", "--scorer", "signals")
    assert done.returncode == 2 and "another folder" in complaint(done)


def test_a_full_disk(tmp_path: Path, video: Path) -> None:
    """Files may grow to a few kilobytes only, which fails as a full disk does."""
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = run("reel", video, "-o", tmp_path / "out", "--scorer", "signals", "--cache-dir", tmp_path / "cache",
               "--target", "8", preexec_fn=small_files)
    assert done.returncode == 2 and "disk" in complaint(done)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]


def test_ctrl_c_cancels_cleanly(tmp_path: Path) -> None:
    video = story(tmp_path / "long.mp4", loud=range(8, 12), shots=16, size=(480, 270))
    for wait_for in ("scan", "render"):
        child = subprocess.Popen(command("reel", video, "-o", tmp_path / "out", "--json", "--scorer", "signals",
                                         "--target", "60", "--no-cache"),
                                 cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line).get("stage") == wait_for:
                child.send_signal(signal.SIGINT)
                break
        child.stdout.read()
        assert child.wait(timeout=20) == 130
        assert child.stderr is not None and "cancelled" in child.stderr.read()
        child.stdout.close()
        child.stderr.close()
        assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    time.sleep(0.2)
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in running


def test_a_fault_of_ours_is_logged_and_not_thrown_at_the_user(tmp_path: Path, video: Path) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    done = run("reel", video, "-o", tmp_path / "out", "--scorer", "signals", "--render", "encode",
               "--cache-dir", tmp_path / "cache", env={**os.environ, "IMAGEIO_FFMPEG_EXE": str(broken)})
    assert done.returncode == 1
    (log,) = (tmp_path / "cache" / "logs").iterdir()
    assert str(log) in complaint(done) and "Traceback" in log.read_text()
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
