"""Finds the videos among files and folders: each once, by the same name in every run, and everything else quietly.

What is a video is decided by the one door through which a run opens it (`sandbox.probe`). Names and first bytes only
say what needn't be brought there: a file that is called a video is taken for one, and its run says what is wrong with
it; a file that only begins like one is measured first, since sound and pictures come in the same containers.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.batch.storage import Place
from pipeline.batch.work import DUPLICATE, FAILED, Item, Outcome
from pipeline.errors import InputError
from pipeline.media.files import alike, digest_of, folder_name
from pipeline.plan import FILE_NAME
from pipeline.progress import CancelToken
from pipeline.runner import REEL_NAME
from pipeline.sandbox import probe
from pipeline.settings import Settings

# Names that nothing but videos have.
VIDEO_ENDINGS = frozenset((
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".ivf", ".m2ts", ".m2v", ".m4v", ".mk3d", ".mkv",
    ".mov", ".mp4", ".mpe", ".mpeg", ".mpg", ".mxf", ".nut", ".ogv", ".qt", ".rm", ".rmvb", ".vob", ".webm",
    ".wmv", ".y4m"))
# Sound and pictures, in the same containers as videos or in others; animations are no footage.
_OTHERS = frozenset((
    ".aac", ".ac3", ".aif", ".aiff", ".apng", ".avif", ".flac", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".m4a",
    ".m4b", ".mka", ".mp3", ".oga", ".ogg", ".opus", ".png", ".wav", ".webp", ".wma"))
# Three packets of a transport stream, in its wider form.
_HEAD_BYTES = 4 + 2 * 192 + 1
_EDGE_BYTES = 1 << 16
# What else lies in the folder for results.
RESERVED = ("summary.csv", "summary.html")


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, in the order of what was given and of names.

    items: the videos, each once, and what is called a video but is none
    others: what needs no run: duplicates, and folders that can't be read
    passed: files that are no videos
    """

    items: tuple[Item, ...]
    others: tuple[Outcome, ...] = ()
    passed: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file that may be a video.

    path: where it is
    root: the folder that was given; None for a file that was named itself
    place: where it is in that folder; its name where there is none
    linked: whether it was reached by a symbolic link
    """

    path: Path
    root: Path | None
    place: Path
    linked: bool


@dataclass(slots=True)
class _Walk:
    """What a walk has come upon."""

    out: Path
    settings: Settings
    cancel: CancelToken
    tell: Callable[[str], object]
    seen: list[_Seen] = field(default_factory=list)
    problems: list[Outcome] = field(default_factory=list)
    passed: int = 0
    folders: set[tuple[int, int]] = field(default_factory=set)


def find(sources: Iterable[str | Path], out: str | Path, settings: Settings, cancel: CancelToken,
         tell: Callable[[str], object] = lambda _: None) -> Found:
    """The videos among `sources`: files, and folders with all below them.

    out: where results will go; what lies there is no source, nor is any other folder that holds a reel and its plan
    tell: given what is being looked at now and then, for people

    Hidden files are left out; symbolic links are followed, each folder is seen once. What is named itself is always an
    item, whatever it is. Raises Cancelled.
    """
    walk = _Walk(Path(os.path.realpath(out)), settings, cancel, tell)
    for source in map(Path, sources):
        if not source.is_dir():
            walk.seen.append(_Seen(source, None, Path(source.name), False))
            continue
        before = len(walk.seen), len(walk.problems)
        _walk(source, walk)
        if before == (len(walk.seen), len(walk.problems)):
            walk.problems.append(_problem(source, source.name or str(source), "is a directory without a video in it; "
                                                                              "name one that holds some"))
    names = names_of([(one.root, one.place) for one in walk.seen])
    items = [Item(os.path.abspath(one.path), name, str(one.place))
             for one, name in zip(walk.seen, names, strict=True)]
    first = _first_of_each(walk.seen, cancel, tell)
    others = [duplicate(items[n], items[same], out) for n, same in enumerate(first) if same != n]
    return Found(tuple(item for n, item in enumerate(items) if first[n] == n), (*walk.problems, *others), walk.passed)


def duplicate(item: Item, first: Item, out: str | Path) -> Outcome:
    """The outcome of an item that has the bytes of another, which goes before it.

    out: where results go, a path or an address
    """
    reel = Place(str(out)).child(*first.name.split("/"), REEL_NAME).url
    return Outcome(item, DUPLICATE, f"the same as {first.title}", reel=reel)


def _problem(folder: Path, title: str, message: str) -> Outcome:
    """What to say of a folder."""
    return Outcome(Item(os.path.abspath(folder), "", title), FAILED, message)


def _walk(root: Path, walk: _Walk) -> None:
    """Look through a folder: first what is really in it, then where symbolic links lead, so that a file's own place
    goes before other ways to it."""
    left = [(root, Path(), False)]
    while left:
        links: list[tuple[Path, Path, bool]] = []
        seen: list[_Seen] = []
        for folder, place, linked in left:
            _look_through(root, folder, place, linked, walk, seen, links)
        walk.seen += sorted(seen, key=lambda one: one.place.parts)
        left = sorted(links, key=lambda link: link[1].parts)


def _look_through(root: Path, folder: Path, place: Path, linked: bool, walk: _Walk, seen: list[_Seen],
                  links: list[tuple[Path, Path, bool]]) -> None:
    """Look at a folder and all below it, but for symbolic links to folders, which are put aside."""
    stack = [(folder, place)]
    while stack:
        folder, place = stack.pop()
        walk.cancel.check()
        walk.tell(f"looking through {folder}")
        try:
            facts = folder.stat()
            ours = place.parts and Path(os.path.realpath(folder)) == walk.out
            if ours or (facts.st_dev, facts.st_ino) in walk.folders:
                continue
            walk.folders.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            walk.problems.append(_problem(folder, str(place) if place.parts else folder.name or str(folder),
                                          f"can't be looked through ({error.strerror or error}); change its "
                                          "permissions or leave it out"))
            continue
        names = {entry.name for entry in entries}
        if place.parts and {REEL_NAME, FILE_NAME} <= names:
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                below = (folder / entry.name, place / entry.name)
                if entry.is_symlink():
                    links.append((*below, True))
                else:
                    stack.append(below)
            elif is_video(Path(entry.path), walk.settings, walk.cancel):
                seen.append(_Seen(folder / entry.name, root, place / entry.name, linked or entry.is_symlink()))
            else:
                walk.passed += 1


def is_video(path: Path, settings: Settings, cancel: CancelToken) -> bool:
    """Whether a file is worth a run: it is called a video, or it is one whatever it is called. Raises Cancelled."""
    ending = path.suffix.lower()
    if ending in VIDEO_ENDINGS:
        return True
    if ending in _OTHERS:
        return False
    try:
        # A pipe would be waited for.
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if not begins_like_a_video(head):
            return False
        probe(path, cancel, settings.limits)
    except (OSError, InputError):
        return False
    return True


def begins_like_a_video(head: bytes) -> bool:
    """Whether a file's first bytes are those of a container that videos come in."""
    starts = (b"\x1aE\xdf\xa3", b"FLV\x01", b"OggS", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"\x00\x00\x01\xba",
              b"\x00\x00\x01\xb3", b"\x06\x0e\x2b\x34\x02\x05\x01\x01", b".RMF", b"YUV4MPEG2 ", b"DKIF")
    if head.startswith(starts) or head[4:8] in (b"ftyp", b"moov", b"wide", b"mdat", b"skip", b"free"):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return True
    # Transport streams: a packet begins every 188 bytes, or every 192 with four in front.
    return any(head[at::step][:3] == b"GGG" for at, step in ((0, 188), (4, 192)))


