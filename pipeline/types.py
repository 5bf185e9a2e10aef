"""The values that pass between stages: frozen, validated where they are born.

Every time is in seconds on the video's presentation timeline, counted from its first shown frame; every interval
is half-open, `[start_s, end_s)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatTrack = npt.NDArray[np.float64]

# Where things happen in the picture is measured twice a second: a figure that runs is elsewhere a second later.
FOCUS_STEP_S = 0.5
# The rhythm of sound and motion is kept at this step: syllables and strokes show in it.
RHYTHM_STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time.

    start_s: first instant that belongs to it, 0 or more
    end_s: first instant that no longer does, above start_s
    """

    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start_s) and math.isfinite(self.end_s) and 0 <= self.start_s < self.end_s):
            raise ValueError(f"[{self.start_s}, {self.end_s}) is no interval: it needs 0 <= start_s < end_s")

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s

    @property
    def middle_s(self) -> float:
        """The instant halfway through."""
        return (self.start_s + self.end_s) / 2

    def overlap_s(self, other: Interval) -> float:
        """Seconds that both share; 0 where they don't meet."""
        return max(0.0, min(self.end_s, other.end_s) - max(self.start_s, other.start_s))


class Scene(Interval):
    """The longest run without a cut."""

    __slots__ = ()


class Segment(Interval):
    """What is scored: a short scene whole, or a window of a long one."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class HeaderClaims:
    """What the container's header says, which may be nothing, stale or absurd: for show, never for arithmetic.

    duration_s: claimed length in seconds; None where it says nothing
    fps: claimed average frame rate; None where it says nothing
    frames: claimed number of frames; None where it says nothing
    """

    duration_s: float | None
    fps: float | None
    frames: int | None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video file as measured from its packets and its first frame; `header` has the claims.

    path: absolute path of the file
    sha256: hex digest of the file's bytes
    size_bytes: its length
    container: FFmpeg's name of the demuxer, such as "mov,mp4,m4a,3gp,3g2,mj2"
    video_stream: index of the video stream in use (attached pictures are passed over)
    audio_stream: index of the audio stream in use: the default one, else the first; None where there is none
    codec: FFmpeg's name of the video codec
    pixel_format: FFmpeg's name, such as "yuv420p10le"
    origin_s: time of the first shown frame on the container's own clock; what "0 s" means everywhere else
    container_start_s: where the container's clock starts, from which FFmpeg counts seeks
    duration_s: from the first shown frame to the end of the last, by packet timestamps
    fps: frames a second, by packet timestamps, above 0
    frame_count: number of video packets, 1 or more
    variable_fps: whether the frames are unevenly spaced
    coded_width, coded_height: pixels as stored
    width, height: pixels as shown: upright and with square pixels
    rotation_deg: clockwise turn that stands the stored picture upright: 0, 90, 180 or 270
    mirrored: whether the picture is flipped left to right before that turn
    sample_aspect: width of a stored pixel over its height
    bit_depth: bits of a component
    transfer: "sdr", "pq" or "hlg"
    header: what the file claims of itself
    matrix: FFmpeg's name of the YUV matrix by the first frame's tags, such as "bt709"; None where they don't say
    primaries: FFmpeg's name of the colour primaries, likewise
    audio_channels: channels of the sound; None where there is none or its header doesn't say
    """

    path: Path
    sha256: str
    size_bytes: int
    container: str
    video_stream: int
    audio_stream: int | None
    codec: str
    pixel_format: str
    origin_s: float
    container_start_s: float
    duration_s: float
    fps: float
    frame_count: int
    variable_fps: bool
    coded_width: int
    coded_height: int
    width: int
    height: int
    rotation_deg: int
    mirrored: bool
    sample_aspect: float
    bit_depth: int
    transfer: str
    header: HeaderClaims
    matrix: str | None = None
    primaries: str | None = None
    audio_channels: int | None = None

    @property
    def has_audio(self) -> bool:
        """Whether there is a sound track to use."""
        return self.audio_stream is not None

    @property
    def is_hdr(self) -> bool:
        """Whether the picture is high dynamic range."""
        return self.transfer != "sdr"

    @property
    def frame_s(self) -> float:
        """Seconds a frame lasts, on average."""
        return 1.0 / self.fps


