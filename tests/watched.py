"""Stands in for the process that renders: as the real one, but it notes what it starts, for `started_in` to read.

SMOLREEL_STARTED names the file in which it notes each process's arguments, a JSON list a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from pipeline import sandboxed

NOTE = "SMOLREEL_STARTED"

create = subprocess.Popen.__init__


def noting(self: subprocess.Popen[bytes], *args: object, **kwargs: object) -> None:
    """Start a process and note it."""
    create(self, *args, **kwargs)  # type: ignore[call-overload]
    line = json.dumps([str(argument) for argument in list(self.args)]) + "\n"  # type: ignore[call-overload]
    with Path(os.environ[NOTE]).open("a", encoding="ascii") as note:
        note.write(line)


def started_in(note: Path) -> list[list[str]]:
    """The arguments of all processes that were noted, in their order."""
    return [json.loads(line) for line in note.read_text().splitlines(keepends=True) if line.endswith("\n")]


def own_children() -> set[int]:
    """Processes that this one has started and that haven't ended, or whose status nobody took."""
    found = set()
    # Where there is no such folder, what `Popen` says must do.
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(") ")
        except OSError:
            continue
        if int(rest.split()[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def at_work(folder: Path, what: str = "") -> list[int]:
    """Processes that were started to work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = os.fsdecode(place.read_bytes())
        except OSError:
            continue
        if str(folder) in said and what in said:
            found.append(int(place.parent.name))
    return found


def left_at_work(folder: Path) -> list[int]:
    """Those that are there still when all that were killed have had their time to go: the kernel takes some."""
    deadline = time.monotonic() + 30
    while (found := at_work(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


if __name__ == "__main__":
    # MoviePy starts processes, too.
    subprocess.Popen.__init__ = noting  # type: ignore[method-assign]
    sandboxed.main()
