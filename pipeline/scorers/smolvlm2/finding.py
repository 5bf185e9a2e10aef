"""Whether what was asked for is in the video at all: a ranking always has a first, even where nothing answers.

The segments that rank first are asked again, by the query alone, since a model takes what is said of the video and of
its highlights for a hint and follows it. Small models say yes too readily, each to its own degree, so the answer is
read on a scale that the model makes itself on the same frames: 0 is its answer to things that next to no video shows,
1 its answer to its own description of the segment. It is found where one segment comes near to 1.

Measured with the tiny model of the tests on 24 drawn videos, as shares on that scale, the best segment's: 49 queries
for shapes that are there 0.99 and up; 239 for shapes that are not, half below 0.05, 95 % below 0.48 (above that it
mistakes what it sees); 288 in words that it never learned 0.25 at most. The yes itself, the blank frame's taken off,
overlaps: 8.9 nats and up for what is there, up to 14 for words never learned where the question names a highlight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Things that next to no video shows. The median of their answers is taken: one of them may be there, or be asked for.
ABSENT = ("a penguin on an iceberg", "a rocket that takes off", "a chess board")
# How many of the segments that rank first are asked.
CANDIDATES = 4
# Nats between what isn't there and what the model describes, below which it can't tell them apart in a segment.
_LEAST_SCALE = 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-odds of yes, in nats, to three kinds of questions about one segment.

    asked: for what was asked for
    absent: for each of ABSENT
    own: for the model's own description; None where it has none
    """

    asked: float
    absent: tuple[float, ...]
    own: float | None

    def shows(self, least_share: float) -> bool:
        """Whether the segment shows what was asked for.

        least_share: how near to its own description's answer that to the query must come, 0 to 1

        Where the model can't tell its own description from what isn't there, there is no scale; its word is taken.
        """
        zero = median(self.absent)
        if self.own is None or self.own - zero < _LEAST_SCALE:
            return self.asked > 0
        return self.asked - zero >= least_share * (self.own - zero)


def is_found(evidence: Sequence[Evidence], least_share: float) -> bool:
    """Whether one of the segments that rank first shows what was asked for; where `least_share` is 0, that is taken
    for granted.
    """
    return least_share <= 0 or any(segment.shows(least_share) for segment in evidence)
