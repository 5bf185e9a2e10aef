"""Has strangers' files decoded and encoded in a process beside, so that what that does to itself it doesn't do to us.

A decoder that crashes, hangs or takes memory without end is one InputError here. `pipeline.sandboxed` is the other
side; the ffmpegs that it starts are under its limits, and end with it. What comes back is data, and looked at. To start
it costs a third of a second, so that one that has done its work waits ten minutes for more.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import re
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from pipeline import errors, wire
from pipeline.cores import sharers
from pipeline.division import Part
from pipeline.errors import Cancelled, FFmpegError, InputError, SmolReelError
from pipeline.media.files import disk_error, sweep, working_file
from pipeline.media.limits import for_encoding, needs_memory
from pipeline.media.process import NO_MEMORY, PythonChild
from pipeline.media.readable import check_readable
from pipeline.progress import CancelToken, Progress, Report, silent
from pipeline.settings import Limits, Settings
from pipeline.types import Glance, Reel, SampledFrame, VideoInfo

if TYPE_CHECKING:
    from pipeline.export import Material
    from pipeline.rendering.order import Order

T = TypeVar("T")

MODULE = "pipeline.sandboxed"
# The line that asks the other side to leave what it does, and how long it has to tidy up.
STOP = b"stop"
_STOP_S = 0.7
_POLL_S = 0.05
# What decoding learned is added up when it is done, which takes its time where a video is a day long.
_FINISH_S = 600.0
# A busy machine may take its time to start a process; that says nothing of the file.
_START_S = 60.0
_MOST_IDLE, _MOST_USES = 2, 200
_AGAIN = "save it again with another program"
# What of the environment decides on results: a process that started with another is no use.
_DECIDING = ("IMAGEIO_FFMPEG_EXE", "PATH", "HOME", "TMPDIR", "CUDA_VISIBLE_DEVICES")
_ERRORS: dict[str, type[SmolReelError]] = {
    kind.__name__: kind for kind in (errors.InputError, errors.OutputError, errors.PlanError, errors.SettingsError)}

Tell = Callable[[Progress], object]
Take = Callable[[SampledFrame], object]
# Where a scan's folder has its frames, and what those are called: a name from the other side is no way out of there.
FRAMES = "frames"
_FRAME_NAME = re.compile(r"[0-9]+\.jpg", re.ASCII)


def probe(path: Path, cancel: CancelToken | None = None, limits: Limits | None = None,
          then: str = "scan") -> VideoInfo:
    """As `pipeline.media.probe.probe`, in a process beside.

    then: what is most likely asked for next, "scan" or "render", which that process gets ready for

    Raises InputError, also where decoding crashes, hangs or takes too much memory; FFmpegError where no process can be
    started; Cancelled.
    """
    limits = limits or Limits()
    # What needs no decoder is told at once.
    check_readable(path, path.name)
    request = {"do": "probe", "path": str(path.absolute()), "limits": asdict(limits), "then": then}
    found = _ask(request, limits, path.name, silent, cancel or CancelToken())
    return _sound_answer(lambda: wire.from_json(VideoInfo, found), path.name)


def scan(video: VideoInfo, settings: Settings, folder: Path, report: Report, cancel: CancelToken,
         take: Take | None = None) -> None:
    """Scan a video in a process beside, which leaves the result in `folder` as `cache.save_scan` does.

    take: called on this thread with each frame that is put aside, as soon as it is; returns at once. Frames lie in
        `folder` for as long as nobody moves it.

    Raises what `probe` raises, and OutputError.
    """
    request = {"do": "scan", "video": wire.to_json(video), "settings": settings.to_json(),
               "limits": asdict(settings.limits), "folder": str(folder.absolute()), "tell_frames": take is not None}
    _ask(request, settings.limits, video.path.name, report, cancel, [folder],
         lambda time_s, name: take(SampledFrame(time_s, folder / FRAMES / name)) if take else None)


def divide(video: VideoInfo, part_s: float, limits: Limits, cancel: CancelToken) -> tuple[Part, ...]:
    """As `pipeline.division.divide`, in a process beside. Raises what `probe` raises."""
    request = {"do": "divide", "video": wire.to_json(video), "part_s": part_s, "limits": asdict(limits)}
    found = _ask(request, limits, video.path.name, silent, cancel)
    return _sound_answer(lambda: wire.from_json(tuple[Part, ...], found), video.path.name)


def look(video: VideoInfo, part: Part, settings: Settings, folder: Path, report: Report, cancel: CancelToken) -> None:
    """Look at a part of a video in a process beside; what `partfiles.save_look` writes is in `folder` then.

    Raises what `scan` raises.
    """
    request = {"do": "look", "video": wire.to_json(video), "part": wire.to_json(part), "settings": settings.to_json(),
               "limits": asdict(settings.limits), "folder": str(folder.absolute())}
    _ask(request, settings.limits, video.path.name, report, cancel, [folder])


def listen(video: VideoInfo, limits: Limits, folder: Path, cancel: CancelToken) -> None:
    """Listen to a video in a process beside; what `listening.save_heard` writes is in `folder` then. As `look`."""
    request = {"do": "listen", "video": wire.to_json(video), "limits": asdict(limits),
               "folder": str(folder.absolute()), "then": "listen"}
    _ask(request, limits, video.path.name, silent, cancel, [folder])


def join(video: VideoInfo, settings: Settings, looks: Sequence[Path], heard: Path, folder: Path, report: Report,
         cancel: CancelToken) -> bool:
    """Join what `look` and `listen` left in folders, as `scan` leaves its result in `folder`.

    False where the parts don't make a whole; nothing is written then. Raises what `scan` raises.
    """
    request = {"do": "join", "video": wire.to_json(video), "settings": settings.to_json(),
               "limits": asdict(settings.limits), "looks": [str(path.absolute()) for path in looks],
               "heard": str(heard.absolute()), "folder": str(folder.absolute())}
    return bool(_ask(request, settings.limits, video.path.name, report, cancel, [folder]))


def still(video: VideoInfo, at_s: float, side: int, quality: int, limits: Limits | None = None) -> bytes | None:
    """The first frame from `at_s` on, else the last one, decoded in a process beside: a JPEG as a viewer sees it.

    at_s: seconds from the first shown frame, near the start: all before it is decoded
    side: pixels of the longer side, at most
    quality: of the JPEG, 0 to 100

    None where no frame can be decoded. Raises what `probe` raises.
    """
    limits = limits or Limits()
    request = {"do": "still", "video": wire.to_json(video), "limits": asdict(limits), "at_s": at_s, "side": side,
               "quality": quality}
    found = _ask(request, limits, video.path.name, silent, CancelToken())
    return _sound_answer(lambda: wire.from_json(bytes, found), video.path.name) if found else None


def glance(video: VideoInfo, side: int, limits: Limits, cancel: CancelToken) -> Glance:
    """As `pipeline.glance.glance`, in a process beside. Raises what `probe` raises."""
    request = {"do": "glance", "video": wire.to_json(video), "limits": asdict(limits), "side": side}
    found = _ask(request, limits, video.path.name, silent, cancel)
    return _sound_answer(lambda: wire.from_json(Glance, found), video.path.name)


def sound(video: VideoInfo, start_s: float, end_s: float, sample_rate: int, limits: Limits,
          cancel: CancelToken) -> npt.NDArray[np.float32]:
    """As `pipeline.media.sound.read_sound`, in a process beside. Raises what `probe` raises, and OutputError."""
    subject, folder = video.path.name, Path(tempfile.gettempdir())
    with working_file(folder, ".f32") as target:
        request = {"do": "sound", "video": wire.to_json(video), "start_s": start_s, "end_s": end_s,
                   "sample_rate": sample_rate, "limits": asdict(limits), "target": str(target.absolute())}
        _ask(request, limits, subject, silent, cancel)
        wanted = round((end_s - start_s) * sample_rate)
        try:
            facts = target.lstat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != 4 * wanted:
                raise _nonsense(subject)
            return np.frombuffer(target.read_bytes(), "<f4").astype(np.float32)
        except OSError as error:
            raise disk_error(error, folder) from error


def check_settings(settings: Settings) -> None:
    """As `pipeline.rendering.reel.check_settings`, in a process beside where there is a file to look at."""
    style = settings.style
    if style.font or (settings.render == "styled" and style.music):
        subject = Path(style.music or style.font or "").name
        _ask({"do": "check", "settings": wire.to_json(settings), "limits": asdict(settings.limits)}, settings.limits,
             subject, silent, CancelToken())


def render(order: Order, report: Report, cancel: CancelToken) -> Reel:
    """As `pipeline.rendering.reel.render_reel`, in a process beside; raises InputError, too, where decoding crashes,
    hangs or takes too much memory. Nothing half-made is left.
    """
    video, subject = order.video, order.video.path.name
    limits = for_encoding(order.settings.limits, video.coded_width * video.coded_height)
    wanted = wire.to_json(replace(order, plan=order.plan.for_rendering()))
    found = _ask({"do": "render", "order": wanted, "limits": asdict(limits)}, limits, subject, report, cancel,
                 [order.target.parent, order.clip_dir])
    return replace(_sound_answer(lambda: wire.from_json(Reel, found), subject), path=order.target)


def export(name: str, material: Material, limits: Limits, cancel: CancelToken) -> tuple[Path, ...]:
    """Write one kind of file, as `pipeline.export.kinds.EXPORTERS` do, in a process beside; raises as `render` does."""
    reel, subject = material.reel, material.reel.path.name
    limits = for_encoding(limits, reel.width * reel.height)
    found = _ask({"do": "export", "name": name, "material": wire.to_json(material), "limits": asdict(limits)}, limits,
                 subject, silent, cancel, [material.folder])
    paths = _sound_answer(lambda: wire.from_json(tuple[Path, ...], found), subject)
    if any(path.parent != material.folder for path in paths):
        raise _nonsense(subject)
    return paths


def _ask(request: Mapping[str, Any], limits: Limits, subject: str, tell: Tell, cancel: CancelToken,
         folders: Sequence[Path] = (), take: Callable[[float, str], object] = lambda *_: None) -> Any:
    """Have a request carried out, and return its result.

    folders: where what the other side leaves half-made is swept up, should it be killed
    take: told the time and the name of each frame that the other side puts aside
    """
    cancel.check()
    line = json.dumps({**request, "at": _here(), "sharers": sharers()}).encode()
    worker = _POOL.take()
    # One that waited may have gone home this very moment.
    if not worker.child.send(line):
        worker.child.close()
        worker = _Worker(PythonChild(MODULE))
        worker.child.send(line)
    try:
        result = _answer(worker.child, limits, subject, tell, cancel, take)
    except _Told as told:
        _POOL.give_back(worker)
        raise told.error from None
    except BaseException as error:
        if not isinstance(error, SmolReelError) or isinstance(error, Cancelled):
            _stop(worker.child)
        worker.child.close()
        for folder in (*folders, Path(tempfile.gettempdir())):
            sweep(folder)
        raise
    _POOL.give_back(worker)
    return result


def _here() -> str | None:
    """The folder from which paths count; None where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _stop(child: PythonChild) -> None:
    """Have the child leave what it does and tidy up; it doesn't get long."""
    until = time.monotonic() + _STOP_S
    if child.send(STOP):
        with contextlib.suppress(queue.Empty, ValueError, TypeError):
            while (left_s := until - time.monotonic()) > 0:
                line = child.lines.get(timeout=left_s)
                if line is None or not {"beat", "frame", "progress", "share"} & set(json.loads(line)):
                    return


