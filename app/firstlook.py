"""Looks at a run's video beside its scan, so that a person sees something of it in the first seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from app.thumbs import PEEK_WIDTH
from pipeline import Cancelled, CancelToken, Settings, SmolReelError, sandbox
from pipeline.cache import Cache, scan_key
from pipeline.progress import LinkedToken
from pipeline.types import Glance, VideoInfo

# What is shorter has been scanned by then.
_LEAST_S = 30.0
_log = logging.getLogger("smolreel")


@contextmanager
def first_look(video: VideoInfo, settings: Settings, seen: Callable[[Glance], object],
               cancel: CancelToken) -> Iterator[None]:
    """Look while the block runs, where that shows anything before the scan does.

    seen: called with what was seen, on another thread; not at all where nothing was
    """
    if video.duration_s < _LEAST_S or Cache(settings.cache_dir).has("scan", scan_key(video, settings)):
        yield
        return
    token = LinkedToken(cancel)
    thread = threading.Thread(target=_look, args=(video, settings, seen, token), name="first look", daemon=True)
    thread.start()
    try:
        yield
    finally:
        token.cancel()
        thread.join()


def _look(video: VideoInfo, settings: Settings, seen: Callable[[Glance], object], cancel: CancelToken) -> None:
    """Look; whatever is wrong with the video, its scan will say."""
    try:
        glance = sandbox.glance(video, PEEK_WIDTH, settings.limits, cancel)
        if len(glance.pictures) > 1:
            seen(glance)
    except Cancelled:
        pass
    except SmolReelError as error:
        _log.info("no first look at %s: %s", video.path.name, error)
