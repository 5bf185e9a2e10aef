"""summary.html and summary.csv: what came of many videos, for the folder of their reels; both fetch nothing."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from pipeline.batch.storage import is_url
from pipeline.batch.work import DONE, DUPLICATE, FAILED, SKIPPED, Outcome
from pipeline.export.document import STYLE, document, escaped
from pipeline.export.words import cell, clock, shortened, title
from pipeline.plan import FILE_NAME

PAGE, TABLE = "summary.html", "summary.csv"
COLUMNS = ("video", "source", "state", "message", "reel", "plan", "video_s", "reel_s", "clips", "top_moments",
           "exports", "warnings", "took_s")
_STYLES = (STYLE, Path(__file__).with_name("summary.css"))
# A page with more pictures than those of so many videos would no longer open at once.
_MOST_PICTURED = 600


def summaries(outcomes: Sequence[Outcome], out: str | Path, left: int = 0) -> dict[str, bytes]:
    """Both files by their names.

    out: the folder that they are for, by path or address, under which the reels are
    left: videos that nothing came of, since the run was cancelled
    """
    text = csv_text(outcomes, out)
    return {TABLE: text.encode() if text.isascii() else text.encode("utf-8-sig"),
            PAGE: page_of(outcomes, out, left).encode()}


def remembered(outcome: Outcome, number: int) -> Outcome:
    """What is kept of the outcome with that number until all are there: the pictures of ten thousand are too much."""
    return outcome if number < _MOST_PICTURED else replace(outcome, pictures=())


def csv_text(outcomes: Sequence[Outcome], out: str | Path) -> str:
    """A row a video, in their order; no cell of it passes for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for outcome in outcomes:
        moments = " | ".join(f"{clock(clip.start_s)} - {clock(clip.end_s)} {clip.description}".rstrip()
                            for clip in outcome.moments)
        reel = _beside(outcome.reel, out)
        plan = f"{reel.rpartition('/')[0]}/{FILE_NAME}" if reel else ""
        writer.writerow([
            cell(outcome.item.title), cell(outcome.item.source), outcome.state, cell(outcome.message), cell(reel),
            cell(plan), f"{outcome.video_s:.3f}" if outcome.video_s else "",
            f"{outcome.reel_s:.3f}" if outcome.reel_s else "", len(outcome.clips) or "", cell(moments),
            cell(" | ".join(Path(name).name for name in outcome.exports)), cell(" | ".join(outcome.warnings)),
            f"{outcome.took_s:.1f}"])
    return text.getvalue()


def page_of(outcomes: Sequence[Outcome], out: str | Path, left: int = 0) -> str:
    """The page: everything that came from outside is escaped, whatever it holds."""
    made = [outcome for outcome in outcomes if outcome.state in (DONE, SKIPPED)]
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    copies = [outcome for outcome in outcomes if outcome.state == DUPLICATE]
    style = "".join(path.read_text(encoding="utf-8") for path in _STYLES)
    cards = "\n".join(_card(remembered(outcome, number), out) for number, outcome in enumerate(made))
    parts = [
        _part("Reels", cards, "ol"),
        _part("Failed", "\n".join(_plain(outcome, "plain bad") for outcome in failed), "ol"),
        _part("Seen before", "\n".join(_plain(outcome, "plain") for outcome in copies), "ol"),
    ]
    return document(_count(len(made), "reel"), style, f"""<main>
<header>
<h1>{_count(len(made), "reel")}</h1>
<p class="facts quiet">{_facts(made)}</p>
</header>
{_tally(outcomes, left)}
{"".join(parts)}
<footer>Made with SmolReel. Times are those of the videos. <a href="{TABLE}">The same as a table</a></footer>
</main>
""")


def _facts(made: Sequence[Outcome]) -> str:
    """How much was seen and how much of it is shown."""
    video_s, reel_s = sum(one.video_s for one in made), sum(one.reel_s for one in made)
    return f"{clock(reel_s)} of {clock(video_s)}" if made else "nothing was made"


def _tally(outcomes: Sequence[Outcome], left: int) -> str:
    """How many of each kind."""
    counts = Counter(outcome.state for outcome in outcomes)
    shown = [(counts[DONE], "made now", ""), (counts[SKIPPED], "made before", ""),
             (counts[DUPLICATE], "seen before", ""), (counts[FAILED], "failed", "bad"),
             (left, "not done: the run was cancelled", "bad")]
    return '<p class="tally">' + "".join(f'<span class="{kind}"><b>{count}</b>{words}</span>'
                                         for count, words, kind in shown if count) + "</p>"


def _part(heading: str, inside: str, tag: str) -> str:
    """A part of the page; nothing where it is empty."""
    return f"<h2>{heading}</h2>\n<{tag}>\n{inside}\n</{tag}>\n" if inside else ""


def _card(outcome: Outcome, out: str | Path) -> str:
    """A reel in the list."""
    reel = _beside(outcome.reel, out)
    link = _link(reel)
    plan = _link(f"{reel.rpartition('/')[0]}/{FILE_NAME}")
    pictures = "".join(f'<img src="data:image/jpeg;base64,{base64.b64encode(picture).decode()}" alt="" loading="lazy">'
                       for picture in outcome.pictures)
    moments = "".join(
        f"<li><time>{clock(clip.start_s)} \u2013 {clock(clip.end_s)}</time>"
        f"<span>{escaped(shortened(title(clip, number, 200), 200))}</span></li>"
        for number, clip in enumerate(outcome.moments, start=1))
    exports = "".join(f'<a href="{_link(_beside(path, out))}">{escaped(Path(path).name)}</a>'
                      for path in outcome.exports)
    notes = "".join(f'<p class="why quiet">{escaped(warning)}</p>' for warning in outcome.warnings)
    count = _count(len(outcome.clips), "clip")
    return f"""<li class="clip">
<a class="strip" href="{link}" aria-label="Play the reel of {escaped(outcome.item.title)}">{pictures}</a>
<div class="words">
<h3 class="name">{escaped(outcome.item.title)}</h3>
<p class="lengths quiet">{clock(outcome.reel_s)} of {clock(outcome.video_s)} \u00b7 {count}</p>
<ol class="moments">{moments}</ol>
{notes}<p class="links"><a href="{link}">Reel</a><a href="{plan}">Plan</a>{exports}</p>
</div>
</li>"""


def _plain(outcome: Outcome, kind: str) -> str:
    """A video without a reel of its own."""
    return (f'<li class="clip {kind}"><h3 class="name">{escaped(outcome.item.title)}</h3>'
            f"<p>{escaped(outcome.message)}</p></li>")


def _beside(path: str | None, out: str | Path) -> str:
    """A path or an address as it is called from the summary, with slashes; "" for none."""
    if path is None:
        return ""
    if is_url(str(out)):
        return path.removeprefix(f"{str(out).rstrip('/')}/")
    return Path(os.path.relpath(path, out)).as_posix()


def _link(path: str) -> str:
    """A path as it may stand in a link; names need not be text."""
    # A name with a colon would pass for an address.
    return escaped("./" + quote(os.fsencode(path)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
