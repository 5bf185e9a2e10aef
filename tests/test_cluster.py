"""Many videos on three raylets: the reels are right whatever is lost, and nothing that was whole is done again."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
import ray

from pipeline import Settings, make_reel
from pipeline.batch import remote
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.joining import joined, load
from pipeline.batch.shared import twice
from pipeline.batch.work import DONE, FAILED, SKIPPED, Item, Outcome
from pipeline.cores import cores, usable_cores
from pipeline.errors import Cancelled, ClusterError
from pipeline.progress import CancelToken
from tests.cluster_support import Machines, called, executions, kill, losing, machines, watching
from tests.making import story
from tests.smolvlm2_support import TINY, nearly_same

ROOT = Path(__file__).resolve().parent.parent
# Ray leaves files and sockets of its own for the collector when a test's cluster ends.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
SIGNALS = {"scorer": "signals", "target_s": 6.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Three machines. The connection stays open, so that their workers do: to start one takes seconds."""
    with machines(tmp_path_factory.mktemp("machines")) as found, joined(found.address, CancelToken()):
        yield found


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Four videos, each with a moment of its own."""
    folder = tmp_path_factory.mktemp("films")
    return [Item(str(story(folder / f"film{n}.mp4", loud=range(4 * n + 1, 4 * n + 4), shots=5, size=(320, 180))),
                 f"film{n}", f"film{n}.mp4") for n in range(4)]


def run(films: list[Item], out: Path, address: str, cancel: CancelToken | None = None, cluster: dict | None = None,
        **given: object) -> list[Outcome]:
    """Reels of them on the cluster."""
    settings = Settings(**{**SIGNALS, **given})  # type: ignore[arg-type]
    return reels_on_cluster(films, str(out), settings, ClusterSettings(address, **(cluster or {})), cancel=cancel)


def check(outcome: Outcome, film: Item, tmp_path: Path, **given: object) -> None:
    """The reel is the one that this machine makes alone, and whole."""
    assert (outcome.item, outcome.message) == (film, "")
    alone = make_reel(film.source, Settings(**{**SIGNALS, **given, "cache_dir": tmp_path / "alone"}),  # type: ignore[arg-type]
                      tmp_path / "alone" / film.name)
    assert nearly_same(outcome.clips, alone.plan.clips)
    with av.open(outcome.reel or "") as reel, av.open(str(alone.reel.path)) as other:
        assert len(list(reel.decode(video=0))) == len(list(other.decode(video=0)))


def test_addresses_that_do_not_answer() -> None:
    for address, said in (("127.0.0.1:1", "no Ray cluster answered"), ("nobody", "no Ray cluster answered"),
                          ("ray://head:10001", "write it as HOST:PORT"), ("head:port", "write it as HOST:PORT")):
        with pytest.raises(ClusterError, match=said), joined(address, CancelToken()):
            pass


def test_what_listens_need_not_be_a_cluster() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ClusterError, match=r"no Ray cluster answered within 0.2 s"), \
                joined(address, CancelToken(), connect_s=0.2):
            pass


@pytest.mark.skipif(usable_cores() < 2, reason="one core is nobody's to share")
def test_a_task_takes_as_many_cores_as_it_counts_for(made: Machines) -> None:
    def at_work() -> int:
        with remote.at_work():
            return cores()

    assert ray.get(ray.remote(at_work).options(num_cpus=1).remote()) == 1


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"needs Ray.*pip install -r requirements-cluster.txt"), \
            joined("local", CancelToken()):
        pass


def test_a_program_that_has_ray_decides_on_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("token")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    load()
    assert "RAY_AUTH_MODE" not in os.environ


def test_ray_is_loaded_only_where_it_is_used() -> None:
    code = ("import sys, app.__main__, pipeline.batch.cluster\n"
            "print([name for name in ('ray', 'fsspec', 'torch') if name in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_machine_that_is_lost_takes_only_what_it_was_at(made: Machines, films: list[Item], tmp_path: Path) -> None:
    store, lost = f"{tmp_path}/out/.stages", []
    look = losing(made, store, after=1)

    def lose() -> bool:
        lost.extend(filter(None, [look()]))
        return bool(lost)

    with watching(lose) as seen:
        outcomes = run(films, tmp_path / "out", made.address)
    made.add()
    assert seen.is_set() and [(one.state, one.message) for one in outcomes] == [(DONE, "")] * len(films)
    for film, outcome in zip(films, outcomes, strict=True):
        check(outcome, film, tmp_path)
    known = executions(store)
    assert [one for one in known if not one.done and one.worker == lost[0]]
    assert twice(known, tuple(lost)) == []
    assert Counter(one.stage for one in known if one.done) == dict.fromkeys(("scan", "score", "render"), len(films))
    assert len({one.worker for one in known}) == 3

    # A second run finds all of it.
    assert [one.state for one in run(films, tmp_path / "out", made.address)] == [SKIPPED] * len(films)
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").read_text().splitlines()))
    assert [(row["video"], row["state"], row["reel"]) for row in rows] == [
        (film.title, SKIPPED, f"{film.name}/reel.mp4") for film in films]
    assert (tmp_path / "out" / "summary.html").read_text().count("data:image/jpeg") >= len(films)
    assert len(executions(store)) == len(known)


def test_models_stay_in_their_actors(made: Machines, films: list[Item], tmp_path: Path) -> None:
    """And what can't be read is one line, beside which the rest is finished."""
    (tmp_path / "torn.mp4").write_bytes(Path(films[0].source).read_bytes()[:5000])
    torn = Item(str(tmp_path / "torn.mp4"), "torn", "torn.mp4")
    gone = Item(str(tmp_path / "gone.mp4"), "gone", "gone.mp4")
    given = {"scorer": "smolvlm2", "model": str(TINY), "device": "cpu", "cache_dir": tmp_path / "cache"}
    outcomes = run([torn, films[0], gone, films[1]], tmp_path / "out", made.address,
                   cluster={"scorers": 1}, **given)
    assert [one.state for one in outcomes] == [FAILED, DONE, FAILED, DONE]
    assert not any("\n" in one.message or one.fault for one in outcomes)
    assert "there is no such file" in outcomes[2].message
    check(outcomes[1], films[0], tmp_path, **given)
    scored = [one for one in executions(f"{tmp_path}/out/.stages") if one.stage == "score"]
    assert len(scored) == 2 and len({one.worker for one in scored}) == 1
    assert len({outcomes[1].worker, outcomes[3].worker, scored[0].worker}) > 1


