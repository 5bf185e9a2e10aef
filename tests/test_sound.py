"""The sound of a stretch is what a decode of the whole file has there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pipeline.media.sound
from pipeline.errors import Cancelled
from pipeline.media.probe import probe
from pipeline.media.sound import Sound, decode_sound, read_sound
from pipeline.progress import CancelToken
from tests.making import RATE, textured, write_video

HZ = 16_000


def bursts(path: Path, times_s: list[float], total_s: int = 40) -> Path:
    """A video of noise bursts of a tenth of a second at given times, and silence between."""
    rng = np.random.default_rng(1)
    sound = np.zeros(total_s * RATE, np.float32)
    for time_s in times_s:
        sound[round(time_s * RATE):round((time_s + 0.1) * RATE)] = rng.uniform(-0.5, 0.5, RATE // 10)
    return write_video(path, lambda i: textured(i // 50), total_s * 10, fps=10, sound=sound,
                       codec="libvpx" if path.suffix == ".webm" else "libx264")


def heard_s(samples: np.ndarray) -> list[float]:
    """When bursts start, in seconds."""
    loud = np.abs(samples).reshape(-1, HZ // 100).max(axis=1) > 0.05
    return [i / 100 for i in range(len(loud)) if loud[i] and not loud[max(0, i - 5):i].any()]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm", "a.ts", "a.mov"])
def test_bursts_lie_where_they_were_put(tmp_path: Path, name: str) -> None:
    times_s = [3.0, 17.5, 18.25, 31.0, 39.2]
    path = bursts(tmp_path / name, times_s)
    video = probe(path, CancelToken())
    for start_s, end_s in ((0.0, 40.0), (16.0, 21.0), (17.3, 18.0), (30.5, 31.5), (38.0, 44.0), (0.0, 4.0)):
        samples = read_sound(video, start_s, end_s, HZ, CancelToken())
        assert samples.dtype == np.float32 and len(samples) == round((end_s - start_s) * HZ)
        expected = [time_s - start_s for time_s in times_s if start_s <= time_s < end_s]
        assert heard_s(samples) == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("name", [
    "odd/mpeg4_mp3.avi", "odd/failing_audio_11s.mp4", "odd/shorter_audio.mp4", "odd/truncated_mdat.mp4",
    "odd/no_duration.webm", "odd/transparent_alpha.webm", "odd/vfr_17s.mp4", "real/googlework_short_35s.mp4",
    "real/caminandes1_30s_av1.webm", "real/cc0_six_clips_concat.webm"])
def test_real_files_sound_as_when_they_are_decoded_whole(media: Path, name: str) -> None:
    video = probe(media / name, CancelToken())
    whole = np.zeros(round((video.duration_s + 2) * HZ), np.float32)
    for event in decode_sound(video, HZ, CancelToken()):
        if isinstance(event, Sound):
            at = round(event.time_s * HZ)
            first, last = max(0, at), min(len(whole), at + len(event.samples))
            if first < last:
                whole[first:last] = event.samples[first - at:last - at]
    for share in (0.0, 0.35, 0.7):
        start_s = round(share * video.duration_s, 3)
        end_s = start_s + min(2.0, video.duration_s / 4)
        part = read_sound(video, start_s, end_s, HZ, CancelToken())
        there = whole[round(start_s * HZ):][:len(part)]
        # Loudness in steps of 20 ms: some tracks' timestamps jitter by half of that, and samples are laid end to end.
        steps = len(part) // 320
        loud, same = (np.sqrt((x[:steps * 320].reshape(steps, 320) ** 2).mean(axis=1)) for x in (part, there))
        assert np.abs(loud - same).sum() <= 0.15 * same.sum() + 1e-4 * steps, (start_s, end_s)


def test_only_what_lies_around_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = probe(bursts(tmp_path / "a.mp4", [30.0]), CancelToken())
    decoded: list[float] = []
    real = pipeline.media.sound.SoundDecoder.decode

    def count(self, packet, reached_s):  # type: ignore[no-untyped-def]
        if packet.pts is not None:
            decoded.append(float(packet.pts * packet.time_base))
        return real(self, packet, reached_s)

    monkeypatch.setattr(pipeline.media.sound.SoundDecoder, "decode", count)
    read_sound(video, 29.0, 31.0, HZ, CancelToken())
    assert decoded and min(decoded) > 27.5 and max(decoded) < 32.5


def test_cancelling(tmp_path: Path) -> None:
    video = probe(bursts(tmp_path / "a.mp4", [1.0], total_s=4), CancelToken())
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        read_sound(video, 0.0, 2.0, HZ, token)
