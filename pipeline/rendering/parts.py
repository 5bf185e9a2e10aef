"""Clips in parts that join without a seam."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from pipeline.rendering.framing import from_later
from pipeline.rendering.graph import ClipJob, Part
from pipeline.rendering.overlays import within

# Each takes some 500 characters of a command line, of which Windows has 32,000.
_MOST_OVERLAYS = 40


def part_of(job: ClipJob, lead: int, frames: int, *, fade_in: bool, fade_out: bool) -> ClipJob:
    """`frames` frames of a job from `lead` on, without its overlays.

    fade_in, fade_out: whether its sound is faded at this part's start and end
    """
    lead_s = float(lead / job.rate)
    start_s = job.start_s + lead_s
    # What is beyond is not shown, and must not be part of the key.
    end_s = job.end_s if lead + frames == job.frames else min(job.end_s, start_s + float(frames / job.rate))
    return replace(job, start_s=start_s, end_s=end_s, frames=frames, frame=from_later(job.frame, lead_s), overlays=(),
                   part=Part(job.part.lead + lead, None, fade_in, fade_out))


def in_parts(job: ClipJob) -> list[ClipJob]:
    """The job in as many parts as it takes for none to have too many overlays for a command line."""
    firsts = sorted(overlay.first for overlay in job.overlays)
    cuts = [0, *sorted({first for first in firsts[_MOST_OVERLAYS::_MOST_OVERLAYS] if 0 < first < job.frames}),
            job.frames]
    if len(cuts) == 2:
        return [job]
    return [replace(part_of(job, lead, after - lead, fade_in=job.part.fade_in and lead == 0,
                            fade_out=job.part.fade_out and after == job.frames),
                    overlays=within(job.overlays, lead, after - lead)) for lead, after in pairwise(cuts)]
