"""The one module that starts processes: ffmpeg and modules of ours, by argument lists, watched, never left running."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import imageio_ffmpeg

from pipeline.errors import FFmpegError, InputError, OutputError
from pipeline.media.limits import needs_memory
from pipeline.progress import CancelToken

# A cancel is noticed this soon, well within the second that a person will wait.
_POLL_S = 0.05
# The longest that a module of ours has to say is the clips of a reel; what says more has gone mad.
_LINE_BYTES = 64 << 20
# One that doesn't listen for so long is no use. A busy machine may take its time to start it.
_SEND_S = 60.0
# ffmpeg can repeat one complaint for every packet of a damaged file; what stopped it stands last.
_TAIL_BYTES = 8000
_FULL = ("no space left on device", "disk quota exceeded", "file too large")
_CLOSED = ("permission denied", "read-only file system", "operation not permitted")
# What programs say that got no more memory.
NO_MEMORY = ("bad_alloc", "cannot allocate memory", "out of memory", "memoryerror", "malloc of size")
_MB = 1 << 20
_NO_WAIT = getattr(os, "WNOHANG", 1)

# Whether what this process starts stays in its group, so that whoever kills the group ends all of it.
_grouped = False


def keep_in_group() -> None:
    """From now on, have what is started stay in this process's group: for one that others watch over and end."""
    global _grouped
    _grouped = True


def end_group() -> None:
    """End this process and all that it started, at once; once `keep_in_group` was called and it leads its group."""
    if _grouped and sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def limit_memory(memory_mb: int) -> None:
    """Limit the addresses of this process, and of each that it starts, where the system keeps to it (Linux)."""
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mb * _MB
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def give_memory_back() -> None:
    """Hand what was freed back to the system, where the C library keeps it for itself (glibc): who waits for work, and
    that may be for long, holds no more than it needs.
    """
    if sys.platform == "linux":
        # Another C library has no such function.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _limit_mb() -> int | None:
    """The limit on this process's addresses in MB; None where there is none."""
    if sys.platform != "linux":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit // _MB


def _open_addresses(pid: int) -> None:
    """Have a process that inherited a limit on addresses keep to one on what it fills of them.

    Drivers of graphics cards reserve more addresses than any machine has memory, and never fill them.
    """
    limit_mb = _limit_mb()
    if sys.platform != "linux" or limit_mb is None:
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        _, most_data = resource.prlimit(pid, resource.RLIMIT_DATA)
        wanted = limit_mb * _MB
        resource.prlimit(pid, resource.RLIMIT_DATA,
                         (wanted if most_data == resource.RLIM_INFINITY else min(wanted, most_data), most_data))
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def ffmpeg_exe() -> str:
    """Path of the ffmpeg program: the environment's IMAGEIO_FFMPEG_EXE, else the one that imageio-ffmpeg brings.

    Raises FFmpegError where there is none.
    """
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise FFmpegError("no ffmpeg program was found; install the imageio-ffmpeg package again, or name one in "
                          "the environment variable IMAGEIO_FFMPEG_EXE") from error


def ffmpeg_filters() -> frozenset[str]:
    """Names of the filters that this ffmpeg was built with; asked once a program."""
    return _filters_of(ffmpeg_exe())


