"""What is made of the finished reel's pictures: clips, contact sheet, preview and page."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.export import gif, page
from pipeline.export.clips import Packet, export_clips, file_name, read_index, stands_alone
from pipeline.export.gif import export_gif, gif_args, pieces_of
from pipeline.export.material import Material
from pipeline.export.page import export_page
from pipeline.export.pictures import pictures_at
from pipeline.export.placing import Window, windows
from pipeline.export.sheet import export_sheet, lay_out
from pipeline.media.probe import probe
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import CancelToken
from pipeline.types import Reel, Scene
from tests.export_support import NASTY, clip, in_a_row, material_of, named, rendered
from tests.numbered import QUICK, beep_starts, even, frames_of, make_source, read_number, snapped, sound_of

NTSC = Fraction(30000, 1001)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """A reel of three clips out of time order, one of them of a single frame."""
    folder = tmp_path_factory.mktemp("made")
    source = make_source(folder / "my film #1.mp4", even(200, 25), sound=(0, 8))
    return rendered(source, [snapped(100, 150, 25), snapped(70, 71, 25), snapped(10, 45, 25)], folder,
                    replace(QUICK, preset="veryfast"))


def unzipped(path: Path, folder: Path) -> list[Path]:
    """The files in an archive, which is sound."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
        return [folder / name for name in archive.namelist()]


def packets_of(path: Path) -> list[bytes]:
    """What the picture consists of."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


# ---------------------------------------------------------------- clips

def test_clips_are_the_reel_cut_up_without_encoding_it(made: Material, tmp_path: Path) -> None:
    (archive,) = export_clips(made, CancelToken())
    files = unzipped(archive, tmp_path)
    assert [path.name for path in files] == ["01_0m03s.mp4", "02_0m02s.mp4", "03_0m00s.mp4"]
    numbers = [frames_of(path)[0] for path in files]
    assert numbers == [list(range(100, 150)), [70], list(range(10, 45))]
    assert [packet for path in files for packet in packets_of(path)] == packets_of(made.reel.path)
    for path, count in zip(files, (50, 1, 35), strict=True):
        _, times = frames_of(path)
        assert times == [Fraction(i, 25) for i in range(count)]
        assert abs(sound_of(path).shape[1] / 48000 - count / 25) < 1025 / 48000
        assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    # Source second 4 is frame 100, second 5 is 25 frames later.
    assert beep_starts(sound_of(files[0]))[-1] == pytest.approx(1.0, abs=0.03)
    assert not [path for path in made.folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("way", ["auto", "copy"])
def test_clips_of_a_reel_that_was_copied(tmp_path: Path, way: str) -> None:
    source = make_source(tmp_path / "a.mp4", even(200, 25), sound=(0, 8))
    material = rendered(source, [snapped(100, 150, 25), snapped(10, 72, 25)], tmp_path, replace(QUICK, render=way))
    (archive,) = export_clips(material, CancelToken())
    numbers, _ = frames_of(material.reel.path)
    found = [frames_of(path)[0] for path in unzipped(archive, tmp_path / "clips")]
    assert [number for one in found for number in one] == numbers
    assert [len(one) for one in found] == [round((p.end_s - p.start_s) * 25) for p in material.reel.placed]


@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(60)])
def test_clips_that_crossfade_are_cut_in_the_middle(tmp_path: Path, rate: Fraction) -> None:
    """Of a reel without a keyframe at the cuts, every frame is in one clip, and each is shown when it was."""
    path = make_source(tmp_path / "reel.mp4", even(150, rate), sound=(0, 2), gop=40)
    lead_s, fade_s = float(8 / rate), float(10 / rate)
    placed = in_a_row([clip(50, 50 + float(60 / rate)), clip(3700, 3700 + float(70 / rate))], fade_s, lead_s)
    reel = Reel(path, float(150 / rate), 160, 96, float(rate), "styled", "libx264", placed)
    (archive,) = export_clips(material_of(probe(path), reel, tmp_path), CancelToken())
    files = unzipped(archive, tmp_path / "clips")
    assert [file.name for file in files] == ["01_0m50s.mp4", "02_1h01m40s.mp4"]
    assert [frames_of(file)[0] for file in files] == [list(range(8, 63)), list(range(63, 128))]
    for file in files:
        numbers, times = frames_of(file)
        assert [float(at) for at in times] == pytest.approx([float(i / rate) for i in range(len(numbers))], abs=1e-4)
    whole, parts = frames_as_grey(path), [frame for file in files for frame in frames_as_grey(file)]
    assert max(np.abs(a - b).mean() for a, b in zip(whole[8:128], parts, strict=True)) < 1.5


def frames_as_grey(path: Path) -> list[np.ndarray]:
    """All pictures of a file."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(np.float32) for frame in container.decode(video=0)]


