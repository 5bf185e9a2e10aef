"""Folders that several machines see: what is there, what comes back whole, and what is said when a store misbehaves."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from fsspec.spec import AbstractBufferedFile

from pipeline.batch.storage import Place, is_url
from pipeline.errors import Cancelled, InputError, OutputError
from pipeline.progress import CancelToken

STILL = CancelToken()


class Stalling(MemoryFileSystem):
    """A store whose files open and then give nothing."""

    protocol = "stalling"
    release = threading.Event()

    def _open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        self.release.wait(20)
        raise OSError("released")


class Shaky(MemoryFileSystem):
    """A store that fails as often as it is told to, and then works."""

    protocol = "shaky"
    failures = 0
    seen = 0

    def _open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        type(self).seen += 1
        if type(self).failures:
            type(self).failures -= 1
            raise TimeoutError("the store is busy\nand says more")
        return super()._open(path, mode=mode, **given)


class Short(MemoryFileSystem):
    """A store that says that its files are longer than what it gives."""

    protocol = "short"

    def info(self, path: str, **given: Any) -> dict[str, Any]:
        facts = super().info(path, **given)
        return facts | {"size": facts["size"] + 1} if facts["type"] == "file" else facts


class Remembering(MemoryFileSystem):
    """A store whose client remembers what lay in a folder, as Hugging Face's does."""

    protocol = "remembering"
    known: dict[str, Any] = {}  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("remembering://", "memory://"))

    def info(self, path: str, **given: Any) -> Any:
        """By the list of its folder."""
        parent = self._parent(path)
        known = self.known.setdefault(parent, super().ls(parent))
        for facts in known:
            if facts["name"] == path:
                return facts
        raise FileNotFoundError(path)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget it."""
        self.known.clear()


class BucketFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that is sent in pieces, and shows when it is closed, as S3's and Google's do."""

    def _upload_chunk(self, final: bool = False) -> bool:
        Bucket.sending.set()
        Bucket.release.wait(20)
        self.sent = getattr(self, "sent", b"") + self.buffer.getvalue()
        if final:
            self.fs.store[self.path] = MemoryFile(self.fs, self.path, self.sent)
        return True

    def discard(self) -> None:
        """Forget the pieces."""
        Bucket.discarded.set()


class Bucket(MemoryFileSystem):
    """A store of such files."""

    protocol = ("bucket", "oss")
    sending, release, discarded = threading.Event(), threading.Event(), threading.Event()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.replace("bucket://", "memory://"))

    def _open(self, path: str, mode: str = "rb", **given: Any) -> Any:
        return BucketFile(self, path, mode) if mode == "wb" else super()._open(path, mode=mode, **given)


@pytest.fixture(scope="module", autouse=True)
def stores() -> Any:
    """Known to fsspec by their names."""
    for name, kind in (("stalling", Stalling), ("shaky", Shaky), ("short", Short), ("bucket", Bucket),
                       ("remembering", Remembering)):
        fsspec.register_implementation(name, kind, clobber=True)
    yield
    Stalling.release.set()
    Bucket.release.set()


