"""The other side of `bench.fresh`: a process that does one thing and ends; it imports little, so as not to help."""

from __future__ import annotations

import importlib
import json
import os
import resource
import runpy
import sys
import threading
from typing import Any


def main() -> None:
    """Read one request from standard input, do it, and say what came of it; then end with its status."""
    answers = os.fdopen(os.dup(1), "w")
    request = json.loads(_line())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    # What is done may print; lines to the one who asked are ours.
    said = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    if request["output"] != os.devnull:
        os.dup2(said, 2)
    status, result = _do(request)
    sys.stdout.flush()
    if "pipeline.sandbox" in sys.modules:
        # Children count once they have ended.
        sys.modules["pipeline.sandbox"].close_idle()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    scale = 1 if sys.platform == "darwin" else 1024
    answers.write(json.dumps({"status": status, "result": result, "peaks": [one.ru_maxrss * scale for one in used],
                              "cpu_s": sum(one.ru_utime + one.ru_stime for one in used)}) + "\n")
    answers.flush()
    sys.exit(status)


def _line() -> bytes:
    """The request; byte by byte, so that no buffer stands between us and the pipe."""
    found = b""
    while not found.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(1)
        found += byte
    return found


def _leave_with_parent() -> None:
    """End at once when nobody is there any more."""
    if not os.read(0, 1):
        os._exit(1)


def _do(request: dict[str, Any]) -> tuple[int, Any]:
    """Run a module as a program, or call a function; its exit status, and what it returned."""
    if "call" in request:
        module, name = request["call"].split(":")
        return 0, getattr(importlib.import_module(module), name)(**request["given"])
    sys.argv = [request["module"], *request["arguments"]]
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return (end.code if isinstance(end.code, int) else int(end.code is not None)), None
    return 0, None


if __name__ == "__main__":
    main()
