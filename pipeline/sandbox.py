"""Has strangers' files decoded in a process beside, so that what a decoder does to itself it doesn't do to the caller.

A decoder that crashes, hangs or takes memory without end is one InputError here. `pipeline.sandboxed` is the other
side. To start it costs a third of a second, so that one that has done its work waits a minute for more.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import errors
from pipeline.errors import FFmpegError, InputError, SmolReelError
from pipeline.media.opening import check_readable
from pipeline.media.process import PythonChild
from pipeline.progress import CancelToken, Progress, Report
from pipeline.settings import Limits, Settings
from pipeline.types import HeaderClaims, VideoInfo

MODULE = "pipeline.sandboxed"
_POLL_S = 0.05
# What decoding learned is added up when it is done, which takes its time where a video is a day long.
_FINISH_S = 600.0
# A busy machine may take its time to start a process; that says nothing of the file.
_START_S = 60.0
_MOST_IDLE, _MOST_USES = 2, 50
_AGAIN = "save it again with another program"
# What stands in the last words of a process that got no more memory.
_NO_MEMORY = ("bad_alloc", "cannot allocate memory", "out of memory", "memoryerror")
_ERRORS = {kind.__name__: kind for kind in (errors.InputError, errors.OutputError)}


def probe(path: Path, cancel: CancelToken | None = None, limits: Limits | None = None) -> VideoInfo:
    """As `pipeline.media.probe.probe`, in a process beside.

    Raises InputError, also where decoding crashes, hangs or takes too much memory; FFmpegError where no process can be
    started; Cancelled.
    """
    limits = limits or Limits()
    # What needs no decoder is told at once.
    check_readable(path, path.name)
    request = {"do": "probe", "path": str(path.absolute()), "limits": asdict(limits)}
    found = _ask(request, limits, path.name, lambda _: None, cancel or CancelToken())
    return video_from_json(found)


def scan(video: VideoInfo, settings: Settings, folder: Path, report: Report, cancel: CancelToken) -> None:
    """Scan a video in a process beside, which leaves the result in `folder` as `cache.save_scan` does.

    Raises what `probe` raises, and OutputError.
    """
    request = {"do": "scan", "video": video_to_json(video), "settings": settings.to_json(),
               "limits": asdict(settings.limits), "folder": str(folder.absolute())}
    _ask(request, settings.limits, video.path.name,
         lambda share: report(Progress("scan", share, "looking for scenes")), cancel)


def video_to_json(video: VideoInfo) -> dict[str, Any]:
    """What was measured of a video as JSON values."""
    return {**asdict(video), "path": str(video.path)}


def video_from_json(values: Mapping[str, Any]) -> VideoInfo:
    """What `video_to_json` wrote."""
    return VideoInfo(**{**values, "path": Path(values["path"]), "header": HeaderClaims(**values["header"])})


def _ask(request: Mapping[str, Any], limits: Limits, subject: str, tell: Callable[[float], object],
         cancel: CancelToken) -> Any:
    """Have a request carried out, and return its result."""
    cancel.check()
    line = json.dumps(request).encode()
    worker = _POOL.take()
    # One that waited may have gone home this very moment.
    if not worker.child.send(line):
        worker.child.close()
        worker = _Worker(PythonChild(MODULE))
        worker.child.send(line)
    try:
        result = _answer(worker.child, limits, subject, tell, cancel)
    except _Told as told:
        _POOL.give_back(worker)
        raise told.error from None
    except BaseException:
        worker.child.close()
        raise
    _POOL.give_back(worker)
    return result


def _answer(child: PythonChild, limits: Limits, subject: str, tell: Callable[[float], object],
            cancel: CancelToken) -> Any:
    """What the child answers; raises _Told for an error that it told of, and InputError where it came to grief."""
    patience_s = max(limits.stall_s, _START_S)
    while True:
        cancel.check()
        try:
            line = child.lines.get(timeout=_POLL_S)
        except queue.Empty:
            if child.silent_s > patience_s:
                raise InputError(f"keeps the decoder busy without getting any further (for {patience_s:g} s); {_AGAIN}",
                                 subject) from None
            continue
        if line is None:
            raise _obituary(child, limits, subject)
        patience_s = limits.stall_s
        match json.loads(line):
            case {"share": float(share)}:
                patience_s = max(limits.stall_s, _FINISH_S) if share >= 1 else limits.stall_s
                tell(share)
            case {"result": result}:
                return result
            case {"error": [str(kind), str(message), subject_told]} if kind in _ERRORS:
                raise _Told(_ERRORS[kind](message, subject_told))
            case {"memory": _}:
                raise _needs_memory(limits, subject)
            case {"fault": str(trace)}:
                raise RuntimeError(f"decoding {subject} failed:\n{trace}")


def _obituary(child: PythonChild, limits: Limits, subject: str) -> SmolReelError:
    """What to say of a child that ended in the middle of its work."""
    status, tail = child.status or 0, child.tail
    if any(words in tail.lower() for words in _NO_MEMORY):
        return _needs_memory(limits, subject)
    if status >= 0:
        return FFmpegError(f"the decoding process ended with status {status}", subject, tail)
    if status == -getattr(signal, "SIGKILL", 9):
        return InputError("made the system stop the decoder, most likely for lack of memory; scale it down first",
                          subject)
    return InputError(f"makes the decoder crash (signal {-status}); {_AGAIN}", subject)


def _needs_memory(limits: Limits, subject: str) -> InputError:
    return InputError(f"needs more memory to decode than the limit of {limits.memory_mb} MB; scale it down first, or "
                      f"{_AGAIN}", subject)


class _Told(Exception):
    """An error that the child told of in due form: it is well itself."""

    def __init__(self, error: SmolReelError) -> None:
        super().__init__(str(error))
        self.error = error


class _Worker:
    """A child and how often it was used."""

    def __init__(self, child: PythonChild) -> None:
        self.child, self.uses, self.owner = child, 0, os.getpid()


class _Pool:
    """Children that wait for more to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def take(self) -> _Worker:
        """One that waits, else a new one. Raises FFmpegError where none can be started."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker(PythonChild(MODULE))
            # A process that was forked off this one has no claim to its children.
            if worker.owner == os.getpid() and worker.child.status is None:
                return worker
            if worker.owner == os.getpid():
                worker.child.close()

    def give_back(self, worker: _Worker) -> None:
        """Let it wait for more to do, unless it has done enough."""
        worker.uses += 1
        with self._lock:
            if worker.uses < _MOST_USES and len(self._idle) < _MOST_IDLE:
                self._idle.append(worker)
                return
        worker.child.close()

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            if worker.owner == os.getpid():
                worker.child.close()


_POOL = _Pool()
close_idle = _POOL.close
atexit.register(close_idle)
