"""A plan from a stranger: whatever stands in it, it is a reel or one clear line, and it reaches no other file."""

from __future__ import annotations

import copy
import ctypes
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.__main__ import BAD_INPUT, DONE, main
from pipeline import sandbox
from pipeline.errors import PlanError, SettingsError
from pipeline.plan import read_plan
from pipeline.settings import Settings
from tests.making import silent_server, story
from tests.test_plan import JSON, a_plan
from tests.watched import NOTE, started_in

MARK = "smuggled"
IN_OPEN = 0x20
# What would do harm where text is pasted into a filter graph, a concat script, an option or a path. {} is a file.
SMUGGLERS = (
    "';[0:v]drawtext=textfile={}:text=smuggled;'", "\\\\';movie={}[smuggled];[smuggled]", "],amovie={},[smuggled",
    "-i\n{}\nsmuggled", "-i {} -y smuggled", "concat:{}|smuggled", "subfile,,start,0,end,9,,:{}smuggled",
    "file '{}'\nsmuggled", "=cmd|'{}'!smuggled", "<script src={}>smuggled</script>", "$(cat {})smuggled",
    "`{}`smuggled;&&|", "%{{gmtime}}%{{metadata:{}}}smuggled", "[CHAPTER]\nSTART=0\n;#\\=smuggled{}",
    "\u202esmuggled\u2066\u200f", "smuggled\ud800\udfff\udc80", "smuggled\r\n\x1b[2J\x07\x7f\u2028", "smuggled\0",
    "~nobody-at-all/smuggled", "smuggled" * 40, "../" * 30 + "smuggled", "lavfi:movie={}smuggled",
)
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 10**400, -10**400, 1e308, -1e308, 5e-324, -0.0, "", "-i", "-", "..", ".", "/", "~", "\0",
    "\ud800", [], {}, [[]], [None], {"": {}}, {"\n": "\n"}, {"start_s": 0, "end_s": 1}, [0, 1], [[0, 1]], [1, 10**400],
    "#ffffff;x", "smuggled.ttf", {"a\nb": [1]}, *SMUGGLERS[::6])


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document that can be altered."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield (*at, key)
        yield from places(inner, (*at, key))


def altered(document: dict[str, Any], place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """A document with another value in one place."""
    changed = copy.deepcopy(document)
    node: Any = changed
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return changed


PLAN = a_plan().to_json()
PLACES = sorted({*places(PLAN), ("unknown",), ("notes",)}, key=str)


def is_read_or_refused(path: Path) -> None:
    """A plan that is read is written as one that is read again; else a short line says what is wrong."""
    try:
        plan = read_plan(path)
        Settings.from_json(plan.settings)
    except (PlanError, SettingsError) as error:
        said = str(error)
        assert said and "\n" not in said and len(said) < 1300
        return
    plan.with_notes(render={}).write(path)
    assert [clip.reason for clip in read_plan(path).clips] == [clip.reason for clip in plan.clips]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:30])
def test_an_odd_value_in_every_place(tmp_path: Path, odd: Any) -> None:
    path = tmp_path / "plan.json"
    for place in PLACES:
        document = altered(PLAN, place, odd)
        if place[0] == "settings" and len(place) > 1:
            # Without a file in between, which is what takes time.
            try:
                Settings.from_json(document["settings"])
            except SettingsError as error:
                assert len(str(error)) < 1300
            continue
        path.write_text(json.dumps(document))
        is_read_or_refused(path)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON | st.sampled_from(ODD)), min_size=1, max_size=3))
def test_odd_values_together(tmp_path: Path, changes: list[tuple[tuple[str | int, ...], Any]]) -> None:
    document = PLAN
    for place, value in changes:
        try:
            document = altered(document, place, value)
        except (KeyError, IndexError, TypeError):
            # An earlier change has taken the place away.
            continue
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(document))
    is_read_or_refused(path)


@pytest.mark.parametrize("place", [("version",), ("video", "path"), ("settings", "style", "title"), ("notes",),
                                   ("settings", "query"), ("settings", "render"), ("clips", 0, "start_s"),
                                   ("settings", "style", "font"), ("settings", "crf"), ("timings_s",)], ids=str)