def _sound_answer(read: Callable[[], T], subject: str) -> T:
    """What the child answered, as it is read; raises FFmpegError where it makes no sense."""
    try:
        return read()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _nonsense(subject) from error


def _nonsense(subject: str) -> FFmpegError:
    return FFmpegError("the decoding process answered what makes no sense; report this with the log", subject)


def _answer(child: PythonChild, limits: Limits, subject: str, tell: Tell, cancel: CancelToken,
            take: Callable[[float, str], object]) -> Any:
    """What the child answers; raises _Told for an error that it told of, and InputError where it came to grief."""
    patience_s, heard_at = max(limits.stall_s, _START_S), time.monotonic()
    while True:
        cancel.check()
        try:
            line = child.lines.get(timeout=_POLL_S)
        except queue.Empty:
            if time.monotonic() - heard_at > patience_s:
                raise InputError(f"keeps the decoder busy without getting any further (for {patience_s:g} s); {_AGAIN}",
                                 subject) from None
            continue
        if line is None:
            raise _obituary(child, limits, subject)
        event = _sound_answer(lambda line=line: json.loads(line), subject)  # type: ignore[misc]
        match event:
            case {"progress": [str(stage), float() | int() | None as share, str(message)]}:
                # One thread can tell how far it is while another one hangs.
                tell(Progress(stage, share, message))
                continue
            case {"share": float(share)}:
                tell(Progress("scan", share, "looking for scenes"))
            case {"frame": [float() | int() as time_s, str(name)]} if _FRAME_NAME.fullmatch(name):
                take(time_s, name)
            case {"beat": _}:
                pass
            case {"result": result}:
                return result
            case {"memory": _}:
                raise needs_memory(limits.memory_mb, subject)
            case {"fault": str(trace)}:
                raise RuntimeError(f"decoding {subject} failed:\n{trace}")
            case {"error": [str(kind), str(message), str() | None as about, str(detail)]}:
                raise _told(kind, message, about, detail)
            case _:
                raise _nonsense(subject)
        heard_at = time.monotonic()
        done = event.get("share", 0) >= 1
        patience_s = max(limits.stall_s, _FINISH_S) if done else limits.stall_s


