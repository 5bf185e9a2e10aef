"""EDL, FCPXML and OTIO, read back by programs that we did not write, against what the reel really shows."""

from __future__ import annotations

import csv
import io
import itertools
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import pytest

from pipeline.export.edl import edl_text, export_edl
from pipeline.export.fcpxml import export_fcpxml, fcpxml_bytes
from pipeline.export.material import Material
from pipeline.export.otio import export_otio, otio_document
from pipeline.export.source import SourceFacts, read_facts
from pipeline.export.table import COLUMNS, export_csv
from pipeline.export.timeline import Timeline, lay_out, timeline_of
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rates import edit_rate
from pipeline.settings import Settings
from pipeline.types import Clip
from tests.export_support import NASTY, claimed, claimed_video, clip, in_a_row, named, rendered
from tests.making import textured, tone, write_video
from tests.numbered import QUICK, even, frames_of, make_source, snapped

FILM, NTSC, NTSC_60 = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)


@dataclass(frozen=True)
class Read:
    """What a reader found: each clip's first frame and the one after its last, in the source and on the timeline."""

    rate: Fraction
    names: list[str]
    source: list[tuple[int, int]]
    record: list[tuple[int, int]]


def whole(value: float | Fraction) -> int:
    """A number that has to be whole."""
    assert abs(value - round(value)) < 1e-4, value
    return round(value)


def read_otio(timeline: otio.schema.Timeline, rate: Fraction) -> Read:
    """The first track of picture."""
    track = timeline.video_tracks()[0]
    clips = list(track.find_clips())
    source, record, at = [], [], 0
    for one in clips:
        start = whole(one.source_range.start_time.rescaled_to(float(rate)).value)
        length = whole(one.source_range.duration.rescaled_to(float(rate)).value)
        source.append((start, start + length))
        record.append((at, at + length))
        at += length
    return Read(rate, [one.name for one in clips], source, record)


def read_fcpxml(data: bytes) -> Read:
    """Exact, as rational numbers, which the adapter of OpenTimelineIO is not."""
    root = ET.fromstring(data)

    def time(text: str) -> Fraction:
        assert text.endswith("s")
        return Fraction(text[:-1])

    rate = 1 / time(root.find("resources/format").attrib["frameDuration"])  # type: ignore[union-attr]
    sequence = root.find("library/event/project/sequence")
    assert sequence is not None
    first = time(sequence.attrib["tcStart"])
    source, record, names = [], [], []
    for one in sequence.findall("spine/asset-clip"):
        start, offset, length = (time(one.attrib[key]) * rate for key in ("start", "offset", "duration"))
        assert all(value.denominator == 1 for value in (start, offset, length))
        source.append((int(start), int(start + length)))
        record.append((int(offset - first * rate), int(offset - first * rate + length)))
        names.append(one.attrib["name"])
    assert time(sequence.attrib["duration"]) * rate == record[-1][1]
    return Read(rate, names, source, record)


def all_readers(timeline: Timeline, tmp_path: Path) -> list[Read]:
    """The timeline through every format."""
    edl = otio.adapters.read_from_string(edl_text(timeline), "cmx_3600", rate=float(timeline.rate))
    path = tmp_path / "t.otio"
    path.write_text(json.dumps(otio_document(timeline)))
    return [read_otio(edl, timeline.rate), read_otio(otio.adapters.read_from_file(str(path)), timeline.rate),
            read_fcpxml(fcpxml_bytes(timeline))]


def shown_by(material: Material) -> list[tuple[int, int]]:
    """Numbers of the first and the last source frame of every clip, read off the reel's own pictures."""
    numbers, _ = frames_of(material.reel.path)
    fps = Fraction(material.reel.fps).limit_denominator(1001)
    return [(numbers[round(place.start_s * fps)], numbers[round(place.end_s * fps) - 1])
            for place in material.reel.placed]


