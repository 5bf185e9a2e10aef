"""The page in a real browser: a video in, a reel out."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 120_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Address of a page that is being served."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env={**os.environ, "GRADIO_SERVER_PORT": str(port)})
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                time.sleep(0.25)
        yield url
    finally:
        server.terminate()
        server.communicate(timeout=20)


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """The page, open in a browser."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto(address)
        yield tab
        browser.close()


def test_the_sample_becomes_a_reel(page: Page, tmp_path: Path) -> None:
    page.click("#sample")
    page.wait_for_selector("#source video", timeout=WAIT_MS)
    page.click("#run")
    page.wait_for_selector("#reel video", timeout=WAIT_MS)
    expect(page.locator("#status")).to_contain_text("clips", timeout=WAIT_MS)
    files = {}
    for name in ("reel.mp4", "plan.json"):
        with page.expect_download() as download:
            page.locator(f"a[download='{name}']").first.click()
        files[name] = tmp_path / name
        download.value.save_as(files[name])
    plan = json.loads(files["plan.json"].read_text())
    with av.open(str(files["reel.mp4"])) as container:
        video = container.streams.video[0]
        length_s = float(video.duration * video.time_base)
    assert length_s == pytest.approx(sum(c["end_s"] - c["start_s"] for c in plan["clips"]), abs=0.05)


def test_another_shape_and_more_files(page: Page, tmp_path: Path) -> None:
    page.click("#sample")
    page.wait_for_selector("#source video", timeout=WAIT_MS)
    page.get_by_role("button", name="More").click()
    page.get_by_label("Shape").click()
    page.get_by_role("option", name="Square").click()
    page.get_by_label("csv").check()
    page.click("#run")
    expect(page.locator("#status")).to_contain_text("clips", timeout=WAIT_MS)
    for name in ("reel.mp4", "reel.csv"):
        with page.expect_download() as download:
            page.locator(f"a[download='{name}']").first.click()
        download.value.save_as(tmp_path / name)
    with av.open(str(tmp_path / "reel.mp4")) as container:
        assert container.streams.video[0].width == container.streams.video[0].height
    assert len((tmp_path / "reel.csv").read_text().splitlines()) > 2


def test_a_wrong_file_is_a_friendly_message(page: Page, tmp_path: Path) -> None:
    page.click("#run")
    expect(page.locator("body")).to_contain_text("Choose a video first", timeout=WAIT_MS)
    wrong = tmp_path / "diary.mp4"
    wrong.write_text("Dear diary\n" * 50)
    page.set_input_files("#source input[type=file]", wrong)
    page.wait_for_timeout(1500)
    page.click("#run")
    expect(page.locator("body")).to_contain_text("is a text file", timeout=WAIT_MS)
    assert "Traceback" not in page.content()
