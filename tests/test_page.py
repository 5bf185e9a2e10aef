"""The page in a real browser: a video in, a reel out, corrected and taken home."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.making import story, textured, write_video
from tests.served import ROOT, Served, children, serving
from tests.smolvlm2_support import TINY

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT_MS = 120_000
MOST_MB, MOST_MINUTES = 6, 2

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page with small limits; when all is done, its log must be free of faults and its files gone."""
    with serving(tmp_path_factory.mktemp("page"), SMOLREEL_MAX_UPLOAD_MB=str(MOST_MB),
                 SMOLREEL_MAX_MINUTES=str(MOST_MINUTES)) as page:
        yield page
    assert "Traceback" not in page.log
    assert page.media_left() == []


def ffmpegs_of(served: Served) -> set[int]:
    """The ffmpeg processes that the server has started and that still run."""
    return {pid for pid, name in children(served.process.pid).items() if "ffmpeg" in name}


def ffmpegs_at_work(served: Served) -> set[int]:
    """Those of a reel in the making, one of which may have ended a moment before the next one starts; Linux only."""
    deadline = time.monotonic() + 30
    while Path("/proc/self/stat").exists():
        if found := ffmpegs_of(served):
            return found
        assert time.monotonic() < deadline, "no ffmpeg was ever at work"
        time.sleep(0.02)
    return set()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser."""
    if BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def page(served: Served, browser: Browser) -> Iterator[Page]:
    """The page, open in a visitor's browser, which fetches nothing from anywhere else."""
    with browser.new_context() as context:
        tab = context.new_page()
        strangers: list[str] = []
        tab.on("request", lambda request: strangers.append(request.url)
               if not request.url.startswith((served.url, "data:", "blob:")) else None)
        tab.goto(served.url)
        tab.wait_for_selector("#run")
        yield tab
        assert "Traceback" not in tab.content()
        assert strangers == []


def choose(page: Page, path: Path, *, usable: bool = True) -> None:
    """Put a file into the page by its file field."""
    page.set_input_files("#source input[type=file]", path)
    if usable:
        page.wait_for_selector(".sr-video", timeout=WAIT_MS)


