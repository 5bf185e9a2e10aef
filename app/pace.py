"""One bar over all stages of a run, and the time that is left: arithmetic on progress events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline import Progress

# How much of the whole each stage takes, as long as nothing is known of the video.
_ROUGHLY = {"probe": 0.02, "scan": 0.5, "score": 0.2, "speech": 0.0, "render": 0.26, "export": 0.02}
ORDER = ("probe", "scan", "score", "select", "speech", "render", "export")
# A new reading moves the time left by this share of the way: it should neither jump nor lag.
_FOLLOW = 0.25
# With less of a stage done, its own pace says nothing yet.
_TELLING_SHARE, _TELLING_S = 0.04, 0.7


@dataclass(slots=True)
class Pace:
    """How far a run is.

    stages: seconds that each stage is expected to take; None where nothing is known yet
    trusted: whether those were measured on this machine
    """

    stages: Mapping[str, float] | None = None
    trusted: bool = False
    _done: dict[str, float] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _fraction: float = 0.0
    _left_s: float | None = None
    _read_at: float = 0.0

    def push(self, event: Progress, now: float) -> None:
        """Take the next event; `now` is in seconds of any clock that only goes forward."""
        if event.stage not in ORDER:
            return
        # A model is fetched for scoring, or listening, before the scan: that is no part of that stage's work.
        early = event.stage in ("score", "speech") and "scan" in self._weights() and self._done.get("scan", 0.0) < 1.0
        if early:
            return
        if event.stage != self._stage:
            for earlier in ORDER[:ORDER.index(event.stage)]:
                self._done[earlier] = 1.0
            self._stage = event.stage
            self._began.setdefault(event.stage, now)
        if event.fraction is not None:
            self._done[event.stage] = max(self._done.get(event.stage, 0.0), min(1.0, event.fraction))
        weights = self._weights()
        total = sum(weights.values()) or 1.0
        reached = sum(weight * self._done.get(stage, 0.0) for stage, weight in weights.items()) / total
        self._fraction = max(self._fraction, min(1.0, reached))
        self._read(now)

    def fraction(self) -> float:
        """Share of the whole that is done, 0 to 1; it never goes back."""
        return self._fraction

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the end; None where nothing can be said yet."""
        return None if self._left_s is None else max(0.0, self._left_s - (now - self._read_at))

    def _weights(self) -> Mapping[str, float]:
        return self.stages if self.stages is not None else _ROUGHLY

    def _read(self, now: float) -> None:
        """Read the time left off this stage's own pace, and the estimates of those to come."""
        if self.stages is None:
            return
        share, took_s = self._done.get(self._stage, 0.0), now - self._began.get(self._stage, now)
        expected_s = self.stages.get(self._stage, 0.0)
        telling = share >= _TELLING_SHARE and took_s >= _TELLING_S
        if telling:
            # The longer a stage has run, the more its own pace says of it.
            own_s = took_s / share
            stage_s = share * own_s + (1 - share) * (own_s if not self.trusted else (own_s + expected_s) / 2)
        elif self.trusted or self._left_s is not None:
            stage_s = expected_s
        else:
            return
        later = ORDER[ORDER.index(self._stage) + 1:]
        left_s = (1 - share) * stage_s + sum(self.stages.get(stage, 0.0) for stage in later)
        before_s = self.seconds_left(now)
        self._left_s = left_s if before_s is None else before_s + _FOLLOW * (left_s - before_s)
        self._read_at = now
