"""What `reel --cluster` does: finds the videos, has the cluster make their reels, and says what came of each."""

from __future__ import annotations

from collections.abc import Sequence

from app.console import Console
from pipeline import CancelToken, Settings
from pipeline.batch.addressed import find_at
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.storage import Place
from pipeline.batch.work import FAILED, Outcome
from pipeline.progress import Progress


def make_all(sources: Sequence[str], out: str, settings: Settings, cluster: ClusterSettings, console: Console,
             cancel: CancelToken) -> list[Outcome]:
    """Make a reel of each video of the sources, which are folders or files, by path or address.

    Raises what `reels_on_cluster` and `find_at` raise.
    """
    with console.running(sources[0]):
        out = Place(out).full
        found = find_at(sources, out, settings, cancel, cluster.stall_s,
                        lambda message: console.progress(Progress("batch", 0.0, message)))
        outcomes = reels_on_cluster(found.items, out, settings, cluster, console.outcome, console.progress, cancel,
                                    found.others)
    # Where there was no video at all, nothing was written.
    if found.items and len(outcomes) > 1:
        console.summary(outcomes, out.rstrip("/"))
    tell_failed(outcomes, console)
    return outcomes


def tell_failed(outcomes: Sequence[Outcome], console: Console) -> None:
    """Say in one line which of many videos failed, if any did."""
    failed = [outcome.item.title for outcome in outcomes if outcome.state == FAILED]
    if failed and len(outcomes) > 1:
        named = ", ".join(failed[:5]) + (" and others" if len(failed) > 5 else "")
        console.error("", f"{len(failed)} of {len(outcomes)} videos failed: {named}; run the command again for what is "
                          "left")
