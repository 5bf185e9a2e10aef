"""Decodes a video's picture once, and carries on past damage."""

from __future__ import annotations

import contextlib
import heapq
import math
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile
from typing import TYPE_CHECKING, TypeVar, cast

import av
import av.video.plane
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from pipeline.cores import cores
from pipeline.media.colour import to_sdr
from pipeline.media.damage import Damage
from pipeline.media.limits import check_picture
from pipeline.media.opening import demux, open_media
from pipeline.media.thinning import Thinned, Thinner
from pipeline.progress import CancelToken
from pipeline.settings import Limits
from pipeline.types import VideoInfo

if TYPE_CHECKING:
    from av.video.stream import VideoStream

    from pipeline.media.thinning import Packet

# A clock that goes back by more than this isn't rounding: the file was cut together without being made one.
_BACKWARDS_S = 1.0

# Planes of 8 bits for Y, Cb and Cr: what nearly all video is.
_PLANAR = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p")
_FULL_RANGE = ("yuvj420p", "yuvj422p", "yuvj444p")

# FFmpeg takes no more by itself: each holds some pictures.
_MOST_THREADS = 16

# Events that are made ahead of who takes them.
_AHEAD, _TURN_S = 8, 0.02

Image = npt.NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame.

    time_s: when it is shown
    frame: as the decoder gave it: neither upright nor with square pixels yet
    spare: whether it is decoded only since a cut may be near; others of its kind were left out
    left_out: frames that were left out between it and the frame before
    """

    time_s: float
    frame: av.VideoFrame
    spare: bool = False
    left_out: int = 0


def decode_pictures(video: VideoInfo, cancel: CancelToken, limits: Limits | None = None, *,
                    thin: bool = False, enter_s: float | None = None) -> Iterator[Picture | Damage]:
    """Decode the video's picture in one pass.

    limits: what it may ask of this machine; the default ones where None
    thin: whether to leave out what no other picture is built on (see `thinning`), and the filter that smooths blocks:
        half the work, for pictures that are measured rather than looked at
    enter_s: where to begin, on the container's clock, as `seeking.safe_seeks` gives it; at the file's start where None

    After damage in the picture, frames are left out until the next key frame: those between are built on
    references that were lost, and show smears. Raises InputError where the file can't be opened any more or grows
    beyond the limits midway, Cancelled where `cancel` is set.
    """
    with open_media(video.path, video.path.name) as container:
        stream = cast("VideoStream", container.streams[video.video_stream])
        pictures = _PictureDecoder(stream, video, limits or Limits(), thin=thin, measured=thin)
        packets: Iterator[Packet] = demux(container, stream)
        if enter_s is not None:
            container.seek(int(enter_s * av.time_base))
            # Pictures are built on that one. The last packet is empty, and no keyframe.
            packets = dropwhile(lambda packet: bool(packet.size) and not packet.is_keyframe, packets)
        while True:
            cancel.check()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:
                yield from pictures.finish()
                yield Damage(pictures.reached_s, "video")
                return
            yield from pictures.push(packet)


def decode_stretch(video: VideoInfo, start_s: float, end_s: float, cancel: CancelToken,
                   limits: Limits) -> Iterator[Picture]:
    """Decode all frames that are shown from `start_s` to `end_s`, for measuring: blocks are not smoothed.

    Raises what `decode_pictures` raises. Frames are missing where the file can't be entered before `start_s`, or is
    damaged.
    """
    with open_media(video.path, video.path.name) as container:
        stream = cast("VideoStream", container.streams[video.video_stream])
        pictures = _PictureDecoder(stream, video, limits, measured=True)
        try:
            container.seek(math.floor((start_s + video.origin_s) / float(stream.time_base or 1)), stream=stream)
            for packet in demux(container, stream):
                cancel.check()
                for event in pictures.push(packet):
                    if event.time_s > end_s:
                        return
                    if isinstance(event, Picture) and event.time_s >= start_s:
                        yield event
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            return


def ahead(events: Iterator[T]) -> Iterator[T]:
    """Give what `events` gives, which goes on meanwhile on a thread of its own, a few events ahead.

    Raises what `events` raises, in its place. When this is closed early, `events` is left where it is.
    """
    made: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(_AHEAD)
    over = threading.Event()

    def make() -> None:
        last: tuple[T | None, BaseException | None] = (None, None)
        try:
            for event in events:
                made.put((event, None))
                if over.is_set():
                    return
        except BaseException as error:
            last = (None, error)
        made.put(last)

    thread = threading.Thread(target=make, name="decode ahead", daemon=True)
    thread.start()
    try:
        while True:
            event, error = made.get()
            if error is not None:
                raise error
            if event is None:
                return
            yield event
    finally:
        over.set()
        # Whoever waits for room finds it, and then that it is over.
        while thread.is_alive():
            with contextlib.suppress(queue.Empty):
                made.get(timeout=_TURN_S)


class _PictureDecoder:
    """Decodes video packets; damage is told once and passed over up to the next key frame."""

    def __init__(self, stream: VideoStream, video: VideoInfo, limits: Limits, *, thin: bool = False,
                 measured: bool = False) -> None:
        """`measured`: whether the filter that smooths blocks is left out."""
        self.reached_s = -1e-6
        self._video, self._limits = video, limits
        self._whole, self._backwards = True, False
        self._thinner = Thinner(stream) if thin else None
        self._spare: set[int] = set()
        self._left_out: list[int] = []
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = min(cores(), _MOST_THREADS)
        if measured:
            stream.codec_context.options = {"skip_loop_filter": "all"}

    def push(self, packet: Packet) -> Iterator[Picture | Damage]:
        """The pictures of a packet, or of earlier ones; an empty packet comes last."""
        if self._thinner is None:
            yield from self._decode(packet)
        elif packet.size:
            for thinned in self._thinner.push(packet):
                yield from self._sift(thinned)
        else:
            yield from self.finish()
            yield from self._decode(packet)

    def finish(self) -> Iterator[Picture | Damage]:
        """The pictures of packets that were held back."""
        for thinned in self._thinner.flush() if self._thinner else ():
            yield from self._sift(thinned)

    def _sift(self, thinned: Thinned) -> Iterator[Picture | Damage]:
        """Decode a packet if it is worth it."""
        at = thinned.packet.pts
        if not thinned.wanted and at is not None:
            heapq.heappush(self._left_out, at)
            return
        if thinned.spare and at is not None:
            self._spare.add(at)
        yield from self._decode(thinned.packet)

    def _decode(self, packet: Packet) -> Iterator[Picture | Damage]:
        try:
            frames = packet.decode()
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            if self._whole:
                yield Damage(self.reached_s, "video")
            self._whole = False
            return
        for frame in frames:
            self._whole = self._whole or bool(frame.key_frame)
            if self._whole and frame.pts is not None:
                yield from self._show(frame, frame.pts)

    def _show(self, frame: av.VideoFrame, pts: int) -> Iterator[Picture | Damage]:
        """Show a frame, unless it belongs before one that was shown."""
        check_picture(frame.width, frame.height, self._limits, self._video.path.name)
        time_s = float(frame.time or 0.0) - self._video.origin_s
        spare = pts in self._spare
        self._spare.discard(pts)
        if time_s > self.reached_s:
            left_out = 0
            while self._left_out and self._left_out[0] < pts:
                heapq.heappop(self._left_out)
                left_out += 1
            self.reached_s = time_s
            yield Picture(time_s, frame, spare, left_out)
        elif time_s < self.reached_s - _BACKWARDS_S and not self._backwards:
            self._backwards = True
            yield Damage(self.reached_s, "clock")


def small_bgr(frame: av.VideoFrame, width: int, height: int) -> Image:
    """The frame squeezed to (height, width, 3) BGR, as stored: for measuring, not for looking at."""
    if frame.format.name in _PLANAR:
        light, *colours = frame.planes
        planes = [_squeezed(light, width, height), *(_squeezed(plane, width, height, coarse=True) for plane in colours)]
        full = frame.format.name in _FULL_RANGE or frame.color_range == ColorRange.JPEG
        return cast("Image", cv2.transform(cv2.merge(planes), _to_bgr(int(frame.colorspace), full)))
    small = frame.reformat(width=width, height=height, format="bgr24", interpolation=Interpolation.AREA)
    return cast("Image", small.to_ndarray())


def _squeezed(plane: av.video.plane.VideoPlane, width: int, height: int, coarse: bool = False) -> Image:
    """A plane of 8 bits at another size; `coarse`: by one pixel of many, since colour has no fine structure."""
    image = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:plane.height, :plane.width]
    if coarse and (step := min(plane.height // height, plane.width // width)) > 1:
        image = np.ascontiguousarray(image[::step, ::step])
    # OpenCV halves many times as quickly as it divides by anything else.
    while image.shape[0] >= 2 * height and image.shape[1] >= 2 * width:
        image = halved(image)
    return cast("Image", cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def halved(image: Image) -> Image:
    """A picture at half its size. An odd row or column is left out: OpenCV is quick only where pixels go in twos."""
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    return cast("Image", cv2.resize(image[:2 * rows, :2 * columns], (columns, rows), interpolation=cv2.INTER_AREA))


@lru_cache
def _to_bgr(colorspace: int, full: bool) -> npt.NDArray[np.float32]:
    """What turns (Y, Cb, Cr, 1) of 8 bits into BGR: (3, 4). ITU-T H.273, tables 2 to 4."""
    red, blue = (0.2126, 0.0722) if colorspace == Colorspace.ITU709 else (0.299, 0.114)
    green = 1 - red - blue
    light, colour, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    of_cb = np.array([2 * (1 - blue), -2 * (1 - blue) * blue / green, 0]) * colour
    of_cr = np.array([0, -2 * (1 - red) * red / green, 2 * (1 - red)]) * colour
    shift = -light * black - 128 * (of_cb + of_cr)
    return np.stack([np.full(3, light), of_cb, of_cr, shift], axis=1).astype(np.float32)


def shown_bgr(frame: av.VideoFrame, video: VideoInfo, side: int) -> Image:
    """The frame as a viewer sees it, BGR: upright, square pixels, SDR; the longer side has at most `side` pixels."""
    scale = min(1.0, side / max(video.width, video.height))
    width, height = max(1, round(video.width * scale)), max(1, round(video.height * scale))
    if video.rotation_deg in (90, 270):
        width, height = height, width
    if video.is_hdr:
        deep = frame.reformat(width=width, height=height, format="rgb48le", interpolation=Interpolation.AREA)
        rgb = to_sdr(cast("npt.NDArray[np.uint16]", deep.to_ndarray()), video.transfer)
        image = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    else:
        image = small_bgr(frame, width, height)
    if video.mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -(video.rotation_deg // 90)), dtype=np.uint8)
