"""Takes page.png, README's picture of the page: the sample's reel, as a newcomer sees it.

    python -m app ui &
    python assets/take_page.py [-o PATH] [--url URL]

Needs Playwright and a Chromium (requirements-dev.txt; `make browser`).
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

_SIZE = {"width": 1180, "height": 1270}
_WAIT_MS = 120_000


def main() -> None:
    """Make the sample's reel in a browser and take a picture of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).with_name("page.png"))
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page(viewport=_SIZE, color_scheme="light")
        page.goto(given.url)
        page.click("#sample")
        page.wait_for_selector(".sr-video", timeout=_WAIT_MS)
        page.click("#run")
        page.wait_for_selector("#plot .xtick", timeout=_WAIT_MS)
        page.wait_for_function("() => document.querySelector('#reel video')?.currentTime > 5.5", timeout=_WAIT_MS)
        page.evaluate("() => document.querySelector('#reel video').pause()")
        line = page.locator("#bands .sr-line").bounding_box()
        assert line is not None
        # On the best moment, so that what pointing at the timeline does is seen.
        page.mouse.move(line["x"] + 0.84 * line["width"], line["y"] + line["height"] / 2)
        page.wait_for_timeout(500)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        opened.close()
    # A palette is as good for a drawn page, and half the size.
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
