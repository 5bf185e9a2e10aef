"""The frames of a scan as the model sees them, each encoded once ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.progress import CancelToken
from pipeline.scorers.smolvlm2 import pixels
from pipeline.scorers.smolvlm2.model import SmolVLM, in_batches
from pipeline.scorers.smolvlm2.pixels import Picture
from pipeline.scorers.smolvlm2.store import Features, Store, digest
from pipeline.types import SampledFrame

_BATCH = {"cpu": 4, "mps": 8, "cuda": 32}
_BLANK = "blank"
# A frame whose features differ from the blank one's by no more than this share of them shows nothing.
_NOTHING = 0.02


class Gallery:
    """Features of frames at one side, from the store where they are known.

    warnings: which frames couldn't be decoded
    encoded: how many pictures went through the model
    """

    def __init__(self, vlm: SmolVLM, store: Store, side: int, frames: Sequence[SampledFrame]) -> None:
        self._vlm, self._store, self.side, self._frames = vlm, store, side, frames
        self._features: dict[str, Features] = {}
        self._content: dict[int, str | None] = {}
        self.warnings: list[str] = []
        self.encoded = 0

    def key(self, index: int) -> str | None:
        """A name for a frame's bytes and how they are encoded; None where the file can't be read."""
        if index not in self._content:
            try:
                content = hashlib.sha256(self._frames[index].path.read_bytes()).hexdigest()
                self._content[index] = self._name(content)
            except OSError as error:
                self._skip(index, str(error.strerror or error))
        return self._content[index]

    def _name(self, content: str) -> str:
        loaded = self._vlm.loaded
        return digest("features", loaded.name, loaded.revision, loaded.dtype, self.side, content)

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
        last: tuple[npt.NDArray[np.float32], str] | None = None

        def run(batch: Sequence[int]) -> None:
            nonlocal last
            last = self._encode(batch, last)

        size = _BATCH[self._vlm.loaded.device]
        cancel.check()
        for done in in_batches(missing, size, run, self._vlm.loaded.name):
            cancel.check()
            yield (known + done) / len(ordered)

    def _recall(self, index: int) -> bool:
        """Whether nothing is left to do for a frame: it is known, or can't be read."""
        key = self.key(index)
        if key is None or key in self._features:
            return True
        found = self._store.features(key)
        if found is not None:
            self._features[key] = found
        return found is not None

    def _encode(self, batch: Sequence[int], last: tuple[npt.NDArray[np.float32], str] | None
                ) -> tuple[npt.NDArray[np.float32], str] | None:
        """Encodes the frames that differ from the one before, and returns the last thumbnail with its key."""
        same_as: dict[str, str] = {}
        fresh: dict[str, Picture] = {}
        for index in batch:
            picture, key = self._read(index), self.key(index)
            if picture is None or key is None:
                continue
            thumb = pixels.thumbnail(picture)
            if last is not None and pixels.nearly_same(last[0], thumb):
                same_as[key] = last[1]
            else:
                fresh[key] = picture
                last = thumb, key
        if fresh:
            found = self._vlm.features([pixels.to_pixels(picture, self.side) for picture in fresh.values()])
            self._features.update(zip(fresh, found, strict=True))
            self.encoded += len(fresh)
        self._features.update({key: self._features[source] for key, source in same_as.items()})
        for key in (*fresh, *same_as):
            self._store.keep_features(key, self._features[key])
        return last

    def _read(self, index: int) -> Picture | None:
        try:
            return pixels.read_picture(self._frames[index].path)
        except (OSError, ValueError, SyntaxError) as error:
            self._skip(index, str(error))
            return None
