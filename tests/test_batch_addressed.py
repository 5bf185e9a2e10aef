"""Videos by path and by address: which they are, and that each has a name of its own."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.batch.addressed import find_at
from pipeline.batch.finding import Found, names_of
from pipeline.batch.storage import Place
from pipeline.batch.work import DUPLICATE, FAILED
from pipeline.errors import InputError
from pipeline.progress import CancelToken
from pipeline.settings import Settings

STILL = CancelToken()


class Telling(MemoryFileSystem):
    """A store that says of each file a digest of its bytes, as S3 does."""

    protocol = "telling"
    cachable = False
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("telling://", "memory://"))

    def find(self, path: str, **given: Any) -> Any:
        """As of the memory, and what S3 calls it."""
        found = super().find(path, **given)
        return {at: {**facts, "ETag": hashlib.md5(self.cat_file(at)).hexdigest()} for at, facts in found.items()}


fsspec.register_implementation("telling", Telling, clobber=True)


@pytest.fixture(params=["path", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder of videos and other things, results among them."""
    where = {"path": str(tmp_path / "films"), "file": f"file://{tmp_path}/films",
             "memory": f"memory://{uuid.uuid4().hex}/films"}
    place = Place(where[request.param])
    for name in ("b.mp4", "a.MOV", "sub/a.mp4", "sub/a.mov", "notes.txt", "out/b/reel.mp4", ".hidden/c.mp4"):
        place.child(*name.split("/")).write(name.encode(), STILL)
    return place


def found(*sources: str, out: str = "out") -> Found:
    """What is found with plain settings."""
    return find_at(sources, out, Settings(), STILL, 20.0)


def test_videos_are_found_and_named(root: Place) -> None:
    there = found(root.url, out=f"{root.url}/out" if root.local is None else str(root.local / "out"))
    assert [(item.title, item.name) for item in there.items] == [
        ("a.MOV", "a"), ("b.mp4", "b"), ("sub/a.mov", "sub/a.mov"), ("sub/a.mp4", "sub/a.mp4")]
    assert [Place(item.source).read(STILL) for item in there.items] == [b"a.MOV", b"b.mp4", b"sub/a.mov", b"sub/a.mp4"]
    assert there.others == ()
    one = found(f"{root.url}/notes.txt")
    assert [(item.title, item.name) for item in one.items] == [("notes.txt", "notes")]


def test_a_folder_without_videos(root: Place) -> None:
    root.child("other", "notes.txt").write(b"x", STILL)
    if root.local is None:
        with pytest.raises(InputError, match="has no video in it"):
            found(f"{root.url}/other")
        with pytest.raises(InputError, match="there is no such file or folder"):
            found(f"{root.url}/nowhere")
    else:
        (other,) = found(f"{root.url}/other").others
        assert (other.state, other.item.title) == (FAILED, "other") and "without a video" in other.message
        # Its run says that there is none.
        assert [item.title for item in found(f"{root.url}/nowhere").items] == ["nowhere"]


def test_the_same_bytes_are_one_video(tmp_path: Path) -> None:
    for url, digests in ((str(tmp_path / "films"), True), (f"telling://{uuid.uuid4().hex}", True),
                         (f"memory://{uuid.uuid4().hex}", False)):
        for name, data in (("a.mp4", b"film"), ("b.mp4", b"mlif"), ("sub/c.mp4", b"film"), ("d.mp4", b"more")):
            Place(url).child(*name.split("/")).write(data, STILL)
        there = found(url, out="telling://results/all")
        kept = ["a", "b", "d"] if digests else ["a", "b", "d", "sub/c"]
        assert sorted(item.name for item in there.items) == kept, url
        assert [(one.item.title, one.state, one.message, one.reel) for one in there.others] == [
            ("sub/c.mp4", DUPLICATE, "the same as a.mp4", "telling://results/all/a/reel.mp4")] * digests, url


def test_paths_and_addresses_together(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    url = f"memory://{uuid.uuid4().hex}"
    for name in ("a.mp4", "b.mp4"):
        Place(url).child(name).write(b"film", STILL)
    assert [item.name for item in found(url, str(tmp_path)).items] == ["a", "a-2", "b"]


def test_no_two_share_a_folder() -> None:
    places = ["x.mp4", "X.mov", "w/y.mp4", "sub/x.mp4", "...mp4", "y/z.mp4", "y.mp4", "summary.csv.mp4"]
    names = [name.casefold() for name in names_of([("s3://a", Path(place)) for place in places], ["w/Y"])]
    assert len({*names, "w/y", "summary.csv"}) == len(places) + 2
    assert not [name for name in names if ".." in name.split("/")]
    # Nor does one lie in what is another's.
    assert not [a for a in names for b in names if b.startswith(f"{a}/")]


def test_several_sources_keep_apart() -> None:
    films, more = (Place(f"memory://{uuid.uuid4().hex}/{name}") for name in ("films", "more"))
    for place, names in ((films, ("x.mp4", "y.mp4")), (more, ("x.mp4", "z.mp4"))):
        for name in names:
            place.child(name).write(name.encode(), STILL)
    alone = more.child("z.mp4").url
    assert [(item.source, item.name) for item in found(films.url, alone, more.url, films.url).items] == [
        (films.child("x.mp4").url, "x"), (films.child("y.mp4").url, "y"), (alone, "z"),
        (more.child("x.mp4").url, "x-2")]
