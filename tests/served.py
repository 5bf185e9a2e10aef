"""A served page in a process of its own, for tests and measurements."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Served:
    """A page that is being served.

    folder: where its log and its cache lie
    """

    url: str
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "log").read_text(errors="replace")

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and answer of /healthz."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def wait_for(self, running: int, seconds: float = 60) -> None:
        """Wait until so many runs are at work."""
        for _ in range(round(seconds / 0.05)):
            if self.health()[1]["running"] == running:
                return
            time.sleep(0.05)
        raise AssertionError(f"never were {running} runs at work: {self.health()}\n{self.log}")

    def media_left(self) -> list[Path]:
        """Videos and halves of them in its cache."""
        return [path for path in (self.folder / "cache").rglob("*") if path.suffix in (".mp4", ".mov", ".part")]


def children(pid: int) -> dict[int, str]:
    """Names of the processes that a process has started, and those have, by their ids; Linux only."""
    parents: dict[int, tuple[int, str]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text(errors="replace")
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        if rest[0] != "Z":
            parents[int(stat.parent.name)] = (int(rest[1]), name)
    found: dict[int, str] = {}
    new = {pid}
    while new:
        new = {child for child, (parent, _) in parents.items() if parent in new}
        found |= {child: parents[child][1] for child in new}
    return found


@contextmanager
def serving(folder: Path, **environment: str) -> Iterator[Served]:
    """A page, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**os.environ, "GRADIO_SERVER_PORT": str(port), "XDG_CACHE_HOME": str(folder / "cache"),
             "GRADIO_ANALYTICS_ENABLED": "False", **environment}
    given.pop("GRADIO_TEMP_DIR", None)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, stdout=log, stderr=log, env=given)
    served = Served(f"http://127.0.0.1:{port}", process, folder)
    try:
        for _ in range(480):
            try:
                served.health()
                break
            except OSError:
                time.sleep(0.25)
        else:
            raise AssertionError(f"the page never answered\n{served.log}")
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
