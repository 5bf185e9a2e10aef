"""reel.fcpxml: a timeline for Final Cut Pro and DaVinci Resolve, which refers to the source file."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from pipeline.export.material import Material
from pipeline.export.timeline import Cut, Timeline, timeline_of
from pipeline.export.words import one_line
from pipeline.media.files import write_whole
from pipeline.progress import CancelToken

FILE_NAME = "reel.fcpxml"
# Final Cut Pro 10.6 and later; DaVinci Resolve 18 and later.
_VERSION = "1.10"
_SEQUENCE_RATES = {32000: "32k", 44100: "44.1k", 48000: "48k", 88200: "88.2k", 96000: "96k"}


def export_fcpxml(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write reel.fcpxml. Raises InputError, OutputError."""
    cancel.check()
    path = material.folder / FILE_NAME
    write_whole(path, fcpxml_bytes(timeline_of(material)))
    return [path]


def fcpxml_bytes(timeline: Timeline) -> bytes:
    """The document in UTF-8: one asset, and a sequence of clips of it, sound included, in one storyline.

    Times are rational seconds, whole numbers of frames. A clip's `start` counts in the source's own time, which begins
    at its start timecode. See Apple's "FCPXML Reference".
    """
    root = ET.Element("fcpxml", version=_VERSION)
    resources = ET.SubElement(root, "resources")
    video, rate = timeline.video, timeline.rate
    name = one_line(video.path.stem) or "reel"
    ET.SubElement(resources, "format", id="r1", frameDuration=_time(1, rate), width=str(video.width),
                  height=str(video.height), colorSpace=_colour_space(timeline))
    _add_asset(resources, timeline, name)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name="SmolReel")
    project = ET.SubElement(event, "project", name=f"{name} (highlights)")
    code = "DF" if timeline.drop else "NDF"
    sequence = ET.SubElement(project, "sequence", format="r1", duration=_time(timeline.frames, rate),
                             tcStart=_time(timeline.start, rate), tcFormat=code)
    if timeline.channels:
        sequence.set("audioLayout", "mono" if timeline.channels == 1 else "stereo")
        sequence.set("audioRate", _SEQUENCE_RATES.get(timeline.sample_rate, "48k"))
    spine = ET.SubElement(sequence, "spine")
    for cut in timeline.cuts:
        _add_clip(spine, timeline, cut, code)
    ET.indent(root, " ")
    body: str = ET.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'.encode()


def _add_asset(resources: ET.Element, timeline: Timeline, name: str) -> None:
    """The source file."""
    asset = ET.SubElement(resources, "asset", id="r2", name=name,
                          start=_time(timeline.source_start, timeline.rate),
                          duration=_time(timeline.source_frames, timeline.rate), hasVideo="1", videoSources="1",
                          format="r1")
    if timeline.channels:
        for key, value in (("hasAudio", 1), ("audioSources", 1), ("audioChannels", timeline.channels),
                           ("audioRate", timeline.sample_rate or 48000)):
            asset.set(key, str(value))
    ET.SubElement(asset, "media-rep", kind="original-media", src=timeline.video.path.as_uri())


def _add_clip(spine: ET.Element, timeline: Timeline, cut: Cut, code: str) -> None:
    """A clip of the source in its place; why it was chosen stands in its note."""
    clip = ET.SubElement(spine, "asset-clip", ref="r2", name=cut.name,
                         offset=_time(timeline.start + cut.record_in, timeline.rate),
                         start=_time(timeline.source_start + cut.source_in, timeline.rate),
                         duration=_time(cut.frames, timeline.rate), tcFormat=code)
    if timeline.channels:
        clip.set("audioRole", "dialogue")
    if reason := one_line(cut.clip.reason):
        ET.SubElement(clip, "note").text = reason


def _colour_space(timeline: Timeline) -> str:
    """What the source's colours are, in ISO/IEC 23091-2's numbers and Final Cut Pro's words."""
    return {"pq": "9-16-9 (Rec. 2020 PQ)", "hlg": "9-18-9 (Rec. 2020 HLG)"}.get(timeline.video.transfer,
                                                                              "1-1-1 (Rec. 709)")


def _time(frames: int, rate: Fraction) -> str:
    """Frames as rational seconds, such as "1001/30000s"; whole seconds have no denominator."""
    seconds = frames / rate
    if seconds.denominator == 1:
        return f"{seconds.numerator}s"
    # The rate's own numerator stays below the line, which is how these times are read by eye.
    return f"{frames * rate.denominator}/{rate.numerator}s"
