"""Keeps image features and answers between runs: one small file each, written whole or not at all.

What is here can always be computed again, so a file that can't be read or written, or isn't what was written, is
passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import OutputError
from pipeline.media.files import appearing
from pipeline.sealing import sealed, unsealed

Features = npt.NDArray[np.float16]


def digest(*parts: object) -> str:
    """A name for anything made of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Store:
    """Features and answers in a folder; without a folder it remembers nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def features(self, key: str) -> Features | None:
        """(tokens, hidden) of a frame, or None where it isn't known."""
        path = self._path(key, ".npy")
        if path is None:
            return None
        try:
            values = np.load(io.BytesIO(_read(path)), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return values if values.dtype == np.float16 and values.ndim == 2 else None

    def keep_features(self, key: str, values: Features) -> None:
        """Remembers the features of a frame."""
        data = io.BytesIO()
        np.save(data, values, allow_pickle=False)
        self._write(self._path(key, ".npy"), data.getvalue())

    def answer(self, key: str) -> Any | None:
        """An answer as a JSON value, or None where it isn't known."""
        path = self._path(key, ".json")
        if path is None:
            return None
        try:
            return json.loads(_read(path))["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_answer(self, key: str, answer: Any) -> None:
        """Remembers an answer, a JSON value."""
        self._write(self._path(key, ".json"), json.dumps({"answer": answer}).encode())

    def _path(self, key: str, ending: str) -> Path | None:
        return self._folder / key[:2] / (key + ending) if self._folder else None

    def _write(self, path: Path | None, data: bytes) -> None:
        if path is None:
            return
        with contextlib.suppress(OSError, OutputError):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Written in the store's own folder: there it is found at once should it have to be swept.
            with appearing(path, self._folder) as part:
                part.write_bytes(sealed(data))


def _read(path: Path) -> bytes:
    """What was written; its time tells that it was used. Raises OSError, or ValueError where it is torn or altered."""
    data = unsealed(path.read_bytes())
    with contextlib.suppress(OSError):
        os.utime(path)
    return data
