"""Encoders of the picture: libx264, which is always there, and those in hardware, each tried before it is trusted."""

from __future__ import annotations

import glob
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.errors import Cancelled, FFmpegError, SettingsError, SmolReelError
from pipeline.media.files import working_folder
from pipeline.media.process import ffmpeg_encoders, ffmpeg_exe, input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.settings import Settings

_CODECS = {"x264": "libx264", "nvenc": "h264_nvenc", "videotoolbox": "h264_videotoolbox", "qsv": "h264_qsv",
           "vaapi": "h264_vaapi"}
# Best first. Quick Sync and VA-API drive the same hardware on Intel; the former has the better rate control.
_PLATFORM = {"linux": ("nvenc", "qsv", "vaapi"), "darwin": ("videotoolbox",), "win32": ("nvenc", "qsv")}
# Consumer cards refuse a fourth session, and someone else may hold one.
_SESSIONS = 2
# Three seconds of the reel's clock in few pictures: a keyframe must come in between.
_TRIAL_RATE, _TRIAL_FRAMES, _TRIAL_SIZE = Fraction(12), 36, (1280, 720)
_TRIAL_LIMIT_S = 15.0
# Standard deviation of luma, 0 to 255; the trial's picture has 60, one that a broken driver left empty none.
_LEAST_CONTRAST = 30.0


@dataclass(frozen=True, slots=True)
class Encoder:
    """What encodes the picture.

    name: as `Settings.encoder` has it
    device: path of the render node that it works on; None where it finds its own
    """

    name: str
    device: str | None = None

    @property
    def codec(self) -> str:
        """FFmpeg's name of it."""
        return _CODECS[self.name]

    @property
    def hardware(self) -> bool:
        """Whether it can be missing, or fail for reasons of its own."""
        return self.name != "x264"

    @property
    def at_once(self) -> int | None:
        """Streams that it can encode side by side; None where there is no limit."""
        return _SESSIONS if self.hardware else None

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """Filters that the picture goes through last, each with its argument; "" for none."""
        return {"vaapi": (("format", "nv12"), ("hwupload", "")), "qsv": (("format", "nv12"),)}.get(self.name, ())

    def device_args(self) -> list[str]:
        """ffmpeg's arguments that open its device; they come before the inputs."""
        return ["-vaapi_device", self.device] if self.device else []

    def output(self, crf: int, preset: str, rate: Fraction) -> dict[str, Any]:
        """ffmpeg's output options, in libx264's terms: what each encoder calls the same quality.

        All but VideoToolbox count quality in H.264's own quantiser steps, as x264's rate factor does, so the number
        stays; it errs on the side of quality. Their speed is not what limits a reel, so nvenc gets a slow preset.
        """
        # Rate factor 0 is lossless, which the High profile (all that browsers play) doesn't have; to others it means
        # that no quality was given.
        crf = max(1, crf)
        # Browsers jump to keyframes: two seconds between them at most.
        common = {"c:v": self.codec, "profile:v": "high", "g": max(1, round(2 * rate))}
        if self.name == "nvenc":
            return common | {"rc": "vbr", "cq": crf, "b:v": 0, "preset": "p5", "tune": "hq", "spatial-aq": 1}
        if self.name == "videotoolbox":
            return common | {"q:v": _videotoolbox_quality(crf)}
        if self.name == "qsv":
            slow_enough = preset if preset not in ("ultrafast", "superfast") else "veryfast"
            return common | {"global_quality": crf, "preset": slow_enough}
        if self.name == "vaapi":
            return common | {"rc_mode": "CQP", "qp": crf}
        return common | {"crf": crf, "preset": preset}


X264 = Encoder("x264")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which encoder was chosen.

    encoder: it
    tried: those that came before it and don't work here, each with the reason
    """

    encoder: Encoder
    tried: Mapping[str, str] = field(default_factory=dict)


def choose_encoder(settings: Settings, cancel: CancelToken) -> Choice:
    """The encoder that was asked for, or for "auto" the best one that works here; libx264 where none does.

    An encoder counts as working once it has encoded a few generated pictures and they came out right; each is tried
    once a process. Raises SettingsError where the one that was asked for by name doesn't work, and Cancelled.
    """
    wanted = settings.encoder
    if wanted == "x264":
        return Choice(X264)
    tried: dict[str, str] = {}
    for name in _PLATFORM.get(sys.platform, ()) if wanted == "auto" else (wanted,):
        for encoder in _devices(name):
            reason = why_not(encoder, cancel)
            if reason is None:
                return Choice(encoder, tried)
            tried[name] = reason
    if wanted != "auto":
        raise SettingsError(f"{wanted} doesn't work here ({tried[wanted]}); choose auto or x264", "encoder")
    return Choice(X264, tried)


def why_not(encoder: Encoder, cancel: CancelToken) -> str | None:
    """Why an encoder doesn't work on this machine, in one line; None where it does. Raises Cancelled."""
    missing = _missing(encoder)
    if missing:
        return missing
    key = (ffmpeg_exe(), encoder)
    with _trial:
        if key not in _found:
            _found[key] = _try(encoder, cancel)
        return _found[key]


