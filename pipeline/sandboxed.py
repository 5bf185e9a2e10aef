"""The other side of `pipeline.sandbox`: a process that decodes and encodes what it is told to, and says how far it is.

It reads a JSON object a line from standard input and writes the like to standard output; when its input is closed it
ends, whatever it is doing, with all that it started.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from pipeline import wire
from pipeline.cores import cores, share_with
from pipeline.division import Part, divide
from pipeline.errors import FFmpegError, SmolReelError
from pipeline.media.probe import probe
from pipeline.media.process import end_group, give_memory_back, keep_in_group, limit_memory
from pipeline.progress import CancelToken, Progress, Report
from pipeline.sandbox import FRAMES, STOP, make_ready
from pipeline.settings import Limits, Settings
from pipeline.types import SampledFrame, VideoInfo

_ROOT = Path(__file__).resolve().anchor
# Who waits is told this often that packets still come.
_BEAT_S = 0.2
# With nothing to do for so long, it goes home. A person looks at a reel for a while before they correct it.
_IDLE_S = 600.0
# From this length on it pays to have the sound heard in a process of its own: Python takes turns within one.
_LONG_S = 20.0
# What a request needs, imported before memory is limited: what is wanted is a limit on the file, not on us.
_NEEDS = {"probe": (), "still": (), "sound": ("pipeline.media.sound",), "glance": ("pipeline.glance",),
          "scan": ("cv2", "scenedetect", "pipeline.scan"), "divide": (), "look": ("pipeline.partfiles",),
          "listen": ("pipeline.listening",), "join": ("pipeline.partfiles",),
          "check": ("pipeline.rendering.reel",), "render": ("pipeline.rendering.reel",),
          "export": ("pipeline.export.kinds",)}
_ALL = tuple(module for needed in _NEEDS.values() for module in needed)
# What is most likely asked for next, and what that needs; whoever is asked to listen is asked for nothing else.
_READY = {"scan": (*_NEEDS["scan"], *_ALL), "render": (*_NEEDS["render"], *_ALL), "listen": _NEEDS["listen"]}


class _Voice:
    """Writes lines to whoever asked."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def say(self, **values: Any) -> None:
        """Write a line."""
        line = json.dumps(values).encode() + b"\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()


class _Beat(CancelToken):
    """A token that is asked at every packet, and so knows that decoding goes on."""

    def __init__(self, voice: _Voice) -> None:
        super().__init__()
        self._voice, self._told_at = voice, time.monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called; says now and then that it was asked, through a linked token, too."""
        if time.monotonic() - self._told_at > _BEAT_S:
            self._told_at = time.monotonic()
            self._voice.say(beat=True)
        return super().cancelled


class _Pulse(CancelToken):
    """A token that says now and then that work goes on, as long as every thread asks it that has asked before."""

    def __init__(self, voice: _Voice) -> None:
        super().__init__()
        self._voice, self._lock, self._over = voice, threading.Lock(), threading.Event()
        # Whether each thread has asked since it was last said.
        self._asked = {threading.get_ident(): True}
        threading.Thread(target=self._beat, daemon=True).start()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        with self._lock:
            self._asked[threading.get_ident()] = True
        return super().cancelled

    def rest(self) -> None:
        """Don't wait for this thread, until it asks again."""
        with self._lock:
            self._asked.pop(threading.get_ident(), None)

    def close(self) -> None:
        """Say no more."""
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(_BEAT_S):
            with self._lock:
                well = all(self._asked.values())
                if well:
                    self._asked = dict.fromkeys(self._asked, False)
            if well:
                self._voice.say(beat=True)