def _told(kind: str, message: str, subject: str | None, detail: str) -> _Told:
    """An error that the child told of."""
    if kind in _ERRORS:
        return _Told(_ERRORS[kind](message, subject))
    return _Told(Cancelled() if kind == "Cancelled" else FFmpegError(message, subject, detail))


def _obituary(child: PythonChild, limits: Limits, subject: str) -> SmolReelError:
    """What to say of a child that ended in the middle of its work."""
    status, tail = child.status or 0, child.tail
    if any(words in tail.lower() for words in NO_MEMORY):
        return needs_memory(limits.memory_mb, subject)
    if status >= 0:
        return FFmpegError(f"the decoding process ended with status {status}", subject, tail)
    if status == -getattr(signal, "SIGKILL", 9):
        return InputError("made the system stop the decoder, most likely for lack of memory; scale it down first",
                          subject)
    return InputError(f"makes the decoder crash (signal {-status}); {_AGAIN}", subject)


class _Told(Exception):
    """An error that the child told of in due form: it is well itself."""

    def __init__(self, error: SmolReelError) -> None:
        super().__init__(str(error))
        self.error = error


class _Worker:
    """A child and how often it was used."""

    def __init__(self, child: PythonChild) -> None:
        self.child, self.uses, self.owner, self.world = child, 0, os.getpid(), _world()


def _world() -> tuple[str | None, ...]:
    """What of the environment decides on results."""
    return tuple(os.environ.get(name) for name in _DECIDING)


class _Pool:
    """Children that wait for more to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def take(self) -> _Worker:
        """One that waits, else a new one. Raises FFmpegError where none can be started."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker(PythonChild(MODULE))
            # A process that was forked off this one has no claim to its children.
            if worker.owner == os.getpid() and worker.child.status is None and worker.world == _world():
                return worker
            if worker.owner == os.getpid():
                worker.child.close()

    def fill(self) -> None:
        """Have one wait, where none does. Raises FFmpegError where none can be started."""
        if not self._idle:
            self.give_back(_Worker(PythonChild(MODULE)))

    def give_back(self, worker: _Worker) -> None:
        """Let it wait for more to do, unless it has done enough."""
        worker.uses += 1
        with self._lock:
            if worker.uses < _MOST_USES and len(self._idle) < max(_MOST_IDLE, sharers()):
                self._idle.append(worker)
                return
        worker.child.close()

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            if worker.owner == os.getpid():
                worker.child.close()


_POOL = _Pool()
make_ready, close_idle = _POOL.fill, _POOL.close
atexit.register(close_idle)
