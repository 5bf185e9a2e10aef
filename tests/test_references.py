"""No file makes us open a second one: whatever names others is refused with its own name on it, and they stay shut."""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from pathlib import Path

import av
import pytest

from pipeline.errors import FFmpegError, InputError
from pipeline.media import opening, readable
from pipeline.media.opening import INPUT_OPTIONS, SOUND_OPTIONS, open_media
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.media.readable import check_readable
from pipeline.media.references import refuse_references
from pipeline.progress import CancelToken
from tests.making import opened_in, replace_box, silent_server, textured, tone, write_video

DREF = ("moov", "trak", "mdia", "minf", "dinf", "dref")
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
DASH = """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
 mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet
 mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet>
</Period></MPD>"""
LISTS = {
    "hls": HLS,
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "dash": DASH,
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=control:{}\n",
    "asx": "<asx version=\"3.0\"><entry><ref href=\"{}\"/></entry></asx>",
    "reference": "[Reference]\nRef1={}\n",
    "pls": "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    "avisynth": "AviSource(\"{}\")\n",
}
# What FFmpeg alone takes for a name of something else.
PROTOCOLS = ("concat:canary.mp4|canary.mp4", "file:canary.mp4", "subfile,,start,0,end,0,,:canary.mp4",
             "data:video/mp4;base64,AAAA", "http://127.0.0.1:9/canary.mp4", "crypto:canary.mp4", "cache:canary.mp4",
             "async:canary.mp4", "pipe:0", "fd:0", "-", "canary%d.mp4")

needs_watch = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's inotify")


def write_canary(folder: Path) -> Path:
    """A real video that nobody but its owner may have opened."""
    return write_video(folder / "canary.mp4", [textured(0)] * 10, sound=tone(0.4, 0.1))


def alias(name: str) -> bytes:
    """A Macintosh alias record that names a file beside the one it stands in, as FFmpeg reads it."""
    path = f"x:{name}".encode()
    path += b"\0" * (len(path) % 2)
    body = bytes(10) + bytes(1 + 27) + bytes(12) + bytes([len(name)]) + name.encode().ljust(63, b"\0") + bytes(16)
    body += struct.pack(">HH", 1, 1) + bytes(16) + struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0"
    return struct.pack(">I4sI", 12 + len(body), b"alis", 0) + body


def url(address: str, flags: int = 0) -> bytes:
    """A data reference by address."""
    body = address.encode() + b"\0" if address else b""
    return struct.pack(">I4sI", 12 + len(body), b"url ", flags) + body


def referring(path: Path, *entries: bytes) -> Path:
    """A video whose tracks have these data references."""
    whole = write_video(path, [textured(1)] * 10, sound=tone(0.4, 0.1))
    whole.write_bytes(replace_box(whole.read_bytes(), DREF, struct.pack(">II", 0, len(entries)) + b"".join(entries)))
    return whole


@needs_watch
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("kind", ["video", "audio"])
def test_lists_open_no_second_file(tmp_path: Path, name: str, kind: str) -> None:
    write_canary(tmp_path)
    (tmp_path / "list.mp4").write_text(LISTS[name].format("canary.mp4") + "\n" * 3000)
    with opened_in(tmp_path) as names, pytest.raises(InputError, match=r"^list\.mp4: is a") as caught, \
            open_media(tmp_path / "list.mp4", "list.mp4", kind):  # type: ignore[arg-type]
        pass
    assert names == {"list.mp4"} and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LISTS)
def test_lists_call_nobody(tmp_path: Path, name: str) -> None:
    with silent_server() as address:
        (tmp_path / "list.mp4").write_text(LISTS[name].format(address) + "\n" * 3000)
        with pytest.raises(InputError, match=r"^list\.mp4: is a"):
            probe(tmp_path / "list.mp4")
        for options in (INPUT_OPTIONS, SOUND_OPTIONS):
            with pytest.raises(FFmpegError):
                read_by_ffmpeg(tmp_path / "list.mp4", options)


@needs_watch
@pytest.mark.parametrize("name", ["hls", "ffconcat"])
def test_without_the_fence_lists_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Else the tests above would pass whatever the fence does.
    write_canary(tmp_path)
    # HLS goes by the name, too.
    path = tmp_path / ("list.m3u8" if name == "hls" else "list.mp4")
    path.write_text(LISTS[name].format("canary.mp4"))
    monkeypatch.setattr(opening, "INPUT_OPTIONS", {"allowed_extensions": "ALL", "extension_picky": "0"})
    with opened_in(tmp_path) as names, suppress(InputError):
        probe(path)
    assert names == {path.name, "canary.mp4"}


@needs_watch
def test_linked_segments_stay_apart(tmp_path: Path) -> None:
    write_video(tmp_path / "canary.mkv", [textured(0)] * 10)
    video = write_video(tmp_path / "a.mkv", [textured(1)] * 10)
    data = video.read_bytes()
    # MuxingApp and WritingApp make room for PrevFilename and NextFilename (RFC 9559, 5.1.2).
    for old, new in ((b"\x4d\x80", b"\x3c\x83\xab"), (b"\x57\x41", b"\x3e\x83\xbb")):
        at = data.index(old)
        length = data[at + 2] & 0x7f
        named = new + bytes([0x80 | (length - 1)]) + b"canary.mkv".ljust(length - 1, b"\0")
        data = data[:at] + named + data[at + 3 + length:]
    video.write_bytes(data)
    with opened_in(tmp_path) as names:
        assert probe(video).frame_count == 10
    assert names == {"a.mkv"}


