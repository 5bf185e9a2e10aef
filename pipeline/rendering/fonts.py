"""Finds the font that can draw a text: on this machine, else the one that Pillow brings."""

from __future__ import annotations

import os
import re
import struct
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SettingsError
from pipeline.media.files import users_path

# Families made for screens, strong enough to be read over a picture, best first; then those of other scripts.
_PREFERRED = (
    "inter-semibold", "inter-bold", "montserrat-semibold", "sourcesans3-semibold", "opensans-semibold",
    "opensans-bold", "notosans-semibold", "notosans-bold", "roboto-bold", "roboto-medium", "ubuntu-b",
    "sfprotext-semibold", "helveticaneue", "helvetica", "seguisb", "segoeuib", "arialbold", "arialbd",
    "cantarell-bold", "liberationsans-bold", "dejavusans-bold", "notosanscjk-bold", "notosanscjk-medium",
    "notosanscjk-regular", "sourcehansans-bold", "pingfang", "hiraginosansgb", "msyhbd", "msyh", "yugothb",
    "malgunbd", "applesdgothicneo", "wqy-zenhei", "wqy-microhei", "droidsansfallbackfull", "notosansarabic-bold",
    "notosanshebrew-bold", "notosansdevanagari-bold", "notosansthai-bold", "geezapro", "nirmalab", "kohinoor",
    "thonburi", "leelawuib", "freesansbold", "arialunicode",
)
_PLAINEST = re.compile(r"italic|oblique|light|thin|hairline|mono|narrow|condensed|serif|symbol|emoji|icon|math")
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Face:
    """A font that can be drawn with.

    path: of its file; None for the font that Pillow brings
    """

    path: Path | None

    def at(self, pixels: int) -> Any:
        """The font at a size, as Pillow takes it."""
        from PIL import ImageFont

        if self.path is None:
            return ImageFont.load_default(pixels)
        return ImageFont.truetype(str(self.path), pixels)

    def has(self, character: str) -> bool:
        """Whether there is a glyph for it."""
        return _characters(self.path).has(ord(character))


def find_face(text: str, given: str | None) -> Face:
    """The font to draw `text` with.

    given: a file or a family that a person wants; None for the best there is

    A font that a person named is taken whatever it has glyphs for. Else it is the first by preference that has all
    of the text, or most of it. Raises SettingsError where `given` can't be had.
    """
    if given is not None:
        return _named(given)
    wanted = {c for c in text if counts(c)}
    best, most = Face(None), sum(map(Face(None).has, wanted))
    for path in _installed():
        face = Face(path)
        found = sum(map(face.has, wanted))
        # The one that Pillow brings is thin, so that an equal of this machine's is better.
        if (found > most or (found == most and best.path is None)) and _opens(path):
            best, most = face, found
        if most == len(wanted) and best.path is not None:
            break
    return best


def counts(character: str) -> bool:
    """Whether a text would be wrong without this character: not blanks, marks of control, ornaments or emoji."""
    kind = unicodedata.category(character)
    return not (character.isspace() or kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Me")
                or (kind in ("So", "Sk") and ord(character) >= 0x2000) or 0xFE00 <= ord(character) <= 0xFE0F)


def _named(given: str) -> Face:
    """The font that a person named. Raises SettingsError."""
    path = users_path(given)
    # Other than a path's own method, this takes a name that is too long for one that isn't there.
    there = os.path.isfile(path)
    if path.suffix.lower() in _SUFFIXES or there:
        if not there:
            raise SettingsError(f"{given} is no file; name a font's file, or a family such as DejaVu Sans", "font")
        if not _opens(path):
            raise SettingsError(f"{given} is no font that can be read; name a .ttf, .otf or .ttc file", "font")
        return Face(path)
    wanted = _plain(given)
    alike = [p for p in _installed() if _plain(p.stem).startswith(wanted) and wanted]
    # A family's plain bold is the best of it for words over pictures; its files come in order of that.
    for found in sorted(alike, key=lambda p: (bool(_PLAINEST.search(p.stem.lower().removeprefix(given.lower()))),
                                              "bold" not in p.stem.lower(), len(p.stem))):
        if _opens(found):
            return Face(found)
    raise SettingsError(f"no font named {given!r} was found on this machine; name a font's file, or leave it out",
                        "font")


def _plain(name: str) -> str:
    """A name without what spellings differ in."""
    return re.sub(r"[\s_-]+", "", name.lower())


@lru_cache(maxsize=256)
def _opens(path: Path) -> bool:
    """Whether Pillow can use the file."""
    try:
        Face(path).at(16).getlength("a")
    except (OSError, ValueError):
        return False
    return True


