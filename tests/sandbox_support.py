"""What the tests of processes beside share: each knows the ones that it started."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pipeline import sandbox
from pipeline.media.process import PythonChild


@contextmanager
def remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PythonChild]]:
    """Every process that is started in this block; none from before is taken up, and none is left waiting."""
    sandbox.close_idle()
    started: list[PythonChild] = []

    class Remembered(PythonChild):
        def __init__(self, module: str) -> None:
            super().__init__(module)
            started.append(self)

    monkeypatch.setattr(sandbox, "PythonChild", Remembered)
    yield started
    sandbox.close_idle()
