"""Stands in for the process that decodes: as the real one, but with decoders that fail as C code does, by file name."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np

from pipeline import sandboxed
from pipeline.media.probe import probe
from pipeline.progress import CancelToken
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


if __name__ == "__main__":
    sandboxed.probe = misbehave  # type: ignore[assignment]
    sandboxed.main()