@dataclass(frozen=True, slots=True)
class Signals:
    """One value a second from picture and sound; index i stands for [i, i + 1) s. Arrays share one length.

    motion: mean absolute change of a pixel between neighbouring frames, 0 to 1, cuts left out
    sharpness: log of the variance of the Laplacian (Pech-Pacheco et al. 2000), higher is sharper
    brightness: mean luma, 0 to 1
    contrast: standard deviation of luma, 0 to 1; near 0 for a blank picture
    colour: colourfulness (Hasler and Süsstrunk 2003), 0 or more
    novelty: distance of the second's look from the rest of the video, 0 to 1
    loudness_db: RMS of the sound in dB below full scale, -70 where silent; None without audio
    onset: strength of sudden rises in the sound's spectrum (spectral flux), 0 or more; None without audio
    looks: (n, d) unit-norm descriptors of what the second looks like, to tell near-duplicates
    focus: (m, 5) where things happen, one row every FOCUS_STEP_S: a box and a weight as in `Focus`; None where unknown
    rhythm: (k, 2) motion and loudness as above, one row every RHYTHM_STEP_S; loudness is -90 where there is no sound;
        None where unknown
    """

    motion: FloatTrack
    sharpness: FloatTrack
    brightness: FloatTrack
    contrast: FloatTrack
    colour: FloatTrack
    novelty: FloatTrack
    loudness_db: FloatTrack | None
    onset: FloatTrack | None
    looks: npt.NDArray[np.float32]
    focus: FloatTrack | None = None
    rhythm: FloatTrack | None = None

    def __len__(self) -> int:
        return len(self.motion)


