"""Stands in for the process that decodes: as the real one, but with decoders that fail as C code does, by file name."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import sandboxed
from pipeline.media.probe import probe
from pipeline.media.seeking import safe_seeks
from pipeline.progress import CancelToken
from pipeline.rendering import encode
from pipeline.settings import Limits
from pipeline.types import VideoInfo


def misbehave(path: Path, cancel: CancelToken, limits: Limits) -> VideoInfo:
    """Measure a video, or fail the way that its name asks for."""
    match path.stem:
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            os.abort()
        case "bad_alloc":
            sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
            sys.stderr.flush()
            os.abort()
        case "killed":
            os.kill(os.getpid(), 9)
        case "hang":
            # In C, and deaf to Python.
            ctypes.CDLL(None).sleep(600)
        case "slow":
            for _ in range(8):
                time.sleep(0.3)
                cancel.check()
        case "hog":
            hoard = []
            while True:
                hoard.append(np.ones(8 << 20))
        case "chatter":
            os.write(1, b"a library says something\n" * 100)
        case "leave":
            os._exit(3)
        case "fault":
            raise ZeroDivisionError("a fault of ours")
    return probe(path, cancel, limits)


def seek(video: VideoInfo, starts_s: Sequence[float], cancel: CancelToken) -> tuple[float | None, ...]:
    """Look for where decoding may start, which a thread beside the one that reports does, or fail as told by name."""
    match video.path.stem:
        case "render-segfault":
            ctypes.string_at(0)
        case "render-hang":
            ctypes.CDLL(None).sleep(600)
        case "render-hog":
            hoard = []
            while True:
                hoard.append(np.ones(8 << 20))
    return safe_seeks(video, starts_s, cancel)


def lie(request: dict[str, Any], *_: object) -> Any:
    """What a decoder may answer that was taken over."""
    return ["/etc/passwd"] if request["do"] == "export" else {"path": "/etc/passwd", "duration_s": {}}


if __name__ == "__main__":
    encode.safe_seeks = seek  # type: ignore[assignment]
    if "SMOLREEL_LIE" in os.environ:
        sandboxed._DO |= dict.fromkeys(("render", "export"), lie)
    sandboxed.probe = misbehave  # type: ignore[assignment]
    sandboxed.main()
