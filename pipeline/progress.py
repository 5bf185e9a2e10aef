"""How the core tells a shell how far it is, and how a shell tells the core to stop.

The core calls `report` on the thread that called it and on no other, so that a shell may draw from inside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import Cancelled
from pipeline.types import ScoredSegment


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    stage: "probe", "scan", "score", "select", "speech", "render" or "export"
    fraction: share of this stage that is done, 0 to 1; None where the end isn't known
    message: what is being done, for people, without a trailing full stop
    found: segments of which something became known since the last event, to be shown as they come; their scores may
        be provisional, and a later event may have the same segments again
    """

    stage: str
    fraction: float | None
    message: str = ""
    found: tuple[ScoredSegment, ...] = ()


Report = Callable[[Progress], object]


def silent(_: Progress) -> None:
    """The report of a caller who doesn't want any."""


class CancelToken:
    """A flag that the caller owns and the core polls; may be set from any thread or a signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the run that holds this token to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise Cancelled if `cancel` was called."""
        if self.cancelled:
            raise Cancelled

    def rest(self) -> None:
        """Tell that this thread won't ask for a while, and all is well: its part is done, or the disk takes its time.

        Who watches over the run takes a thread for hung that has asked before and no longer does.
        """


class LinkedToken(CancelToken):
    """A token that is set when its parent is; setting it stops a part of a run and leaves the parent alone."""

    def __init__(self, parent: CancelToken) -> None:
        super().__init__()
        self._parent = parent

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called, here or on the parent."""
        return super().cancelled or self._parent.cancelled

    def rest(self) -> None:
        """Tell the parent."""
        self._parent.rest()
