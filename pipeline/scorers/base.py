"""What every scorer is: one call from segments and a scan to scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from pipeline.progress import CancelToken, Report
from pipeline.settings import Settings
from pipeline.types import SampledFrame, Scan, Scored, Segment


class Scorer(Protocol):
    """Scores segments relative to one another."""

    name: str

    def identity(self, settings: Settings, report: Report, cancel: CancelToken) -> str:
        """What a score depends on beside the settings and the video, such as a model's revision; fetches what is
        missing. Raises ModelError where the scorer can't be had, and Cancelled.
        """
        ...

    def score(self, scan: Scan, segments: Sequence[Segment], settings: Settings, report: Report,
              cancel: CancelToken) -> Scored:
        """Score every segment.

        scan: signals and sampled frames of the video
        segments: in time order; they tile [0, scan.duration_s)
        report: called on this thread only
        cancel: polled; the scorer raises Cancelled soon after it is set

        Returns as many scored segments as it was given, in the same order, and the curve.
        """
        ...


class Ahead(Protocol):
    """What works on frames while others are still being put aside."""

    @property
    def busy_s(self) -> float:
        """Seconds that a model worked."""
        ...

    def take(self, frame: SampledFrame) -> None:
        """Have a frame worked on, or not if there is too much to do; returns at once."""
        ...


@runtime_checkable
class Eager(Protocol):
    """A scorer that can look at frames before all are there; such a one serves one run."""

    def ahead(self, settings: Settings, cancel: CancelToken) -> AbstractContextManager[Ahead | None]:
        """What takes frames of the video that is scored next, in a block; None where that doesn't pay here.

        It changes no score, only when the work is done. No thread of it outlives the block. What goes wrong in it is
        raised by `score`, if it stands in its way.
        """
        ...
