"""What every scorer is: one call from segments and a scan to scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pipeline.progress import CancelToken, Report
from pipeline.settings import Settings
from pipeline.types import Scan, Scored, Segment


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