def test_ten_megabytes_and_deep_nesting_in_a_place(tmp_path: Path, place: tuple[str | int, ...]) -> None:
    path = tmp_path / "plan.json"
    for value in ("x" * 10_000_000, deep(40), deep(300), deep(700)):
        path.write_text(json.dumps(altered(PLAN, place, value)))
        is_read_or_refused(path)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "9" * 5000])
def test_numbers_that_json_could_not_hold(tmp_path: Path, number: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**PLAN, "notes": "here"}).replace('"here"', number))
    with pytest.raises(PlanError, match="is not valid JSON"):
        read_plan(path)


@dataclass
class World:
    """A folder with a video, a plan, and a file that no plan below names as its own."""

    root: Path
    canary: Path
    note: Path

    @property
    def started(self) -> list[list[str]]:
        """What was started to render, as arguments."""
        return started_in(self.note)

    @property
    def video(self) -> Path:
        return self.root / "in" / "clip.mp4"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def listing(self) -> dict[str, bytes]:
        """All files outside of what may be written."""
        return {str(path.relative_to(self.root)): path.read_bytes() for top in ("in", "cwd", "home")
                for path in sorted((self.root / top).rglob("*")) if path.is_file() and path.name != "plan.json"}

    def render(self, document: dict[str, Any]) -> int:
        """Render a plan with the command line, and look at what it started and left."""
        plan = self.root / "in" / "plan.json"
        plan.write_text(json.dumps(document))
        before, beside = self.listing(), {path.name for path in self.root.iterdir()}
        # Without a cache, so that what an earlier plan left isn't found in place of what this one would start.
        status = main(["render", str(plan), "-o", str(self.out), "--no-cache"])
        assert self.listing() == before
        assert {path.name for path in self.root.iterdir()} <= beside | {"out"}
        assert {path.name for path in self.out.glob("*")} <= {"clip"}
        assert not [path for path in self.out.rglob("*") if path.name.startswith(".")]
        assert list((self.out / "clip").glob("reel.mp4")) or status == BAD_INPUT
        return status


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The world's folder."""
    # What renders here notes what it starts; none that doesn't is taken up, and none is left to other tests.
    sandbox.close_idle()
    root = tmp_path_factory.mktemp("world")
    for name in ("in", "cwd", "home", "canary"):
        (root / name).mkdir()
    story(root / "in" / "clip.mp4", loud=range(1, 2), shots=3, shot_s=1, size=(256, 144), fps=10)
    (root / "canary" / "secret.txt").write_text("drawn by nobody")
    yield root
    sandbox.close_idle()