def names_of(places: Sequence[tuple[object, Path]], taken: Iterable[str] = ()) -> list[str]:
    """A name for each file, which depends on its own place and on its like beside it; pure.

    places: for each file the folder or address that it was found in, None for one that was named itself; and where it
        is in there, its name where there is none
    taken: names that others have

    A file in a folder is named by its way there and its stem, as `sub/match`; by its whole name where another in its
    folder has that stem, or where a folder is called so, as `sub/match.mov`. Files that were named themselves, and
    those of several folders, are numbered where two share a name.
    """
    stems = Counter((root, alike(str(place.with_suffix("")))) for root, place in places if root is not None)
    folders = {(root, alike(str(parent))) for root, place in places for parent in place.parents}
    beside: dict[str, list[str]] = defaultdict(list)
    for other in (*RESERVED, *taken):
        parent, _, name = other.rpartition("/")
        beside[alike(parent)].append(name)
    names = []
    for root, place in places:
        parent = "/".join(place.parent.parts)
        stem = root, alike(str(place.with_suffix("")))
        # A name with another ending is one whose stem is the whole name.
        whole = root is not None and (stems[stem] > 1 or stem in folders)
        name = folder_name(place.with_name(f"{place.name}.x") if whole else place, beside[alike(parent)])
        beside[alike(parent)].append(name)
        names.append(f"{parent}/{name}" if parent else name)
    return names


def _first_of_each(seen: Sequence[_Seen], cancel: CancelToken, tell: Callable[[str], object]) -> list[int]:
    """For each file the number of the first one with the same bytes: its own, where no other comes before it.

    Only files of one size are read, and as a rule no further than their ends.
    """
    order = sorted(range(len(seen)), key=lambda n: (seen[n].linked, n))
    first, by_size = list(range(len(seen))), defaultdict(list)
    by_file: dict[tuple[int, int], int] = {}
    for n in order:
        try:
            facts = seen[n].path.stat()
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(facts.st_mode) or not facts.st_size:
            continue
        known = by_file.setdefault((facts.st_dev, facts.st_ino), n)
        if known == n:
            by_size[facts.st_size].append(n)
        first[n] = known
    for size, numbers in by_size.items():
        for alike_ones in _parted(numbers, lambda n, size=size: _ends_of(seen[n].path, size)):  # type: ignore[misc]
            def digest(n: int) -> str:
                tell(f"comparing {seen[n].path.name}")
                return digest_of(seen[n].path, cancel)

            for same in _parted(alike_ones, digest):
                for n in same:
                    first[n] = same[0]
    return [first[first[n]] for n in range(len(seen))]


def _parted(numbers: Sequence[int], key: Callable[[int], object]) -> list[list[int]]:
    """Groups of two and more of one key, each in the order given; those whose key can't be had are in none."""
    groups: dict[object, list[int]] = defaultdict(list)
    for n in numbers if len(numbers) > 1 else ():
        try:
            groups[key(n)].append(n)
        except OSError:
            continue
    return [group for group in groups.values() if len(group) > 1]


def _ends_of(path: Path, size: int) -> bytes:
    """The first and the last bytes of a file. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
        file.seek(max(0, size - _EDGE_BYTES))
        return head + file.read()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or leads to one; not where it leads round in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False
