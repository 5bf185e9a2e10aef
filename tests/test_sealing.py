"""Seals: whatever is cut off, turned or put in is found, and readers of the files pass over them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import sealing
from pipeline.sealing import MANIFEST, check_folder, is_sealed, seal, seal_folder, sealed, unsealed
from tests.making import textured, write_video


def flip(path: Path, at: int) -> None:
    """Turn one bit of a file, as a bad disk does: neither its size nor its time tells."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_every_flipped_bit_and_every_cut_is_found() -> None:
    whole = sealed(b"what was seen")
    assert unsealed(whole) == b"what was seen" and unsealed(sealed(b"")) == b""
    for at in range(len(whole)):
        turned = bytearray(whole)
        turned[at] ^= 16
        for torn in (bytes(turned), whole[:at], whole[at + 1:]):
            with pytest.raises(ValueError, match="torn or altered"):
                unsealed(torn)


def test_a_sealed_film_and_sealed_arrays_are_read_as_before(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mov", [textured(n) for n in range(30)])
    assert not is_sealed(path) and not is_sealed(tmp_path / "gone")
    seal(path)
    assert is_sealed(path)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30
    for at in (0, path.stat().st_size // 2, path.stat().st_size - 1):
        flip(path, at)
        assert not is_sealed(path)
        flip(path, at)
    assert is_sealed(path)
    data = io.BytesIO()
    np.save(data, np.arange(4))
    assert np.load(io.BytesIO(sealed(data.getvalue()))).tolist() == [0, 1, 2, 3]


def test_large_files_are_read_once_while_they_stay_as_they_are(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(2_500_000))
    seal(path)
    read: list[Path] = []
    digest_of = sealing._digest_of
    monkeypatch.setattr(sealing, "_digest_of", lambda path, size=None: read.append(path) or digest_of(path, size))
    assert is_sealed(path) and is_sealed(path) and len(read) == 1
    os.utime(path)
    assert is_sealed(path) and len(read) == 2
    with path.open("r+b") as file:
        file.write(b"x")
    assert not is_sealed(path)


def test_a_folder_is_what_its_manifest_says(tmp_path: Path) -> None:
    folder = tmp_path / "entry"
    (folder / "frames").mkdir(parents=True)
    for name in ("a.json", "frames/1.jpg", "frames/2.jpg"):
        (folder / name).write_bytes(name.encode())
    seal_folder(folder)
    check_folder(folder)
    flip(folder / "frames" / "1.jpg", 3)
    with pytest.raises(ValueError, match=r"1\.jpg is torn or altered"):
        check_folder(folder)
    flip(folder / "frames" / "1.jpg", 3)
    (folder / "frames" / "3.jpg").touch()
    with pytest.raises(ValueError, match="other files"):
        check_folder(folder)
    (folder / "frames" / "3.jpg").unlink()
    (folder / "frames" / "2.jpg").rename(folder / "frames" / "4.jpg")
    with pytest.raises(ValueError, match="other files"):
        check_folder(folder)
    for text in ("", "[]", "{}", '{"files": 3}', json.dumps({"files": {}})):
        (folder / MANIFEST).write_text(text)
        with pytest.raises(ValueError):
            check_folder(folder)