def test_clips_without_sound(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(50, 25))
    (archive,) = export_clips(rendered(source, [snapped(5, 20, 25)], tmp_path), CancelToken())
    (file,) = unzipped(archive, tmp_path / "clips")
    with av.open(str(file)) as container:
        assert not container.streams.audio and container.streams.video[0].frames == 15


def test_what_stands_alone(made: Material) -> None:
    packets = read_index(made.reel.path, CancelToken()).packets
    times = sorted(packet.pts for packet in packets)
    assert [packet.pts for packet in packets] != times, "frames are decoded in another order than they are shown in"
    assert stands_alone(packets, times[0], times[50]) and stands_alone(packets, times[50], times[51])
    assert not stands_alone(packets, times[1], times[50])
    # An open group: 2 is shown before the keyframe 3 but decoded after it, and needs what came before.
    opened = [Packet(0, True), Packet(1, False), Packet(3, True), Packet(2, False), Packet(4, False)]
    assert not stands_alone(opened, 3, 5) and not stands_alone(opened, 0, 3)


def test_names_sort_as_they_play() -> None:
    one = Window(clip(3 * 3600 + 62, 3 * 3600 + 70), 0, 0, 1)
    assert file_name(one, 7, 120) == "007_3h01m02s.mp4" and file_name(one, 7, 8) == "07_3h01m02s.mp4"


# ---------------------------------------------------------------- pictures

def test_pictures_are_those_on_show(made: Material) -> None:
    times = [2.0 + 1 / 25, 0.0, 1.03, 3.0, 99.0]
    numbers = [read_number(picture[:, :, 0]) for picture in pictures_at(made.reel.path, times, 160, CancelToken())]
    assert numbers == [10, 100, 125, 34, 44]
    (small,) = pictures_at(made.reel.path, [0.0], 80, CancelToken())
    assert small.shape == (48, 80, 3)


@pytest.mark.parametrize(("count", "aspect", "grid"), [
    (1, 1.78, (1, 1)), (2, 1.78, (2, 1)), (4, 1.78, (2, 2)), (5, 1.78, (3, 2)), (8, 1.78, (4, 2)), (12, 1.78, (4, 3)),
    (9, 1.78, (3, 3)), (3, 0.56, (3, 1)), (10, 0.56, (5, 2)), (120, 1.78, (4, 30))])
def test_a_sheet_s_grid(count: int, aspect: float, grid: tuple[int, int]) -> None:
    layout = lay_out(count, aspect)
    assert (layout.columns, layout.rows) == grid
    width, height = layout.picture
    assert width / height == pytest.approx(aspect, rel=0.02)


@pytest.mark.parametrize("text", ["", NASTY, "word " * 80, "x" * 300])
def test_the_contact_sheet(made: Material, text: str) -> None:
    (path,) = export_sheet(named(made, text), CancelToken())
    layout = lay_out(3, 160 / 96)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG" and sheet.size == layout.size
        pixels = np.asarray(sheet.convert("RGB")).astype(float)
    shown = pictures_at(made.reel.path, [window.middle_s for window in windows(made.reel.placed)], 160, CancelToken())
    for column, picture in enumerate(shown):
        left = 40 + column * (layout.picture[0] + 24)
        card = pixels[layout.head_height:layout.head_height + layout.picture[1], left:left + layout.picture[0]]
        height, width = picture.shape[:2]
        # Away from the corners, the number, and the bars' edges.
        for x, y in ((0.3, 0.7), (0.8, 0.7), (0.55, 0.25)):
            drawn = card[int(y * card.shape[0]), int(x * card.shape[1])]
            assert np.abs(drawn - picture[int(y * height), int(x * width)]).max() < 25


# ---------------------------------------------------------------- preview

def test_the_preview(made: Material) -> None:
    (path,) = export_gif(made, CancelToken())
    assert path.stat().st_size < gif.MAX_BYTES
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert (frames[0].width, frames[0].height) == (160, 96)
        length_s = frames[-1].time + 1 / 12
    assert 2.5 < length_s < 6.5
    with Image.open(path) as image:
        assert image.info["loop"] == 0


