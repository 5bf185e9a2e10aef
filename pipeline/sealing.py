"""Digests that tell whether what was kept is still what was written, byte for byte.

A file carries its seal at its end: 48 bytes in the shape of an MP4 "free" box, which every reader of MP4 and of NumPy's
format passes over. A folder has a manifest of its files, written last. Either way there is nothing beside the result
that could be torn apart from it, and a copy or a rename takes the seal along.

What is large is read for its digest once a process, as long as its size and its time stay as they were: what a
process has just checked or written lies in the system's memory, and only other hands could change it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path

MANIFEST = "manifest.json"
_SEAL = struct.Struct(">I4s8s32s")
_KIND, _MARK = b"free", b"SmolReel"
# A megabyte takes a millisecond to read and digest.
_SMALL_BYTES = 1_000_000
_MOST_REMEMBERED = 10_000
_CHUNK = 1 << 20

# What this process has digested: where a file lies on its disk, its size and its time.
_digested: dict[tuple[int, int, int, int], bytes] = {}


def sealed(data: bytes) -> bytes:
    """The data with its seal."""
    return data + _SEAL.pack(_SEAL.size, _KIND, _MARK, hashlib.sha256(data).digest())


def unsealed(data: bytes) -> bytes:
    """What `sealed` was given. Raises ValueError where it is torn or altered."""
    body, end = data[:-_SEAL.size], data[-_SEAL.size:]
    if len(end) != _SEAL.size or end != _SEAL.pack(_SEAL.size, _KIND, _MARK, hashlib.sha256(body).digest()):
        raise ValueError("torn or altered")
    return body


def seal(path: Path) -> None:
    """Put a file's seal at its end. Raises OSError."""
    digest = _digest_of(path)
    with path.open("ab") as file:
        file.write(_SEAL.pack(_SEAL.size, _KIND, _MARK, digest))


def is_sealed(path: Path) -> bool:
    """Whether a file has a seal and is what it was sealed as."""
    try:
        size = path.stat().st_size - _SEAL.size
        with path.open("rb") as file:
            file.seek(max(0, size))
            end = file.read()
        return size >= 0 and end == _SEAL.pack(_SEAL.size, _KIND, _MARK, _known_digest(path, size))
    except OSError:
        return False


def seal_folder(folder: Path) -> None:
    """Write the manifest of a folder's files: their names, sizes and digests. Raises OSError."""
    files = {name: [(folder / name).stat().st_size, _known_digest(folder / name).hex()] for name in _names(folder)}
    (folder / MANIFEST).write_text(json.dumps({"files": files}))


def check_folder(folder: Path) -> None:
    """Raise ValueError (or OSError) unless every file is there as the manifest has it."""
    document = json.loads((folder / MANIFEST).read_bytes())
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict) or sorted(files) != _names(folder):
        raise ValueError(f"{folder} has other files than its manifest")
    for name, facts in files.items():
        path = folder / name
        if facts != [path.stat().st_size, _known_digest(path).hex()]:
            raise ValueError(f"{path} is torn or altered")


def _names(folder: Path) -> list[str]:
    """Every file's path within the folder, with slashes, sorted; but for the manifest itself."""
    found = [os.path.relpath(os.path.join(at, name), folder).replace(os.sep, "/")
             for at, _, names in os.walk(folder) for name in names]
    return sorted(name for name in found if name != MANIFEST)


def _known_digest(path: Path, size: int | None = None) -> bytes:
    """The digest of a file's first `size` bytes, from memory where it is large and hasn't changed."""
    facts = path.stat()
    wanted = facts.st_size if size is None else size
    if wanted <= _SMALL_BYTES:
        return _digest_of(path, wanted)
    key = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, wanted)
    known = _digested.get(key)
    if known is None:
        known = _digest_of(path, wanted)
        if len(_digested) >= _MOST_REMEMBERED:
            _digested.clear()
        _digested[key] = known
    return known


def _digest_of(path: Path, size: int | None = None) -> bytes:
    """SHA-256 of a file's first `size` bytes; of all of them where None."""
    digest, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK if left is None else min(_CHUNK, left)):
            digest.update(chunk)
            left = None if left is None else left - len(chunk)
    return digest.digest()