@pytest.fixture
def world(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world, in which every process that is started is noted and nobody may open the canary."""
    world = World(made, made / "canary" / "secret.txt", made.with_name(f"{made.name}-started"))
    world.note.write_text("")
    monkeypatch.setattr(sandbox, "MODULE", "tests.watched")
    monkeypatch.setenv(NOTE, str(world.note))
    monkeypatch.chdir(made / "cwd")
    monkeypatch.setenv("HOME", str(made / "home"))
    with unopened(world.canary):
        yield world


@contextmanager
def unopened(file: Path) -> Iterator[None]:
    """A block in which nobody opens a file: the kernel says so where it is Linux's, else its time of access."""
    if sys.platform != "linux":
        before = file.stat().st_atime_ns
        yield
        assert file.stat().st_atime_ns == before
        return
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0 and libc.inotify_add_watch(watch, os.fsencode(file), IN_OPEN) >= 0
    try:
        yield
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
    finally:
        os.close(watch)


def a_document(world: World, **style: Any) -> dict[str, Any]:
    """A plan of the world's video with words in the picture and every export that holds text."""
    settings = Settings(captions="descriptions", preset="ultrafast", render="encode",
                        export=("srt", "vtt", "chapters", "csv", "edl", "fcpxml", "otio", "html")).to_json()
    settings["style"] |= style
    clips = [{"start_s": 0.2, "end_s": 0.8, "description": "one", "reason": "two"}, {"start_s": 1.1, "end_s": 1.6}]
    return {"version": 1, "video": {"path": str(world.video)}, "settings": settings, "clips": clips}


def injected(command: list[str]) -> list[str]:
    """Arguments that hold a stranger's words anywhere but in the name of a file."""
    after_input = {i + 1 for i, argument in enumerate(command) if argument == "-i"}
    return [argument for i, argument in enumerate(command) if (MARK in argument or "canary" in argument)
            and not (argument.startswith("file:/") and (i in after_input or i == len(command) - 1))]


def test_the_watch_sees_who_opens_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises((AssertionError, pytest.fail.Exception)), unopened(tmp_path / "secret"):
        (tmp_path / "secret").read_text()


@pytest.mark.parametrize("smuggler", SMUGGLERS, ids=lambda text: ascii(text)[:30])
def test_words_that_would_be_filters_or_options_are_only_drawn(world: World, smuggler: str,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    text = smuggler.format(world.canary)
    document = a_document(world)
    document["clips"][0] |= {"description": text, "reason": text}
    document["scorer"] = {"name": text, "model": text}
    document[text] = document["notes"] = {text: text}
    assert world.render(document) == DONE and any(
        "overlay" in argument for command in world.started for argument in command)
    assert [injected(command) for command in world.started if injected(command)] == []
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["font", "music", "title", "closing", "text_colour", "path"])
def test_files_and_words_of_a_style(world: World, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with silent_server() as address:
        for smuggler in (*SMUGGLERS, address, f"concat:{address}", "x" * 100_000):
            text = smuggler.format(world.canary)
            document = a_document(world)
            document["settings"]["render"] = "styled"
            # Far off the video, so that what is fit to be rendered ends before it is: the pictures are tested above.
            document["clips"] = [{"start_s": 100, "end_s": 101}] if name in ("title", "closing") else document["clips"]
            if name == "path":
                document["video"]["path"] = text
            else:
                document["settings"]["style"][name] = text
            assert world.render(document) == BAD_INPUT, text[:80]
            (line,) = capsys.readouterr().err.strip().split("\n")
            assert line.startswith("smolreel: ") and len(line) < 6000
            assert [injected(command) for command in world.started if injected(command)] == []


def test_a_styled_reel_with_hostile_titles(world: World) -> None:
    text = " ".join(SMUGGLERS).replace("\0", "").format(*[world.canary] * 40)[:490]
    document = a_document(world, title=text, closing=text[::-1], title_s=0.5)
    document["settings"]["render"] = "styled"
    assert world.render(document) == DONE
    assert [injected(command) for command in world.started if injected(command)] == []


@pytest.mark.parametrize("change", [
    {"clips": [{"start_s": 0, "end_s": 1e-9}]}, {"clips": [{"start_s": 2.99, "end_s": 1e11}]},
    {"clips": [{"start_s": 0.5, "end_s": 0.6, "description": "long " * 200_000}]},
    {"focus": {"step_s": 1e-12, "boxes": [[0, 0, 0, 0]]}, "aspect": "9:16"},
    {"focus": {"step_s": 1e12, "boxes": [[1, 1, 1, 1]] * 3}, "aspect": "1:1"},
    {"focus": {"step_s": 0.5, "boxes": []}, "aspect": "4:5"},
    {"scenes": [{"start_s": 0, "end_s": 1e12}] * 3, "aspect": "9:16"},
    {"curve": {"step_s": -1e12, "values": [1e12, -1e12]}}, {"curve": {"step_s": 0}},
    {"segments": [{"start_s": 0, "end_s": 1, "score": -1e12, "parts": {"\n": 1e12}}] * 2},
    {"captions": "speech", "speech_model": 5}, {"captions": "speech", "speech_model": "~nobody-at-all/x"},
    {"captions": "speech", "speech_model": "../" * 2000 + "x"}, {"max_fps": 1, "crf": 50.5, "audio_kbps": 32.5},
    {"audio_fade_ms": 500, "copy_tolerance_s": 10, "render": "copy", "captions": "none"},
], ids=lambda change: ascii(change)[:60])
def test_numbers_at_the_edges_are_a_reel_or_one_line(world: World, change: dict[str, Any],
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    document = a_document(world)
    known = set(Settings.__dataclass_fields__)
    document["settings"] |= {name: value for name, value in change.items() if name in known}
    document |= {name: value for name, value in change.items() if name not in known}
    status = world.render(document)
    errors = capsys.readouterr().err
    assert status in (DONE, BAD_INPUT) and "Traceback" not in errors, errors
    assert status == DONE or len(errors.strip().split("\n")) == 1
