"""The videos that a cluster is asked for: by paths that all machines see, and by addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.batch.finding import VIDEO_ENDINGS, Found, duplicate, find, names_of
from pipeline.batch.storage import Found as File
from pipeline.batch.storage import Place
from pipeline.batch.work import Item
from pipeline.errors import InputError
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
    found = find(paths, out, settings, cancel, tell)
    files = dict[str, tuple[str | None, File]]()
    for place in places:
        if place.local is None:
            tell(f"looking through {place.url}")
            for file in videos_at(place, out, cancel):
                # What is named itself isn't among others of a folder.
                files.setdefault(file.url, (None if file.url == place.url else place.url, file))
    names = names_of([(root, Path(file.name)) for root, file in files.values()],
                     [item.name for item in (*found.items, *(other.item for other in found.others))])
    items = [(file, Item(file.url, name, file.name)) for (_, file), name in zip(files.values(), names, strict=True)]
    kept, others, known = list(found.items), list(found.others), dict[tuple[str, int], Item]()
    for file, item in items:
        # Files of which the store says nothing are each their own.
        first = known.setdefault((file.digest, file.size_bytes), item) if file.digest else item
        if first is item:
            kept.append(item)
        else:
            others.append(duplicate(item, first, out))
    return Found(tuple(kept), tuple(others), found.passed)


def videos_at(root: Place, out: str, cancel: CancelToken) -> list[File]:
    """The videos in a folder, and in those below it, by their names; or the one file that it is.

    root: an address
    out: where results go; what lies there is passed over

    Raises InputError where there is none, or where storage is at fault; Cancelled.
    """
    ours = out.rstrip("/") + "/"
    found = [one for one in root.files(cancel) if not one.url.startswith(ours)]
    # What is named itself is taken for a video whatever it is called.
    alone = len(found) == 1 and found[0].url == root.url
    videos = [one for one in found if alone or one.name.lower().endswith(ENDINGS)]
    if not videos:
        raise InputError("has no video in it; name a folder that holds some", root.url)
    return videos