@lru_cache(maxsize=4)
def _filters_of(exe: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ [A-Z.]{2,3} (\w+) +\S+->\S+", _listing(exe, "-filters"), re.MULTILINE))


def ffmpeg_encoders() -> frozenset[str]:
    """Names of the encoders that this ffmpeg was built with, whether this machine can run them or not."""
    return _encoders_of(ffmpeg_exe())


@lru_cache(maxsize=4)
def _encoders_of(exe: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\w+) ", _listing(exe, "-encoders"), re.MULTILINE))


def _listing(exe: str, option: str) -> str:
    """What ffmpeg says of itself."""
    try:
        return subprocess.run([exe, "-nostdin", "-hide_banner", option], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=60, check=True).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise FFmpegError(f"{exe} can't be run ({error}); install imageio-ffmpeg again") from error


def input_url(path: Path) -> str:
    """`path` as ffmpeg's `-i` takes it: never an option, never a protocol, whatever dashes and colons it holds."""
    return f"file:{path.absolute()}"


def run_ffmpeg(args: Sequence[str], *, cancel: CancelToken, timeout_s: float,
               on_progress: Callable[[float], object] | None = None, subject: str | None = None,
               output: Path | None = None, device: bool = False) -> None:
    """Run ffmpeg to its end.

    args: everything after the program's name; paths in it come from `input_url`
    cancel: polled about 20 times a second; the child is killed when it is set
    timeout_s: seconds after which the child is killed
    on_progress: called on this thread with the seconds of output written so far
    subject: the user's file that the run is about, for errors
    output: what is written, for errors about the disk
    device: whether it uses a graphics card

    Raises Cancelled, OutputError where the disk is full or closed to us, InputError where this process's memory is
    limited and ffmpeg asks for more, FFmpegError (with the tail of what ffmpeg said) for every other failure. However
    it ends, no process is left behind.
    """
    cancel.check()
    command = [ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-nostats",
               "-stats_period", "0.2", "-progress", "pipe:1", *args]
    child = _start(command, "install the imageio-ffmpeg package again, or name another program in IMAGEIO_FFMPEG_EXE")
    if device:
        _open_addresses(child.pid)
    watch = _Watch(child)
    deadline = time.monotonic() + timeout_s
    told = -1.0
    try:
        while not watch.ended():
            cancel.check()
            if time.monotonic() > deadline:
                raise FFmpegError(f"ffmpeg was not done after {timeout_s:g} s and was stopped", subject, watch.tail())
            if on_progress and watch.done_s > told:
                told = watch.done_s
                on_progress(told)
    finally:
        _end(child)
        watch.close()
    if child.returncode:
        raise _failure(child.returncode, watch.tail(), subject, output, device)
    cancel.check()


class PythonChild:
    """A module of ours that runs in a process of its own and trades lines with us, until it is closed or ends.

    It reads requests from its standard input, and ends by itself once that is closed: with us at the latest.

    lines: what it says, a line at a time; None once it has ended
    """

    def __init__(self, module: str) -> None:
        """Start `python -m module`. Raises FFmpegError where that can't be done."""
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # Every thread would reserve 64 MB of addresses for itself, which count where addresses are limited.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MALLOC_ARENA_MAX": "4"}
        # -P: modules are never taken from the folder that we happen to be called in.
        self._child = _start([sys.executable, "-P", "-m", module], "install Python again", subprocess.PIPE, environment)
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said = b""
        self._reaping = threading.Lock()
        self._threads = [threading.Thread(target=self._read, daemon=True),
                         threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self._threads:
            thread.start()

    @property
    def status(self) -> int | None:
        """Its exit status, below 0 for a signal; None while it runs."""
        self._reap(wait=False)
        return self._child.returncode

    @property
    def tail(self) -> str:
        """The last of what it said on standard error."""
        return self._said.decode(errors="replace").strip()

    def send(self, line: bytes) -> bool:
        """Hand it a line; False where it has ended already, or doesn't listen."""
        sent: list[bool] = []

        def write() -> None:
            assert self._child.stdin is not None
            with contextlib.suppress(OSError, ValueError):
                self._child.stdin.write(line + b"\n")
                self._child.stdin.flush()
                sent.append(True)

        # A pipe takes some kilobytes; whoever writes more waits for the other side.
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        writer.join(_SEND_S)
        return bool(sent)

    def close(self) -> None:
        """Kill it and all that it started, if anything of it still runs; nothing is left."""
        with self._reaping:
            if self._child.returncode is None:
                _kill_group(self._child)
        self._reap(wait=True)
        for thread in self._threads:
            thread.join(timeout=2)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                # What was written and not read goes with it.
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read(self) -> None:
        assert self._child.stdout is not None
        while line := self._child.stdout.readline(_LINE_BYTES):
            self.lines.put(line)
        # Takes its status, so that no zombie stays of one that ended by itself.
        self._reap(wait=True)
        self.lines.put(None)

    def _reap(self, *, wait: bool) -> None:
        """Once it has ended, end what it started and left behind, and only then take its status.

        wait: whether to wait for its end
        """
        if wait:
            self._ended(0)
        with self._reaping:
            if self._child.returncode is None and self._ended(_NO_WAIT):
                _kill_group(self._child)
                self._child.wait()

    def _ended(self, options: int) -> bool:
        """Whether it has ended, its status left where it is; its group's id can't pass to others before that is taken.
        """
        if sys.platform == "win32" or not hasattr(os, "waitid"):
            # macOS has it from Python 3.13 on.
            return (self._child.poll() if options else self._child.wait()) is not None
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT | options) is not None
        return True

    def _read_errors(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._said = (self._said + line)[-_TAIL_BYTES:]


def _start(command: list[str], remedy: str, stdin: int = subprocess.DEVNULL,
           environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the child in a session of its own: Ctrl-C in the terminal reaches us alone, and we end the child.

    Should we be killed outright, the child ends at its next progress line, for nobody reads the pipe any more. One
    that is started in a process that others watch over stays in that one's group, and ends with it.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        return subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=not _grouped, creationflags=flags, env=environment)
    except OSError as error:
        raise FFmpegError(f"{command[0]} can't be run ({error.strerror or error}); {remedy}") from error


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill the child and all that it started, if it still runs, and take its status so that no zombie stays."""
    if child.poll() is None:
        if _grouped:
            child.kill()
        else:
            _kill_group(child)
    child.wait()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and its group, whose id is the child's own and can't pass to others before its status is taken."""
    if sys.platform == "win32":
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


class _Watch:
    """Reads both of a child's pipes, so that it never blocks on a full one; keeps the little that is of use."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None and child.stderr is not None
        self.done_s = -1.0
        self._child = child
        self._said = b""
        self._pipes: tuple[IO[bytes], IO[bytes]] = (child.stdout, child.stderr)
        self._threads = [threading.Thread(target=self._read_progress, args=(child.stdout,), daemon=True),
                         threading.Thread(target=self._read_errors, args=(child.stderr,), daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read_progress(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            if found := re.match(rb"out_time_us=(\d+)", line):
                self.done_s = int(found[1]) / 1e6

    def _read_errors(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            self._said = (self._said + line)[-_TAIL_BYTES:]

    def ended(self) -> bool:
        """Whether the child has ended, after a short wait for it."""
        # A child's end closes its pipes, which is seen at once; waiting for the child itself is asking it now and then.
        self._threads[0].join(_POLL_S)
        try:
            self._child.wait(0 if self._threads[0].is_alive() else _POLL_S)
        except subprocess.TimeoutExpired:
            return False
        return True

    def tail(self) -> str:
        """The last of what the child said on standard error."""
        return self._said.decode(errors="replace").strip()

    def close(self) -> None:
        """Let both readers finish; call once the child has ended."""
        for thread, pipe in zip(self._threads, self._pipes, strict=True):
            # A grandchild that outlives a wrapper script could hold the pipe open: don't wait for it for ever.
            thread.join(timeout=2)
            if not thread.is_alive():
                pipe.close()


def _failure(status: int, tail: str, subject: str | None, output: Path | None,
             device: bool) -> FFmpegError | InputError | OutputError:
    """The error that a child's status and last words amount to."""
    said = tail.lower()
    limit_mb = _limit_mb()
    # A graphics card has a memory of its own, and where that is too small another encoder takes over.
    if limit_mb is not None and not device and any(words in said for words in NO_MEMORY):
        return needs_memory(limit_mb, subject)
    place = str(output) if output else subject
    if any(words in said for words in _FULL) or (sys.platform != "win32" and status == -signal.SIGXFSZ):
        return OutputError("the disk is full; free some space and try again", place)
    # A device that is closed to us is no closed folder: graphics drivers say the same words.
    about_output = [line for line in said.splitlines() if "output" in line or "writ" in line]
    if any(words in line for line in about_output for words in _CLOSED) and "opening input" not in said:
        return OutputError("can't be written: no permission; choose another output folder", place)
    how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
    return FFmpegError(f"ffmpeg {how}; {_last_line(tail)}", subject, tail)


def _last_line(tail: str) -> str:
    """The last line that says anything, for a one-line message."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return f"it said: {lines[-1][:300]}" if lines else "it said nothing"
