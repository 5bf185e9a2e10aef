"""Who has the page open: what a visitor made goes soon after their last tab is closed."""

from __future__ import annotations

import threading

from app.jobs import Jobs


class Doors:
    """The open tabs of all visitors."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._visitor_of: dict[str, str] = {}
        self._lock = threading.Lock()

    def enter(self, tab: str, visitor: str) -> None:
        """A visitor has opened the page in a tab, or loaded it again."""
        with self._lock:
            self._visitor_of[tab] = visitor
            self._jobs.come_back(visitor)

    def leave(self, tab: str) -> None:
        """A tab was closed."""
        with self._lock:
            visitor = self._visitor_of.pop(tab, None)
            if visitor is not None and visitor not in self._visitor_of.values():
                self._jobs.leave(visitor)
