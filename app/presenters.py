"""Results as rows, captions and facts; no widget and no terminal in here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pipeline import Plan, Reel, Result
from pipeline.export.words import clock

# Besides line breaks: what drives terminals, turns text around so that it reads as another, and can't be sent as UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


_FEW_LETTERS = 4


def one_line(text: str) -> str:
    """The text with line breaks and what else isn't fit to be shown written out, as file names can hold it."""
    return _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)


def discreet(text: str, source: Path, folder: Path, home: Path, name: str) -> str:
    """A text without this machine's folders, in which a run's video goes by `name`.

    source: the video; in `folder`, the run's, which is in `home`, the page's
    """
    for path, instead in ((source, name), (folder, "this page's folder"), (home, "this page's folder"),
                          (Path.home(), "~")):
        # A home folder may be "/", in containers.
        text = text.replace(str(path), instead) if len(path.parts) > 1 else text
    # A name of a few letters is found in other words.
    return text.replace(source.name, name) if len(source.name) > _FEW_LETTERS else text


def clip_rows(plan: Plan) -> list[list[str]]:
    """A row a clip: from, to, score, what is in it, why."""
    return [[clock(c.start_s), clock(c.end_s), "" if c.score is None else f"{c.score:.2f}", c.description, c.reason]
            for c in plan.clips]


def summary_lines(plan: Plan) -> list[str]:
    """A line a clip, in columns."""
    rows = clip_rows(plan)
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(3)]
    return [f"{row[0]:>{widths[0]}} - {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]} ({row[4]})"
            for row in rows]


def exports_line(result: Result) -> str:
    """The further files that were written, by name; empty where there are none."""
    return f"beside it: {', '.join(path.name for path in result.exports)}" if result.exports else ""


def reel_facts(result: Result | Reel) -> dict[str, Any]:
    """What a program wants to know of a result, JSON values."""
    reel = result.reel if isinstance(result, Result) else result
    facts: dict[str, Any] = {"reel": str(reel.path), "plan": str(reel.path.with_name("plan.json")),
                             "duration_s": round(reel.duration_s, 3), "warnings": list(reel.warnings)}
    if isinstance(result, Result):
        facts |= {"clips": len(result.plan.clips), "exports": [str(path) for path in result.exports],
                  "warnings": list(result.plan.warnings),
                  "timings_s": {k: round(v, 3) for k, v in result.plan.timings_s.items()}}
    return facts
