"""reel.otio: an OpenTimelineIO timeline, which DaVinci Resolve, Premiere Pro, Kdenlive and others import."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.export.material import Material
from pipeline.export.timeline import Cut, Timeline, timeline_of
from pipeline.export.words import one_line
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken

FILE_NAME = "reel.otio"
_MEDIA_KEY = "DEFAULT_MEDIA"


def export_otio(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.otio. Raises InputError, OutputError."""
    cancel.check()
    path = material.folder / FILE_NAME
    document = otio_document(timeline_of(material))
    write_whole(path, json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n")
    return [path]


def otio_document(timeline: Timeline) -> dict[str, Any]:
    """The timeline as JSON values in OpenTimelineIO's own schema, of version 0.15 and later.

    A track of picture and, where the source has sound, one of sound with the same clips. What SmolReel knows of a
    clip stands in its metadata under "smolreel".
    """
    kinds = ("Video", "Audio") if timeline.channels else ("Video",)
    return {
        "OTIO_SCHEMA": "Timeline.1",
        "name": one_line(timeline.video.path.stem) or "reel",
        "global_start_time": _time(timeline, timeline.start),
        "metadata": {},
        "tracks": {
            **_item("Stack.1", "tracks"),
            "children": [{**_item("Track.1", f"{kind[0]}1"), "kind": kind,
                          "children": [_clip(timeline, cut) for cut in timeline.cuts]} for kind in kinds],
        },
    }


def _clip(timeline: Timeline, cut: Cut) -> dict[str, Any]:
    """A clip; its range counts in the media's own time, which begins at the source's start timecode."""
    clip = cut.clip
    about = {"score": clip.score, "description": one_line(clip.description), "reason": one_line(clip.reason),
             "start_s": clip.start_s, "end_s": clip.end_s}
    media = {
        "OTIO_SCHEMA": "ExternalReference.1",
        "name": one_line(timeline.video.path.name),
        "target_url": timeline.video.path.as_uri(),
        "available_range": _range(timeline, timeline.source_start, timeline.source_frames),
        "available_image_bounds": None,
        "metadata": {},
    }
    return {
        **_item("Clip.2", cut.name),
        "source_range": _range(timeline, timeline.source_start + cut.source_in, cut.frames),
        "media_references": {_MEDIA_KEY: media},
        "active_media_reference_key": _MEDIA_KEY,
        "metadata": {"smolreel": about},
    }


def _item(schema: str, name: str) -> dict[str, Any]:
    """What everything on a timeline has."""
    return {"OTIO_SCHEMA": schema, "name": name, "metadata": {}, "source_range": None, "effects": [], "markers": [],
            "enabled": True}


def _range(timeline: Timeline, start: int, frames: int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(timeline, start), "duration": _time(timeline, frames)}


def _time(timeline: Timeline, frames: int) -> dict[str, Any]:
    """Frames at the timeline's rate; OpenTimelineIO holds both as floating point, which whole frames survive."""
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(timeline.rate), "value": float(frames)}
