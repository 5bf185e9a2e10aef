"""clips.zip: a playable MP4 for every clip, cut out of the finished reel.

A clip is cut where it has the reel to itself: half-way through a crossfade it changes hands, so that no frame is in
two files and none is missing. Where a clip begins with a keyframe and nothing after it refers to what came before (so
in every reel that isn't styled), its picture is copied packet by packet. Elsewhere a player would have to be told to
hide the frames from the keyframe on, which not every player does; there the picture is encoded again, so finely that
it can't be told from the reel. Sound is encoded again always: AAC comes in blocks of 21 ms, and a block at a clip's
edge holds sound of its neighbour.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.container
import numpy as np
import numpy.typing as npt

from pipeline.errors import FFmpegError
from pipeline.export.material import Material
from pipeline.export.placing import Window, windows
from pipeline.media.files import appearing, working_folder
from pipeline.media.opening import demux, open_media
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken

FILE_NAME = "clips.zip"
# x264's factor at which the second encoding is not seen.
_FINE_CRF = 14
_AUDIO_BPS = 192_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Packet:
    """A picture's packet in the reel: when it is shown, in ticks of its stream, and whether it is a keyframe."""

    pts: int
    key: bool


@dataclass(frozen=True, slots=True)
class Index:
    """A reel's pictures.

    path: of the reel
    packets: in the order in which they are decoded
    base: seconds of a tick
    """

    path: Path
    packets: tuple[Packet, ...]
    base: Fraction

    @property
    def step(self) -> Fraction:
        """Ticks from one frame to the next, on average."""
        times = [packet.pts for packet in self.packets]
        return Fraction(max(times) - min(times), max(1, len(times) - 1)) or Fraction(1)


def export_clips(material: Material, cancel: CancelToken) -> Sequence[Path]:
    """Write clips.zip. Raises InputError, OutputError, FFmpegError, Cancelled."""
    path = material.folder / FILE_NAME
    shown = windows(material.reel.placed)
    index = read_index(material.reel.path, cancel)
    with appearing(path) as part:
        try:
            with (working_folder(material.folder) as folder,
                  zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive):
                for number, window in enumerate(shown, start=1):
                    clip = folder / "clip.mp4"
                    cut(index, window, clip, cancel)
                    _add(archive, clip, file_name(window, number, len(shown)), cancel)
        except av.error.FFmpegError as error:
            raise FFmpegError(f"the reel can't be cut into clips ({error.strerror or error})",
                              material.reel.path.name) from error
    return [path]


def file_name(window: Window, number: int, count: int) -> str:
    """A clip's name, such as "01_0m08s.mp4": its place in the reel, and when it happens in the video."""
    minutes, second = divmod(int(window.clip.start_s), 60)
    hours, minute = divmod(minutes, 60)
    at = f"{hours}h{minute:02d}m{second:02d}s" if hours else f"{minute}m{second:02d}s"
    return f"{number:0{max(2, len(str(count)))}d}_{at}.mp4"


def cut(reel: Index, window: Window, target: Path, cancel: CancelToken) -> None:
    """Write the frames and the sound of a part of the reel to `target`.

    Raises InputError, OutputError, FFmpegError, Cancelled, and PyAV's and the system's errors about `target`.
    """
    first, after = bounds(reel, window)
    wanted = sorted(packet.pts for packet in reel.packets if first <= packet.pts < after)
    if stands_alone(reel.packets, first, after):
        _write(reel.path, reel.path, wanted, window, target, cancel)
        return
    encoded = target.with_suffix(".picture.mp4")
    _encode_picture(reel, wanted, encoded, cancel)
    _write(reel.path, encoded, None, window, target, cancel)
    encoded.unlink()


def _encode_picture(reel: Index, wanted: Sequence[int], target: Path, cancel: CancelToken) -> None:
    """Encode frames that follow one another to a file without sound, times kept."""
    start_s = max(0.0, float((wanted[0] - reel.step / 4) * reel.base))
    run_ffmpeg(["-y", "-protocol_whitelist", "file", "-ss", f"{start_s:.6f}", "-i", input_url(reel.path),
                "-map", "0:v:0", "-frames:v", str(len(wanted)), "-vf", "setpts=PTS-STARTPTS",
                "-fps_mode", "passthrough", "-enc_time_base", "demux",
                "-c:v", "libx264", "-crf", str(_FINE_CRF), "-preset", "fast", "-profile:v", "high",
                "-video_track_timescale", str(round(1 / reel.base)), "-map_metadata", "-1", "-map_chapters", "-1",
                "-f", "mp4", input_url(target)],
               cancel=cancel, timeout_s=600 + 2 * len(wanted), subject=reel.path.name, output=target.parent)


