"""Music under a reel: as long as it, at its level, out of the way of what is said; refused before it costs anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.errors import Cancelled, FFmpegError, InputError, SettingsError
from pipeline.media.loudness import measure
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken
from pipeline.rendering.graph import join_args
from pipeline.rendering.music import Bed, lay_bed
from pipeline.settings import Settings, Style
from pipeline.types import Clip, Reel
from tests.making import RATE, silent_server, tone, write_video
from tests.numbered import QUICK, even, make_source, render, snapped, sound_of

SPEECH_HZ, MUSIC_HZ = 400, 2000
WHOLE = [Clip(0, 9, None, "", "")]


def song(path: Path, seconds: float = 2.0, amplitude: float = 0.3, options: Sequence[str] = ()) -> Path:
    """A tone for music, in whatever container the name says."""
    run_ffmpeg(["-f", "lavfi", "-i", f"aevalsrc={amplitude}*sin(2*PI*{MUSIC_HZ}*t):s=44100:d={seconds}", *options,
                input_url(path)], cancel=CancelToken(), timeout_s=60)
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 s, of which the middle three are loud and the others silent."""
    sound = np.concatenate([np.zeros(3 * RATE, np.float32), tone(3, 0.3, SPEECH_HZ), np.zeros(3 * RATE, np.float32)])
    return write_video(tmp_path_factory.mktemp("speech") / "speech.mp4",
                       lambda i: np.full((48, 64, 3), 90, np.uint8), 225, sound=sound)


def settings(music: Path, **style: object) -> Settings:
    """Quick settings with music."""
    return replace(QUICK, render="styled", encoder="x264", audio_kbps=256,
                   style=Style(music=str(music), crossfade_s=0.4, **style))  # type: ignore[arg-type]


