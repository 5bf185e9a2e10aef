"""Keeps the stages' results where all machines of a cluster find them, and notes who made what.

    <store>/<stage>/<key>.tar                           a sealed folder, as the cache has it, under the cache's key
    <store>/reels/<key>.json                            what came of a video; written when its reel is whole
    <store>/journal/<stage>/<key>/<id>.<event>.<worker>  empty files: "begun" before the work, "done" after it

A result is put whole or not at all, and always the same under its key: whoever comes second loses time and no more.
"""

from __future__ import annotations

import json
import re
import tarfile
import uuid
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.batch.storage import Place
from pipeline.errors import InputError, OutputError
from pipeline.media.files import disk_error, working_file
from pipeline.progress import CancelToken

FOLDER = ".stages"
_BEGUN, _DONE = "begun", "done"


@dataclass(frozen=True, slots=True)
class Execution:
    """One time that a stage was worked on.

    stage, key: of what
    worker: who did it
    done: whether it came to an end
    """

    stage: str
    key: str
    worker: str
    done: bool


class SharedStore:
    """Implements `cache.Shared` on a folder that all machines see.

    worker: who this is, for the journal
    """

    def __init__(self, place: Place, cancel: CancelToken, worker: str = "") -> None:
        self._place, self._cancel = place, cancel
        self._worker = re.sub(r"[^\w-]", "-", worker) or "here"
        self._begun: dict[tuple[str, str], str] = {}

    def has(self, stage: str, key: str) -> bool:
        """Whether a result is here, torn or not."""
        return self._packed(stage, key).facts(self._cancel) is not None

    def fetch(self, stage: str, key: str, folder: Path) -> bool:
        """See `Shared.fetch`. A torn one counts as none."""
        if not self.has(stage, key):
            return False
        try:
            with working_file(folder.parent, ".tar") as file:
                self._packed(stage, key).fetch(file, self._cancel)
                with tarfile.open(file) as archive:
                    archive.extractall(folder, filter="data")
        except tarfile.TarError:
            return True
        except OSError as error:
            raise disk_error(error, folder) from error
        return True

    def making(self, stage: str, key: str) -> None:
        """See `Shared.making`."""
        self._begun[stage, key] = uuid.uuid4().hex
        self._note(stage, key, _BEGUN)

    def keep(self, stage: str, key: str, folder: Path) -> None:
        """See `Shared.keep`."""
        begun = (stage, key) in self._begun
        if not begun and self.has(stage, key):
            return
        try:
            with working_file(folder.parent, ".tar") as file:
                with tarfile.open(file, "w") as archive:
                    archive.add(folder, arcname=".")
                self._packed(stage, key).put(file, self._cancel)
        except OSError as error:
            raise disk_error(error, folder) from error
        if begun:
            self.made(stage, key)

    def drop(self, stage: str, key: str) -> None:
        """Take a result away that nobody will ask for any more; where that is refused, it stays. Raises Cancelled."""
        with suppress(OutputError):
            self._packed(stage, key).delete(self._cancel)

    def made(self, stage: str, key: str) -> None:
        """Note that what `making` announced is done."""
        self._note(stage, key, _DONE)

    def _packed(self, stage: str, key: str) -> Place:
        return self._place.child(stage, f"{key}.tar")

    def _note(self, stage: str, key: str, event: str) -> None:
        name = f"{self._begun[stage, key]}.{event}.{self._worker}"
        self._place.child("journal", stage, key, name).write(b"", self._cancel)


def journal(store: Place, cancel: CancelToken) -> list[Execution]:
    """Every time that a stage was worked on. Raises InputError, Cancelled."""
    events: Mapping[tuple[str, ...], set[str]] = defaultdict(set)
    try:
        found = store.child("journal").files(cancel)
    except InputError:
        found = []
    for one in found:
        stage, key, name = one.name.split("/")
        number, event, worker = name.split(".")
        events[stage, key, number, worker].add(event)
    return [Execution(stage, key, worker, _DONE in seen) for (stage, key, _, worker), seen in events.items()]


def twice(executions: list[Execution], lost: tuple[str, ...] = ()) -> list[Execution]:
    """What was worked on more than once, but for what workers in `lost` had begun and not ended; pure."""
    kept: dict[tuple[str, str], list[Execution]] = defaultdict(list)
    for one in executions:
        if one.done or one.worker not in lost:
            kept[one.stage, one.key].append(one)
    return [one for same in kept.values() for one in same[1:]]


def json_values(data: bytes) -> dict[str, Any] | None:
    """A JSON object; None where the bytes are none."""
    try:
        values = json.loads(data)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