def clips_at(rate: Fraction) -> list[Clip]:
    """Out of order; as the selection makes them, one of a single frame, one that was typed, one anywhere."""
    typed = Clip(float(30 / rate), float(37 / rate), None, "typed", "")
    return [snapped(50, 61, rate), snapped(3, 9, rate), snapped(70, 71, rate), typed,
            Clip(float(Fraction("20.3") / rate), float(Fraction("27.8") / rate), None, "", ""), snapped(0, 4, rate)]


@pytest.mark.parametrize("rate", [FILM, Fraction(25), NTSC, Fraction(30), Fraction(50), NTSC_60])
def test_in_and_out_points_are_what_the_reel_shows(tmp_path: Path, rate: Fraction) -> None:
    source = make_source(tmp_path / "a.mov", even(90, rate), sound=(0, 1) if rate == 25 else None)
    material = rendered(source, clips_at(rate), tmp_path)
    timeline = timeline_of(material)
    assert timeline.rate == rate and timeline.drop == (rate in (NTSC, NTSC_60)) and timeline.source_frames == 90
    shown = [(first, last + 1) for first, last in shown_by(material)]
    assert len(shown) == 6
    for read in all_readers(timeline, tmp_path):
        assert read.source == shown and read.rate == rate
        lengths = [after - first for first, after in shown]
        assert read.record == list(itertools.pairwise([0, *itertools.accumulate(lengths)]))


@pytest.mark.parametrize(("rate", "edit", "ratio"), [
    (Fraction(120), Fraction(60), Fraction(2)), (Fraction(15), Fraction(30), Fraction(1, 2)),
    (Fraction(100), Fraction(50), Fraction(2)), (Fraction(12), Fraction(24), Fraction(1, 2))])
def test_rates_that_editors_do_not_have(tmp_path: Path, rate: Fraction, edit: Fraction, ratio: Fraction) -> None:
    source = make_source(tmp_path / "a.mov", even(90, rate))
    material = rendered(source, [snapped(50, 62, rate), snapped(4, 10, rate)], tmp_path)
    timeline = timeline_of(material)
    assert timeline.rate == edit
    for read in all_readers(timeline, tmp_path):
        for (first, after), (shown_first, shown_last) in zip(read.source, shown_by(material), strict=True):
            assert abs(int(first * ratio) - shown_first) <= max(0, ratio - 1)
            assert abs(int((after - 1) * ratio) - shown_last) <= max(0, ratio - 1)


@pytest.mark.parametrize("render", ["auto", "copy"])
def test_reels_that_are_copied(tmp_path: Path, render: str) -> None:
    source = make_source(tmp_path / "a.mp4", even(200, 25), sound=(0, 8))
    settings = replace(QUICK, render=render)
    material = rendered(source, [snapped(100, 150, 25), snapped(10, 72, 25)], tmp_path, settings)
    assert material.reel.way in ("copy", "mixed")
    for read in all_readers(timeline_of(material), tmp_path):
        assert read.source == [(first, last + 1) for first, last in shown_by(material)]


def test_uneven_frames_are_laid_out_by_time(tmp_path: Path) -> None:
    times = [Fraction(i, 30) + (Fraction(1, 90) if i % 3 else 0) for i in range(120)]
    source = make_source(tmp_path / "a.mp4", times)
    video = probe(source)
    assert video.variable_fps
    clips = [Clip(2.0, 2.9, None, "", ""), Clip(0.41, 1.27, None, "", "")]
    material = rendered(source, clips, tmp_path)
    timeline = timeline_of(material)
    assert timeline.rate in (Fraction(30), NTSC)
    for read in all_readers(timeline, tmp_path):
        for (first, after), (shown_first, shown_last) in zip(read.source, shown_by(material), strict=True):
            assert abs(first / timeline.rate - times[shown_first]) < Fraction(1, 29)
            assert abs((after - 1) / timeline.rate - times[shown_last]) < Fraction(1, 29)


