"""Videos at addresses: which they are, and that each has a name of its own."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from app.clusters import items_of
from pipeline.batch.addressed import named, videos_at
from pipeline.batch.storage import Place
from pipeline.batch.work import Item
from pipeline.errors import InputError
from pipeline.progress import CancelToken

STILL = CancelToken()


@pytest.fixture(params=["path", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder of videos and other things, results among them."""
    place = Place(str(tmp_path / "films") if request.param == "path" else f"memory://{uuid.uuid4().hex}/films")
    for name in ("b.mp4", "a.MOV", "sub/a.mp4", "sub/a.mov", "notes.txt", "out/b/reel.mp4", ".hidden/c.mp4"):
        place.child(*name.split("/")).write(b"x", STILL)
    return place


def test_videos_are_found_and_named(root: Place) -> None:
    items = videos_at(root.url, f"{root.url}/out", STILL, 20.0)
    assert [(item.title, item.name) for item in items] == [
        ("a.MOV", "a"), ("b.mp4", "b"), ("sub/a.mov", "sub/a.mov"), ("sub/a.mp4", "sub/a.mp4")]
    assert [Place(item.source).read(STILL) for item in items] == [b"x"] * 4
    one = videos_at(f"{root.url}/notes.txt", f"{root.url}/out", STILL, 20.0)
    assert [(item.title, item.name) for item in one] == [("notes.txt", "notes")]


def test_a_folder_without_videos(root: Place) -> None:
    root.child("other", "notes.txt").write(b"x", STILL)
    with pytest.raises(InputError, match="has no video in it"):
        videos_at(f"{root.url}/other", f"{root.url}/out", STILL, 20.0)
    with pytest.raises(InputError, match="there is no such file or folder"):
        videos_at(f"{root.url}/nowhere", f"{root.url}/out", STILL, 20.0)


def test_no_two_share_a_folder() -> None:
    places = ["x.mp4", "X.mov", "w/y.mp4", "sub/x.mp4", "...mp4", "y/z.mp4", "y.mp4"]
    names = [name.casefold() for name in named(places)]
    assert len(set(names)) == len(places) and not [name for name in names if ".." in name.split("/")]
    # Nor does one lie in what is another's.
    assert not [a for a in names for b in names if b.startswith(f"{a}/")]


def test_several_sources_keep_apart() -> None:
    first = [Item("/a/films/x.mp4", "x", "x.mp4"), Item("/a/films/y.mp4", "y", "y.mp4")]
    second = [Item("/b/more/x.mp4", "x", "x.mp4"), Item("/b/more/z.mp4", "z", "z.mp4")]
    alone = [Item("/c/x.mp4", "x", "x.mp4")]
    found = items_of([first, second, alone, first], ["/a/films", "/b/more/", "/c/x.mp4", "/a/films"])
    assert [item.name for item in found] == ["films/x", "films/y", "more/x", "more/z", "x"]
    assert [item.name for item in items_of([alone, alone[:], [Item("/d/x.mov", "x", "x.mov")]], ["/c/x.mp4"] * 3)] == [
        "x", "x-2"]
