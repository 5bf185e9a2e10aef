"""Runs what can't be interrupted on a thread beside, so that the caller's thread can report and be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pipeline.progress import CancelToken

T = TypeVar("T")

_POLL_S = 0.1


def attend(work: Callable[[threading.Event], T], tell: Callable[[], object], cancel: CancelToken, *,
           leave: bool = False) -> T:
    """What `work` returns, or raises; `cancel` takes effect at once although `work` may be deep inside a library.

    work: is given an event, and stops soon after that is set
    tell: called on the calling thread, once at least, while it waits
    leave: whether the program may end while `work` goes on: never where it runs native code

    Raises Cancelled.
    """
    stop = threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work(stop))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="beside", daemon=leave)
    thread.start()
    try:
        while True:
            cancel.check()
            tell()
            thread.join(_POLL_S)
            if not thread.is_alive():
                break
    finally:
        stop.set()
    cancel.check()
    if failures:
        raise failures[0]
    return results[0]