def test_a_worker_that_always_dies_costs_its_video_alone(made: Machines, films: list[Item], tmp_path: Path) -> None:
    def reap() -> bool:
        for pid in made.at("scan film0.mp4"):
            kill(pid)
        return False

    with watching(reap):
        outcomes = run(films[:2], tmp_path / "out", made.address, cluster={"retries": 1}, cache=False)
    assert [one.state for one in outcomes] == [FAILED, DONE]
    assert outcomes[0].message.startswith("its scan ended without a word, for want of memory or by a lost machine, 2 ")
    # Another run does what is left, and no more.
    again = run(films[:2], tmp_path / "out", made.address, cache=False)
    assert [one.state for one in again] == [DONE, SKIPPED]
    known = executions(f"{tmp_path}/out/.stages")
    assert Counter(one.stage for one in known if one.done) == {"scan": 2, "score": 2, "render": 2}


def test_cancelling_ends_the_tasks(made: Machines, tmp_path: Path) -> None:
    long = Item(str(story(tmp_path / "long.mp4", loud=range(3), shots=40, size=(160, 90))), "long", "long.mp4")
    cancel, store = CancelToken(), f"{tmp_path}/out/.stages"

    def begun() -> bool:
        if [one for one in executions(store) if one.stage == "scan"]:
            cancel.cancel()
        return cancel.cancelled

    with watching(begun), pytest.raises(Cancelled):
        run([long], tmp_path / "out", made.address, cancel, cache_dir=tmp_path / "cache")
    assert not made.at("scan long.mp4")
    time.sleep(0.5)
    assert [one.done for one in executions(store)] == [False]
    assert not [path for path in (tmp_path / "cache").rglob(".smolreel-*")]
    assert not (tmp_path / "out" / "long").exists()


def smolreel(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line, which knows of no cluster that runs here."""
    environment = os.environ | {"RAY_TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(folder / "c"),
                                # Ray writes a new cluster's token there.
                                "HOME": str(folder)}
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        environment.pop(name, None)
    return subprocess.Popen([sys.executable, "-m", "app", *arguments], cwd=ROOT, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_command_that_starts_its_own_cluster_leaves_nothing(films: list[Item], tmp_path: Path) -> None:
    folder, temporary = tmp_path / "in", Path(tempfile.mkdtemp(prefix="ray-"))
    (folder / "a").mkdir(parents=True)
    for name in ("a/film.mp4", "copy.mp4"):
        (folder / name).write_bytes(Path(films[0].source).read_bytes())
    (folder / "torn.mov").write_bytes(b"torn")
    (folder / "round").symlink_to(folder)
    try:
        child = smolreel(temporary, "reel", str(folder), "-o", f"file://{tmp_path}/out", "--scorer", "signals",
                         "--target", "6", "--cluster", "auto", "--jobs", "2", "--render", "encode")
        said, errors = child.communicate(timeout=120)
        assert child.returncode == 2
        assert said == (f"a/film.mp4: 0:06.0 reel in {tmp_path}/out/a/film/reel.mp4\n"
                        "copy.mp4: the same as a/film.mp4\n"
                        f"1 reel of 3 videos: {tmp_path}/out/summary.html\n")
        lines = errors.splitlines()
        assert len(lines) == 2 and lines[0].startswith("smolreel: torn.mov: ")
        assert lines[1] == "smolreel: 1 of 3 videos failed: torn.mov; run the command again for what is left"
        assert not called(str(temporary))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def test_ctrl_c_ends_the_command_and_its_cluster(tmp_path: Path) -> None:
    story(tmp_path / "in.mp4", loud=range(3), shots=40)
    temporary = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        child = smolreel(temporary, "reel", str(tmp_path / "in.mp4"), "-o", str(tmp_path / "out"),
                         "--scorer", "signals", "--cluster", "local")
        with watching(lambda: bool(executions(f"{tmp_path}/out/.stages"))) as begun:
            assert begun.wait(60)
            child.send_signal(signal.SIGINT)
            said, errors = child.communicate(timeout=60)
        assert (child.returncode, said) == (130, "")
        assert errors == "smolreel: cancelled; what is done stays done; the same command goes on from there\n"
        assert not called(str(temporary)) and not (tmp_path / "out" / "in").exists()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def test_the_command_says_in_one_line_that_no_cluster_answers(tmp_path: Path) -> None:
    story(tmp_path / "in.mp4", loud=range(1), shots=1)
    child = smolreel(tmp_path, "reel", str(tmp_path / "in.mp4"), "-o", str(tmp_path / "out"),
                     "--cluster", "127.0.0.1:1")
    said, errors = child.communicate(timeout=60)
    assert (child.returncode, said, len(errors.splitlines())) == (2, "", 1)
    assert errors.startswith("smolreel: 127.0.0.1:1: no Ray cluster answered within 5 s; ")