@needs_watch
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("entry", [alias("canary.mp4"), url("file:canary.mp4"), url("http://127.0.0.1:9/canary.mp4")])
def test_tracks_that_lie_in_another_file(tmp_path: Path, suffix: str, entry: bytes) -> None:
    write_canary(tmp_path)
    video = referring(tmp_path / f"a.{suffix}", url("", 1), entry)
    with opened_in(tmp_path) as names, pytest.raises(InputError, match="in another file, which is not opened; save"):
        probe(video)
    assert names == {video.name}


@needs_watch
def test_ffmpeg_follows_no_track_into_another_file(tmp_path: Path) -> None:
    write_canary(tmp_path)
    video = referring(tmp_path / "a.mov", alias("canary.mp4"))
    with opened_in(tmp_path) as names, suppress(FFmpegError):
        read_by_ffmpeg(video, INPUT_OPTIONS)
    assert names == {"a.mov"}
    # It would, were it told to.
    with opened_in(tmp_path) as names, suppress(FFmpegError):
        read_by_ffmpeg(video, {**INPUT_OPTIONS, "enable_drefs": "1"})
    assert names == {"a.mov", "canary.mp4"}


@needs_watch
def test_without_the_check_nothing_is_followed_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_canary(tmp_path)
    video = referring(tmp_path / "a.mov", alias("canary.mp4"))
    monkeypatch.setattr(readable, "refuse_references", lambda *_: None)
    with opened_in(tmp_path) as names, suppress(InputError):
        probe(video)
    assert names == {"a.mov"}
    monkeypatch.setattr(opening, "INPUT_OPTIONS", {**INPUT_OPTIONS, "enable_drefs": "1"})
    with opened_in(tmp_path) as names, suppress(InputError):
        probe(video)
    assert names == {"a.mov", "canary.mp4"}


@pytest.mark.parametrize("entry", [url("", 1), url("", 0), url("file:canary.mp4", 1), b""])
def test_tracks_that_lie_in_their_own_file(tmp_path: Path, entry: bytes) -> None:
    refuse_references(referring(tmp_path / "a.mp4", *([entry] if entry else [])), "a.mp4")


@pytest.mark.parametrize("data", [b"", b"moov", b"\0\0\0\0moov", b"\0\0\0\1moov", b"\0\0\0\x07moov" * 9,
                                  b"\0\0\0\1moov" + b"\xff" * 8,
                                  b"\0\0\0\1" + b"\x7f" * 40, b"\0\0\0\x08free" * 300_000 + b"\0\0\0\x08moov"])
def test_boxes_that_make_no_sense_are_left_to_the_demuxer(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(data)
    refuse_references(tmp_path / "a.mp4", "a.mp4")


def test_real_videos_lie_in_their_own_file(media: Path) -> None:
    for path in [*(media / "real").iterdir(), *(media / "odd").iterdir()]:
        refuse_references(path, path.name)


@needs_watch
@pytest.mark.parametrize("name", PROTOCOLS)
def test_names_are_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_canary(tmp_path)
    write_video(tmp_path / "canary1.mp4", [textured(2)] * 5)
    monkeypatch.chdir(tmp_path)
    with opened_in(tmp_path) as names, pytest.raises(InputError, match="no such file"):
        probe(Path(name))
    assert names == set()


@needs_watch
@pytest.mark.parametrize("name", ["frame%03d.png", "concat:canary.mp4", "-i", "a|b.mp4", "*.mp4"])
def test_a_file_of_such_a_name_is_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    whole = write_canary(tmp_path)
    with av.open(str(tmp_path / "frame001.png"), "w", format="image2") as out:
        stream = out.add_stream("png", width=160, height=90, pix_fmt="rgb24")
        out.mux([*stream.encode(av.VideoFrame.from_ndarray(textured(3), format="rgb24")), *stream.encode()])
    (tmp_path / name).write_bytes(whole.read_bytes())
    monkeypatch.chdir(tmp_path)
    with opened_in(tmp_path) as names, suppress(InputError):
        probe(Path(name))
    assert names == {name}


@needs_watch
def test_readable_means_one_look_at_one_file(tmp_path: Path) -> None:
    video = write_canary(tmp_path)
    with opened_in(tmp_path) as names:
        check_readable(video, "canary.mp4")
    assert names == {"canary.mp4"}


def read_by_ffmpeg(path: Path, options: dict[str, str]) -> None:
    """As a render reads a source."""
    fence = [part for name, value in options.items() for part in (f"-{name}", value)]
    run_ffmpeg([*fence, "-i", input_url(path), "-f", "null", "-"], cancel=CancelToken(), timeout_s=60)
