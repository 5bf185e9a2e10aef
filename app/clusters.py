"""What `reel --cluster` does: finds the videos, has the cluster make their reels, and says what came of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from app.console import Console
from pipeline import CancelToken, Settings
from pipeline.batch.addressed import videos_at
from pipeline.batch.cluster import ClusterSettings, reels_on_cluster
from pipeline.batch.work import FAILED, Item, Outcome


def make_all(sources: Sequence[str], out: str, settings: Settings, cluster: ClusterSettings, console: Console,
             cancel: CancelToken) -> list[Outcome]:
    """Make a reel of each video of the sources, which are folders or files, by path or address.

    Raises what `reels_on_cluster` and `videos_at` raise.
    """
    with console.running(sources[0]):
        items = items_of([videos_at(source, out, cancel, cluster.stall_s) for source in sources], sources)
        outcomes = reels_on_cluster(items, out, settings, cluster, console.outcome, console.progress, cancel)
    if len(outcomes) > 1:
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


def items_of(found: Sequence[Sequence[Item]], sources: Sequence[str]) -> list[Item]:
    """The videos of all sources, each once; those of several folders go to folders of their own; pure."""
    several = sum(len(items) > 1 for items in found) > 1
    items: dict[str, Item] = {}
    names: set[str] = set()
    for source, group in zip(sources, found, strict=True):
        for item in group:
            name = f"{Path(source.rstrip('/')).name}/{item.name}" if several and len(group) > 1 else item.name
            number, unique = 1, name
            while unique.casefold() in names and item.source not in items:
                number += 1
                unique = f"{name}-{number}"
            names.add(unique.casefold())
            items.setdefault(item.source, Item(item.source, unique, item.title))
    return list(items.values())
