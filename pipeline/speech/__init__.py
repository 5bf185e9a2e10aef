"""Captions of what is said in a reel's clips, by Whisper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pipeline.progress import CancelToken, Progress, Report
from pipeline.sandbox import sound
from pipeline.settings import Settings
from pipeline.speech.lines import to_captions
from pipeline.speech.model import SAMPLE_RATE, Found, find, has_speech, hear, load
from pipeline.types import Caption, Clip, Interval, VideoInfo, Word

__all__ = ["NOTES", "Recall", "Spoken", "check", "transcribe"]

NO_SOUND = "the video has no sound, so there are no captions of spoken words"
NO_WORDS = "no speech was found in the clips, so there are no captions of spoken words"
NOTES = (NO_SOUND, NO_WORDS)

# A word that a clip's border cuts is only understood with what lies beyond.
_MARGIN_S = 0.5

# Returns what was kept under the given JSON values, or makes it.
Recall = Callable[[Sequence[Any], Callable[[], Sequence[Word]]], Sequence[Word]]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is said in the clips.

    captions: in time order, in seconds of the video
    warnings: for people
    """

    captions: tuple[Caption, ...]
    warnings: tuple[str, ...] = ()


def check(video: VideoInfo, settings: Settings, report: Report, cancel: CancelToken) -> None:
    """Raise ModelError where `transcribe` would for want of a model, which is fetched now."""
    if video.has_audio:
        find(settings.speech_model, report, cancel)


def transcribe(video: VideoInfo, clips: Sequence[Clip], settings: Settings, report: Report, cancel: CancelToken,
               recall: Recall = lambda _, make: make()) -> Spoken:
    """Captions of the words that are spoken in the clips, each within its clip.

    recall: keeps the words of a stretch of the video under what they depend on beside the video's content

    Only the sound of the clips is decoded, and half a second around each. Raises ModelError with one line on what is
    wrong and what to do, InputError where the file can't be opened any more, Cancelled.
    """
    if not video.has_audio:
        return Spoken((), (NO_SOUND,))
    found = find(settings.speech_model, report, cancel)
    parts = stretches(clips)
    total_s = sum(part.duration_s for part in parts)
    words: list[Word] = []
    done_s = 0.0
    for number, part in enumerate(parts, start=1):
        cancel.check()

        def tell(share: float, number: int = number, part: Interval = part, done_s: float = done_s) -> None:
            fraction = (done_s + share * part.duration_s) / total_s
            report(Progress("speech", fraction, f"listening to clip {number} of {len(parts)}"))

        def make(part: Interval = part, tell: Callable[[float], object] = tell) -> tuple[Word, ...]:
            return _words_in(video, part, found, settings, tell, report, cancel)

        tell(0.0)
        # As a plan writes them, so that one that was read finds what the one that was made left.
        bounds = [round(float(part.start_s), 6), round(float(part.end_s), 6)]
        words += recall([bounds, found.revision, settings.speech_language], make)
        done_s += part.duration_s
    captions = tuple(caption for piece in pieces(clips) for caption in to_captions(words, piece))
    report(Progress("speech", 1.0, "heard every clip"))
    return Spoken(captions, () if captions else (NO_WORDS,))


def stretches(clips: Sequence[Clip]) -> tuple[Interval, ...]:
    """What is to be listened to, in time order: the clips, overlapping ones as one, so that no word comes twice."""
    joined: list[Interval] = []
    for clip in sorted(clips, key=lambda clip: (clip.start_s, clip.end_s)):
        if joined and clip.start_s < joined[-1].end_s:
            joined[-1] = Interval(joined[-1].start_s, max(joined[-1].end_s, clip.end_s))
        else:
            joined.append(clip.interval)
    return tuple(joined)


def pieces(clips: Sequence[Clip]) -> tuple[Interval, ...]:
    """The clips, cut wherever one of them starts or ends: a caption that stays in a piece crosses no clip's border."""
    borders = sorted({border for clip in clips for border in (clip.start_s, clip.end_s)})
    return tuple(Interval(start_s, end_s) for start_s, end_s in pairwise(borders)
                 if any(clip.start_s <= start_s and end_s <= clip.end_s for clip in clips))


def _words_in(video: VideoInfo, part: Interval, found: Found, settings: Settings, tell: Callable[[float], object],
              report: Report, cancel: CancelToken) -> tuple[Word, ...]:
    """The words whose middle lies in a stretch of the video."""
    from_s = max(0.0, part.start_s - _MARGIN_S)
    samples = sound(video, from_s, part.end_s + _MARGIN_S, SAMPLE_RATE, settings.limits, cancel)
    # Whisper hears words in music and noise. And where nobody speaks, it needn't even be loaded.
    if not has_speech(samples):
        return ()
    model = load(found, settings.device, report, cancel)
    heard = hear(model, found, samples, settings.speech_language, tell, cancel)
    placed = (Word(from_s + word.start_s, from_s + word.end_s, word.text) for word in heard)
    return tuple(word for word in placed if part.start_s <= (word.start_s + word.end_s) / 2 < part.end_s)
