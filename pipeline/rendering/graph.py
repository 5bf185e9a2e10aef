"""Pure arithmetic of a reel: frame counts, sizes, and the ffmpeg arguments that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, cast

import ffmpeg

from pipeline.media.opening import INPUT_OPTIONS
from pipeline.rates import SLACK
from pipeline.rendering.encoders import X264, Encoder
from pipeline.rendering.framing import Bars, Frame, cut_out, put_bars
from pipeline.rendering.music import Bed, mixed
from pipeline.rendering.overlays import Overlay, drawn_over
from pipeline.types import Clip

AUDIO_RATE = 48000
# A 5.1 or mono track becomes this; what browsers and editors take without a thought.
AUDIO_LAYOUT = "stereo"

# Gaps in a sound track's timestamps from this length on become silence. 60 ms off is what people notice, and
# capture devices jitter by up to 30.
_SOUND_GAP_S = 0.04
# A resampler's filter is some 30 samples long.
_RESAMPLER_S = 0.05
_CLOCK = 1_000_000
# ffmpeg-python takes only proper text, which file names need not be: these stand in for them while it builds.
_SOURCE, _TARGET = "source", "target"
_HD_LINES = 720


@dataclass(frozen=True, slots=True)
class Look:
    """What happens to a source's picture on its way into the reel.

    width, height: of the reel, even
    matrix: FFmpeg's name of the source's YUV matrix; None where unknown
    primaries: FFmpeg's name of the source's primaries; None where unknown
    transfer: "sdr", "pq" or "hlg"
    zscale: whether this ffmpeg can convert between colour spaces
    wanted: FFmpeg's name of the matrix to come out with; None for the one that suits source and size
    """

    width: int
    height: int
    matrix: str | None
    primaries: str | None
    transfer: str
    zscale: bool
    wanted: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a clip a job is, where a clip is encoded in parts.

    lead: frames of the clip that come before this part
    sound_seek_s: where to start decoding sound, on the container's clock; None for the file's start
    fade_in, fade_out: whether the sound is faded at this part's start and end

    The sound of every part is decoded and resampled from the clip's start, so that parts join without a seam.
    """

    lead: int = 0
    sound_seek_s: float | None = None
    fade_in: bool = True
    fade_out: bool = True


@dataclass(frozen=True, slots=True)
class ClipJob:
    """All that the encoding of one clip depends on, apart from where files lie.

    start_s, end_s: on the container's clock
    seek_s: where to start decoding, on the container's clock; None for the file's start, or where not known yet
    frames: length in the reel's frames, 1 or more
    rate: the reel's frames a second
    look: what happens to the picture
    video_stream, audio_stream: indices in the source; audio_stream is None where there is none
    sound: "source"; "silence" where it can't be decoded; "none" for a reel without sound
    mono: whether the sound has one channel
    fade_s: seconds of fade at each end of the sound
    crf, preset: x264's
    sps_id: number of its parameter sets, for pictures that stand beside others in one stream
    encoder: what encodes the picture
    frame: what of the picture fills the reel, and how; None for the whole
    overlays: pictures that are drawn over it, the last on top
    part: which part of a clip this is; the whole by default
    """

    start_s: float
    end_s: float
    seek_s: float | None
    frames: int
    rate: Fraction
    look: Look
    video_stream: int
    audio_stream: int | None
    sound: Literal["source", "silence", "none"]
    mono: bool
    fade_s: float
    crf: int
    preset: str
    sps_id: int = 0
    encoder: Encoder = X264
    frame: Frame | None = None
    overlays: tuple[Overlay, ...] = ()
    part: Part = Part()

    @property
    def duration_s(self) -> float:
        """Exact length in the reel."""
        return float(self.frames / self.rate)


def frame_counts(clips: Sequence[Clip], rate: Fraction) -> tuple[int, ...]:
    """Frames of each clip in the reel, 1 or more.

    A clip has as many wherever it stands: else taking one out would have others encoded again.
    """
    return tuple(max(1, _nearest(clip.interval.duration_s * rate)) for clip in clips)


def slot_at(after_s: float, rate: Fraction) -> int:
    """The first of the reel's frames that shows what starts `after_s` into its clip."""
    return math.floor(after_s * rate + SLACK)


def _nearest(value: float) -> int:
    """The nearest whole number; halves always go up, where round() would go to the even one."""
    return math.floor(value + 0.5)


