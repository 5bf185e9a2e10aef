"""The other side of `pipeline.sandbox`: a process that decodes what it is told to, and says how far it is.

It reads a JSON object a line from standard input and writes the like to standard output; when its input is closed it
ends, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import SmolReelError
from pipeline.media.probe import probe
from pipeline.progress import CancelToken, Progress
from pipeline.sandbox import video_from_json, video_to_json
from pipeline.settings import Limits, Settings

# Who waits is told this often that packets still come.
_BEAT_S = 0.2
# With nothing to do for so long, it goes home.
_IDLE_S = 60.0
_MB = 1 << 20


class _Voice:
    """Writes lines to whoever asked."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def say(self, **values: Any) -> None:
        """Write a line."""
        self._stream.write(json.dumps(values).encode() + b"\n")
        self._stream.flush()


class _Beat(CancelToken):
    """A token that is asked at every packet, and so knows that decoding goes on."""

    def __init__(self, voice: _Voice) -> None:
        super().__init__()
        self._voice, self._told_at = voice, time.monotonic()

    def check(self) -> None:
        """Say now and then that it was asked."""
        if time.monotonic() - self._told_at > _BEAT_S:
            self._told_at = time.monotonic()
            self._voice.say(beat=True)


def main() -> None:
    """Carry out requests until there are no more."""
    # Libraries that write to standard output must not come between.
    voice = _Voice(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    with contextlib.suppress(queue.Empty):
        while True:
            _carry_out(json.loads(requests.get(timeout=_IDLE_S)), voice)
            # Most who ask for the one ask for the other next.
            import pipeline.scan  # noqa: F401


def _listen(requests: queue.SimpleQueue[bytes]) -> None:
    """Take requests as they come; end at once when nobody is there any more, in the middle of a decoder, too."""
    for line in sys.stdin.buffer:
        requests.put(line)
    os._exit(0)


def _carry_out(request: Mapping[str, Any], voice: _Voice) -> None:
    """Do one thing, and say what came of it."""
    limits = Limits(**request["limits"])
    try:
        if request["do"] == "scan":
            # Imported before memory is limited: what is wanted is a limit on the file, not on us.
            import pipeline.scan  # noqa: F401
        _limit_memory(limits.memory_mb)
        voice.say(beat=True)
        voice.say(result=_DO[request["do"]](request, limits, voice))
    except SmolReelError as error:
        voice.say(error=[type(error).__name__, error.message, error.subject])
    except MemoryError:
        voice.say(memory=True)
    except Exception as error:
        # OpenCV says it in its own way.
        if "Insufficient memory" in str(error):
            voice.say(memory=True)
        else:
            voice.say(fault=traceback.format_exc()[-20_000:])


def _probe(request: Mapping[str, Any], limits: Limits, voice: _Voice) -> Any:
    return video_to_json(probe(Path(request["path"]), _Beat(voice), limits))


def _scan(request: Mapping[str, Any], limits: Limits, voice: _Voice) -> Any:
    from pipeline.cache import save_scan
    from pipeline.scan import scan

    def report(progress: Progress) -> None:
        voice.say(share=float(progress.fraction or 0))

    folder = Path(request["folder"])
    settings = Settings.from_json(request["settings"]).with_given(limits=limits)
    frames = folder / "frames"
    frames.mkdir()
    save_scan(scan(video_from_json(request["video"]), settings, frames, report, _Beat(voice)), folder)


_DO = {"probe": _probe, "scan": _scan}


def _limit_memory(memory_mb: int) -> None:
    """Limit this process's addresses, where the system can do that and keeps to it (Linux)."""
    if sys.platform != "linux":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mb * _MB
    resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


if __name__ == "__main__":
    main()