def levels(reel: Reel, hertz: int) -> npt.NDArray[np.float64]:
    """dBFS RMS of the tone of `hertz` in each tenth of a second."""
    sound = sound_of(reel.path)[0].astype(float)
    blocks = sound[:len(sound) // 4800 * 4800].reshape(-1, 4800) * np.hanning(4800)
    share = np.abs(np.fft.rfft(blocks, axis=1))[:, hertz // 10 - 2:hertz // 10 + 3].max(axis=1) / 2400
    return 20 * np.log10(np.maximum(share * 2, 1e-6)) - 3.01


def test_music_gives_way_to_the_reels_own_sound(speech: Path, tmp_path: Path) -> None:
    music = song(tmp_path / "song.mp3")
    reel = render(speech, WHOLE, tmp_path, settings(music, music_db=-20, duck_db=12, music_fade_s=1))
    under, own = levels(reel, MUSIC_HZ), levels(reel, SPEECH_HZ)
    alone, spoken = under[15:28], under[38:58]
    assert abs(np.median(alone) + 20) < 1
    assert 10 < np.median(alone) - np.median(spoken) < 12.5
    assert abs(np.median(own[38:58]) - 20 * np.log10(0.3 / 2 ** 0.5)) < 0.5
    # It comes back, smoothly: no tenth of a second jumps up.
    assert abs(np.median(under[74:78]) + 20) < 1.5 and np.diff(under[60:74]).max() < 4


def test_music_ends_with_the_reel_and_fades(speech: Path, tmp_path: Path) -> None:
    reel = render(speech, WHOLE, tmp_path, settings(song(tmp_path / "song.wav"), music_fade_s=2, duck_db=0))
    under = levels(reel, MUSIC_HZ)
    assert abs(len(sound_of(reel.path)[0]) / RATE - reel.duration_s) < 0.03
    assert under[0] < -26 and abs(under[15] + 20) < 1 and abs(under[65] + 20) < 1
    assert (np.diff(under[71:89]) < 0.3).all() and under[88] < -35


@pytest.mark.parametrize(("seconds", "amplitude"), [(0.7, 0.3), (60, 0.3), (2, 0.01), (2, 0.999)])
def test_long_and_short_loud_and_quiet_music_sit_alike(speech: Path, tmp_path: Path, seconds: float,
                                                       amplitude: float) -> None:
    music = song(tmp_path / "song.flac", seconds, amplitude)
    reel = render(speech, WHOLE, tmp_path, settings(music, music_fade_s=0.2, duck_db=0))
    under = levels(reel, MUSIC_HZ)
    assert abs(np.median(under) + 20) < 0.5 and under[3:86].min() > -24


@pytest.mark.parametrize("name", ["song.mp3", "song.flac", "song.wav", "song.ogg", "song.m4a", "song.aac", "song.aiff",
                                  "a song: it's 100%.mka", "-i.opus"])
def test_music_comes_in_many_formats(tmp_path: Path, name: str) -> None:
    music = song(tmp_path / name)
    assert abs(measure(music, 60, CancelToken()).rms_db - 20 * np.log10(0.3 / 2 ** 0.5)) < 0.5
    source = make_source(tmp_path / "mute.mp4", even(100, 25))
    reel = render(source, [snapped(0, 50, 25), snapped(60, 90, 25)], tmp_path, settings(music, music_fade_s=0))
    # Nothing of the reel's own is heard, and the music goes on past its own end.
    assert reel.duration_s == 70 / 25 and abs(len(sound_of(reel.path)[0]) / RATE - 2.8) < 0.03
    assert abs(np.median(levels(reel, MUSIC_HZ)) + 20) < 0.7 and levels(reel, MUSIC_HZ)[25:27].min() > -24


def test_stereo_music_is_as_loud_as_mono(tmp_path: Path) -> None:
    both = song(tmp_path / "both.flac", 2, 0.3, ["-af", "pan=stereo|c0=c0|c1=-1*c0"])
    assert abs(measure(both, 60, CancelToken()).rms_db - 20 * np.log10(0.3 / 2 ** 0.5)) < 0.5
    source = make_source(tmp_path / "mute.mp4", even(100, 25))
    reel = render(source, [snapped(0, 90, 25)], tmp_path, settings(both, music_fade_s=0))
    assert abs(np.median(levels(reel, MUSIC_HZ)) + 20) < 0.7


def test_music_from_a_video(tmp_path: Path, speech: Path) -> None:
    assert measure(speech, 60, CancelToken()).stream == 1
    source = make_source(tmp_path / "mute.mp4", even(100, 25))
    assert levels(render(source, [snapped(0, 90, 25)], tmp_path, settings(speech, music_fade_s=0)),
                  SPEECH_HZ)[30:].max() > -25


def test_loud_sound_with_loud_music_is_not_clipped(tmp_path: Path) -> None:
    source = write_video(tmp_path / "loud.mp4", lambda i: np.full((48, 64, 3), 90, np.uint8), 100,
                         sound=tone(4, 0.98, SPEECH_HZ))
    reel = render(source, [snapped(0, 100, 25)], tmp_path,
                  settings(song(tmp_path / "song.mp3"), music_db=-6, duck_db=0, music_fade_s=0))
    sound = sound_of(reel.path)
    assert np.abs(sound[:, 4800:-4800]).max() < 1.03
    spectrum = np.abs(np.fft.rfft(sound[0, 24000:-24000].astype(float) * np.hanning(sound.shape[1] - 48000)))
    hertz = np.fft.rfftfreq(sound.shape[1] - 48000, 1 / RATE)
    # Clipping would put harmonics everywhere.
    others = spectrum[(hertz > 6500) & (hertz < 15000)].max()
    assert others < spectrum.max() / 300


def not_music(tmp_path: Path, name: str) -> Path:
    """A file that can't be played."""
    path = tmp_path / name
    if name == "mute.mp4":
        return make_source(path, even(25, 25))
    if name == "silent.wav":
        return song(path, 1, 0)
    content = {"list.m3u8": b"#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n", "words.mp3": b"no music at all\n" * 99,
               "noise.mp3": b"\0\1\2\3" * 5000, "empty.mp3": b""}
    if name in content:
        path.write_bytes(content[name])
    elif name == "folder.mp3":
        path.mkdir()
    return path


@pytest.mark.parametrize("name", ["gone.mp3", "folder.mp3", "empty.mp3", "words.mp3", "noise.mp3", "mute.mp4",
                                  "silent.wav", "list.m3u8"])
def test_what_is_no_music_is_refused_before_anything_is_rendered(speech: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        render(speech, WHOLE, tmp_path, settings(not_music(tmp_path, name)))
    assert caught.value.subject == name and "\n" not in str(caught.value) and "video file" not in str(caught.value)
    assert list((tmp_path / "clips").iterdir()) == []


def test_real_files(media: Path, tmp_path: Path) -> None:
    assert -40 < measure(media / "odd" / "audio_file_jfk.flac", 60, CancelToken()).rms_db < -10
    with pytest.raises(InputError, match="no sound"):
        measure(media / "odd" / "tiny_bitmap.mp4", 60, CancelToken())


def test_measuring_can_be_cancelled(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        measure(song(tmp_path / "song.mp3"), 60, token)


def test_no_music_no_bed() -> None:
    assert lay_bed(Style(), Fraction(10), CancelToken()) is None
    with pytest.raises(SettingsError):
        Style(music_db=3)


def test_fades_fit_into_a_short_reel(tmp_path: Path) -> None:
    bed = lay_bed(Style(music=str(song(tmp_path / "song.mp3")), music_fade_s=5), Fraction(3), CancelToken())
    assert bed is not None and bed.fade_in_s + bed.fade_out_s <= 1.5


def test_music_fetches_nothing_from_the_network(tmp_path: Path) -> None:
    """Not even where the file turned into a playlist after it was looked at."""
    with silent_server() as url:
        playlist = tmp_path / "song.mp3"
        playlist.write_text(f"#EXTM3U\n#EXTINF:5,\n{url}\n#EXT-X-ENDLIST\n")
        bed = Bed(input_url(playlist), 0, True, 0.0, Fraction(2), 12, -38, 0, 0)
        clip = make_source(tmp_path / "a.mp4", even(50, 25), sound=(0, 2))
        listing = tmp_path / "list"
        listing.write_text("ffconcat version 1.0\nfile a.mp4\n")
        for bed_of in (bed, replace(bed, source=input_url(listing))):
            with pytest.raises(FFmpegError):
                run_ffmpeg(join_args(input_url(listing), input_url(tmp_path / "out.mp4"), True, 96, bed_of),
                           cancel=CancelToken(), timeout_s=60)
    assert clip.exists()