def even_size(width: int, height: int) -> tuple[int, int]:
    """The nearest size that yuv420p can hold: both sides even, 2 or more."""
    return max(2, width + width % 2), max(2, height + height % 2)


def clip_args(job: ClipJob, source: str, target: str, pictures: Mapping[str, str] | None = None, *,
              threads: int | None = None) -> list[str]:
    """ffmpeg's arguments that encode one clip to an intermediate file of its own: H.264 and PCM in a .mov.

    source, target: as `media.process.input_url` writes them
    pictures: URLs of the overlays' pictures by their digests; a digest stands for itself where it isn't in here
    threads: for decoding, for filters and for encoding each; ffmpeg's choice where None

    MOV's clock can be set to the frame rate, so its timestamps are exact; Matroska's are whole milliseconds. The sound
    stays PCM until the whole reel is joined: an AAC encoder adds a gap to the front of whatever it encodes.
    """
    media = _input(job, threads)
    picture = drawn_over(_picture(media[str(job.video_stream)], job), job.overlays, job.frames, job.rate,
                         out_matrix(job.look))
    for name, argument in job.encoder.filters:
        picture = picture.filter(name, argument) if argument else picture.filter(name)
    streams = [picture]
    if job.sound != "none":
        streams.append(_sound(_heard(media, job, threads), job))
    out: dict[str, Any] = {
        **job.encoder.output(job.crf, job.preset, job.rate), "fps_mode": "passthrough",
        "format": "mov", "map_metadata": -1, "map_chapters": -1, "write_tmcd": 0,
    }
    if job.sps_id:
        out |= {"x264-params": f"sps-id={job.sps_id}"}
    if job.sound != "none":
        out |= {"c:a": "pcm_s16le"}
    if threads is not None:
        out |= {"threads:v": threads}
    # Times stay on the container's clock throughout, and damage in the source is not the end of the run.
    filtering = [] if threads is None else ["-filter_complex_threads", str(threads)]
    return ["-y", "-copyts", "-max_error_rate", "1", *filtering, *job.encoder.device_args(),
            *_args(ffmpeg.output(*streams, _TARGET, **out), {**(pictures or {}), _SOURCE: source, _TARGET: target})]


def sound_args(job: ClipJob, source: str, target: str) -> list[str]:
    """ffmpeg's arguments that make a clip's sound alone, as it is in the clip: PCM in a .mov."""
    out = {"c:a": "pcm_s16le", "format": "mov", "map_metadata": -1, "map_chapters": -1}
    node = ffmpeg.output(_sound(_input(job), job), _TARGET, **out)
    return ["-y", "-copyts", "-max_error_rate", "1", *_args(node, {_SOURCE: source, _TARGET: target})]


def _input(job: ClipJob, threads: int | None = None, **more: Any) -> Any:
    """The source, opened for a clip."""
    # A picture that changes its size midway must not restart the filters, which count frames; `scale` takes it as it
    # comes.
    options: dict[str, Any] = dict(INPUT_OPTIONS) | {"err_detect": "ignore_err", "reinit_filter:v": 0}
    if threads is not None:
        options |= {"threads": threads}
    if job.seek_s is not None:
        options |= {"seek_timestamp": 1, "ss": _seconds(job.seek_s)}
    # The frame on show when a clip starts may have begun long before (slides): it must not be cut off here.
    return ffmpeg.input(_SOURCE, noaccurate_seek=None, **options, **more)


def slot_of(time_s: float, job: ClipJob) -> int:
    """The frame of the clip in which a picture that is shown at `time_s`, on the container's clock, begins."""
    return slot_at(time_s - job.start_s, job.rate)


def join_args(listing: str, target: str, sound: bool, audio_kbps: int, bed: Bed | None = None) -> list[str]:
    """ffmpeg's arguments that join clip files to one MP4: pictures are copied, sound is encoded once for the whole.

    listing: URL of what `concat_list` wrote
    bed: music to play under the sound, or by itself; None for none
    """
    media = ffmpeg.input(_SOURCE, format="concat", protocol_whitelist="file")
    own = media["a:0"] if sound else None
    heard = mixed(own, bed, AUDIO_RATE, AUDIO_LAYOUT) if bed else own
    out: dict[str, Any] = {"c:v": "copy", "format": "mp4", "movflags": "+faststart", "map_metadata": -1}
    if heard is not None:
        out |= {"c:a": "aac", "b:a": f"{audio_kbps}k", "ar": AUDIO_RATE, "ac": 2}
    streams = [media["v:0"]] + ([] if heard is None else [heard])
    return ["-y", *_args(ffmpeg.output(*streams, _TARGET, **out), {_SOURCE: listing, _TARGET: target})]


