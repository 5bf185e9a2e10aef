"""What a decoder tells of a file that is damaged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that can't be decoded.

    time_s: where it begins
    kind: "video"; "audio"; "clock" where time goes backwards, and frames that were shown before are left out
    """

    time_s: float
    kind: str