def drop(page: Page, path: Path) -> None:
    """Drop a file onto the page, as a mouse does."""
    transfer = page.evaluate_handle(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name, { type: "video/mp4" }));
          return transfer;
        }""", [base64.b64encode(path.read_bytes()).decode(), path.name])
    page.dispatch_event("#source .upload-container", "drop", {"dataTransfer": transfer})


def look_by(page: Page, way: str) -> None:
    """Choose how moments are found."""
    page.get_by_role("button", name="More").click()
    page.get_by_label(way).check()


def wait_for_reel(page: Page) -> None:
    page.wait_for_selector("#reel video", timeout=WAIT_MS)
    page.wait_for_selector(".sr-clip", timeout=WAIT_MS)


def take(page: Page, button: str, to: Path) -> Path:
    """Download what a button gives."""
    with page.expect_download() as download:
        page.click(button)
    download.value.save_as(to)
    return to


def hurry(page: Page, button: str) -> None:
    """Click three times, without waiting for what each click does."""
    page.evaluate("button => { for (let i = 0; i < 3; i++) document.querySelector(button).click(); }", button)


def update(page: Page, click: Callable[[Page, str], object] = Page.click) -> None:
    """Update the reel, and wait until the new one plays."""
    before = page.get_attribute("#reel video", "src")
    click(page, "#update")
    page.wait_for_function("before => (document.querySelector('#reel video')?.src ?? before) !== before", arg=before,
                           timeout=WAIT_MS)
    expect(page.locator("#update")).to_be_enabled(timeout=WAIT_MS)


def clips_of(plan: Path) -> list[tuple[float, float]]:
    return [(clip["start_s"], clip["end_s"]) for clip in json.loads(plan.read_text())["clips"]]


def frames_of(reel: Path) -> int:
    with av.open(str(reel)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def agree(plan: Path, reel: Path) -> None:
    """The reel has the frames that its plan says."""
    fps = json.loads(plan.read_text())["video"]["fps"]
    wanted = sum(end_s - start_s for start_s, end_s in clips_of(plan)) * fps
    assert frames_of(reel) == pytest.approx(wanted, abs=len(clips_of(plan)))


def test_the_sample_is_corrected_and_taken_home(page: Page, tmp_path: Path) -> None:
    page.click("#sample")
    page.wait_for_selector(".sr-video", timeout=WAIT_MS)
    expect(page.locator("#estimate")).to_contain_text("Takes about", timeout=WAIT_MS)
    page.click("#run")
    wait_for_reel(page)
    first = clips_of(take(page, "#download-plan", tmp_path / "first.json"))
    agree(tmp_path / "first.json", take(page, "#download", tmp_path / "first.mp4"))

    page.click('[aria-label="Leave out clip 3"]')
    expect(page.locator(".sr-clip")).to_have_count(len(first) - 1)
    expect(page.locator("#total")).to_contain_text("Changes are not in the reel yet")
    page.click('[aria-label="Move clip 2 earlier"]')
    expect(page.locator(".sr-clip").first).to_have_attribute("data-start", f"{first[1][0]:.3f}")
    field = page.get_by_role("textbox", name="End of clip 1")
    later = first[1][1] + 0.5
    field.fill(f"{later:.1f}")
    field.press("Enter")
    expect(page.locator(".sr-clip").first).to_have_attribute("data-end", f"{round(later, 1):.3f}")
    update(page)
    expect(page.locator("#total")).not_to_contain_text("Changes")
    corrected = clips_of(take(page, "#download-plan", tmp_path / "second.json"))
    agree(tmp_path / "second.json", take(page, "#download", tmp_path / "second.mp4"))
    assert corrected == [(first[1][0], pytest.approx(later, abs=0.06)), first[0], *first[3:]]

    for _ in range(6):
        hurry(page, "#undo")
        expect(page.locator("#undo")).to_be_disabled()
        expect(page.locator(".sr-clip")).to_have_count(len(first))
        hurry(page, "#redo")
        expect(page.locator("#redo")).to_be_disabled()
        expect(page.locator(".sr-clip")).to_have_count(len(first) - 1)
    hurry(page, "#undo")
    expect(page.locator("#undo")).to_be_disabled()
    expect(page.locator(".sr-clip")).to_have_count(len(first))
    update(page)
    assert clips_of(take(page, "#download-plan", tmp_path / "third.json")) == first
    page.click("#redo")
    expect(page.locator(".sr-clip")).to_have_count(len(first) - 1)


def test_a_dropped_video_is_scored_by_its_signals(page: Page, media: Path) -> None:
    drop(page, media / "real" / "sintel_trailer_480x204.mp4")
    page.wait_for_selector(".sr-video", timeout=WAIT_MS)
    expect(page.locator("#facts")).to_contain_text("sintel_trailer_480x204.mp4")
    look_by(page, "Measure only")
    page.click("#run")
    wait_for_reel(page)
    expect(page.locator("#summary")).to_contain_text("picked by picture and sound")
    page.wait_for_selector("#plot .js-plotly-plot .xtick", timeout=WAIT_MS)
    line = page.locator("#bands .sr-line")
    line.focus()
    page.keyboard.press("PageUp")
    expect(page.locator(".sr-peek-when")).to_contain_text("0:10.0")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.sr-original video')?.currentTime >= 10", timeout=WAIT_MS)


def test_a_model_that_looks_and_a_reload_midway(page: Page, media: Path) -> None:
    choose(page, media / "real" / "sintel_trailer_480x204.mp4")
    look_by(page, "Look at it")
    model = page.get_by_label("Model that looks")
    model.fill(str(TINY))
    model.press("Enter")
    page.click("#run")
    page.wait_for_selector("#running .sr-progress", timeout=WAIT_MS)
    page.wait_for_function("() => location.search.includes('run=')")
    address = page.url
    page.reload()
    page.wait_for_selector("#running .sr-progress", timeout=WAIT_MS)
    wait_for_reel(page)
    assert page.url == address
    expect(page.locator("#summary")).to_contain_text("picked by model")
    said = page.inner_text("#strip")
    page.reload()
    wait_for_reel(page)
    assert page.inner_text("#strip") == said


def test_cancel_stops_everything_and_lets_the_next_one_in(page: Page, served: Served, browser: Browser) -> None:
    page.click("#sample")
    page.wait_for_selector(".sr-video", timeout=WAIT_MS)
    page.get_by_label("Crossfades and captions").check()
    page.click("#run")
    page.wait_for_selector(".sr-stages .now:has-text('Make the reel')", timeout=WAIT_MS)
    expect(page.locator(".sr-film img").first).to_be_visible(timeout=WAIT_MS)
    with browser.new_context() as another:
        waiting = another.new_page()
        waiting.goto(served.url)
        waiting.click("#sample")
        waiting.wait_for_selector(".sr-video", timeout=WAIT_MS)
        waiting.click("#run")
        expect(waiting.locator("#progress")).to_contain_text("Next in line", timeout=WAIT_MS)
        at_work = ffmpegs_at_work(served)
        page.click("#cancel")
        page.wait_for_selector("#run", timeout=WAIT_MS)
        assert not at_work & ffmpegs_of(served)
        assert "run=" not in page.url
        expect(page.locator(".sr-film")).to_have_count(0)
        expect(page.locator("#run")).to_be_enabled()
        wait_for_reel(waiting)
        assert not ffmpegs_of(served)
        waiting.click("#again")
        expect(waiting.locator("#earlier")).to_contain_text("sample.mp4", timeout=WAIT_MS)
        waiting.locator("#earlier a").click()
        wait_for_reel(waiting)


def test_two_visitors_see_nothing_of_each_other(served: Served, browser: Browser, tmp_path: Path) -> None:
    names = [story(tmp_path / name, loud=range(8, 14), shots=6) for name in ("ours.mp4", "theirs.mp4")]
    heard: list[list[str]] = [[], []]
    with browser.new_context() as one, browser.new_context() as other:
        pages = [one.new_page(), other.new_page()]
        for page, name, told in zip(pages, names, heard, strict=True):
            page.on("response", lambda response, told=told: told.append(_text_of(response)))
            page.goto(served.url)
            choose(page, name)
        for page in pages:
            page.click("#run")
        for page in pages:
            wait_for_reel(page)
        paths = [_path_of(page) for page in pages]
        secrets = [set(_tokens(path)) | {page.url.rsplit("run=")[1]} for page, path in zip(pages, paths, strict=True)]
        for page, told, name, hidden in zip(pages, heard, names[::-1], [secrets[1] - secrets[0],
                                                                       secrets[0] - secrets[1]], strict=True):
            everything = page.content() + "".join(told)
            assert name.name not in everything
            assert not [secret for secret in hidden if secret in everything]
        for guess in _guesses(paths[0]):
            assert _status(f"{served.url}/gradio_api/file={guess}") in (403, 404, 422), guess
        pages[1].goto(f"{served.url}/?run={pages[1].url.rsplit('run=')[1][:-1]}")
        expect(pages[1].locator("#trouble")).to_contain_text("no longer here", timeout=WAIT_MS)


def _text_of(response: Any) -> str:
    kind = response.headers.get("content-type", "")
    try:
        return str(response.text()) if "json" in kind or "html" in kind else ""
    except Exception:  # the browser may have thrown it away
        return ""


def _path_of(page: Page) -> str:
    """Where the reel that plays lies on the server."""
    return (page.get_attribute("#reel video", "src") or "").split("file=")[1]


def _tokens(path: str) -> list[str]:
    return [part for part in path.split("/") if len(part) >= 16 and re.fullmatch(r"[\w-]+", part)]


def _guesses(path: str) -> list[str]:
    """What somebody would try who knows how files are laid out, or one path of theirs."""
    parts = path.split("/")
    home = parts.index("runs")
    return ["/".join(parts[:home]), "/".join(parts[:home + 1]), "/".join(parts[:home + 3]), "/".join(parts[:-1]),
            "/".join([*parts[:-1], "..", "..", "..", "source"]), "/".join([*parts[:-3], "source"]),
            "/etc/passwd", "../../../../etc/passwd", "app.py", f"{ROOT}/app.py", f"{ROOT}/assets/sample.mp4",
            "/".join([*parts[:home + 2], ".lock", ""]), "file:///etc/passwd", "/".join(parts[:home]) + "/../rates.json",
            "%2e%2e/%2e%2e/etc/passwd", "/proc/self/environ"]


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_files_that_cannot_be_used_are_told_so(page: Page, tmp_path: Path) -> None:
    page.click("#run")
    expect(page.locator("#trouble")).to_contain_text("Choose a video first", timeout=WAIT_MS)
    wrong = tmp_path / "diary.mp4"
    wrong.write_text("Dear diary\n" * 50)
    choose(page, wrong, usable=False)
    expect(page.locator("#trouble")).to_contain_text("is a text file", timeout=WAIT_MS)
    page.click("#source [aria-label='Clear'], #source [aria-label='Remove this file']")
    long = write_video(tmp_path / "long.mp4", lambda i: textured(i // 40), 130, fps=1.0)
    choose(page, long, usable=False)
    expect(page.locator("#trouble")).to_contain_text("takes at most 2", timeout=WAIT_MS)
    page.click("#source [aria-label='Clear'], #source [aria-label='Remove this file']")
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes((MOST_MB + 1) * 1_000_000))
    page.set_input_files("#source input[type=file]", large)
    expect(page.locator("#too-large")).to_contain_text("larger than 6 MB", timeout=WAIT_MS)
    page.click("#sample")
    page.wait_for_selector(".sr-video", timeout=WAIT_MS)


def test_a_large_upload_is_refused_by_the_server_too(served: Served) -> None:
    body = (b'--x\r\nContent-Disposition: form-data; name="files"; filename="large.mp4"\r\n\r\n'
            + bytes((MOST_MB + 1) * 1_000_000) + b"\r\n--x--\r\n")
    request = urllib.request.Request(f"{served.url}/gradio_api/upload", body,
                                     {"Content-Type": "multipart/form-data; boundary=x"})
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as error:
        assert error.code == 413
    except (ConnectionError, urllib.error.URLError):
        pass  # it may hang up as soon as it has had enough
    else:
        pytest.fail("the server took it")


def test_senseless_wishes_are_answered_and_the_page_goes_on(page: Page) -> None:
    page.click("#sample")
    page.wait_for_selector(".sr-video", timeout=WAIT_MS)
    page.locator("#query textarea").fill("goal " * 2000)
    page.click("#run")
    expect(page.locator("#trouble")).to_contain_text("fewer words", timeout=WAIT_MS)
    page.locator("#query textarea").fill("")
    page.get_by_label("Square").check()
    page.get_by_role("button", name="More").click()
    page.get_by_label("Table (CSV)").first.check()
    page.click("#run")
    wait_for_reel(page)
    page.wait_for_function("() => (v => v.videoWidth > 0 && v.videoWidth === v.videoHeight)"
                           "(document.querySelector('#reel video'))", timeout=WAIT_MS)
    expect(page.locator("#files")).to_contain_text(".csv")
    start = page.get_by_role("textbox", name="Start of clip 1")
    start.fill("9:59")
    start.press("Enter")
    expect(page.locator("#said")).to_contain_text("keep the clip inside it", timeout=WAIT_MS)
    for _ in range(page.locator(".sr-clip").count()):
        before = page.locator(".sr-clip").count()
        page.click('[aria-label="Leave out clip 1"]')
        expect(page.locator(".sr-clip")).to_have_count(before - 1)
    expect(page.locator("#strip")).to_contain_text("Nothing is left in the reel")
    page.click("#update")
    expect(page.locator("#notice")).to_contain_text("every clip is left out", ignore_case=True, timeout=WAIT_MS)
    page.locator('[aria-label^="Take in the moment"]').first.click()
    expect(page.locator(".sr-clip")).to_have_count(1)
    update(page, hurry)
    expect(page.locator(".sr-trouble")).to_have_count(0)


SCRIPT = """
from gradio_client import Client, handle_file

client = Client("{url}", verbose=False, download_files="{folder}")
reel, plan = client.predict(video=handle_file("{video}"), target_s=10, scorer="signals", api_name="/reel")
again, plan_again = client.predict(video=handle_file("{video}"), plan=handle_file(plan), api_name="/render")
print(reel)
print(plan)
print(again)
"""


def test_ten_lines_of_a_program_make_a_reel(served: Served, sample: Path, tmp_path: Path) -> None:
    script = SCRIPT.format(url=served.url, folder=tmp_path, video=sample)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    reel, plan, again = map(Path, done.stdout.split())
    agree(plan, reel)
    assert frames_of(again) == frames_of(reel)
    with urllib.request.urlopen(f"{served.url}/gradio_api/info", timeout=10) as answer:
        assert set(json.load(answer)["named_endpoints"]) == {"/reel", "/render"}