def concat_list(names: Sequence[str], counts: Sequence[int], rate: Fraction) -> str:
    """A script for ffmpeg's concat demuxer, with each file's exact length.

    names: file names beside the list, of letters, digits, dots and dashes
    counts: frames of each

    ffmpeg adds these lengths up in whole microseconds, so each is the difference of two rounded sums.
    """
    lines = ["ffconcat version 1.0"]
    frames = 0
    for name, count in zip(names, counts, strict=True):
        micros = [round(Fraction(n) / rate * _CLOCK) for n in (frames, frames + count)]
        frames += count
        lines += [f"file {name}", f"duration {micros[1] - micros[0]}us"]
    return "\n".join(lines) + "\n"


def _picture(stream: Any, job: ClipJob) -> Any:
    """Frames of [start, end), one a slot of the reel, upright, with square pixels, as 8-bit SDR.

    ffmpeg stands the frames upright by itself, mirrored ones too, before they come here.
    """
    rate = f"{job.rate.numerator}/{job.rate.denominator}"
    slack_s = SLACK / float(job.rate)
    # The source's clock may be as coarse as its frame rate, where half a frame would be rounded away.
    stream = stream.filter("settb", f"1/{_CLOCK}")
    stream = stream.filter("setpts", f"round(PTS-({_seconds(job.start_s - slack_s)})/TB)")
    # Frames before 0 stay: the last of them is on show when the clip starts, and `fps` picks it where it's needed.
    stream = stream.filter("trim", end=_seconds(job.end_s - job.start_s))
    stream = stream.filter("fps", fps=rate, start_time=0, round="down", eof_action="pass")
    stream = stream.filter("tpad", stop=-1, stop_mode="clone").filter("trim", end_frame=job.frames)
    reel = job.look.width, job.look.height
    size = job.frame.size if isinstance(job.frame, Bars) else reel
    stream = _recolour(cut_out(stream, job.frame, reel), job.look, size)
    stream = put_bars(stream, job.frame, reel)
    if isinstance(job.frame, Bars):
        # What lies behind came through a scaler that has names of its own for the same colours.
        stream = _tag(stream, out_matrix(job.look), out_primaries(job.look))
    return stream.filter("setsar", 1)


def _recolour(stream: Any, look: Look, size: tuple[int, int]) -> Any:
    """Scale to `size`, and bring the picture to 8-bit limited range in a colour space that the tags then name."""
    if _is_wide(look):
        stream = stream.filter("scale", *size, flags="bicubic")
        return _tag(_to_bt709(stream, look), "bt709", "bt709")
    source = look.matrix if look.matrix not in (None, "gbr") else _usual_matrix(look)
    matrix = out_matrix(look)
    source_matrix = {} if look.matrix == "gbr" else {"in_color_matrix": "bt2020" if source == "bt2020nc" else source}
    stream = stream.filter("scale", *size, flags="bicubic", out_color_matrix=matrix,
                           out_range="tv", **source_matrix)
    return _tag(stream.filter("format", "yuv420p"), matrix, look.primaries)


def out_matrix(look: Look) -> str:
    """FFmpeg's name of the YUV matrix that a clip comes out with."""
    if _is_wide(look):
        return "bt709"
    # Browsers know these; anything else is converted to the size's usual one.
    known = look.matrix in ("bt709", "smpte170m", "bt470bg")
    return look.wanted or (cast("str", look.matrix) if known else _usual_matrix(look))


def out_primaries(look: Look) -> str:
    """FFmpeg's name of the primaries that a clip comes out with."""
    matrix = out_matrix(look)
    usual = "bt709" if matrix == "bt709" else matrix
    return usual if _is_wide(look) else look.primaries or usual


def _is_wide(look: Look) -> bool:
    """Whether the picture must be, and can be, brought into BT.709 by way of linear light."""
    return look.zscale and (look.transfer != "sdr" or look.primaries == "bt2020" or look.matrix == "bt2020nc")


def _usual_matrix(look: Look) -> str:
    """The matrix that players take a picture of this size to have."""
    hd = min(look.width, look.height) >= _HD_LINES or max(look.width, look.height) > 1280
    return "bt709" if hd else "smpte170m"