class _Desk:
    """What is to be done, and the token of what is being done."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.token: CancelToken | None = None
        self.stopped = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """Take requests as they come; end at once when nobody is there any more, in the middle of a decoder, too."""
        for line in sys.stdin.buffer:
            if line.strip() != STOP:
                self.requests.put(line)
                continue
            # Nobody asks for anything after that.
            self.stopped = True
            if self.token is not None:
                self.token.cancel()
        end_group()


def main() -> None:
    """Carry out requests until there are no more."""
    keep_in_group()
    # Libraries that write to standard output must not come between.
    voice = _Voice(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    desk = _Desk()
    with contextlib.suppress(queue.Empty):
        while True:
            request = json.loads(desk.requests.get(timeout=_IDLE_S))
            _carry_out(request, desk, voice)
            give_memory_back()
            for module in _READY[request.get("then", "scan")]:
                if desk.requests.empty():
                    importlib.import_module(module)


def _carry_out(request: Mapping[str, Any], desk: _Desk, voice: _Voice) -> None:
    """Do one thing, and say what came of it."""
    limits, do = Limits(**request["limits"]), request["do"]
    try:
        share_with(request.get("sharers", 1))
        if do == "scan" and _is_heard_apart(_video(request)):
            # It starts while this process gets ready itself.
            make_ready()
        for module in _NEEDS[do]:
            importlib.import_module(module)
        limit_memory(limits.memory_mb)
        voice.say(beat=True)
        voice.say(result=_result(request, limits, desk, voice))
    except SmolReelError as error:
        # FFmpeg gives up over a number that no memory could hold before it asks the system for any.
        if isinstance(error.__cause__, MemoryError):
            voice.say(memory=True)
        else:
            detail = error.detail if isinstance(error, FFmpegError) else ""
            voice.say(error=[type(error).__name__, error.message, error.subject, detail])
    except MemoryError:
        voice.say(memory=True)
    except Exception as error:
        # OpenCV says it in its own way.
        if "Insufficient memory" in str(error):
            voice.say(memory=True)
        else:
            voice.say(fault=traceback.format_exc()[-20_000:])


def _result(request: Mapping[str, Any], limits: Limits, desk: _Desk, voice: _Voice) -> Any:
    """Do one thing where the caller is, for paths may count from there."""
    token = _Pulse(voice) if request["do"] in _RENDERING else _Beat(voice)
    desk.token = token
    if desk.stopped:
        token.cancel()
    try:
        if request.get("at"):
            os.chdir(request["at"])
        return _DO[request["do"]](request, limits, voice, token)
    finally:
        desk.token = None
        if isinstance(token, _Pulse):
            token.close()
        os.chdir(_ROOT)


def _video(request: Mapping[str, Any]) -> VideoInfo:
    """The video that is asked about, as it was measured."""
    return wire.from_json(VideoInfo, request["video"], checked=False)


def _probe(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    return wire.to_json(probe(Path(request["path"]), token, limits))


def _scan(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    import cv2

    from pipeline.cache import save_scan
    from pipeline.listening import Listener, load_heard
    from pipeline.media.files import working_folder
    from pipeline.sandbox import listen
    from pipeline.scan import scan

    # The decoder's threads fill the cores; OpenCV's would only get in their way.
    cv2.setNumThreads(1)

    def tell(frame: SampledFrame) -> None:
        if request["tell_frames"]:
            voice.say(frame=[frame.time_s, frame.path.name])

    def hear(video: VideoInfo, cancel: CancelToken) -> Listener:
        with working_folder(folder) as beside:
            listen(video, limits, beside, cancel)
            return load_heard(beside)

    video, (folder, frames) = _video(request), _folders(request)
    save_scan(scan(video, _settings(request, limits), frames, _shares(voice), token, tell,
                   hear if _is_heard_apart(video) else None), folder)


def _is_heard_apart(video: VideoInfo) -> bool:
    """Whether a video's sound is heard in a process of its own."""
    return video.has_audio and video.duration_s > _LONG_S and cores() > 1


def _divide(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    return wire.to_json(divide(_video(request), request["part_s"], token))


def _look(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    import cv2

    from pipeline.partfiles import save_look
    from pipeline.parts import look

    cv2.setNumThreads(1)
    folder, frames = _folders(request)
    part = wire.from_json(Part, request["part"])
    save_look(look(_video(request), part, _settings(request, limits), frames, _shares(voice), token), folder)


def _listen(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.listening import listen, save_heard

    save_heard(listen(_video(request), token), Path(request["folder"]))


def _join(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.cache import save_scan
    from pipeline.listening import load_heard
    from pipeline.partfiles import gather, load_look
    from pipeline.parts import join

    _shares(voice)(Progress("scan", 1.0))
    looks = [load_look(Path(folder)) for folder in request["looks"]]
    scan = join(_video(request), looks, load_heard(Path(request["heard"])), _settings(request, limits))
    if scan is None:
        return False
    folder, frames = _folders(request)
    save_scan(replace(scan, frames=gather(scan.frames, frames)), folder)
    return True


def _settings(request: Mapping[str, Any], limits: Limits) -> Settings:
    """What to scan with."""
    return Settings.from_json(request["settings"]).with_given(limits=limits)


def _folders(request: Mapping[str, Any]) -> tuple[Path, Path]:
    """Where results go, and the new folder there for frames."""
    folder = Path(request["folder"])
    (folder / FRAMES).mkdir()
    return folder, folder / FRAMES


def _shares(voice: _Voice) -> Report:
    """Tells who asked how much is done."""
    return lambda progress: voice.say(share=float(progress.fraction or 0))


def _still(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    import cv2

    from pipeline.media.frames import Picture, decode_pictures, shown_bgr

    video, best = _video(request), None
    for event in decode_pictures(video, token, limits):
        if isinstance(event, Picture):
            best = event.frame
            if event.time_s >= request["at_s"]:
                break
    if best is None:
        return None
    options = [cv2.IMWRITE_JPEG_QUALITY, request["quality"], cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, data = cv2.imencode(".jpg", shown_bgr(best, video, request["side"]), options)
    return wire.to_json(data.tobytes())


def _glance(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.glance import glance

    return wire.to_json(glance(_video(request), request["side"], token))


def _sound(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.media.sound import read_sound

    samples = read_sound(_video(request), request["start_s"], request["end_s"],
                         request["sample_rate"], token)
    Path(request["target"]).write_bytes(samples.astype("<f4").tobytes())


def _check(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.rendering.reel import check_settings

    check_settings(wire.from_json(Settings, request["settings"], checked=False))


def _render(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.rendering.order import Order
    from pipeline.rendering.reel import render_reel

    def report(progress: Progress) -> None:
        voice.say(progress=[progress.stage, progress.fraction, progress.message])

    order = wire.from_json(Order, request["order"], checked=False)
    return wire.to_json(render_reel(order, report, token))


def _export(request: Mapping[str, Any], limits: Limits, voice: _Voice, token: CancelToken) -> Any:
    from pipeline.export import Material
    from pipeline.export.kinds import EXPORTERS

    material = wire.from_json(Material, request["material"], checked=False)
    return wire.to_json(list(EXPORTERS[request["name"]](material, token)))


_DO = {"probe": _probe, "scan": _scan, "divide": _divide, "look": _look, "listen": _listen, "join": _join,
       "still": _still, "glance": _glance, "sound": _sound, "check": _check, "render": _render, "export": _export}
# What works in several threads.
_RENDERING = ("check", "render", "export")


if __name__ == "__main__":
    main()
