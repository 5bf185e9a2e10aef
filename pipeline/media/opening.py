"""The one door through which a user's file is opened, and where FFmpeg's errors about it become ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import av
import av.container
import av.stream
from av.stream import Discard

from pipeline.errors import InputError
from pipeline.media.readable import AN, check_readable

# Demuxers of real media containers. Playlists, concat scripts, image sequences and devices are left out on purpose:
# they name other files, which a video from a stranger must not make us read.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "live_flv", "kux", "mpegts", "mpeg", "mpegvideo", "asf",
    "asf_o", "ogg", "mxf", "nut", "rm", "ivf", "dv", "h264", "hevc", "vvc", "obu", "av1", "m4v", "wtv", "gxf", "roq",
    "smk", "bink", "swf", "nsv", "vivo", "gif", "apng", "yuv4mpegpipe", "webp",
)

# What music comes in beside those: containers and streams of sound alone.
SOUND_FORMATS = (*FORMATS, "mp3", "flac", "wav", "w64", "aac", "aiff", "caf", "ac3", "eac3", "wv", "ape", "tta", "au")

# The same fence for PyAV and for ffmpeg's command line. MOV's references to other files are off in FFmpeg unless asked
# for, and `refuse_references` tells people of them.
INPUT_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": ",".join(FORMATS),
}

SOUND_OPTIONS = INPUT_OPTIONS | {"format_whitelist": ",".join(SOUND_FORMATS)}

_SNIFF_BYTES = 1 << 20


@contextmanager
def open_media(path: Path, subject: str, kind: Literal["video", "audio"] = "video"
               ) -> Iterator[av.container.InputContainer]:
    """Open a media file for demuxing; every FFmpeg error inside the block that is about the file becomes InputError.

    subject: the file's name as the user gave it, for the message
    kind: what it is wanted for; "audio" lets in containers of sound alone
    """
    check_readable(path, subject, kind)
    options = dict(INPUT_OPTIONS if kind == "video" else SOUND_OPTIONS)
    try:
        with av.open(str(path.absolute()), options=options, metadata_errors="replace") as container:
            yield container
    except av.error.FFmpegError as error:
        raise InputError(_why_not(path, error, kind), subject) from error


def demux(container: av.container.InputContainer, *streams: av.stream.Stream) -> Iterator[av.Packet[Any]]:
    """The packets of some of a file's streams, in file order; the last of each is empty. Others needn't even be read.

    Containers such as FLV may begin another stream midway, of which PyAV makes an IndexError: it is passed over.
    """
    for stream in container.streams:
        stream.discard = Discard.default if stream in streams else Discard.all
    while True:
        try:
            yield from container.demux(*streams)
        except IndexError:
            continue
        return


def _why_not(path: Path, error: av.error.FFmpegError, kind: str) -> str:
    """What is most likely wrong with a file that FFmpeg refuses, and what to do."""
    if error.errno == errno.ENOSPC:
        return "the disk is full; free some space"
    if error.errno == errno.ENOMEM:
        return "asks for more memory than decoding may take, as damaged files do; save it again with another program"
    head, tail = _ends(path)
    if b"encv" in head + tail or b"pssh" in head + tail:
        return "is encrypted; SmolReel needs an unprotected copy"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith((b"#EXTM3U", b"ffconcat", b"<?xml", b"[playlist]")):
        return f"is a playlist, not {AN[kind]} file; give the {kind} file itself"
    if b"\0" not in head[:4096]:
        return f"is a text file, not {AN[kind]} file, whatever its name says; give {AN[kind]} file"
    return (f"is no {kind} that can be read ({error.strerror or 'unknown format'}); "
            f"if a player can open it, save it again as {'MP4' if kind == 'video' else 'MP3'}")


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last megabyte, where containers keep their descriptions."""
    with path.open("rb") as file:
        head = file.read(_SNIFF_BYTES)
        file.seek(max(0, path.stat().st_size - _SNIFF_BYTES))
        return head, file.read()
