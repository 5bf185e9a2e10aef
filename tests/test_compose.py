"""Styled reels: exact lengths and places, the same colours, no click and no dip, and the words that were asked for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import make_reel
from pipeline.errors import InputError, SettingsError
from pipeline.media.probe import probe
from pipeline.media.process import input_url, run_ffmpeg
from pipeline.progress import CancelToken, silent
from pipeline.rendering import blend
from pipeline.rendering.encode import clip_jobs, encode_clip
from pipeline.rendering.parts import part_of
from pipeline.rendering.reel import render_reel
from pipeline.selection import budget_s, select
from pipeline.settings import Settings, Style
from pipeline.types import Caption, Clip
from tests.compose_support import CLIPS, PLAIN, STYLED, left_over, styled
from tests.making import write_video
from tests.numbered import QUICK, beep_starts, even, frames_of, make_source, order, picture, render, snapped, sound_of
from tests.test_selection import random_material
from tests.test_text import NASTY


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 s at 25 frames a second with beeps."""
    return make_source(tmp_path_factory.mktemp("talk") / "talk.mp4", even(600, 25), size=(320, 192), sound=(0, 24))


def grey_frames(path: Path) -> np.ndarray:
    """All frames: (n, h, w)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)]).astype(float)


def rgb_frames(path: Path) -> np.ndarray:
    """All frames: (n, h, w, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)


# ---------------------------------------------------------------- exact to the frame

def test_clips_overlap_and_every_frame_is_where_it_should_be(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS, tmp_path, STYLED)
    numbers, times = frames_of(reel.path)
    assert times == [Fraction(i, 25) for i in range(60 + 75 + 50 - 20)]
    assert numbers[:50] == list(range(50, 100)) and numbers[60:115] == list(range(210, 265))
    assert numbers[125:] == list(range(410, 450))
    assert [(p.start_s, p.end_s) for p in reel.placed] == [(0, 2.4), (2.0, 5.0), (4.6, 6.6)]
    assert reel.duration_s == 6.6 and reel.way == "styled" and reel.encoder == "libx264"
    assert left_over(tmp_path) == []


def test_a_crossfade_goes_evenly_from_one_clip_to_the_next(talk: Path, tmp_path: Path) -> None:
    frames = grey_frames(render(talk, CLIPS, tmp_path, STYLED).path)
    for k in range(10):
        share = (k + 0.5) / 10
        mixed = (1 - share) * picture(100 + k, 320, 192) + share * picture(200 + k, 320, 192)
        assert np.abs(frames[50 + k] - mixed).mean() < 4, k


def test_sound_stays_in_step(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS, tmp_path, STYLED)
    heard = beep_starts(sound_of(reel.path))
    for place in reel.placed:
        for second in range(int(place.clip.start_s) + 1, int(place.clip.end_s) + 1):
            inside = second - place.clip.start_s
            if 0.45 < inside < place.end_s - place.start_s - 0.5:
                assert min(abs(place.start_s + inside - at) for at in heard) < 0.01


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(16), Fraction(120)])
def test_other_rates(tmp_path: Path, rate: Fraction) -> None:
    source = make_source(tmp_path / "a.mp4", even(int(4 * rate), rate), sound=(0, 4))
    n = int(rate)
    settings = replace(STYLED, max_fps=120)
    reel = render(source, [snapped(5, n, rate), snapped(2 * n, 3 * n, rate)], tmp_path, settings)
    numbers, times = frames_of(reel.path)
    fade = round(0.4 * rate)
    assert times == [i / rate for i in range(2 * n - 5 - fade)] and reel.fps == float(rate)
    assert numbers[:n - 5 - fade] == list(range(5, n - fade)) and numbers[n - 5:] == list(range(2 * n + fade, 3 * n))


def test_clips_of_one_frame_and_of_few(talk: Path, tmp_path: Path) -> None:
    clips = [snapped(100, 101, 25), snapped(200, 206, 25), snapped(300, 303, 25), snapped(400, 401, 25)]
    reel = render(talk, clips, tmp_path, styled(closing="End", closing_s=0.5))
    numbers, _ = frames_of(reel.path)
    # 6 and 3 frames share one; after the last single frame the card comes at once.
    assert len(numbers) == 1 + 6 + 3 - 1 + 1 + 12
    assert numbers[:6] == [100, 200, 201, 202, 203, 204] and numbers[7:10] == [301, 302, 400]