@pytest.mark.parametrize(("fps", "variable", "rate"), [
    (23.976, False, FILM), (24.0, False, Fraction(24)), (25.0, False, Fraction(25)), (29.97003, False, NTSC),
    (59.94, False, NTSC_60), (119.88, False, NTSC_60), (240.0, False, Fraction(60)), (15.0, False, Fraction(30)),
    (14.985, False, NTSC), (12.5, False, Fraction(25)), (1.0, False, Fraction(24)), (27.3, False, NTSC),
    (29.8, True, NTSC), (30.01, True, Fraction(30)), (7.0, True, Fraction(30)), (500.0, True, Fraction(60)),
    (90.0, False, Fraction(30)), (144.0, False, Fraction(48))])
def test_edit_rate(fps: float, variable: bool, rate: Fraction) -> None:
    assert edit_rate(claimed_video(fps=fps, variable=variable, duration_s=1000)) == rate


def test_a_clock_that_is_a_little_off_counts_frames(tmp_path: Path) -> None:
    """29.99 frames a second is edited as 30, on which the frame after 1000 s is the 29,990th."""
    video = claimed_video(fps=29.99, duration_s=2000)
    placed = in_a_row([clip((29990 - 0.5) / 29.99, (30020 - 0.5) / 29.99)])
    timeline = lay_out(video, SourceFacts(), placed, 29.99)
    assert timeline.rate == 30 and (timeline.cuts[0].source_in, timeline.cuts[0].source_out) == (29990, 30020)


# ---------------------------------------------------------------- where the source's own clock starts

def with_timecode(tmp_path: Path, rate: Fraction, timecode: str, name: str = "b.mov") -> Path:
    """A source of 90 frames that carries a start timecode."""
    plain, marked = tmp_path / "a.mov", tmp_path / name
    write_video(plain, [textured(1)] * 90, fps=float(rate), sound=tone(1, 0.1))
    run_ffmpeg(["-i", input_url(plain), "-c", "copy", "-timecode", timecode, "-metadata", f"timecode={timecode}",
                input_url(marked)], cancel=CancelToken(), timeout_s=60)
    return marked


@pytest.mark.parametrize(("rate", "timecode", "name", "drop", "code_in"), [
    (Fraction(25), "10:00:00:05", "b.mov", False, "10:00:02:05"),
    (NTSC, "01:00:59;28", "b.mov", True, "01:01:01;20"), (NTSC, "01:00:59:28", "b.mov", False, "01:01:01:18"),
    (NTSC_60, "23:59:59;50", "b.mov", True, "00:00:00;40"),
    (Fraction(25), "10:00:00:05", "b.mkv", False, "10:00:02:05")])
def test_a_source_with_a_start_timecode(tmp_path: Path, rate: Fraction, timecode: str, name: str, drop: bool,
                                        code_in: str) -> None:
    source = with_timecode(tmp_path, rate, timecode, name)
    video = probe(source)
    timeline = lay_out(video, read_facts(video), in_a_row([snapped(50, 61, rate)]), float(rate))
    assert timeline.drop == drop and timeline.channels == 1
    assert code_in in edl_text(timeline)
    assert f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}\r\n" in edl_text(timeline)
    start = otio.opentime.from_timecode(timecode, float(rate)).value
    document = otio_document(timeline)
    media = document["tracks"]["children"][0]["children"][0]
    available = media["media_references"]["DEFAULT_MEDIA"]["available_range"]
    assert available["start_time"]["value"] == start and available["duration"]["value"] == 90
    assert media["source_range"]["start_time"]["value"] == start + 50
    asset = ET.fromstring(fcpxml_bytes(timeline)).find("resources/asset")
    assert asset is not None and Fraction(asset.attrib["start"][:-1]) == int(start) / rate
    assert read_fcpxml(fcpxml_bytes(timeline)).source == [(start + 50, start + 61)]