def test_a_preview_that_is_too_large_is_made_smaller(made: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = export_gif(made, CancelToken())
    monkeypatch.setattr(gif, "SIZES", (gif.SIZES[0], gif.Size(64, 4, 4)))
    monkeypatch.setattr(gif, "MAX_BYTES", path.stat().st_size - 1)
    (smaller,) = export_gif(made, CancelToken())
    with Image.open(smaller) as image:
        assert image.size == (64, 38) and smaller.stat().st_size <= gif.MAX_BYTES


def test_a_preview_shows_the_best_in_the_order_of_the_reel() -> None:
    placed = in_a_row([clip(10 * i, 10 * i + 4, score=s) for i, s in enumerate([0.1, 0.9, None, 0.5, 0.8, 0.7, 0.2])])
    pieces = pieces_of(windows(placed))
    assert [round(start) for start, _ in pieces] == [5, 9, 13, 17, 21]
    assert sum(length for _, length in pieces) == pytest.approx(6.0)
    assert pieces_of(windows(in_a_row([clip(0, 20)]))) == [(7.0, 6.0)]
    assert gif_args(pieces, gif.SIZES[0], "in", "out").count("-i") == 5


# ---------------------------------------------------------------- page

class Reader(HTMLParser):
    """Collects a page's tags, their attributes and its visible text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._inside = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data


def read(path: Path) -> Reader:
    """The page as a parser finds it."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def test_the_page(made: Material) -> None:
    plan = replace(made.plan, scenes=(Scene(0, 3), Scene(3, 8)), warnings=("one <note>",))
    (path,) = export_page(replace(made, plan=plan), CancelToken())
    reader = read(path)
    tags = [tag for tag, _ in reader.tags]
    assert tags.count("video") == 1 and tags.count("li") == 3 + 1 and tags.count("script") == 1
    video = next(attributes for tag, attributes in reader.tags if tag == "video")
    assert video["src"] == "reel.mp4" and "controls" in video
    pictures = [attributes["src"] or "" for tag, attributes in reader.tags if tag == "img"]
    assert len(pictures) == 9 and all(src.startswith("data:image/jpeg;base64,") for src in pictures)
    for words in ("my film #1.mp4", "3 clips", "0:04.0", "0:06.0", "one <note>", "0.75", "Clip 1", "in the reel"):
        assert words in reader.text, words
    assert "M375.0 0V100" in path.read_text(), "a scene's mark, at 3 of 8 s"


@pytest.mark.parametrize("text", [NASTY, "</title><img src=x onerror=alert(1)>", "\"><a href='javascript:x'>"])
def test_nothing_on_the_page_comes_alive(made: Material, text: str) -> None:
    (path,) = export_page(made, CancelToken())
    harmless = read(path)
    nasty = named(made, text)
    (path,) = export_page(replace(nasty, plan=replace(nasty.plan, warnings=(text,), settings={"query": text})),
                          CancelToken())
    reader = read(path)

    def shape(one: Reader) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in one.tags if tag not in ("ul", "li", "p")]

    assert shape(reader) == shape(harmless)
    assert page.escaped(text) not in ("", text) and "".join(text.split("\n")[0].split())[:12] in "".join(
        reader.text.split())


def test_the_page_fetches_nothing(made: Material) -> None:
    (path,) = export_page(made, CancelToken())
    for _, attributes in read(path).tags:
        for name in ("src", "href", "poster"):
            assert (attributes.get(name) or "data:").startswith(("data:", "reel.mp4"))
    written = path.read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttp", re.sub(r"base64,[\w+/=]+", "", written))


def test_a_page_of_a_plan_that_a_person_wrote(made: Material) -> None:
    bare = replace(made, plan=Plan(PlanVideo("a.mp4"), made.plan.clips))
    (path,) = export_page(bare, CancelToken())
    assert 'class="area"' not in path.read_text() and 'class="chosen"' in path.read_text()


def test_a_reel_of_one_frame(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(30, 25))
    material = rendered(source, [snapped(9, 10, 25)], tmp_path)
    for export in (export_clips, export_sheet, export_gif, export_page):
        (path,) = export(material, CancelToken())
        assert path.stat().st_size > 100
    with Image.open(tmp_path / "out" / "preview.gif") as image:
        assert read_number(np.asarray(image.convert("L"))) == 9


