"""Finds out whether a MOV or MP4 keeps its picture or sound in another file, by its boxes alone.

QuickTime's data references (ISO/IEC 14496-12, 8.7.2) may name any file on the machine or an address in the network. A
video from a stranger must not make us read those, so that this is asked before any demuxer sees the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import InputError

_SELF_CONTAINED = 1
# A reference is a path at most; a list of thousands is no list of references.
_MOST_BYTES = 1 << 16
# So many boxes beside one another hold no description of a video any more.
_MOST_BOXES = 100_000
_TRACKS = (b"vide", b"soun")


def refuse_references(path: Path, subject: str) -> None:
    """Raise InputError where a picture or sound track of the file at `path` lies in another file.

    Files of other kinds, and boxes that make no sense, pass: the demuxer judges those, and follows no reference.
    """
    with path.open("rb") as file:
        end = path.stat().st_size
        for moov in _within(file, 0, end, b"moov"):
            for trak in _within(file, *moov, b"trak"):
                if _lies_elsewhere(file, *trak):
                    raise InputError("keeps its picture or sound in another file, which is not opened; save it as "
                                     "one self-contained file", subject)
            # Demuxers pass over a second one.
            return


def _lies_elsewhere(file: BinaryIO, start: int, end: int) -> bool:
    """Whether the track whose box holds [start, end) is picture or sound, and one of its data references external."""
    for mdia in _within(file, start, end, b"mdia"):
        if not any(_read(file, *hdlr)[8:12] in _TRACKS for hdlr in _within(file, *mdia, b"hdlr")):
            continue
        for minf in _within(file, *mdia, b"minf"):
            for dinf in _within(file, *minf, b"dinf"):
                if any(_is_external(_read(file, *dref)) for dref in _within(file, *dinf, b"dref")):
                    return True
    return False


def _is_external(dref: bytes) -> bool:
    """Whether a data reference box names anything but its own file.

    Careless programs leave the flag out where they mean their own file; they name nothing then.
    """
    at = 8
    while at + 12 <= len(dref):
        size, = struct.unpack_from(">I", dref, at)
        flags = int.from_bytes(dref[at + 9:at + 12], "big")
        names = dref[at + 12:at + max(size, 12)].strip(b"\0")
        if names and not flags & _SELF_CONTAINED:
            return True
        at += max(size, 12)
    return False


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    """What a small box holds."""
    file.seek(start)
    return file.read(min(end - start, _MOST_BYTES))


def _within(file: BinaryIO, start: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """Where the contents of each box of a kind lie that stands directly in [start, end)."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, name = struct.unpack_from(">I4s", header)
        first = start + 8
        if size == 1 and len(header) == 16:
            size, first = int.from_bytes(header[8:], "big"), start + 16
        elif size == 0:
            size = end - start
        if not name.isascii() or size < first - start:
            return
        if name == kind:
            yield first, min(end, start + size)
        start += size