@dataclass(frozen=True, slots=True)
class Focus:
    """Where in the picture things happen; entry i stands for [i, i + 1) times `step_s`.

    step_s: seconds between entries, above 0
    boxes: (x, y, width, height) of the box that holds most of what happens, its centre first, in shares of the
        upright picture, 0 to 1
    weights: how sure that is, 0 to 1: near 1 where something moves by itself, 0 where something merely stands out
    """

    step_s: float
    boxes: tuple[tuple[float, float, float, float], ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step_s) and self.step_s > 0):
            raise ValueError(f"step_s is {self.step_s} and must be above 0")
        if len(self.weights) != len(self.boxes):
            raise ValueError(f"{len(self.boxes)} boxes need as many weights, not {len(self.weights)}")
        for values in (*self.boxes, self.weights):
            if not all(0 <= value <= 1 for value in values):
                raise ValueError(f"{values} must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class Heard:
    """What of the sound decides where a clip may begin and end.

    phrases: stretches of speech without a pause, in time order; they don't overlap
    onsets: instants at which a sound sets in, speech aside, in time order
    """

    phrases: tuple[Interval, ...] = ()
    onsets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """A frame that the scan put aside, upright, with square pixels and in SDR.

    time_s: when it is shown
    path: JPEG file in the cache
    """

    time_s: float
    path: Path


@dataclass(frozen=True, slots=True)
class Scan:
    """What one decode pass learned.

    duration_s: seconds from the first to the end of the last frame that could be decoded
    frame_count: frames that were decoded; those that no other is built on may be left out
    scenes: they tile [0, duration_s)
    signals: per-second tracks
    frames: about `Settings.sample_fps` a second, and one for every scene of half a second or more, in time order
    holes: those of the scenes in which the file shows nothing: neither frames nor sound
    warnings: what went wrong without stopping the pass, for people
    heard: where people speak and sounds set in; empty where there is no sound
    """

    duration_s: float
    frame_count: int
    scenes: tuple[Scene, ...]
    signals: Signals
    frames: tuple[SampledFrame, ...]
    holes: tuple[Scene, ...] = ()
    warnings: tuple[str, ...] = ()
    heard: Heard = field(default_factory=Heard)


@dataclass(frozen=True, slots=True)
class ScoredSegment:
    """A segment with its score.

    start_s, end_s: as the segment's
    score: 0 to 1, relative to this video
    parts: what the score is made of, each 0 to 1: "motion", "loudness", "vlm", "query" …
    description: what is seen or heard in it, one short line
    """

    start_s: float
    end_s: float
    score: float
    parts: Mapping[str, float]
    description: str

    @property
    def interval(self) -> Segment:
        """Its bounds alone."""
        return Segment(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class ScorerInfo:
    """Which scorer spoke, for the plan.

    name: "signals" or "smolvlm2"
    model, revision, device, dtype: of the model; None where the scorer has none
    """

    name: str
    model: str | None = None
    revision: str | None = None
    device: str | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that the viewer asked for.

    text: what, in words
    curve: how well the video answers it, 0 to 1 relative to this video, one value a second
    found: whether anything in the video answers it; the curve ranks what doesn't where this is False
    """

    text: str
    curve: FloatTrack
    found: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer returns.

    segments: the segments that it was given, scored, in time order
    curve: interest over time, 0 to 1, one value a second
    scorer: who spoke
    flat: whether the scores carry no information (nothing happens in this video)
    warnings: for people
    notes: what else the scorer wants kept in the plan, JSON values
    wishes: what was asked for, in the order in which it was; empty where nothing was, or where the scorer can't look
    looks: (n, d) unit-norm descriptors of what a model sees in each second; None where none looked. What counts as
        the same look is `Settings.duplicate_similarity_seen`
    """

    segments: tuple[ScoredSegment, ...]
    curve: FloatTrack
    scorer: ScorerInfo
    flat: bool = False
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    wishes: tuple[Wish, ...] = ()
    looks: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """An interval that is in the reel.

    start_s, end_s: where it lies in the video
    score: 0 to 1, of this interval; None where a person put it in
    description: what is in it
    reason: why it was chosen
    """

    start_s: float
    end_s: float
    score: float | None
    description: str
    reason: str

    def __post_init__(self) -> None:
        Interval(self.start_s, self.end_s)

    @property
    def interval(self) -> Interval:
        """Its bounds alone."""
        return Interval(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word.

    start_s, end_s: when it is said; both are the same where that is not known more closely
    text: as it is written, with the space before it that parts it from the word before; Chinese and its like have none
    """

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Caption:
    """Words that belong to a stretch of the video.

    start_s, end_s: where they are said or seen, in the video
    text: one or more lines of plain text
    """

    start_s: float
    end_s: float
    text: str

    def __post_init__(self) -> None:
        Interval(self.start_s, self.end_s)


@dataclass(frozen=True, slots=True)
class Placed:
    """A clip in its place in the reel.

    clip: what is shown
    start_s, end_s: when it is on show, in seconds of the reel; neighbours overlap where they crossfade
    """

    clip: Clip
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Glance:
    """What can be seen of a video before it is scanned.

    times_s: when each picture is shown, rising, in seconds from the first shown frame
    pictures: JPEGs, upright, one for each time
    marks_s: where scenes may begin, rising
    """

    times_s: tuple[float, ...]
    pictures: tuple[bytes, ...]
    marks_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.pictures) or not all(map(math.isfinite, (*self.times_s, *self.marks_s))):
            raise ValueError("times and pictures that don't belong together")


@dataclass(frozen=True, slots=True)
class Reel:
    """A rendered file.

    path: where it is
    duration_s: its length
    width, height: its pixels
    fps: its frames a second; their average where they are copied from uneven ones
    way: "copy", "mixed" (copied middles, encoded edges), "encode" or "styled"
    encoder: FFmpeg's name of what encoded its picture; None where nothing was encoded
    placed: the clips as they are in it, in order; copied ones may start and end elsewhere than was planned
    clips_encoded: clips that this render encoded
    clips_reused: clips that an earlier render had left behind
    warnings: what went wrong without stopping the render, for people
    notes: how it was rendered, for the plan; JSON values
    """

    path: Path
    duration_s: float
    width: int
    height: int
    fps: float
    way: str
    encoder: str | None
    placed: tuple[Placed, ...]
    clips_encoded: int = 0
    clips_reused: int = 0
    warnings: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
