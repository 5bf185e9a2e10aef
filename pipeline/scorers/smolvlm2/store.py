"""Keeps image features and answers between runs: one small file each, written whole or not at all.

What is here can always be computed again, so a file that can't be read or written is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

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
            values = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return values if values.dtype == np.float16 and values.ndim == 2 else None

    def keep_features(self, key: str, values: Features) -> None:
        """Remembers the features of a frame."""
        self._write(self._path(key, ".npy"), lambda file: np.save(file, values, allow_pickle=False))

    def answer(self, key: str) -> Any | None:
        """An answer as a JSON value, or None where it isn't known."""
        path = self._path(key, ".json")
        if path is None:
            return None
        try:
            return json.loads(path.read_bytes())["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep_answer(self, key: str, answer: Any) -> None:
        """Remembers an answer, a JSON value."""
        written = json.dumps({"answer": answer}).encode()
        self._write(self._path(key, ".json"), lambda file: file.write(written))

    def _path(self, key: str, ending: str) -> Path | None:
        return self._folder / key[:2] / (key + ending) if self._folder else None

    @staticmethod
    def _write(path: Path | None, fill: Callable[[IO[bytes]], object]) -> None:
        if path is None:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    fill(file)
                os.replace(beside, path)
            except BaseException:
                os.unlink(beside)
                raise
