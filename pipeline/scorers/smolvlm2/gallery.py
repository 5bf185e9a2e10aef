"""The frames of a scan as the model sees them, each encoded once ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.progress import CancelToken
from pipeline.scorers.smolvlm2 import pixels
from pipeline.scorers.smolvlm2.loading import Loaded
from pipeline.scorers.smolvlm2.model import SmolVLM, in_batches
from pipeline.scorers.smolvlm2.pixels import Picture, Thumbnail
from pipeline.scorers.smolvlm2.store import Features, Store, digest
from pipeline.types import SampledFrame

# Frames that are encoded together.
BATCH = {"cpu": 4, "mps": 8, "cuda": 32}
_BLANK = "blank"
# A frame whose features differ from the blank one's by no more than this share of them shows nothing.
_NOTHING = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """What is known of a frame before it is asked for.

    thumb: a small copy
    features: its own, never a neighbour's
    """

    thumb: Thumbnail
    features: Features


def content_of(path: Path) -> str:
    """A name for a file's bytes; raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frame_name(loaded: Loaded, side: int, content: str) -> str:
    """What the features of a frame are kept under: by its bytes and by how they are encoded."""
    return digest("features", loaded.name, loaded.revision, loaded.dtype, side, content)


class Gallery:
    """Features of frames at one side, from the store where they are known.

    warnings: which frames couldn't be decoded
    encoded: how many of the pictures that were asked for went through the model, now or ahead
    """

    def __init__(self, vlm: SmolVLM, store: Store, side: int, frames: Sequence[SampledFrame],
                 ready: MutableMapping[str, Ready] | None = None) -> None:
        """ready: what was encoded ahead, by `frame_name`; taken from there, and empty when `fill` is done"""
        self._vlm, self._store, self.side, self._frames = vlm, store, side, frames
        self._ready = {} if ready is None else ready
        self._features: dict[str, Features] = {}
        self._content: dict[int, str | None] = {}
        self.warnings: list[str] = []
        self.encoded = 0

    def key(self, index: int) -> str | None:
        """A name for a frame's bytes and how they are encoded; None where the file can't be read."""
        if index not in self._content:
            try:
                self._content[index] = self._name(content_of(self._frames[index].path))
            except OSError as error:
                self._skip(index, str(error.strerror or error))
        return self._content[index]

    def _name(self, content: str) -> str:
        return frame_name(self._vlm.loaded, self.side, content)

    def _skip(self, index: int, why: str) -> None:
        self._content[index] = None
        self.warnings.append(f"the frame at {self._frames[index].time_s:.1f} s can't be read and is left out: {why}")

    def usable(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Those of the frames that could be decoded; call after `fill`."""
        return tuple(index for index in indices if self.key(index) is not None)

    def of(self, index: int) -> Features:
        """Features of a usable frame."""
        key = self.key(index)
        if key is None:
            raise KeyError(index)
        return self._features[key]

    def blank(self) -> Features:
        """Features of a frame that shows nothing."""
        name = self._name(_BLANK)
        if name not in self._features:
            known = self._store.features(name)
            if known is None:
                known = self._vlm.features([pixels.to_pixels(pixels.blank_picture(), self.side)])[0]
                self._store.keep_features(name, known)
            self._features[name] = known
        return self._features[name]

    def look(self, index: int) -> npt.NDArray[np.float32]:
        """What the model sees in a usable frame as one vector of length 1, to tell whether two show the same.

        The mean of the frame's features less the blank frame's, which are most of any frame's. Measured with the tiny
        model of the tests on six films, 20 s of each repeated in another quality: plain means of different scenes are
        as alike as 0.99 (their median) and of repeats as 0.999; with the video's own mean taken off, up to 4 % of
        different scenes are more alike than the worst tenth of the repeats; with the blank frame's, at most 0.6 %, and
        0.985 parts the two (99 % of different scenes lie below it; the median of repeats is 0.991 to 1). In a sixth,
        a trailer, black stretches and titles between scenes are alike in every form, as they should be.
        """
        blank = self.blank().mean(axis=0, dtype=np.float32)
        rest = self.of(index).mean(axis=0, dtype=np.float32) - blank
        length = float(np.linalg.norm(rest))
        if length <= _NOTHING * float(np.linalg.norm(blank)):
            return np.asarray(np.eye(1, len(rest), dtype=np.float32)[0])
        return np.asarray(rest / length, dtype=np.float32)

    def fill(self, indices: Sequence[int], cancel: CancelToken) -> Iterator[float]:
        """Makes features of the frames known, and yields the share that is done.

        A frame that looks as the one before it takes that one's features.
        """
        ordered = sorted(set(indices))
        missing = [index for index in ordered if not self._recall(index)]
        known = len(ordered) - len(missing)
        last: tuple[Thumbnail, str] | None = None

        def run(batch: Sequence[int]) -> None:
            nonlocal last
            last = self._encode(batch, last)

        size = BATCH[self._vlm.loaded.device]
        cancel.check()
        for done in in_batches(missing, size, run, self._vlm.loaded.name):
            cancel.check()
            yield (known + done) / len(ordered)
        # What nobody asked for.
        self._ready.clear()

    def _recall(self, index: int) -> bool:
        """Whether nothing is left to do for a frame: it is known, or can't be read."""
        key = self.key(index)
        if key is None or key in self._features:
            return True
        found = self._store.features(key)
        if found is not None:
            self._features[key] = found
        return found is not None

    def _encode(self, batch: Sequence[int], last: tuple[Thumbnail, str] | None) -> tuple[Thumbnail, str] | None:
        """Encodes the frames that differ from the one before, and returns the last thumbnail with its key."""
        same_as: dict[str, str] = {}
        fresh: dict[str, Picture | Ready] = {}
        for index in batch:
            key = self.key(index)
            known = self._ready.get(key or "") or self._read(index)
            if known is None or key is None:
                continue
            thumb = known.thumb if isinstance(known, Ready) else pixels.thumbnail(known)
            if last is not None and pixels.nearly_same(last[0], thumb):
                same_as[key] = last[1]
            else:
                fresh[key] = known
                last = thumb, key
        self._learn(fresh)
        self._features.update({key: self._features[source] for key, source in same_as.items()})
        for key in (*fresh, *same_as):
            self._store.keep_features(key, self._features[key])
            self._ready.pop(key, None)
        return last

    def _learn(self, fresh: Mapping[str, Picture | Ready]) -> None:
        """Makes features known, through the model where they aren't ready."""
        unseen = {key: known for key, known in fresh.items() if not isinstance(known, Ready)}
        if unseen:
            found = self._vlm.features([pixels.to_pixels(picture, self.side) for picture in unseen.values()])
            self._features.update(zip(unseen, found, strict=True))
        self._features.update({key: known.features for key, known in fresh.items() if isinstance(known, Ready)})
        self.encoded += len(fresh)

    def _read(self, index: int) -> Picture | None:
        try:
            return pixels.read_picture(self._frames[index].path)
        except (OSError, ValueError, SyntaxError) as error:
            self._skip(index, str(error))
            return None
