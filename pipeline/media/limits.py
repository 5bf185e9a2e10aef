"""Says where a video asks more of this machine than `Settings.limits` allow: pure checks of what was measured."""

from __future__ import annotations

from dataclasses import replace

from pipeline.errors import InputError
from pipeline.settings import Limits

# Encoding up to this many pixels, two pictures in 4K, is content with the limit on decoding.
_PIXELS = 2 * 3840 * 2160
# As `Limits` takes it.
_MOST_MB = 1 << 20


def needs_memory(memory_mb: int, subject: str | None) -> InputError:
    """What to say of a file that makes a decoder or an encoder ask for more than the limit."""
    return InputError(f"asks for more memory than the limit of {memory_mb} MB for decoding, as damaged files and very "
                      "large pictures do; save it again with another program", subject)


def for_encoding(limits: Limits, pixels: int) -> Limits:
    """The limits for encoding pictures of so many pixels: above 4K the limit on memory grows with them.

    An encoder holds some fifty pictures, decoders and threads as many again: by measurement 4 GB at 4K, and 12 GB at
    8K, which decoding alone is far from.
    """
    return replace(limits, memory_mb=min(_MOST_MB, round(limits.memory_mb * max(1.0, pixels / _PIXELS))))


def check_streams(count: int, limits: Limits, subject: str) -> None:
    """Raise InputError where a file has too many tracks."""
    if count > limits.max_streams:
        raise InputError(f"has {count} tracks, and the limit is {limits.max_streams}; save it again with its picture "
                         "and one sound track", subject)


def check_picture(width: int, height: int, limits: Limits, subject: str) -> None:
    """Raise InputError where a picture is too large.

    width, height: in pixels
    """
    if max(width, height) > limits.max_side:
        raise InputError(f"has a picture of {width}x{height} pixels, and the limit is {limits.max_side} on the longer "
                         "side; scale it down first", subject)
    if width * height > limits.max_megapixels * 1e6:
        raise InputError(f"has a picture of {width}x{height} pixels, and the limit is {limits.max_megapixels:g} million"
                         " of them; scale it down first", subject)


def check_pace(duration_s: float, fps: float, limits: Limits, subject: str) -> None:
    """Raise InputError where a video is too long, or has too many frames a second.

    duration_s, fps: by the packets' timestamps
    """
    if duration_s > limits.max_hours * 3600:
        raise InputError(f"is {duration_s / 3600:.1f} hours long, and the limit is {limits.max_hours:g}; cut it into "
                         "parts", subject)
    if fps > limits.max_fps:
        raise InputError(f"has {fps:.0f} frames a second, and the limit is {limits.max_fps:g}; save it again with "
                         "fewer, such as 60", subject)