def test_a_start_timecode_in_the_source_s_own_frames() -> None:
    """120 frames a second are counted by the camera, and cut on every second one."""
    video = claimed_video(fps=120)
    timeline = lay_out(video, SourceFacts("00:00:01:90"), in_a_row([clip(1, 2)]), 60)
    assert timeline.rate == 60 and timeline.source_start == 60 + 45
    assert lay_out(video, SourceFacts("nonsense"), in_a_row([clip(1, 2)]), 60).source_start == 0


# ---------------------------------------------------------------- sound, names and paths

@pytest.mark.parametrize(("channels", "code"), [(0, "V"), (1, "B"), (2, "AA/V"), (6, "AA/V")])
def test_sound_goes_along_where_there_is_any(channels: int, code: str) -> None:
    facts = SourceFacts(channels=channels, sample_rate=44100 if channels else 0)
    timeline = lay_out(claimed_video(audio=channels > 0), facts, in_a_row([clip(1, 2), clip(5, 7)]), 25)
    edl = otio.adapters.read_from_string(edl_text(timeline), "cmx_3600", rate=25)
    assert [f"001  AX       {code:<5} C " in edl_text(timeline), len(edl.audio_tracks())] == [True, min(channels, 2)]
    tracks = otio.adapters.read_from_string(json.dumps(otio_document(timeline)), "otio_json")
    assert len(tracks.video_tracks()) == 1 and len(tracks.audio_tracks()) == min(channels, 1)
    root = ET.fromstring(fcpxml_bytes(timeline))
    asset, sequence = root.find("resources/asset"), root.find(".//sequence")
    assert asset is not None and sequence is not None
    assert asset.get("audioChannels") == (str(channels) if channels else None)
    assert sequence.get("audioRate") == ("44.1k" if channels else None)


ODD_PATHS = ["Fußball \u2013 50 % #1 'x' & <y>?.mov", "\u6620\u753b \U0001f3ac.mp4", "a;b\nc.mp4", "bad\udcff.mp4"]


@pytest.mark.parametrize("name", ODD_PATHS)
def test_any_path_is_found_again(tmp_path: Path, name: str) -> None:
    path = Path("/films") / name
    timeline = lay_out(claimed_video(path), SourceFacts(), in_a_row([clip(1, 2, "a goal")]), 25)
    read = otio.adapters.read_from_string(json.dumps(otio_document(timeline)), "otio_json")
    url = next(iter(read.find_clips())).media_reference.target_url
    asset = ET.fromstring(fcpxml_bytes(timeline)).find("resources/asset/media-rep")
    assert asset is not None and asset.attrib["src"] == url and url.isascii()
    assert unquote(urlsplit(url).path, errors="surrogateescape") == str(path)
    lines = edl_text(timeline).split("\r\n")
    assert all("\n" not in line for line in lines)
    (comment,) = (line for line in lines if line.startswith("* SOURCE FILE: "))
    if name.isprintable():
        assert comment == f"* SOURCE FILE: {name}"


@pytest.mark.parametrize("text", [NASTY, "", "\U0001f3ac", "\u6620\u753b", "caf\u00e9 " * 100,
                                  "* FROM CLIP NAME: x\n001  AX"])
def test_any_description_will_do(tmp_path: Path, text: str) -> None:
    material = named(claimed(claimed_video(), [clip(10, 12), clip(3, 5)], tmp_path), text)
    timeline = lay_out(material.video, SourceFacts(channels=2, sample_rate=48000), material.reel.placed, 25)
    edl, document, fcpxml = all_readers(timeline, tmp_path)
    for read in (edl, document, fcpxml):
        assert read.source == [(250, 300), (75, 125)]
        assert all(name and "\n" not in name for name in read.names)
    assert edl_text(timeline).isascii() and all(len(line) < 100 for line in edl_text(timeline).splitlines())
    if not text:
        assert document.names == ["Clip 1", "Clip 2"]


