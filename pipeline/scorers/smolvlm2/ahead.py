"""Encodes frames on a thread of its own while the scan that puts them aside still goes on."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType

from pipeline.errors import Cancelled
from pipeline.progress import CancelToken, LinkedToken, silent
from pipeline.scorers.smolvlm2 import pixels
from pipeline.scorers.smolvlm2.gallery import BATCH, Ready, content_of, frame_name
from pipeline.scorers.smolvlm2.loading import Loaded
from pipeline.scorers.smolvlm2.model import SmolVLM, out_of_memory
from pipeline.scorers.smolvlm2.pixels import Picture, Thumbnail
from pipeline.scorers.smolvlm2.store import Store
from pipeline.types import SampledFrame

# Where encoding ahead pays: there the model doesn't take the decoder's cores. On a CPU it does, and encodes frames that
# no segment will show: `python -m bench.overlap` has the run take longer with it than without.
PAYS_ON = ("cuda", "mps")
# Frames, as paths, that may wait; a frame for which there is no room is encoded when the scan is done.
_MOST_WAITING = 4096
# With fewer at once a device is hardly used; with more than wait already, the last of them come late.
_LEAST_BATCH = 8
_POLL_S = 0.05


class AheadOfScan:
    """Takes frames while a block runs, and makes what can be known of each before segments are: its own features.

    Whether a frame takes its neighbour's features instead depends on which frames are shown, and is left to `Gallery`.

    ready: what is known of frames, by the names that the gallery has for them
    error: what ended it before its time, which scoring will meet, too; None where nothing did
    busy_s: seconds that the model worked
    """

    def __init__(self, load: Callable[[CancelToken], Loaded], side: Callable[[SmolVLM], int], store: Store,
                 cancel: CancelToken) -> None:
        """load: the model; side: of frames in pixels, as they will be wanted"""
        self.ready: dict[str, Ready] = {}
        self.error: Exception | None = None
        self.busy_s = 0.0
        self._load, self._side, self._store = load, side, store
        self._waiting: queue.Queue[SampledFrame] = queue.Queue(_MOST_WAITING)
        # Set when no further batch is wanted, and when not even the one that the model is at is.
        self._over, self._dropped = LinkedToken(cancel), LinkedToken(cancel)
        self._thread = threading.Thread(target=self._run, name="ahead", daemon=True)

    def take(self, frame: SampledFrame) -> None:
        """Have a frame encoded, unless too many wait; returns at once."""
        with suppress(queue.Full):
            self._waiting.put_nowait(frame)

    def __enter__(self) -> AheadOfScan:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Stop after the batch that the model is at; what still waits is forgotten."""
        self._over.cancel()
        if kind is not None:
            self._dropped.cancel()
        self._thread.join()

    def _run(self) -> None:
        """What the thread does."""
        try:
            vlm = SmolVLM(self._load(self._over))
            self._encode_all(vlm)
        except Cancelled:
            pass
        except Exception as error:
            # Scoring finds a way with smaller batches.
            if not out_of_memory(error):
                self.error = error

    def _encode_all(self, vlm: SmolVLM) -> None:
        """Encode what comes, in batches, until it is over."""
        side, most = self._side(vlm), BATCH[vlm.loaded.device]
        last: Thumbnail | None = None
        batch: dict[str, tuple[Picture, Thumbnail]] = {}
        while not self._over.cancelled:
            try:
                frame = self._waiting.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            found = self._look(frame, vlm, side)
            # A still picture goes through the model once.
            if found is not None and (last is None or not pixels.nearly_same(last, found[2])):
                name, picture, last = found
                batch[name] = picture, last
            if len(batch) >= most or (len(batch) >= min(most, _LEAST_BATCH) and self._waiting.empty()):
                self._encode(vlm, side, batch)
                batch = {}

    def _look(self, frame: SampledFrame, vlm: SmolVLM, side: int) -> tuple[str, Picture, Thumbnail] | None:
        """A frame's name, picture and thumbnail; None where it is known, or can't be read, as will be told later."""
        try:
            name = frame_name(vlm.loaded, side, content_of(frame.path))
            if name in self.ready or self._store.features(name) is not None:
                return None
            picture = pixels.read_picture(frame.path)
        except (OSError, ValueError, SyntaxError):
            return None
        return name, picture, pixels.thumbnail(picture)

    def _encode(self, vlm: SmolVLM, side: int, batch: Mapping[str, tuple[Picture, Thumbnail]]) -> None:
        with vlm.loaded.held(silent, self._over), vlm.stopping(self._dropped):
            began = time.monotonic()
            found = vlm.features([pixels.to_pixels(picture, side) for picture, _ in batch.values()])
        self.busy_s += time.monotonic() - began
        for (name, (_, thumb)), features in zip(batch.items(), found, strict=True):
            self.ready[name] = Ready(thumb, features)
