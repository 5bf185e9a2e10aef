"""The server beside the page: how it is, headers, what its log says, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import gradio as gr
import pytest
from gradio.state_holder import StateHolder

from app.answers import headers_of
from app.jobs import OUR_FAULT, Jobs, Refused
from app.serving import forget_old, forget_tabs
from pipeline import Settings
from tests.making import story
from tests.served import Served, children, serving

NEEDS_PROC = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes in /proc")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a name that no log shall hold."""
    return story(tmp_path_factory.mktemp("film") / "our wedding.mp4", loud=range(1, 2), shots=3, shot_s=1,
                 size=(96, 54), fps=10)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page that has so little time to end that what runs is cancelled."""
    with serving(tmp_path_factory.mktemp("served"), SMOLREEL_STOP_SECONDS="3") as page:
        yield page


def test_health_and_headers(served: Served) -> None:
    assert served.health() == (200, {"ok": True, "waiting": 0, "running": 0})
    for path in ("/", "/healthz", "/config", "/nothing-here"):
        request = urllib.request.Request(served.url + path)
        try:
            headers = urllib.request.urlopen(request, timeout=60).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'self'" in headers["content-security-policy"]


def test_a_space_may_be_framed_by_its_host_alone() -> None:
    policy = headers_of({"SPACE_ID": "a/b"})["content-security-policy"]
    assert policy.startswith("frame-ancestors 'self' https://huggingface.co ") and "default-src" not in policy
    assert "default-src 'self'" in headers_of({})["content-security-policy"]


@NEEDS_PROC
def test_a_run_is_cancelled_when_the_page_must_end(served: Served, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    film = story(tmp_path / "long.mp4", loud=range(100, 110), shots=30, size=(320, 180))
    client = Client(served.url, verbose=False, download_files=False)
    job = client.submit(handle_file(film), target_s=60, style="styled", scorer="signals", api_name="/reel")
    served.wait_for(running=1)
    started = children(served.process.pid)
    served.process.send_signal(signal.SIGTERM)
    served.process.wait(60)
    assert served.process.returncode == 0, served.log
    assert "Traceback" not in served.log and not served.media_left()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert job.exception(60) is not None


def test_what_runs_is_finished_first(tmp_path: Path, film: Path) -> None:
    jobs = Jobs(tmp_path / "runs")
    first, second = (jobs.submit("ann", film, film.name, Settings(scorer="signals")) for _ in range(2))
    while jobs.counts()[1] == 0:
        time.sleep(0.01)
    closing = threading.Thread(target=jobs.finish, args=(120,))
    closing.start()
    while jobs.taking:
        time.sleep(0.01)
    with pytest.raises(Refused, match="is closing"):
        jobs.submit("bob", film, film.name, Settings())
    while (now := jobs.get(first.id)) is not None and now.busy:
        time.sleep(0.01)
    assert now is not None and now.outcome is not None and now.files[0].is_file()
    waiting = jobs.get(second.id)
    assert waiting is not None and waiting.state == "cancelled"
    closing.join(60)
    assert jobs.closing.cancelled and not list((tmp_path / "runs").iterdir())


def test_nothing_stays_in_line_when_all_is_closed(tmp_path: Path, film: Path) -> None:
    jobs = Jobs(tmp_path / "runs")
    runs = [jobs.submit("ann", film, film.name, Settings(scorer="signals")) for _ in range(3)]
    jobs.close()
    states = [run.state for run in map(jobs.get, [run.id for run in runs]) if run is not None]
    assert len(states) == 3 and jobs.counts() == (0, 0), states


@pytest.mark.skipif(os.name == "nt", reason="the program that fails is a shell script")
def test_the_log_names_nobodys_file(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch,
                                    caplog: pytest.LogCaptureFixture) -> None:
    failing = tmp_path / "ffmpeg"
    failing.write_text('#!/bin/sh\necho "$@ failed" >&2\nexit 1\n')
    failing.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(failing))
    monkeypatch.setenv("HOME", str(tmp_path))
    jobs = Jobs(tmp_path / "runs")
    try:
        with caplog.at_level(logging.INFO, "smolreel"):
            run = jobs.submit("ann", film, film.name, Settings(scorer="signals", render="encode"))
            while (now := jobs.get(run.id)) is not None and now.busy:
                time.sleep(0.02)
    finally:
        jobs.close()
    assert now is not None and now.error == OUR_FAULT
    (record,) = caplog.records
    said = record.getMessage()
    assert "FFmpegError" in said and "failed" in said
    assert "wedding" not in said and str(tmp_path) not in said and "ann" not in said.split()


def test_uploads_go_when_they_are_old(tmp_path: Path) -> None:
    for name in ("a/old.mp4", "runs/x/kept.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"film")
    (tmp_path / ".lock").touch()
    forget_old(tmp_path, time.time() - 60)
    assert (tmp_path / "a/old.mp4").is_file()
    forget_old(tmp_path, time.time() + 60)
    assert not (tmp_path / "a").exists() and (tmp_path / "runs/x/kept.mp4").is_file() and (tmp_path / ".lock").exists()


def test_tabs_go_when_nobody_used_them_for_long() -> None:
    async def forget() -> None:
        # Gradio wants a loop where a page is built.
        with gr.Blocks() as page:
            chosen = gr.State("nothing")
        holder = StateHolder()
        holder.set_blocks(page)
        for tab in ("closed", "open"):
            holder[tab][chosen._id] = "a video"
        holder.time_last_used["closed"] -= timedelta(hours=2)
        forget_tabs(page, time.time() - 3600)
        assert list(holder.session_data) == list(holder.time_last_used) == ["open"]
        assert holder["open"][chosen._id] == "a video" and holder["closed"][chosen._id] == "nothing"

    asyncio.run(forget())
