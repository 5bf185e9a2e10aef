"""What `reel` does with folders and with several videos: makes their reels on this machine, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.clusters import tell_failed
from app.console import Console
from pipeline import CancelToken, Settings, make_reels
from pipeline.batch.work import Outcome


def make_here(sources: Sequence[str], out: str, settings: Settings, console: Console, cancel: CancelToken,
              jobs: int | None, again: bool) -> list[Outcome]:
    """Make a reel of each video of the sources, which are folders or files; raises what `make_reels` raises."""
    with console.running(""):
        outcomes = make_reels(sources, settings, out, jobs=jobs, again=again, report=console.batch, cancel=cancel)
    # Where there was no video at all, nothing was written.
    if any(outcome.item.name for outcome in outcomes):
        console.summary(outcomes, str(Path(out)))
    tell_failed(outcomes, console)
    return list(outcomes)
