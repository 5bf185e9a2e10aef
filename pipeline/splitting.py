"""Has a long video scanned in parts, each of which is kept as stages' results are; any machine may look at any of them.

Whoever joins the parts looks at those that nobody has looked at, so that what was lost on the way costs time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline import sandbox
from pipeline.cache import Cache, scan_key, stage_key, waiting
from pipeline.division import Part
from pipeline.progress import CancelToken, Report
from pipeline.settings import Settings
from pipeline.types import VideoInfo


def part_key(video: VideoInfo, part: Part, settings: Settings) -> str:
    """What is seen of a part is kept under it."""
    return stage_key("part", scan_key(video, settings), part.start_s, part.end_s)


def sound_key(video: VideoInfo, settings: Settings) -> str:
    """What is heard of a divided video is kept under it."""
    return stage_key("sound", scan_key(video, settings))


def look_at(video: VideoInfo, part: Part, settings: Settings, cache: Cache, report: Report, cancel: CancelToken
            ) -> Path:
    """Where what is to be seen of a part lies; as `partfiles.save_look` writes it. Raises what `sandbox.scan` raises.
    """
    return cache.get("part", part_key(video, part, settings), lambda folder: folder,
                     lambda folder: sandbox.look(video, part, settings, folder, report, cancel),
                     waiting("scan", report, cancel))[0]


def listen_to(video: VideoInfo, settings: Settings, cache: Cache, report: Report, cancel: CancelToken) -> Path:
    """Where what is to be heard lies; as `listening.save_heard` writes it. Raises what `sandbox.scan` raises."""
    return cache.get("sound", sound_key(video, settings), lambda folder: folder,
                     lambda folder: sandbox.listen(video, settings.limits, folder, cancel),
                     waiting("scan", report, cancel))[0]


def scan_parts(video: VideoInfo, parts: Sequence[Part], settings: Settings, folder: Path, cache: Cache,
               report: Report, cancel: CancelToken) -> bool:
    """Leave in `folder` what `sandbox.scan` would; False, and nothing there, where parts don't make a whole.

    Raises what `sandbox.scan` raises.
    """
    looks = [look_at(video, part, settings, cache, report, cancel) for part in parts]
    heard = listen_to(video, settings, cache, report, cancel)
    return sandbox.join(video, settings, looks, heard, folder, report, cancel)