# One trial at a time: where two runs start together, the second takes the first one's result.
_trial = threading.Lock()
_found: dict[tuple[str, Encoder], str | None] = {}


def _devices(name: str) -> list[Encoder]:
    """An encoder on every device that it could work on: VA-API must be told, the others choose by themselves."""
    if name != "vaapi":
        return [Encoder(name)]
    return [Encoder(name, node) for node in _render_nodes()] or [Encoder(name)]


def _render_nodes() -> list[str]:
    """Linux's graphics devices that can be used without a screen."""
    return sorted(glob.glob("/dev/dri/renderD*"))


def _missing(encoder: Encoder) -> str | None:
    """What an encoder lacks on this machine, as far as that can be told without starting anything."""
    if encoder.name == "videotoolbox" and sys.platform != "darwin":
        return "only macOS has it"
    if encoder.name == "vaapi" and sys.platform != "linux":
        return "only Linux has it"
    if sys.platform == "linux":
        # Windows' Linux has its cards under a name of its own.
        if encoder.name == "nvenc" and not (glob.glob("/dev/nvidia[0-9]*") or glob.glob("/dev/dxg")):
            return "no NVIDIA card (/dev/nvidia0)"
        if encoder.name in ("qsv", "vaapi") and not _render_nodes():
            return "no graphics device (/dev/dri)"
    return None


def _try(encoder: Encoder, cancel: CancelToken) -> str | None:
    """Encode a little; None where it came out right, else the reason."""
    if encoder.codec not in ffmpeg_encoders():
        return f"this ffmpeg was built without {encoder.codec}"
    with working_folder(Path(tempfile.gettempdir())) as folder:
        target = folder / "trial.mov"
        try:
            run_ffmpeg(trial_args(encoder, input_url(target)), cancel=cancel, timeout_s=_TRIAL_LIMIT_S,
                       device=True)
        except Cancelled:
            raise
        except FFmpegError as error:
            return _first_words(error)
        except SmolReelError as error:
            return str(error)
        return fault_of(target)


def trial_args(encoder: Encoder, target: str) -> list[str]:
    """ffmpeg's arguments that encode a few generated pictures, tagged and timed as a clip's are."""
    width, height = _TRIAL_SIZE
    chain = [f"testsrc2=size={width}x{height}:rate={_TRIAL_RATE}", f"trim=end_frame={_TRIAL_FRAMES}", "format=yuv420p",
             "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"]
    chain += [f"{name}={argument}" if argument else name for name, argument in encoder.filters]
    options = [word for name, value in encoder.output(20, "veryfast", _TRIAL_RATE).items()
               for word in (f"-{name}", str(value))]
    return ["-y", *encoder.device_args(), "-filter_complex", f"{','.join(chain)}[v]", "-map", "[v]", *options,
            "-fps_mode", "passthrough", "-f", "mov", target]


def fault_of(trial: Path) -> str | None:
    """What is wrong with an encoder's trial; None where it can be joined to others and plays everywhere."""
    try:
        with av.open(str(trial), options={"protocol_whitelist": "file"}) as container:
            stream = container.streams.video[0]
            codec = stream.codec_context
            if codec.profile not in ("High", "Main") or codec.pix_fmt != "yuv420p" or not codec.extradata:
                return f"it made {codec.profile} in {codec.pix_fmt}, which doesn't play everywhere"
            keys = [float(packet.pts * packet.time_base) for packet in container.demux(stream)
                    if packet.size and packet.is_keyframe and packet.pts is not None and packet.time_base is not None]
            container.seek(0)
            frames = [(float(frame.time or 0.0), float(np.std(frame.to_ndarray(format="gray"))))
                      for frame in container.decode(stream)]
    except (av.error.FFmpegError, IndexError) as error:
        return f"what it made can't be decoded ({error})"
    length_s = float(_TRIAL_FRAMES / _TRIAL_RATE)
    if not keys or keys[0] > 0.01 or max(b - a for a, b in pairwise([*keys, length_s])) > 2.1:
        return f"its keyframes lie wrong ({', '.join(f'{key:.2f}' for key in keys)} s)"
    times = [at for at, _ in frames]
    if len(times) != _TRIAL_FRAMES or any(abs(at - i / _TRIAL_RATE) > 0.01 for i, at in enumerate(times)):
        return f"it made {len(times)} pictures of {_TRIAL_FRAMES}, or at wrong times"
    if min(contrast for _, contrast in frames) < _LEAST_CONTRAST:
        return "its pictures come out empty"
    return None


def _videotoolbox_quality(crf: int) -> int:
    """VideoToolbox counts from 1 to 100, higher is better; 65 looks like x264's 20."""
    return max(1, min(100, round(100 - 1.75 * crf)))


def _first_words(error: FFmpegError) -> str:
    """What ffmpeg complained of first, which names the cause; what follows are its consequences."""
    lines = [line.strip() for line in error.detail.splitlines() if line.strip()]
    if not lines:
        return error.message
    words = lines[0]
    return (words.split("] ", 1)[-1] if words.startswith("[") else words)[:200]
