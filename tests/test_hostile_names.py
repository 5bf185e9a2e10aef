"""Videos of any name: their files land in a folder of their own, and the person reads the name that they gave."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from app.__main__ import BAD_INPUT, DONE, main
from app.folders import safe_name
from app.jobs import Jobs
from app.presenters import one_line
from pipeline import Settings
from pipeline.media.files import folder_name
from tests.making import story

DEVICES = [name + end for name in ("con", "PRN", "aux", "NUL", "com1", "LPT9", "Com0") for end in ("", ".mp4")]
RESERVED = ("con", "prn", "aux", "nul", "com1", "lpt9")
ENDS = ["a.", "a ", "a. .", "a.mp4.", "a.mp4 ", " a.mp4", "\u00a0.mp4", "a\u200b.mp4", ". .mp4", "a .mp4", "a..mp4"]
DOTS = [".", "..", "...", "....", "..mp4", "...mp4", "....mp4", ".mp4", ". .", ".. ", " ..", "../x", "../../x.mp4",
        "..\\..\\x.mp4", "/etc/passwd", "C:\\x.mp4", "a/../b.mp4", "./-.mp4", "~", "~root.mp4", "x/..", ".hidden"]
OPTIONS = ["-", "--", "-i", "-y.mp4", "--help", "-i.mp4", "-filter_complex", "@list.txt", "-o=x", "\u2013y.mp4"]
QUOTES = ["'", '"', "`id`.mp4", "$(id).mp4", "a;b.mp4", "a|b&c.mp4", "%s%n.mp4", "%03d.mp4", "a*?.mp4", "[b]x[/b].mp4",
          "{0}.mp4", "<b>x</b>.mp4", "a:b.mp4", "concat:a|b.mp4", "http:__x.mp4", "pipe:0", "file:x.mp4", "\\", "a\\b"]
CONTROLS = [f"a{chr(code)}b.mp4" for code in (*range(32), 0x7f, 0x85, 0x9b, 0x2028, 0x2029)]
UNICODE = ["\u202egpj.mp4", "\u2066x\u2069.mp4", "\u200f\u05e9\u05dc.mp4", "\u0645\u0631\u062d\u0628\u0627.mp4",
           "\U0001f3ac.mp4", "\U0001f468\u200d\U0001f469\u200d\U0001f467.mp4", "\u590f\u4f11\u307f.mp4", "e\u0301.mp4",
           "\ufeff.mp4", "\ufffd.mp4", "\uffff.mp4", "\u0338" * 40 + ".mp4", "Z\u0351\u036b\u0343.mp4", "\u1e9e.mp4",
           "bad\udcff.mp4", "\udc80.mp4", "\ud800.mp4", "\udfff\ud800", "\u3164", "\u115f.mp4"]
LONG = ["a" * 255, "a" * 251 + ".mp4", "\u590f" * 85, "\U0001f3ac" * 62 + ".mp4", "." * 255, " " * 255, "-" * 255,
        "a." * 127]


def more(count: int) -> list[str]:
    """Names of letters from anywhere in Unicode, the same ones every time."""
    dice = random.Random(7)
    return ["".join(chr(dice.choice((dice.randrange(1, 0x250), dice.randrange(1, 0x110000))))
                    for _ in range(dice.randrange(1, 60))) for _ in range(count)]


FIXED = [*DEVICES, *ENDS, *DOTS, *OPTIONS, *QUOTES, *CONTROLS, *UNICODE, *LONG]
NAMES = [*FIXED, *more(200 - len(FIXED))]


def test_there_are_as_many_as_was_meant() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 200


def folder_names(videos: Iterable[Path]) -> list[str]:
    """A folder for each of several videos."""
    names: list[str] = []
    for video in videos:
        names.append(folder_name(video, names))
    return names


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_of_its_own(tmp_path: Path, name: str) -> None:
    taken: list[str] = []
    for windows in (False, True):
        folder = folder_name(Path(name), windows=windows)
        assert folder not in ("", ".", "..") and "/" not in folder
        assert (tmp_path / folder).parent == tmp_path == Path(os.path.normpath(tmp_path / folder)).parent
        if windows:
            assert not folder.endswith((".", " ")) and folder.lower().split(".")[0] not in RESERVED
    taken = folder_names([Path(name)] * 3)
    assert len({folder.casefold() for folder in taken}) == 3
    assert all(len(folder.encode(errors="surrogatepass")) <= 255 or len(name) > 255 for folder in taken)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return
    if "\0" in name:
        return
    for folder in taken:
        (tmp_path / folder).mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(taken)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_name_for_the_page(tmp_path: Path, name: str) -> None:
    safe = safe_name(name)
    (tmp_path / safe).write_bytes(b"film")
    assert [path.name for path in tmp_path.iterdir()] == [safe] and not safe.startswith(("-", ".", "~"))
    assert not safe.endswith((".", " ")) and safe.lower().split(".")[0] not in RESERVED


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_as_it_is_shown(name: str) -> None:
    shown = one_line(name)
    shown.encode()
    assert len(shown.splitlines()) == 1 and not set(shown) & set("\x1b\x9b\u202e\u2066")
    assert shown == name or "\\" in shown


def test_names_that_differ_in_case_or_spelling_alone_share_no_folder() -> None:
    names = folder_names([Path(name) for name in ("a.mp4", "A.mov", "\u00e9.mp4", "e\u0301.mp4", "a-2.mp4")])
    assert names == ["a", "A-2", "\u00e9", "e\u0301-2", "a-2-2"]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of three seconds."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return story(path, loud=range(1, 2), shots=3, shot_s=1, size=(96, 54), fps=10)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no files of such names")
@pytest.mark.parametrize("name", ["...mp4", "..mp4", "\u202e4pm.\x9b2J.mp4", "a" * 251 + ".mp4", "-i", "~root.mp4",
                                  "concat:x|y.mp4"], ids=lambda name: ascii(name)[:20])
def test_reels_stay_in_the_output_folder(tmp_path: Path, film: Path, name: str, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    os.link(film, tmp_path / "in" / name)
    out = tmp_path / "results" / "out"
    monkeypatch.chdir(tmp_path / "in")
    arguments = ["-o", str(out), "--cache-dir", str(tmp_path / "cache"), "--scorer", "signals"]
    assert main(["reel", *arguments, "--", name]) == DONE
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["out"]
    (folder,) = out.iterdir()
    assert {path.name for path in folder.iterdir()} == {"reel.mp4", "plan.json"}
    assert main(["render", str(folder / "plan.json"), *arguments[:4]]) == DONE
    assert list(out.iterdir()) == [folder]
    assert json.loads((folder / "plan.json").read_text())["video"]["path"].endswith(name)
    (tmp_path / "in" / name).unlink()
    (tmp_path / "in" / name).write_text("no video")
    capsys.readouterr()
    assert main(["reel", *arguments, "--", name]) == BAD_INPUT
    assert capsys.readouterr().err.startswith(f"smolreel: {one_line(name)}: ")


def test_runs_of_the_page_stay_in_their_folder(tmp_path: Path, film: Path) -> None:
    jobs = Jobs(tmp_path / "page" / "runs")
    try:
        for name in ("../../up.mp4", "...mp4", "-i\n.mp4", "\u202egpj.mp4", "bad\udcff.mp4", "nul.mp4", "\0", LONG[0]):
            run = jobs.submit("ann", film, name, Settings(scorer="signals"))
            while (now := jobs.get(run.id)) is not None and now.busy:
                time.sleep(0.02)
            assert now is not None and now.outcome is not None and now.name == name, (name, now and now.error)
            home = run.folder.resolve()
            assert home.is_relative_to((tmp_path / "page" / "runs").resolve())
            assert all(path.resolve().is_relative_to(home) for path in (*now.files, now.source))
        assert [path.name for path in tmp_path.iterdir()] == ["page"]
        assert [path.name for path in (tmp_path / "page").iterdir()] == ["runs"]
    finally:
        jobs.close()
