"""What is kept between runs, for people and programs: where it is, how much of it, how old; and clearing it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.keeping import PARTS, Entry, Taken, entries, evict
from pipeline.space import size_words

_HOLDS = {"scan": "scenes, signals and frames", "part": "parts of divided videos", "sound": "what was heard in them",
          "score": "scores", "speech": "words that were heard", "clips": "encoded clips",
          "smolvlm2": "what SmolVLM2 saw"}
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))


def survey(root: Path, most_bytes: int) -> dict[str, Any]:
    """What is kept, as JSON values; ages are seconds since an entry was last used.

    most_bytes: that are kept after a run
    """
    kept = entries(root)
    parts = {part: _facts([entry for entry in kept if entry.part == part]) for part in PARTS}
    return {"event": "cache", "folder": str(root), "entries": len(kept), "bytes": sum(e.size_bytes for e in kept),
            "most_bytes": most_bytes, "parts": {part: facts for part, facts in parts.items() if facts["entries"]}}


def survey_lines(found: dict[str, Any]) -> list[str]:
    """`survey` for people: a line for what all is in, one a part, one for all together."""
    lines = [f"the cache is in {found['folder']}"]
    for part, facts in found["parts"].items():
        used = f"used {age_words(facts['newest_s'])} ago"
        if age_words(facts["oldest_s"]) != age_words(facts["newest_s"]):
            used = f"used {age_words(facts['newest_s'])} to {age_words(facts['oldest_s'])} ago"
        lines.append(f"  {part:<9} {facts['entries']:>6} x {_HOLDS[part]:<27} {size_words(facts['bytes']):>8}  {used}")
    lines.append(f"{size_words(found['bytes'])} are kept" if found["entries"] else "nothing is kept")
    lines[-1] += f"; at most {size_words(found['most_bytes'])} after a run"
    return lines


def clear(root: Path) -> Taken:
    """Take away all that no run is using. Raises OutputError where that can't be done."""
    return evict(root, 0)


def cleared_facts(root: Path, taken: Taken) -> dict[str, Any]:
    """What `clear` did, as JSON values."""
    return {"event": "cleared", "folder": str(root), "entries": taken.entries, "bytes": taken.size_bytes,
            "in_use": taken.in_use}


def cleared_line(root: Path, taken: Taken) -> str:
    """What `clear` did, for people."""
    done = f"cleared {_count(taken.entries)} ({size_words(taken.size_bytes)}) from {root}"
    if not taken.in_use:
        return done
    return f"{done}; {_count(taken.in_use)} {'stays' if taken.in_use == 1 else 'stay'}, since a run is using them"


def age_words(seconds: float) -> str:
    """A length of time in its largest unit, such as "3 days"."""
    for unit, length in _UNITS:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "under a minute"


def _facts(kept: Sequence[Entry]) -> dict[str, Any]:
    """How much there is of a part, and when it was used."""
    ages_s = [max(0.0, time.time() - entry.used_ns / 1e9) for entry in kept]
    return {"entries": len(kept), "bytes": sum(entry.size_bytes for entry in kept),
            "newest_s": round(min(ages_s, default=0.0), 1), "oldest_s": round(max(ages_s, default=0.0), 1)}


def _count(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries} entries"