def read_index(reel: Path, cancel: CancelToken) -> Index:
    """Read which pictures a reel has, without decoding them. Raises InputError, Cancelled."""
    with open_media(reel, reel.name) as container:
        stream = container.streams.video[0]
        packets = []
        for packet in demux(container, stream):
            cancel.check()
            if packet.size and packet.pts is not None:
                packets.append(Packet(packet.pts, packet.is_keyframe))
        return Index(reel, tuple(packets), stream.time_base or Fraction(1, av.time_base))


def bounds(reel: Index, window: Window) -> tuple[int, int]:
    """The times `[first, after)` of a clip's frames in ticks: from the frame that starts nearest its start on."""
    times = np.array(sorted(packet.pts for packet in reel.packets))
    first, after = (int(np.searchsorted(times, float(Fraction(at_s) / reel.base - reel.step / 2)))
                    for at_s in (window.start_s, window.end_s))
    first = min(first, len(times) - 1)
    after = max(after, first + 1)
    return int(times[first]), int(times[after]) if after < len(times) else int(times[-1]) + 1


def stands_alone(packets: Sequence[Packet], first: int, after: int) -> bool:
    """Whether the frames of `[first, after)` can be decoded without any other.

    packets: in decoding order

    They start with a keyframe, and everything from it on, up to the last of them, is theirs. Frames that are decoded
    after a keyframe but shown before it (of an "open" group) would be found there.
    """
    mine = [i for i, packet in enumerate(packets) if first <= packet.pts < after]
    head = packets[mine[0]]
    return head.key and head.pts == first and mine == list(range(mine[0], mine[-1] + 1))


def _write(reel: Path, source: Path, wanted: Sequence[int] | None, window: Window, target: Path,
           cancel: CancelToken) -> None:
    """Copy the picture of `source` (only the packets shown at `wanted`), and the window's sound out of the reel."""
    with (open_media(source, source.name) as pictures,
          av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as out):
        stream = pictures.streams.video[0]
        picture = out.add_stream_from_template(stream)
        sound = None
        with open_media(reel, reel.name) as sounds:
            if sounds.streams.audio:
                track = sounds.streams.audio[0]
                sound = out.add_stream("aac", rate=track.rate, layout=track.layout)
                sound.bit_rate = _AUDIO_BPS
                for block in _sound(sounds, track, window, cancel):
                    out.mux(sound.encode(block))
                out.mux(sound.encode())
        _copy(pictures, stream, out, picture, wanted, cancel)
        # To bring the index to the front, all of the file is moved.
        cancel.rest()


def _copy(pictures: av.container.InputContainer, stream: av.VideoStream, out: av.container.OutputContainer,
          picture: av.VideoStream, wanted: Sequence[int] | None, cancel: CancelToken) -> None:
    """Copy packets so that the first frame is shown at 0."""
    times = None if wanted is None else frozenset(wanted)
    shift = 0 if wanted is None else wanted[0]
    if wanted is not None:
        pictures.seek(wanted[0], stream=stream)
    left = len(wanted) if wanted is not None else -1
    for packet in demux(pictures, stream):
        cancel.check()
        if not packet.size or packet.pts is None or packet.dts is None:
            continue
        if times is not None and packet.pts not in times:
            continue
        packet.pts -= shift
        packet.dts -= shift
        packet.stream = picture
        out.mux(packet)
        left -= 1
        if left == 0:
            return


def _sound(sounds: av.container.InputContainer, track: av.AudioStream, window: Window,
           cancel: CancelToken) -> Iterator[av.AudioFrame]:
    """The window's samples, in blocks, counted from its start."""
    rate = track.rate
    first, after = round(window.start_s * rate), round(window.end_s * rate)
    # A decoder of AAC needs the block before.
    sounds.seek(int(max(0.0, window.start_s - 0.1) * av.time_base))
    for frame in sounds.decode(track):
        cancel.check()
        if frame.pts is None or frame.time_base is None:
            continue
        at = round(frame.pts * frame.time_base * rate)
        if at >= after:
            return
        begin, end = max(first - at, 0), min(after - at, frame.samples)
        if begin >= end:
            continue
        samples = cast("npt.NDArray[np.float32]", np.ascontiguousarray(frame.to_ndarray()[:, begin:end]))
        block = av.AudioFrame.from_ndarray(samples, format=frame.format.name, layout=frame.layout.name)
        block.sample_rate, block.time_base, block.pts = rate, Fraction(1, rate), at + begin - first
        yield block


def _add(archive: zipfile.ZipFile, clip: Path, name: str, cancel: CancelToken) -> None:
    """Put a file into the archive and take it from the disk."""
    with clip.open("rb") as data, archive.open(zipfile.ZipInfo.from_file(clip, name), "w", force_zip64=True) as entry:
        while chunk := data.read(_CHUNK):
            cancel.check()
            entry.write(chunk)
    clip.unlink()


