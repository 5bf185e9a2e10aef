"""The videos that a cluster is asked for: by paths that all machines see, and by addresses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.batch.finding import VIDEO_ENDINGS, Found, duplicate, find
from pipeline.batch.storage import Found as File
from pipeline.batch.storage import Place
from pipeline.batch.work import Item
from pipeline.errors import InputError
from pipeline.media.files import folder_name
from pipeline.progress import CancelToken
from pipeline.settings import Settings

# At an address, a name must do: nobody looks into ten thousand files over a network.
ENDINGS = (*sorted(VIDEO_ENDINGS), ".mts", ".ts")


def find_at(sources: Sequence[str], out: str, settings: Settings, cancel: CancelToken, stall_s: float,
            tell: Callable[[str], object] = lambda _: None) -> Found:
    """The videos among `sources`: those of paths as `finding.find` finds them, then those of addresses, by their names.

    out: where results go, a path or an address; what lies there is no source
    tell: as for `find`

    Of an address's files those are the same of which the store says so: it keeps a digest of the bytes. Raises
    InputError where an address has no video, or where its storage is at fault; Cancelled.
    """
    places = [Place(source, stall_s) for source in sources]
    paths = [place.local for place in places if place.local is not None]
    urls = [place.url for place in places if place.local is None]
    found = find(paths, out, settings, cancel, tell)
    groups = []
    for url in urls:
        tell(f"looking through {url}")
        groups.append(videos_at(url, out, cancel, stall_s))
    items = items_of(groups, urls, [item.name for item in (*found.items, *(other.item for other in found.others))])
    kept, others, known = list(found.items), list(found.others), dict[tuple[str, int], Item]()
    for file, item in items:
        # Files of which the store says nothing are each their own.
        first = known.setdefault((file.digest, file.size_bytes), item) if file.digest else item
        if first is item:
            kept.append(item)
        else:
            others.append(duplicate(item, first, out))
    return Found(tuple(kept), tuple(others), found.passed)


def videos_at(url: str, out: str, cancel: CancelToken, stall_s: float) -> list[tuple[File, Item]]:
    """The videos in a folder, and in those below it, by their names; or the one file that it is.

    url: an address
    out: where results go; what lies there is passed over

    Raises InputError where there is none, or where storage is at fault; Cancelled.
    """
    root, ours = Place(url, stall_s), out.rstrip("/") + "/"
    found = [one for one in root.files(cancel) if not one.url.startswith(ours)]
    # What is named itself is taken for a video whatever it is called.
    alone = len(found) == 1 and found[0].url == url
    videos = [one for one in found if alone or one.name.lower().endswith(ENDINGS)]
    if not videos:
        raise InputError("has no video in it; name a folder that holds some", url)
    names = named([one.name for one in videos])
    return [(one, Item(one.url, name, one.name)) for one, name in zip(videos, names, strict=True)]


def items_of(found: Sequence[Sequence[tuple[File, Item]]], urls: Sequence[str], taken: Sequence[str] = ()
             ) -> list[tuple[File, Item]]:
    """The videos of all addresses, each once; those of several folders go to folders of their own; pure.

    taken: names that others have
    """
    several = sum(len(items) > 1 for items in found) > 1
    items: dict[str, tuple[File, Item]] = {}
    names = {name.casefold() for name in taken}
    for url, group in zip(urls, found, strict=True):
        for file, item in group:
            name = f"{Path(url.rstrip('/')).name}/{item.name}" if several and len(group) > 1 else item.name
            number, unique = 1, name
            while unique.casefold() in names and item.source not in items:
                number += 1
                unique = f"{name}-{number}"
            names.add(unique.casefold())
            items.setdefault(item.source, (file, Item(item.source, unique, item.title)))
    return list(items.values())


def named(places: Sequence[str]) -> list[str]:
    """A folder's name for each file: its place without the ending, or with it where others share that; pure."""
    paths = [Path(place) for place in places]
    stems = Counter(path.with_suffix("").as_posix().casefold() for path in paths)
    folders = {parent.as_posix().casefold() for path in paths for parent in path.parents}
    taken: dict[str, list[str]] = defaultdict(list)
    names = []
    for path in paths:
        stem, parent = path.with_suffix("").as_posix().casefold(), "/".join(path.parent.parts)
        shared = stems[stem] > 1 or stem in folders
        # A name with another ending is one whose stem is the whole name.
        name = folder_name(path.with_name(f"{path.name}.x") if shared else path, taken[parent.casefold()])
        taken[parent.casefold()].append(name)
        names.append(f"{parent}/{name}" if parent else name)
    return names