@pytest.fixture(params=["path", "file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty folder of each kind."""
    return Place({"path": str(tmp_path / "a b"), "file": f"file://{tmp_path}/ab",
                  "memory": f"memory://{uuid.uuid4().hex}/ab"}[request.param])


def put(folder: Place, **files: bytes) -> None:
    """Write files; __ stands for a slash, and _ for a dot."""
    for name, data in files.items():
        folder.child(*name.replace("_", ".").split("..")).write(data, STILL)


@pytest.mark.parametrize(("text", "expected"), [
    ("s3://bucket/films", True), ("memory://x", True), ("simplecache::s3://bucket", True), ("films", False),
    ("/films/a::b", False), ("C:/films", False), ("C:\\films", False), ("./s3:/x", False)])
def test_what_is_an_address(text: str, expected: bool) -> None:
    assert is_url(text) is expected


def test_files_are_listed_and_read_back(folder: Place, tmp_path: Path) -> None:
    put(folder, b_mp4=b"two", a_MP4=b"one", sub__c_mov=b"three", notes_txt=b"no")
    folder.child(".stages", "x.mp4").write(b"hidden", STILL)
    found = folder.files(STILL, (".mp4", ".mov"))
    assert [(one.name, one.size_bytes) for one in found] == [("a.MP4", 3), ("b.mp4", 3), ("sub/c.mov", 5)]
    assert [Place(one.url).read(STILL) for one in found] == [b"one", b"two", b"three"]
    got = Place(found[2].url).fetch(tmp_path / "here.mov", STILL, 5)
    assert got.read_bytes() == b"three"
    facts = Place(found[0].url).facts(STILL)
    assert facts is not None and (facts.url, facts.name, facts.size_bytes) == (found[0].url, "a.MP4", 3)


def test_what_is_not_there(folder: Place, tmp_path: Path) -> None:
    put(folder, a_mp4=b"one")
    gone = folder.child("gone.mp4")
    assert gone.read(STILL) is None and gone.facts(STILL) is None
    gone.delete(STILL)
    with pytest.raises(InputError, match=r"gone.mp4: there is no such file or folder; check"):
        gone.fetch(tmp_path / "here", STILL)
    with pytest.raises(InputError, match="there is no such"):
        folder.child("nowhere").files(STILL)
    assert not (tmp_path / "here").exists()


def test_a_changed_file_has_another_mark(folder: Place) -> None:
    put(folder, a_mp4=b"one")
    before = folder.child("a.mp4").facts(STILL)
    if folder.local is not None:
        os.utime(folder.local / "a.mp4", (1, 1))
    else:
        put(folder, a_mp4=b"two")
    after = folder.child("a.mp4").facts(STILL)
    assert before is not None and after is not None and before.mark and before.mark != after.mark


def test_publishing_puts_the_mark_last(folder: Place, tmp_path: Path) -> None:
    local = tmp_path / "reel"
    (local / "clips").mkdir(parents=True)
    for name, data in (("plan.json", b"{}"), ("reel.mp4", b"film" * 1000), ("clips/1.mp4", b"clip")):
        (local / name).write_bytes(data)
    put(folder, plan_json=b"old", reel_mp4=b"old")
    cancel = CancelToken()
    order: list[str] = []
    old = Place.put

    def noted(self: Place, source: Path, token: CancelToken) -> None:
        # The mark of an older result is gone before anything is replaced.
        assert folder.child("plan.json").facts(STILL) is None
        order.append(source.name)
        old(self, source, token)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "put", noted)
        folder.publish(local, cancel, "plan.json")
    assert order == ["1.mp4", "reel.mp4", "plan.json"]
    assert {one.name for one in folder.files(STILL)} == {"plan.json", "reel.mp4", "clips/1.mp4"}
    assert folder.child("reel.mp4").read(STILL) == b"film" * 1000


def test_half_a_file_never_shows(folder: Place, tmp_path: Path) -> None:
    """What is cancelled leaves what was there, or was whole the moment before."""
    put(folder, reel_mp4=b"old")
    new = b"new" * 4_000_000
    (tmp_path / "new").write_bytes(new)
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        folder.child("reel.mp4").put(tmp_path / "new", cancel)
    assert folder.child("reel.mp4").read(STILL) in (b"old", new)


def test_what_is_sent_in_pieces_shows_whole_or_not_at_all(tmp_path: Path) -> None:
    place, new, cancel = Place(f"bucket://{uuid.uuid4().hex}/reel.mp4"), b"new" * 4_000_000, CancelToken()
    (tmp_path / "new").write_bytes(new)

    def end() -> None:
        Bucket.sending.wait(20)
        cancel.cancel()

    threading.Thread(target=end).start()
    with pytest.raises(Cancelled):
        place.put(tmp_path / "new", cancel)
    Bucket.release.set()
    assert Bucket.discarded.wait(20)
    assert place.facts(STILL) is None
    place.put(tmp_path / "new", STILL)
    assert place.read(STILL) == new


def test_a_store_that_stalls_is_left(tmp_path: Path) -> None:
    place = Place("stalling://films/a.mp4", stall_s=0.3)
    with pytest.raises(InputError, match=r"stalling://films/a.mp4: can't be read \(nothing came for 0.3 s\)"):
        place.fetch(tmp_path / "a.mp4", STILL)
    with pytest.raises(OutputError, match=r"can't be written \(nothing came for 0.3 s\)"):
        place.write(b"x", STILL)


def test_a_stalled_store_can_be_cancelled(tmp_path: Path) -> None:
    cancel = CancelToken()
    threading.Timer(0.2, cancel.cancel).start()
    with pytest.raises(Cancelled):
        Place("stalling://films/a.mp4").fetch(tmp_path / "a.mp4", cancel)


def test_a_shaky_store_is_tried_again(tmp_path: Path) -> None:
    place = Place(f"shaky://{uuid.uuid4().hex}/a.mp4")
    place.write(b"film", STILL)
    Shaky.failures = 2
    assert place.fetch(tmp_path / "a.mp4", STILL).read_bytes() == b"film"
    Shaky.failures = 99
    with pytest.raises(InputError, match=r"can't be read \(the store is busy\); check the storage and run"):
        place.fetch(tmp_path / "b.mp4", STILL)
    Shaky.failures = 0
    assert not (tmp_path / "b.mp4").exists()


def test_what_another_machine_writes_is_seen() -> None:
    name = uuid.uuid4().hex
    here, there = Place(f"remembering://{name}"), Place(f"memory://{name}")
    there.child("a.tar").write(b"a", STILL)
    assert here.child("a.tar").facts(STILL) is not None and here.child("b.tar").facts(STILL) is None
    there.child("b.tar").write(b"b", STILL)
    assert here.child("b.tar").facts(STILL) is not None


def test_a_file_that_comes_short_is_not_taken(tmp_path: Path) -> None:
    place = Place(f"short://{uuid.uuid4().hex}/a.mp4")
    fs, path = place._fs()
    fs.pipe_file(path, b"film")
    facts = place.facts(STILL)
    assert facts is not None
    with pytest.raises(InputError, match="4 of 5 bytes came"):
        place.fetch(tmp_path / "a.mp4", STILL, facts.size_bytes)
    assert not (tmp_path / "a.mp4").exists()
    (tmp_path / "new").write_bytes(b"new")
    with pytest.raises(OutputError, match="4 of 3 bytes arrived"):
        place.put(tmp_path / "new", STILL)


@pytest.mark.parametrize(("url", "said"), [("nothing://x/a", "check its address"),
                                           ("s3://bucket/a", "install the package that it names on every machine")])
def test_addresses_that_nobody_knows(url: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        Place(url).facts(STILL)
    assert said in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).startswith(url)


def test_a_closed_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/out: can't be written"):
        Place(str(tmp_path / "file" / "out")).check_writable(STILL)
    Place(str(tmp_path / "new" / "out")).check_writable(STILL)
    assert list((tmp_path / "new" / "out").iterdir()) == []
