"""ZeroGPU Spaces lend a GPU for the length of one call: scores are made in such a call, in a process of its own, and
the rest of the run finds them in the cache.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pipeline import CancelToken, Progress, Settings, analyse
from pipeline.progress import Report
from pipeline.types import VideoInfo

_SWITCH = "SPACES_ZERO_GPU"
# Seconds of GPU that a call asks for: to load the model, and for each second of video.
_LOAD_S, _SHARE, _MOST_S = 30, 1 / 20, 300
_STOPPING_S = 10.0

Call = Callable[[Path, Settings, VideoInfo], Iterator[Progress | Exception]]


def is_on() -> bool:
    """Whether this is a Space whose GPU is lent call by call."""
    return os.environ.get(_SWITCH, "").lower() in ("1", "t", "true") and importlib.util.find_spec("spaces") is not None


@functools.lru_cache(maxsize=1)
def call() -> Call:
    """The call that is lent a GPU. A Space looks for it when the page starts, and before PyTorch is loaded."""
    import spaces

    lent: Call = spaces.GPU(duration=_duration)(_scored)
    return lent


def warm(source: Path, settings: Settings, video: VideoInfo, report: Report, cancel: CancelToken) -> None:
    """Have a video scored by a lent GPU where that is how this machine has one; its scores are in the cache then.

    Raises what `analyse` raises.
    """
    if not is_on() or settings.scorer == "signals":
        return
    # The scan needs no GPU, and would use up the time for which one is lent.
    analyse(source, replace(settings, scorer="signals", query=None), video=video, report=report, cancel=cancel)
    with closing(call()(source, settings, video)) as events:
        for event in events:
            cancel.check()
            if isinstance(event, Exception):
                raise event
            report(event)


def _duration(source: Path, settings: Settings, video: VideoInfo) -> int:
    """Seconds of GPU that scoring a video takes at most."""
    return int(min(_MOST_S, _LOAD_S + _SHARE * video.duration_s))


def _scored(source: Path, settings: Settings, video: VideoInfo) -> Iterator[Progress | Exception]:
    """Score a video, and say how far that is; what goes wrong comes last, as a value."""
    events: queue.Queue[Progress | Exception | None] = queue.Queue()
    token = CancelToken()

    def work() -> None:
        try:
            analyse(source, settings, video=video, report=events.put, cancel=token)
        except Exception as error:
            events.put(error)
        events.put(None)

    thread = threading.Thread(target=work, name="score on a lent GPU", daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            yield event
    finally:
        token.cancel()
        thread.join(_STOPPING_S)
