"""Videos at addresses, and in folders that all machines see."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.batch.finding import VIDEO_ENDINGS
from pipeline.batch.storage import Place
from pipeline.batch.work import Item
from pipeline.errors import InputError
from pipeline.media.files import folder_name
from pipeline.progress import CancelToken

# At an address, a name must do: nobody looks into ten thousand files over a network.
ENDINGS = (*sorted(VIDEO_ENDINGS), ".mts", ".ts")


def videos_at(url: str, out: str, cancel: CancelToken, stall_s: float) -> list[Item]:
    """The videos in a folder, and in those below it, by their names; or the one file that it is.

    url: a path or an address
    out: where results go; what lies there is passed over

    Raises InputError where there is none, or where storage is at fault; Cancelled.
    """
    root = Place(url, stall_s)
    local, results = root.local, Place(out)
    ours = f"{results.url if results.local is None else results.local}".rstrip("/") + "/"
    found = [one for one in root.files(cancel) if not one.url.startswith(ours)]
    # What is named itself is taken for a video whatever it is called.
    alone = len(found) == 1 and found[0].url == (url if local is None else str(local))
    videos = [one for one in found if alone or one.name.lower().endswith(ENDINGS)]
    if not videos:
        raise InputError("has no video in it; name a folder that holds some", url)
    names = named([one.name for one in videos])
    return [Item(one.url, name, one.name) for one, name in zip(videos, names, strict=True)]


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
