"""Many videos at once on this machine: what is bad stops nothing, what is done isn't done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline import BatchProgress, Cancelled, CancelToken, Outcome, Progress, Settings, SettingsError, make_reels
from pipeline.batch.local import default_jobs, share_of
from pipeline.batch.work import DONE, DUPLICATE, FAILED, SKIPPED, finished
from pipeline.plan import read_plan
from tests.making import story

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three videos, two of one stem, and all that may lie beside them."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "day 2").mkdir()
    story(folder / "match.mp4", loud=range(8, 12), shots=5)
    story(folder / "match.mov", loud=range(4, 7), shots=5)
    story(folder / "day 2" / "match.mp4", loud=range(13, 16), shots=5)
    shutil.copy(folder / "match.mov", folder / "day 2" / "again.mov")
    (folder / "torn.mp4").write_bytes((folder / "match.mp4").read_bytes()[:3000])
    (folder / "notes.txt").write_text("no video")
    (folder / "day 2" / "loop").symlink_to(folder)
    (folder / "gone.mp4").symlink_to(folder / "nowhere.mp4")
    os.mkfifo(folder / "pipe.mp4")
    return folder


def settings_in(folder: Path, **given: object) -> Settings:
    """Quick ones, with a cache of their own."""
    return Settings(scorer="signals", target_s=6.0, cache_dir=folder / "cache").with_given(**given)


def states(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    """States by title."""
    return {outcome.item.title: outcome.state for outcome in outcomes}


def plans(out: Path) -> dict[str, object]:
    """All plans, without what differs from run to run."""
    found: dict[str, object] = {}
    for path in out.rglob("plan.json"):
        document = json.loads(path.read_text())
        for part in ("timings_s", "notes"):
            document.pop(part, None)
        document["settings"].pop("cache_dir", None)
        found[str(path.relative_to(out))] = document
    return found


@pytest.fixture(scope="module")
def made(films: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Outcome, ...], list]:
    """What two at once made of the folder, and the events with the threads that they came on."""
    folder, events = tmp_path_factory.mktemp("made"), []
    outcomes = make_reels(films, settings_in(folder), folder / "out", jobs=2,
                          report=lambda event: events.append((event, threading.current_thread())))
    return folder, outcomes, events


def test_a_mixed_folder(films: Path, made: tuple[Path, tuple[Outcome, ...], list]) -> None:
    folder, outcomes, _ = made
    found = states(outcomes)
    assert [state for state in found.values() if state == DONE] == [DONE] * 3
    assert found["match.mp4"] == found["day 2/match.mp4"] == DONE and found["torn.mp4"] == FAILED
    assert DUPLICATE in found.values() and "notes.txt" not in found
    reels = {outcome.reel for outcome in outcomes if outcome.state == DONE}
    assert len(reels) == 3 and all(Path(str(reel)).is_file() for reel in reels)
    assert all(outcome.reel in reels for outcome in outcomes if outcome.state == DUPLICATE)
    text = (folder / "out" / "summary.html").read_text()
    assert all(title in text for title in found) and text.count("data:image/jpeg") >= 6
    assert (folder / "out" / "summary.csv").read_text().count("\n") == 1 + len(outcomes)


def test_events_come_on_the_callers_thread_and_never_go_back(
        made: tuple[Path, tuple[Outcome, ...], list]) -> None:
    _, outcomes, events = made
    assert {thread for _, thread in events} == {threading.main_thread()}
    told: list[BatchProgress] = [event for event, _ in events]
    assert sorted(event.fraction for event in told) == [event.fraction for event in told] and told[-1].fraction == 1
    assert sorted(str(e.outcome.item) for e in told if e.outcome) == sorted(str(one.item) for one in outcomes)
    assert {event.progress.stage for event in told if event.progress} >= {"probe", "scan", "score", "render"}


def test_a_second_run_does_nothing(films: Path, made: tuple[Path, tuple[Outcome, ...], list]) -> None:
    folder, first, _ = made
    reels = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.mp4")}
    outcomes = make_reels([films], settings_in(folder), folder / "out", jobs=2)
    assert {SKIPPED if state == DONE else state for state in states(first).values()} == set(states(outcomes).values())
    assert reels == {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("*.mp4")}
    one = films / "match.mp4"
    assert states(make_reels([one], settings_in(folder), folder / "alone")) == {"match.mp4": DONE}
    assert states(make_reels([one], settings_in(folder), folder / "alone", again=True)) == {"match.mp4": DONE}


def test_one_at_a_time_makes_the_same_plans(films: Path, tmp_path: Path,
                                            made: tuple[Path, tuple[Outcome, ...], list]) -> None:
    make_reels(films, settings_in(tmp_path), tmp_path / "out", jobs=1)
    assert plans(tmp_path / "out") == plans(made[0] / "out")


def test_what_counts_as_finished(films: Path, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (outcome,) = make_reels(films / "match.mp4", settings, tmp_path / "out")
    item, out, reel = outcome.item, tmp_path / "out", Path(str(outcome.reel))

    def state(**given: object) -> str | None:
        found = finished(item, out, settings.with_given(**given))
        return found and found.state

    assert state() == SKIPPED and state(target_s=9.0) is None
    plan_file = reel.with_name("plan.json")
    text = plan_file.read_text()
    plan = read_plan(plan_file)
    # A corrected plan is rendered again: the reel is newer than its note, and the plan than the reel.
    whole = reel.read_bytes()
    reel.write_bytes(whole)
    plan.write(plan_file)
    assert state() == SKIPPED
    plan_file.write_text(text)
    reel.write_bytes(whole[:-100])
    assert state() is None
    reel.unlink()
    assert state() is None


def test_a_cancel_keeps_what_is_done_and_sums_it_up(films: Path, tmp_path: Path) -> None:
    token = CancelToken()

    def report(event: BatchProgress) -> None:
        if event.outcome is not None and event.outcome.state == DONE:
            token.cancel()

    with pytest.raises(Cancelled):
        make_reels(films, settings_in(tmp_path), tmp_path / "out", jobs=1, report=report, cancel=token)
    assert len(list((tmp_path / "out").rglob("reel.mp4"))) == 1
    assert "not done" in (tmp_path / "out" / "summary.html").read_text()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reel-")]
    assert DONE in states(make_reels(films, settings_in(tmp_path), tmp_path / "out", jobs=2)).values()


def test_what_the_report_raises_ends_the_batch(films: Path, tmp_path: Path) -> None:
    def report(event: BatchProgress) -> None:
        if event.progress is not None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        make_reels(films, settings_in(tmp_path), tmp_path / "out", jobs=2, report=report)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("reel-")]


def test_decisions() -> None:
    assert default_jobs(16, 9_000_000_000) == 4 and default_jobs(2, 64_000_000_000) == 2
    assert default_jobs(64, 640_000_000_000) == 8 and default_jobs(4, 100) == 1
    shares = [share_of(Progress(stage, share)) for stage in ("probe", "scan", "score", "render", "export")
              for share in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares) and shares[-1] == 1
    with pytest.raises(SettingsError, match="jobs"):
        make_reels("x.mp4", jobs=0)


def command(*arguments: object) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "app", "reel", *map(str, arguments)]


def test_the_command_line_tells_programs(films: Path, made: tuple[Path, tuple[Outcome, ...], list]) -> None:
    folder, outcomes, _ = made
    done = subprocess.run(command(films, "-o", folder / "out", "--scorer", "signals", "--target", 6, "--cache-dir",
                                  folder / "cache", "--json", "--jobs", 2), cwd=ROOT, capture_output=True, text=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2 and "Traceback" not in done.stderr
    results = [event for event in events if event["event"] == "result"]
    assert {event["name"] for event in results} | {event["name"] for event in events if event["event"] == "error"
                                                   and event["video"]} == {one.item.name for one in outcomes}
    summary = next(event for event in events if event["event"] == "summary")
    assert summary["skipped"] == 3 and summary["total"] == len(outcomes) and Path(summary["summary"]).is_file()
    assert summary["failed"] == sum(one.state == FAILED for one in outcomes)


def test_a_folder_without_a_video_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("none")
    done = subprocess.run(command(tmp_path / "in", "-o", tmp_path / "out"), cwd=ROOT, capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("smolreel: in: is a directory without a video") and not done.stdout
    assert not (tmp_path / "out").exists()


def start(films: Path, folder: Path) -> subprocess.Popen[str]:
    """The command line on the folder, one at a time, for programs."""
    return subprocess.Popen(command(films, "-o", folder / "out", "--scorer", "signals", "--target", 6, "--cache-dir",
                                    folder / "cache", "--json", "--jobs", 1), cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_or_cancelled_it_goes_on(films: Path, tmp_path: Path, number: int) -> None:
    run = start(films, tmp_path)
    assert run.stdout is not None
    scanned, seen = "", []
    for line in run.stdout:
        event = json.loads(line)
        seen.append(event)
        # In the middle of the second video's work, with its scan whole.
        if event.get("done", 0) >= 1 and event.get("stage") == "render":
            scanned = event["name"]
            break
    run.send_signal(number)
    _, said = run.communicate(timeout=20)
    assert run.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert "cancelled" in said and (tmp_path / "out" / "summary.html").is_file()
    before = {path.name for path in (tmp_path / "cache" / "scan").iterdir()}
    again = start(films, tmp_path)
    told, _ = again.communicate(timeout=60)
    events = [json.loads(line) for line in told.splitlines()]
    assert again.returncode == 2
    assert {e["state"] for e in events if e["event"] == "result"} == {DONE, SKIPPED, DUPLICATE}
    first = {e["name"] for e in seen if e["event"] == "result"}
    assert first <= {e["name"] for e in events if e.get("state") == SKIPPED}
    # What was scanned wasn't scanned again: no share of it was told.
    assert {e["fraction"] for e in events if e.get("name") == scanned and e.get("stage") == "scan"} == {1.0}
    assert before <= {path.name for path in (tmp_path / "cache" / "scan").iterdir()}
