"""Connects to a Ray cluster, or starts one on this machine: the one seam to how Ray begins and ends.

Ray is optional, says much on the terminal, and waits over a minute for a cluster that isn't there before it ends the
program; none of that reaches a user.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import ClusterError
from pipeline.progress import CancelToken
from pipeline.waiting import attend

AUTO, LOCAL = "auto", "local"
_INSTALL = "install it with: pip install -r requirements-cluster.txt"
# Ray asks for 30 % of the memory otherwise, and what travels here is small: results lie on shared storage.
_OBJECTS_BYTES = 128 * 1024 * 1024
_CONNECT_S = 5.0
_PORT = 6379
# Read by Ray when it is imported or started.
_ENVIRONMENT = {"RAY_SCHEDULER_EVENTS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
# How HTTP/2 begins, which gRPC and so Ray's head speaks: what we send, and the kind of frame that answers.
_PREFACE, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 4


def load() -> Any:
    """Ray. Raises ClusterError where it isn't installed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Nobody is told of what is done here.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if _has_token() and "ray" not in sys.modules:
        # Heads ask for the token where there is one; whoever connects must be told to show it. A program that has
        # imported Ray has made up its mind, and what it starts would no longer agree with it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(f"needs Ray, which is not installed here ({error}); {_INSTALL}", "--cluster") from error
    return ray


def _has_token() -> bool:
    """Whether this machine has a Ray cluster's token, where Ray looks for it."""
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        return bool(given) or (Path.home() / ".ray" / "auth_token").is_file()
    except (OSError, RuntimeError):
        return False


@contextmanager
def joined(address: str, cancel: CancelToken, connect_s: float = _CONNECT_S) -> Iterator[Any]:
    """Ray, connected while the block runs.

    address: "host:port" of a cluster's head; "auto" for the one that runs on this machine, or else one of its own that
        ends with the block; "local" for one of its own
    connect_s: seconds that the head may take to answer

    Raises ClusterError, Cancelled.
    """
    ray = load()
    if ray.is_initialized():
        # A program that is connected already knows what it wants.
        yield ray
        return
    target = _target(address, cancel, connect_s)
    with _handlers_kept(), _muted():
        _start(ray, target, address)
    try:
        with _quiet():
            yield ray
    finally:
        with _handlers_kept():
            ray.shutdown()


def _target(address: str, cancel: CancelToken, connect_s: float) -> str:
    """What to connect to: an address that answers, or "local"."""
    if address == LOCAL:
        return LOCAL
    if address == AUTO:
        for known in (os.environ.get("RAY_ADDRESS"), _last_started()):
            if known and known not in (AUTO, LOCAL) and answers(known, cancel, connect_s):
                return known
        return LOCAL
    if "://" in address:
        raise ClusterError("is no address of a cluster's head; write it as HOST:PORT, as `ray start --head` shows it",
                           address)
    target = address if ":" in address else f"{address}:{_PORT}"
    if not answers(target, cancel, connect_s):
        raise ClusterError(_silent(connect_s), address)
    return target


def _silent(connect_s: float) -> str:
    return (f"no Ray cluster answered within {connect_s:g} s; start one there with `ray start --head`, or check the "
            "address and the firewall")


def answers(address: str, cancel: CancelToken, connect_s: float = _CONNECT_S) -> bool:
    """Whether what listens there can be a cluster's head. Raises ClusterError for what is no address, Cancelled."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ClusterError("is no address; write it as HOST:PORT, such as 10.0.0.1:6379", address)

    def knock(_: threading.Event) -> bool:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=connect_s) as line:
                if os.environ.get("RAY_USE_TLS") == "1":
                    return True
                line.sendall(_PREFACE)
                frame = line.recv(9, socket.MSG_WAITALL)
        except OSError:
            return False
        return len(frame) == 9 and frame[3] == _SETTINGS

    return attend(knock, lambda: None, cancel, leave=True)


def _last_started() -> str | None:
    """The address of the cluster that was last started on this machine, by Ray's own note."""
    folder = os.environ.get("RAY_TMPDIR") or ("/tmp" if sys.platform != "win32" else tempfile.gettempdir())
    try:
        return (Path(folder) / "ray" / "ray_current_cluster").read_text().strip() or None
    except OSError:
        return None


def _start(ray: Any, target: str, address: str) -> None:
    """Connect or start. Raises ClusterError."""
    own = {"object_store_memory": _OBJECTS_BYTES, "include_dashboard": False} if target == LOCAL else {}
    try:
        ray.init(address=target, log_to_driver=False, logging_level="CRITICAL", **own)
    except (SystemExit, Exception) as error:
        # It asks the whole program to end where a head doesn't answer.
        ray.shutdown()
        if isinstance(error, SystemExit | ConnectionError | TimeoutError):
            raise ClusterError("what listens there takes no connection from here; check that it is a Ray cluster, that "
                               f"all machines have Ray {ray.__version__}, and the same token in ~/.ray/auth_token",
                               address) from error
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ClusterError(f"Ray can't be used ({said})", address) from error


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray puts its own handlers in place of the shell's, which cancel a run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:
                signal.signal(number, handler)


@contextmanager
def _muted() -> Iterator[None]:
    """Keeps what Ray's native code writes to standard error from the terminal: a line a second while it waits."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Ray from printing pages of a lost machine's log to standard output, which no option turns off."""
    from ray._private import worker

    name = "print_to_stdstream"
    old = getattr(worker, name, None)
    if old is not None:
        setattr(worker, name, lambda *_, **__: None)
    try:
        yield
    finally:
        if old is not None:
            setattr(worker, name, old)
