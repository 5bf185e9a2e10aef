"""Programs and functions in a process of their own, measured from its start to its end."""

from __future__ import annotations

import json
import os
import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.media.process import PythonChild

MODULE = "bench.fresh_child"
_TAIL = 4000


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a process.

    status: its exit status
    seconds: from its start to its end, Python's own start and end included
    cpu_s: seconds that it and its children kept a core busy; other programs on the machine change them least
    result: what the function returned; None for programs
    own_mb: its peak of resident memory
    child_mb: that of the largest of its children
    said: the end of what it printed, errors and all, where that was kept; else of its errors
    """

    status: int
    seconds: float
    cpu_s: float = 0.0
    result: Any = None
    own_mb: float = 0.0
    child_mb: float = 0.0
    said: str = ""


class FreshError(Exception):
    """A process failed that had no reason to."""


def program(module: str, arguments: Sequence[str], output: Path | None = None, timeout_s: float = 3600.0) -> Ended:
    """`python -m module arguments…`; its output goes to a file, or nowhere."""
    return _run({"module": module, "arguments": list(arguments)}, output, timeout_s)


def call(function: str, timeout_s: float = 3600.0, **given: Any) -> Ended:
    """`function` ("module:name") with what is given, all of it JSON values, and so is what it returns.

    Raises FreshError where it raises.
    """
    return checked(_run({"call": function, "given": given}, None, timeout_s), function)


def checked(ended: Ended, what: str) -> Ended:
    """The same; raises FreshError where it failed."""
    if ended.status:
        raise FreshError(f"{what} ended with status {ended.status}: {ended.said}")
    return ended


def _run(request: dict[str, Any], output: Path | None, timeout_s: float) -> Ended:
    began = time.perf_counter()
    child = PythonChild(MODULE)
    try:
        child.send(json.dumps({**request, "output": str(output or os.devnull)}).encode())
        answer: dict[str, Any] = {}
        while (line := child.lines.get(timeout=max(0.0, began + timeout_s - time.perf_counter()))) is not None:
            answer = json.loads(line)
        seconds = time.perf_counter() - began
    except queue.Empty:
        child.close()
        return Ended(124, time.perf_counter() - began, said=f"not done after {timeout_s:g} s\n{_said(child, output)}")
    finally:
        child.close()
    status = child.status or answer.get("status", 1)
    own, below = answer.get("peaks", (0, 0))
    return Ended(status, seconds, answer.get("cpu_s", 0.0), answer.get("result"), own / 1e6, below / 1e6,
                 _said(child, output))


def _said(child: PythonChild, output: Path | None) -> str:
    kept = output.read_text(errors="replace") if output and output.exists() else ""
    return f"{kept}\n{child.tail}".strip()[-_TAIL:]
