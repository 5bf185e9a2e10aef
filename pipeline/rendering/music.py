"""The music under a reel: how loud it is by itself, and how it gives way to the reel's own sound."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ffmpeg

from pipeline.media.files import users_path
from pipeline.media.loudness import measure
from pipeline.media.opening import SOUND_OPTIONS
from pipeline.media.process import input_url
from pipeline.progress import CancelToken
from pipeline.settings import Style

# Silence in a recording would be turned up to noise.
_MOST_GAIN_DB = 30.0
# Music gives way faster than it comes back, so that it doesn't pump between words.
_ATTACK_MS, _RELEASE_MS = 40, 900
_RATIO = 20
_CEILING = 0.97


@dataclass(frozen=True, slots=True)
class Bed:
    """Music as it is laid under a reel.

    source: URL of its file, as `media.process.input_url` writes it
    stream: index of its sound in there
    mono: whether that has one channel
    gain_db: what brings it to the level that is wanted
    duration_s: of the reel, exactly
    duck_db: how much it gives way
    duck_above_db: the level of the reel's own sound from which it does, dBFS
    fade_in_s, fade_out_s: at the reel's two ends
    """

    source: str
    stream: int
    mono: bool
    gain_db: float
    duration_s: Fraction
    duck_db: float
    duck_above_db: float
    fade_in_s: float
    fade_out_s: float


def lay_bed(style: Style, duration_s: Fraction, cancel: CancelToken) -> Bed | None:
    """The music that a style wants under a reel of `duration_s`; None where it wants none.

    Raises InputError where the file can't be used, Cancelled.
    """
    if not style.music:
        return None
    path = users_path(style.music)
    music = measure(path, float(duration_s), cancel)
    fade_s = min(style.music_fade_s, float(duration_s) / 3)
    return Bed(input_url(path), music.stream, music.mono, min(_MOST_GAIN_DB, style.music_db - music.rms_db), duration_s,
               style.duck_db, style.duck_above_db, fade_s / 2, fade_s)


def mixed(own: Any, bed: Bed, rate: int, layout: str) -> Any:
    """An ffmpeg-python stream of the reel's sound with music under it, as long as the reel to the sample.

    own: the reel's own sound, None where it has none

    The music is compressed by the reel's own sound, and some of it is let through uncompressed, so that it never
    gives way by more than `duck_db`, however loud the reel is (parallel compression).
    """
    samples = round(bed.duration_s * rate)
    music = ffmpeg.input(bed.source, stream_loop=-1, vn=None, **SOUND_OPTIONS)[str(bed.stream)]
    music = music.filter("aresample", rate)
    if bed.mono:
        # ffmpeg's own way from one channel to two takes 3 dB off; `channelmap` would make one buffer of both, on which
        # whatever comes next works twice.
        music = music.filter("pan", args=f"{layout}|c0=c0|c1=c0")
    music = music.filter("aformat", sample_fmts="fltp", channel_layouts=layout)
    music = music.filter("asetpts", "N/SR/TB").filter("volume", f"{bed.gain_db:.3f}dB")
    music = music.filter("atrim", end_sample=samples)
    if own is not None:
        # Files that are joined can overlap or gape by a sample: counting puts that right.
        own = own.filter("aformat", sample_fmts="fltp", channel_layouts=layout).filter("asetpts", "N/SR/TB")
        own = own.filter("apad", whole_len=samples).filter("atrim", end_sample=samples)
        if bed.duck_db > 0:
            own = own.asplit()
            music = ffmpeg.filter([music, own[1]], "sidechaincompress", threshold=_linear(bed.duck_above_db),
                                  ratio=_RATIO, attack=_ATTACK_MS, release=_RELEASE_MS, detection="rms",
                                  mix=f"{1 - float(_linear(-bed.duck_db)):.6f}")
    if bed.fade_in_s > 0:
        music = music.filter("afade", t="in", st=0, d=f"{bed.fade_in_s:.6f}")
    if bed.fade_out_s > 0:
        music = music.filter("afade", t="out", st=f"{samples / rate - bed.fade_out_s:.6f}", d=f"{bed.fade_out_s:.6f}")
    if own is not None:
        first = own[0] if bed.duck_db > 0 else own
        music = ffmpeg.filter([first, music], "amix", inputs=2, duration="first", normalize=0)
    # What adds up beyond full scale is held down, not clipped.
    return music.filter("alimiter", limit=_CEILING, level=0, latency=1)


def _linear(decibels: float) -> str:
    """A level in decibels as a factor."""
    return f"{10 ** (decibels / 20):.6f}"