def test_a_reader_of_fcpxml_that_is_not_ours(tmp_path: Path) -> None:
    """It knows whole rates only, and neither start timecodes nor where since version 1.9 a file's address stands."""
    timeline = lay_out(claimed_video(), SourceFacts(channels=2, sample_rate=48000),
                       in_a_row([clip(10, 12, "b"), clip(3, 5.2, "a")]), 25)
    read = otio.adapters.read_from_string(fcpxml_bytes(timeline).decode(), "fcpx_xml")
    clips = list(read.find_clips())
    assert [(one.name, one.source_range.start_time.value, one.source_range.duration.value) for one in clips] == [
        ("B", 250, 50), ("A", 75, 55)]


# ---------------------------------------------------------------- files

def test_files_are_written(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mov", even(90, 25), sound=(0, 3))
    material = rendered(source, [snapped(50, 61, 25), snapped(3, 9, 25)], tmp_path)
    for export, name in ((export_edl, "reel.edl"), (export_fcpxml, "reel.fcpxml"), (export_otio, "reel.otio")):
        assert export(material, CancelToken()) == [material.folder / name]
    edl = otio.adapters.read_from_file(str(material.folder / "reel.edl"), rate=25)
    assert read_otio(edl, Fraction(25)).source == [(50, 61), (3, 9)]
    read = otio.adapters.read_from_file(str(material.folder / "reel.otio"))
    assert read_otio(read, Fraction(25)).source == [(50, 61), (3, 9)]
    assert read.global_start_time == otio.opentime.RationalTime(90000, 25)


def rows_of(path: Path) -> Sequence[dict[str, str]]:
    """The rows of a table as Python's reader finds them."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def test_the_table(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mov", even(90, NTSC))
    clips = [replace(snapped(50, 61, NTSC), score=0.75, description='=1+1, "x"\nline', reason="@why"),
             snapped(3, 9, NTSC)]
    material = rendered(source, clips, tmp_path)
    (path,) = export_csv(material, CancelToken())
    first, second = rows_of(path)
    assert tuple(first) == COLUMNS and path.read_bytes().startswith(b"number,")
    assert [first["number"], second["number"]] == ["1", "2"]
    assert (first["source_in"], first["source_out"]) == ("00:00:01;20", "00:00:02;01")
    assert (second["reel_in"], second["reel_out"]) == ("00:00:00;11", "00:00:00;17")
    assert float(first["source_in_s"]) == pytest.approx(49.5 / 29.97, abs=0.001)
    assert float(second["reel_in_s"]) == pytest.approx(11 / 29.97, abs=0.001)
    assert first["score"] == "0.750" and second["score"] == ""
    assert first["description"] == "'=1+1, \"x\"\nline" and first["reason"] == "'@why"
    # Every line ends as RFC 4180 has it, but for those within a cell.
    assert path.read_bytes().count(b"\r\n") == 3


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "\uff1d", "\n+"])
def test_no_cell_is_a_formula(tmp_path: Path, start: str) -> None:
    material = named(rendered(make_source(tmp_path / "a.mov", even(30, 25)), [clip(0, 1)], tmp_path), f"{start}A1")
    (path,) = export_csv(material, CancelToken())
    (row,) = rows_of(path)
    assert row["description"].startswith("'") and row["description"].endswith("A1")


def test_a_table_that_is_not_ascii_says_so_to_excel(tmp_path: Path) -> None:
    material = rendered(make_source(tmp_path / "a.mov", even(30, 25)), [clip(0, 1)], tmp_path)
    (path,) = export_csv(named(material, "caf\u00e9"), CancelToken())
    assert path.read_bytes().startswith(b"\xef\xbb\xbfnumber,") and rows_of(path)[0]["description"] == "caf\u00e9"


def test_settings_know_every_export() -> None:
    from pipeline.export.kinds import EXPORTERS
    from pipeline.settings import EXPORTS

    assert tuple(EXPORTERS) == EXPORTS and Settings(export=EXPORTS).export == EXPORTS