def font_folders() -> tuple[Path, ...]:
    """Where this system keeps fonts."""
    home = Path.home()
    if sys.platform == "darwin":
        return (Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts")
    if sys.platform == "win32":
        return (Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts",
                Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft/Windows/Fonts")
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    own = os.environ.get("XDG_DATA_HOME") or str(home / ".local/share")
    return (*(Path(part) / "fonts" for part in (own, *shared.split(":")) if part), home / ".fonts")


def _installed() -> tuple[Path, ...]:
    """Every font file of this machine, best first."""
    return _ordered(font_folders())


@lru_cache(maxsize=8)
def _ordered(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Font files under `folders`, best first."""
    files = [path for path, _ in zip(_files(folders), range(_MOST_FILES), strict=False)]
    return tuple(sorted(files, key=lambda path: (_rank(path), path.name, str(path))))


def _files(folders: tuple[Path, ...]) -> Iterator[Path]:
    for top in folders:
        for folder, _, names in os.walk(top):
            yield from (Path(folder) / name for name in names if name.lower().endswith(_SUFFIXES))


def _rank(path: Path) -> tuple[int, bool]:
    """How well a font suits, lowest first."""
    stem = re.sub(r"[\s_]+", "", path.stem.lower())
    if stem in _PREFERRED:
        return _PREFERRED.index(stem), False
    return len(_PREFERRED) + bool(_PLAINEST.search(stem)), "bold" not in stem


class _Characters:
    """Which characters a font maps to glyphs, by its `cmap` table (OpenType 1.9, formats 4 and 12)."""

    def __init__(self, data: bytes) -> None:
        self._starts = self._ends = np.zeros(0, np.int64)
        self._glyphs: dict[int, bool] = {}
        for start, length in _subtables(data):
            table = data[start:start + length]
            if struct.unpack_from(">H", table)[0] == 12:
                groups = np.frombuffer(table, ">u4", struct.unpack_from(">I", table, 12)[0] * 3, 16).reshape(-1, 3)
                self._starts, self._ends = groups[:, 0].astype(np.int64), groups[:, 1].astype(np.int64)
                return
            self._read_4(table)

    def _read_4(self, table: bytes) -> None:
        count = struct.unpack_from(">H", table, 6)[0] // 2
        ends, starts, deltas, offsets = (np.frombuffer(table, ">u2", count, at).astype(np.int64) for at in (
            14, 16 + 2 * count, 16 + 4 * count, 16 + 6 * count))
        self._starts, self._ends = starts, ends
        for i in np.flatnonzero(offsets):
            for code in range(int(starts[i]), int(ends[i]) + 1):
                at = 16 + 6 * count + 2 * int(i) + int(offsets[i]) + 2 * (code - int(starts[i]))
                self._glyphs[code] = at + 2 <= len(table) and struct.unpack_from(">H", table, at)[0] != 0
        for i in np.flatnonzero((offsets == 0) & (starts == ends)):
            self._glyphs[int(starts[i])] = bool((starts[i] + deltas[i]) & 0xFFFF)

    def has(self, code: int) -> bool:
        """Whether there is a glyph for a code point."""
        i = int(np.searchsorted(self._ends, code))
        return i < len(self._ends) and bool(self._starts[i] <= code) and self._glyphs.get(code, True)


def _subtables(data: bytes) -> list[tuple[int, int]]:
    """Where the Unicode subtables lie in a font's bytes, and their lengths: format 12 before format 4."""
    start = struct.unpack_from(">I", data, 12)[0] if data[:4] == b"ttcf" else 0
    found = []
    for i in range(struct.unpack_from(">H", data, start + 4)[0]):
        name, _, table, _ = struct.unpack_from(">4sIII", data, start + 12 + 16 * i)
        if name == b"cmap":
            for k in range(struct.unpack_from(">H", data, table + 2)[0]):
                platform, encoding, offset = struct.unpack_from(">HHI", data, table + 4 + 8 * k)
                kind = struct.unpack_from(">H", data, table + offset)[0]
                if platform in (0, 3) and kind in (4, 12) and not (platform == 3 and encoding == 0):
                    at = table + offset
                    length = struct.unpack_from(*((">I", data, at + 4) if kind == 12 else (">H", data, at + 2)))[0]
                    found.append((-kind, at, length))
    return [(at, length) for _, at, length in sorted(found)]


@lru_cache(maxsize=512)
def _characters(path: Path | None) -> _Characters:
    """What a font can draw; nothing where the file is torn."""
    try:
        return _Characters(_bytes_of_default() if path is None else path.read_bytes())
    except (OSError, struct.error, ValueError, IndexError):
        return _Characters(b"\0" * 12)


def _bytes_of_default() -> bytes:
    """The file of the font that Pillow brings."""
    source = Face(None).at(16).path
    return source.getvalue() if isinstance(source, BytesIO) else b"\0" * 12