def _tag(stream: Any, matrix: str, primaries: str | None) -> Any:
    """Say in the stream what its numbers mean, so that every player shows the same colours."""
    primaries = primaries or ("bt709" if matrix == "bt709" else matrix)
    return stream.filter("setparams", range="tv", colorspace=matrix, color_primaries=primaries, color_trc="bt709")


def _to_bt709(stream: Any, look: Look) -> Any:
    """Wide-gamut and high-dynamic-range pictures in BT.709, by way of linear light.

    Hable's filmic curve keeps structure in bright places, where a curve that spares middle grey more (Möbius) burns
    them out to one flat colour. One unit of light is taken well below the 203 cd/m² of BT.2408, since the
    curve darkens what lies under it.
    """
    transfer = {"pq": "smpte2084", "hlg": "arib-std-b67", "sdr": "bt709"}[look.transfer]
    # Every conversion needs all three named, and files often leave some out.
    stream = stream.filter("setparams", color_trc=transfer, color_primaries=look.primaries or "bt2020",
                           colorspace=look.matrix or "bt2020nc")
    if look.transfer != "sdr":
        stream = stream.filter("zscale", t="linear", npl=115).filter("format", "gbrpf32le")
        stream = stream.filter("zscale", p="bt709").filter("tonemap", "hable", desat=0)
    return stream.filter("zscale", t="bt709", p="bt709", m="bt709", r="limited").filter("format", "yuv420p")


def _heard(media: Any, job: ClipJob, threads: int | None) -> Any:
    """The input that sound is taken from: opened once more where it must be decoded from further back."""
    if not job.part.lead:
        return media
    # "vn" also tells this input from the picture's where both start at the same place.
    return _input(replace(job, seek_s=job.part.sound_seek_s), threads, vn=None)


def _sound(media: Any, job: ClipJob) -> Any:
    """Sound of [start, end) in step with the picture, as long as it to the sample, silent where the source is."""
    lead = job.part.lead
    first, after = (round(frames / job.rate * AUDIO_RATE) for frames in (lead, lead + job.frames))
    if job.sound == "silence":
        silence = f"anullsrc=r={AUDIO_RATE}:cl={AUDIO_LAYOUT}"
        return ffmpeg.input(silence, format="lavfi").audio.filter("atrim", end_sample=after - first)
    # A resampler must not stop right where another part goes on: it needs what comes after.
    margin_s = 0.0 if job.part.fade_out else _RESAMPLER_S
    stream = media[str(job.audio_stream)].filter(
        "asetpts", f"round(PTS-({_seconds(job.start_s - float(lead / job.rate))})/TB)")
    stream = stream.filter("atrim", start=0, end=_seconds(float((lead + job.frames) / job.rate) + margin_s))
    stream = stream.filter("aresample", AUDIO_RATE, first_pts=0, min_hard_comp=_SOUND_GAP_S, **{"async": 1})
    if job.mono:
        # ffmpeg's own way from one channel to two takes 3 dB off; `channelmap` would make one buffer of both, on which
        # whatever comes next works twice.
        stream = stream.filter("pan", args=f"{AUDIO_LAYOUT}|c0=c0|c1=c0")
    # In floating point the channels of 5.1 are added up without being turned down.
    stream = stream.filter("aformat", sample_fmts="fltp", channel_layouts=AUDIO_LAYOUT)
    stream = stream.filter("apad", whole_len=after)
    stream = stream.filter("atrim", **({"start_sample": first} if first else {}), end_sample=after)
    # No gap is left, so counting is exact; a rounded first time would be written as a cut of a few samples.
    stream = stream.filter("asetpts", "N/SR/TB")
    fade_s = min(job.fade_s, job.duration_s / 2)
    if fade_s > 0 and job.part.fade_in:
        stream = stream.filter("afade", t="in", st=0, d=_seconds(fade_s))
    if fade_s > 0 and job.part.fade_out:
        stream = stream.filter("afade", t="out", st=_seconds((after - first) / AUDIO_RATE - fade_s),
                               d=_seconds(fade_s))
    return stream


def _seconds(value: float) -> str:
    """A time as ffmpeg reads it: never in scientific notation."""
    return f"{value:.6f}"


def _args(node: Any, names: Mapping[str, str]) -> list[str]:
    """The graph as arguments, with the real names in it."""
    return [names.get(argument, argument) for argument in cast("list[str]", node.get_args())]