def test_no_crossfades(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS, tmp_path, styled(crossfade_s=0))
    assert frames_of(reel.path)[0] == [*range(50, 110), *range(200, 275), *range(400, 450)]


def test_no_sound_makes_no_sound_track(tmp_path: Path) -> None:
    source = make_source(tmp_path / "a.mp4", even(100, 25))
    reel = render(source, [snapped(10, 50, 25), snapped(60, 90, 25)], tmp_path, styled(closing="End", closing_s=1))
    with av.open(str(reel.path)) as container:
        assert not container.streams.audio and container.streams.video[0].frames == 60 + 25
    assert reel.duration_s == 85 / 25


def test_plays_everywhere(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS[:2], tmp_path, styled(title="Title", closing="End"))
    with av.open(str(reel.path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.pix_fmt, audio.codec_context.name) == ("h264", "yuv420p", "aac")
        seen = {(f.color_range, f.colorspace, f.color_primaries, f.color_trc, f.width) for f in
                container.decode(video=0)}
        assert len(seen) == 1 and abs(audio.duration * audio.time_base - Fraction(video.frames, 25)) < 0.03
    # One set of parameters in front is all that a player reads, so every piece must have been encoded with the same.
    heads = set()
    for file in (tmp_path / "clips").glob("*.mov"):
        with av.open(str(file)) as container:
            heads.add(bytes(container.streams.video[0].codec_context.extradata or b""))
    assert len(heads) == 1


# ---------------------------------------------------------------- colours

PATCHES = np.array([[180, 40, 40], [40, 160, 60], [50, 60, 190], [200, 180, 60], [128, 128, 128], [235, 235, 235]])


def patches(_: int) -> np.ndarray:
    """Six patches of colour side by side."""
    return np.repeat(np.repeat(PATCHES[None], 16, axis=1), 96, axis=0).reshape(96, 96, 3).astype(np.uint8)


@pytest.mark.parametrize(("matrix", "range_"), [("bt709", "tv"), ("smpte170m", "tv"), ("bt709", "pc"),
                                                ("smpte170m", "pc"), (None, "tv")])
def test_colours_are_the_same_everywhere(tmp_path: Path, matrix: str | None, range_: str) -> None:
    plain = write_video(tmp_path / "plain.mp4", patches, 60, pixel_format="yuv444p", options={"crf": "1"})
    source = tmp_path / "source.mp4"
    tags = ["-colorspace", matrix, "-color_primaries", matrix, "-color_trc", "bt709"] if matrix else []
    convert = f"scale=out_color_matrix={matrix or 'smpte170m'}:out_range={range_},format=yuv420p"
    run_ffmpeg(["-i", input_url(plain), "-vf", convert, *tags, "-color_range", range_, "-c:v", "libx264", "-crf", "4",
                input_url(source)], cancel=CancelToken(), timeout_s=60)
    clips, fine = [snapped(0, 25, 25), snapped(30, 55, 25)], replace(STYLED, crf=6)
    reel = render(source, clips, tmp_path / "styled", replace(fine, style=replace(PLAIN, closing="End", closing_s=1)))
    encoded = rgb_frames(render(source, clips, tmp_path / "encoded", replace(fine, render="encode")).path)[5]
    frames = rgb_frames(reel.path)
    middles = [slice(16 * i + 5, 16 * i + 11) for i in range(6)]
    for name, index in (("body", 5), ("crossfade", 20), ("second body", 27)):
        for patch in middles:
            apart = frames[index, 20:70, patch].mean((0, 1)) - encoded[20:70, patch].mean((0, 1))
            assert np.abs(apart).max() <= 3, name
    # The card's background is the last frame, out of focus and darker; the middles of its patches keep their colours.
    backdrop = blend.backdrop(encoded.astype(np.uint8), PLAIN.closing_shade).astype(float)
    for patch in middles:
        assert np.abs(frames[41, 6:16, patch].mean((0, 1)) - backdrop[6:16, patch].mean((0, 1))).max() <= 3


# ---------------------------------------------------------------- sound at the joints

@pytest.fixture(scope="module", params=[44100, 48000])
def humming(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 s of two tones, 330 Hz and from 4 s on 1,300 Hz, both of one level."""
    path = tmp_path_factory.mktemp("hum") / "hum.mp4"
    run_ffmpeg(["-f", "lavfi", "-i", "testsrc2=s=64x48:r=30000/1001:d=8", "-f", "lavfi", "-i",
                f"aevalsrc=0.4*sin(2*PI*if(lt(t\\,4)\\,330\\,1300)*t):s={request.param}:d=8", "-c:v", "libx264",
                "-preset", "ultrafast", "-c:a", "aac", "-b:a", "256k", input_url(path)], cancel=CancelToken(),
               timeout_s=60)
    return path


TONES = [Clip(0.7, 2.9, None, "", ""), Clip(4.8, 6.9, None, "", "")]


def test_parts_of_a_clip_join_without_a_seam(humming: Path, tmp_path: Path) -> None:
    video = probe(humming)
    whole = replace(clip_jobs(video, TONES[:1], STYLED)[0], fade_s=0.008)

    def samples(job: object) -> np.ndarray:
        file = encode_clip(video, job, tmp_path, lambda share: None, CancelToken())  # type: ignore[arg-type]
        with av.open(str(file.path)) as container:
            return np.concatenate([f.to_ndarray().reshape(-1, 2) for f in container.decode(audio=0)]).astype(int)

    bounds = [0, 12, 47, whole.frames]
    parts = [samples(part_of(whole, a, b - a, fade_in=a == 0, fade_out=b == whole.frames)) for a, b in pairwise(bounds)]
    joined, expected = np.concatenate(parts), samples(whole)
    # A sound decoder that is started elsewhere rounds differently, by a step of 16 bits.
    assert joined.shape == expected.shape and np.abs(joined - expected).max() <= 3


def test_no_click_and_no_dip_in_a_crossfade(humming: Path, tmp_path: Path) -> None:
    settings = replace(STYLED, audio_kbps=320, audio_fade_ms=8.0)
    reel = render(humming, TONES, tmp_path, settings)
    sound = sound_of(reel.path)[0].astype(float)
    first = round(reel.placed[1].start_s * 48000)
    after = round(reel.placed[0].end_s * 48000)
    power = np.square(sound)
    window = 48000 // 50
    level = [10 * np.log10(power[at:at + window].mean()) for at in range(9600, len(sound) - 9600, window)]
    usual = float(np.median(level))
    assert max(level) - usual < 1 and usual - min(level) < 1
    # A click has all frequencies; the tones have nothing above 1.3 kHz.
    spectrum = np.fft.rfft(sound[9600:-9600])
    spectrum[:round(4000 / 48000 * (len(sound) - 19200))] = 0
    high = np.abs(np.fft.irfft(spectrum, len(sound) - 19200))
    near = [high[at - 9600 - 480:at - 9600 + 480].max() for at in (first, after)]
    assert max(near) < 0.004


def test_the_last_clip_fades_out_into_the_card(humming: Path, tmp_path: Path) -> None:
    reel = render(humming, TONES[:1], tmp_path, styled(closing="End", closing_s=1))
    sound = sound_of(reel.path)[0].astype(float)
    end = round(reel.placed[0].end_s * 48000)
    levels = [np.sqrt(np.square(sound[end - round(s * 48000):][:480]).mean()) for s in (0.45, 0.3, 0.15, 0.02)]
    assert levels == sorted(levels, reverse=True) and levels[-1] < 0.06 < 0.25 < levels[0]
    assert np.abs(sound[end + 960:]).max() < 0.002 and abs(len(sound) / 48000 - reel.duration_s) < 0.03


# ---------------------------------------------------------------- words and the card

def test_title_is_over_the_first_clip_and_adds_no_length(talk: Path, tmp_path: Path) -> None:
    settings = styled(title="Hello", title_s=1.6, title_fade_s=0.2)
    plain = grey_frames(render(talk, CLIPS, tmp_path / "a", STYLED).path)
    titled = grey_frames(render(talk, CLIPS, tmp_path / "b", settings).path)
    changed = np.abs(titled - plain)[:, 130:185].mean((1, 2))
    assert len(plain) == len(titled)
    assert (changed[6:34] > 10).all() and (changed[41:] < 2).all() and changed[1] < changed[3] < changed[6]


def test_a_title_longer_than_the_first_clip_goes_on_without_a_jump(tmp_path: Path) -> None:
    source = write_video(tmp_path / "grey.mp4", lambda i: np.full((180, 320, 3), 90, np.uint8), 200)
    clips = [snapped(0, 25, 25), snapped(50, 100, 25)]
    frames = grey_frames(render(source, clips, tmp_path, styled(title="Hello", title_s=2.4, title_fade_s=0)).path)
    inside = frames[3:57]
    assert np.abs(inside - inside[0]).mean((1, 2)).max() < 1.5
    assert np.abs(frames[62] - inside[0]).mean() > 10


def test_captions_go_through_a_crossfade(tmp_path: Path) -> None:
    source = write_video(tmp_path / "grey.mp4", lambda i: np.full((180, 320, 3), 90, np.uint8), 200)
    clips = [snapped(0, 50, 25), snapped(100, 150, 25)]
    words = tuple(Caption(c.start_s, c.end_s, text) for c, text in zip(clips, ("MMM", "WWW"), strict=True))
    asked = replace(order(probe(source), clips, tmp_path, styled(caption_fade_s=0.08)), captions=words)
    reel = render_reel(asked, silent, CancelToken())
    low = grey_frames(reel.path)[:, 120:]
    # Each stands still up to the middle of the crossfade, but for two frames of fade.
    assert np.abs(low[3:43] - low[3]).mean((1, 2)).max() < 1 and np.abs(low[48:85] - low[60]).mean((1, 2)).max() < 1
    assert np.abs(low[3] - low[60]).mean() > 0.5


def test_the_card(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS[:2], tmp_path, styled(closing="The end", closing_s=2))
    frames = grey_frames(reel.path)
    assert len(frames) == 60 + 75 - 10 + 50 and reel.notes["card_s"] == 2
    assert [(p.start_s, p.end_s) for p in reel.placed][-1] == (2.0, 5.0)
    card = frames[125:]
    assert card[25].max() > 225 and card[0].max() < 140 and card[-1].max() < 40
    assert card[25].mean() < 0.7 * frames[100].mean()


def test_the_card_is_part_of_the_target() -> None:
    settings = Settings(render="styled", target_s=20, style=Style(closing="End", closing_s=3))
    assert settings.card_s == 3 and budget_s(600, settings) == 17
    assert replace(settings, target_s=4).card_s == 1
    assert replace(settings, render="encode").card_s == 0 == Settings(render="styled", style=Style(closing=" ")).card_s
    for seed in range(3):
        clips = select(random_material(seed, 300, 30), settings)
        assert 15 <= sum(c.end_s - c.start_s for c in clips) <= 17 + 1e-6
    short = replace(settings, target_s=5)
    assert sum(c.end_s - c.start_s for c in select(random_material(1, 6, 0), short)) <= 5 - short.card_s + 1e-6


@pytest.mark.parametrize("words", [NASTY[1], "\U0001f600", "x" * 500, "a\nb"])
def test_words_of_any_kind(talk: Path, tmp_path: Path, words: str) -> None:
    reel = render(talk, CLIPS[:1], tmp_path, styled(title=words, closing=words, closing_s=0.5))
    assert len(frames_of(reel.path)[0]) == 60 + 12


def test_fonts_and_music_are_looked_at_before_anything_is_rendered(talk: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No Such Font"):
        render(talk, CLIPS, tmp_path, styled(title="x", font="No Such Font"))
    with pytest.raises(InputError, match=r"song\.mp3: no such file"):
        render(talk, CLIPS, tmp_path, styled(music=str(tmp_path / "song.mp3")))
    assert list((tmp_path / "clips").iterdir()) == []


@pytest.mark.parametrize("style", [Style(font="No Such Font"), Style(music="song.mp3")])
def test_a_long_run_does_not_end_at_a_missing_file(talk: Path, tmp_path: Path, style: Style) -> None:
    seen: list[str] = []
    with pytest.raises((SettingsError, InputError), match=r"No Such Font|song\.mp3"):
        make_reel(talk, replace(STYLED, style=style, scorer="signals", cache_dir=tmp_path / "cache"), tmp_path / "out",
                  report=lambda progress: seen.append(progress.stage))
    assert set(seen) == {"probe"}


def test_what_only_styled_reels_have_is_said(talk: Path, tmp_path: Path) -> None:
    reel = render(talk, CLIPS[:1], tmp_path, replace(QUICK, style=Style(title="x", music="y.mp3")))
    assert reel.warnings == ("only styled reels have title and music; render with --render styled",)
