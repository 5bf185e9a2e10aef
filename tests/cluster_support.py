"""What the cluster's tests and bench/cluster.py share: three raylets on this machine, of which any can be lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.batch.joining import load
from pipeline.batch.shared import Execution, journal
from pipeline.batch.storage import Place
from pipeline.progress import CancelToken

# Who has ever started a cluster on this machine has a token in their home; whether Ray goes by it must not depend on
# what has imported Ray first.
os.environ["RAY_AUTH_MODE"] = "disabled"

STORE_BYTES = 80 * 1024 * 1024


@dataclass
class Machines:
    """Raylets that stand for machines: each has one CPU and a cache of its own.

    address: of their head
    """

    cluster: Any
    folder: Path
    cpus: float = 1.0
    nodes: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the head."""
        return str(self.cluster.address)

    def add(self) -> Any:
        """One more."""
        node = self.cluster.add_node(**given(self.folder / f"node{time.monotonic_ns()}", self.cpus))
        self.nodes.append(node)
        return node

    def at(self, words: str) -> list[int]:
        """Its own workers that are at what is called so."""
        raylets = {raylet_of(node) for node in self.cluster.list_all_nodes()}
        return [pid for pid in called(f"ray::{words}") if parent_of(pid) in raylets]

    def lose(self, node: Any) -> None:
        """As if its plug were pulled: nothing on it is asked to end, or gets to say that it does."""
        below = workers_of(node)
        self.nodes.remove(node)
        for pid in below:
            kill(pid)
        self.cluster.remove_node(node, allow_graceful=False)


def given(folder: Path, cpus: float) -> dict[str, Any]:
    """What a raylet is started with."""
    return {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False,
            "env_vars": {"XDG_CACHE_HOME": str(folder), "OMP_NUM_THREADS": "1"}}


@contextmanager
def machines(folder: Path, count: int = 3, cpus: float = 1.0) -> Iterator[Machines]:
    """As many, the head among them, while the block runs."""
    load()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=given(folder / "head", cpus))
    made = Machines(cluster, folder, cpus)
    try:
        for _ in range(count - 1):
            made.add()
        yield made
    finally:
        cluster.shutdown()


def kill(pid: int) -> None:
    """Kill a process, if it is there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def raylet_of(node: Any) -> int:
    """The process that stands for a machine."""
    return int(node.all_processes["raylet"][0].process.pid)


def workers_of(node: Any) -> list[int]:
    """The processes that do a raylet's work."""
    raylet = raylet_of(node)
    return [pid for pid in pids() if parent_of(pid) == raylet]


def pids() -> list[int]:
    """Every process of this machine; Linux only."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def parent_of(pid: int) -> int:
    """Of a process; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def called(words: str) -> list[int]:
    """Processes whose command line has these words."""
    found = []
    for pid in pids():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in line and pid != os.getpid():
            found.append(pid)
    return found


def name_of(node: Any) -> str:
    """How a raylet's workers end their names in the journal."""
    return str(node.node_id)[:12]


def executions(store: str) -> list[Execution]:
    """The journal."""
    return journal(Place(store), CancelToken())


@contextmanager
def watching(look: Callable[[], bool]) -> Iterator[threading.Event]:
    """Calls `look` again and again beside the block, until it says True; the event tells that it has."""
    stop, seen = threading.Event(), threading.Event()

    def run() -> None:
        while not stop.wait(0.02):
            if look():
                seen.set()
                return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def losing(made: Machines, store: str, after: int) -> Callable[[], str | None]:
    """To be called again and again: once `after` reels are whole, and another machine than the head has begun what it
    hasn't ended, that one is lost; its name is returned then.
    """
    def look() -> str | None:
        known = executions(store)
        if sum(one.stage == "render" and one.done for one in known) < after:
            return None
        for node in made.nodes:
            at = [one for one in known if one.worker.endswith(name_of(node)) and not one.done]
            if at:
                made.lose(node)
                return at[0].worker
        return None

    return look
