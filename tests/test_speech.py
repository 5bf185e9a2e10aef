"""From spoken words to captions: the real faster-whisper on a real voice, with a tiny model that says one thing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pipeline.speech
from pipeline import Cancelled, CancelToken, ModelError, Progress, Settings, make_reel, read_plan, render
from pipeline.media.probe import probe
from pipeline.plan import Plan, PlanVideo
from pipeline.progress import silent
from pipeline.speech import NO_SOUND, NO_WORDS, Spoken, pieces, stretches, transcribe
from pipeline.types import Clip, Interval, VideoInfo, Word
from tests import tiny_whisper
from tests.making import story, write_video
from tests.speech_support import VOICE_S, talk

ROOT = Path(__file__).resolve().parent.parent
VOICE = Interval(8.0, 8.0 + VOICE_S)
# What the detector of voices adds on either side of one.
PAD_S = 0.45
SAID = tiny_whisper.TEXT.split()


@pytest.fixture(scope="session")
def talking(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """24 s of video with a voice in VOICE."""
    return talk(tmp_path_factory.mktemp("talk") / "talk.mp4", media, at_s=VOICE.start_s)


@pytest.fixture
def settings(tmp_path: Path, whisper: Path) -> Settings:
    """Settings that ask for spoken words."""
    return Settings(captions="speech", speech_model=str(whisper), device="cpu", scorer="signals",
                    cache_dir=tmp_path / "cache")


def clips(*bounds: tuple[float, float]) -> list[Clip]:
    """Clips that somebody chose."""
    return [Clip(start_s, end_s, None, "a view", "") for start_s, end_s in bounds]


def hear(path: Path, chosen: Sequence[Clip], settings: Settings) -> Spoken:
    """What is said in the clips."""
    return transcribe(probe(path, CancelToken()), chosen, settings, silent, CancelToken())


def test_words_lie_inside_the_voice_and_inside_their_clip(talking: Path, settings: Settings) -> None:
    chosen = clips((0, 5), (6, 11.5), (11.5, 15), (20.5, 24))
    spoken = hear(talking, chosen, settings)
    assert spoken.captions and spoken.warnings == ()
    for caption in spoken.captions:
        within = [clip for clip in chosen if clip.start_s <= caption.start_s and caption.end_s <= clip.end_s]
        assert len(within) == 1 and within[0] in chosen[1:3]
        assert caption.start_s >= VOICE.start_s - PAD_S
        assert set(caption.text.split()) <= set(SAID)
    assert any(caption.end_s <= 11.5 for caption in spoken.captions)
    assert any(caption.start_s >= 11.5 for caption in spoken.captions)


def test_a_clip_moved_on_the_timeline_moves_its_words(media: Path, tmp_path: Path, settings: Settings) -> None:
    starts = []
    for at_s in (3.0, 12.5):
        path = talk(tmp_path / f"{at_s}.mp4", media, at_s=at_s, total_s=26)
        spoken = hear(path, clips((at_s - 1, at_s + 9)), settings)
        starts.append([caption.start_s - at_s for caption in spoken.captions])
    assert starts[0] == pytest.approx(starts[1], abs=0.1)


def test_silence_has_no_words_and_loads_no_model(talking: Path, settings: Settings,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(pipeline.speech, "load", refuse)
    assert hear(talking, clips((0, 6), (20.5, 24)), settings) == Spoken((), (NO_WORDS,))
    with pytest.raises(AssertionError, match="was loaded"):
        hear(talking, clips((9, 14)), settings)


def test_music_is_no_speech(tmp_path: Path, settings: Settings) -> None:
    path = story(tmp_path / "a.mp4", loud=range(2, 6), shots=2)
    assert hear(path, clips((1, 7)), settings).warnings == (NO_WORDS,)


def test_a_video_without_sound_needs_no_model(tmp_path: Path, settings: Settings) -> None:
    path = write_video(tmp_path / "mute.mp4", lambda i: np.full((90, 160, 3), i % 250, np.uint8), 50)
    absent = replace(settings, speech_model="/nowhere")
    assert hear(path, clips((0, 2)), absent) == Spoken((), (NO_SOUND,))
    assert NO_SOUND in make_reel(path, absent, tmp_path / "out").plan.warnings


def test_a_language_can_be_given(talking: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import faster_whisper

    seen: list[tuple[str | None, str]] = []
    real = faster_whisper.WhisperModel.transcribe

    def watch(self, samples, language=None, **options):  # type: ignore[no-untyped-def]
        segments, info = real(self, samples, language=language, **options)
        seen.append((language, info.language))
        return segments, info

    monkeypatch.setattr(faster_whisper.WhisperModel, "transcribe", watch)
    hear(talking, clips((9, 12)), settings)
    hear(talking, clips((9, 12)), replace(settings, speech_language="de"))
    assert seen == [(None, "en"), ("de", "de")]


def test_overlapping_clips_say_no_word_twice() -> None:
    chosen = clips((4, 9), (0, 5), (20, 22), (9, 10), (20, 22))
    assert stretches(chosen) == (Interval(0, 9), Interval(9, 10), Interval(20, 22))
    assert pieces(chosen) == (Interval(0, 4), Interval(4, 5), Interval(5, 9), Interval(9, 10), Interval(20, 22))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Interval]]:
    """The stretches that are listened to from here on."""
    heard: list[Interval] = []
    real = pipeline.speech._words_in

    def count(video: VideoInfo, part: Interval, *rest: object) -> tuple[Word, ...]:
        heard.append(part)
        return real(video, part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline.speech, "_words_in", count)
    yield heard


def plan_of(path: Path, chosen: Sequence[Clip], settings: Settings) -> Plan:
    """A plan as a person would write it."""
    return Plan(PlanVideo(str(path)), tuple(chosen), settings.to_json())


def test_a_render_listens_to_new_clips_only(tmp_path: Path, talking: Path, settings: Settings,
                                            made: list[Interval]) -> None:
    seen: list[Progress] = []
    plan = plan_of(talking, clips((8.123456789, 11), (13, 16)), settings)
    render(plan, tmp_path / "a", settings, report=seen.append)
    assert [round(part.start_s) for part in made] == [8, 13]
    fractions = [event.fraction for event in seen if event.stage == "speech" and event.fraction is not None]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    written = read_plan(tmp_path / "a" / "talk" / "plan.json")
    assert "speech" in written.timings_s and NO_WORDS not in written.warnings
    made.clear()
    render(replace(written, clips=(*written.clips, *clips((16, 18)))), tmp_path / "b", settings)
    assert made == [Interval(16, 18)]
    made.clear()
    render(written, tmp_path / "b", replace(settings, speech_language="de"))
    assert len(made) == 2


def test_torn_words_are_heard_again(tmp_path: Path, talking: Path, settings: Settings, made: list[Interval]) -> None:
    plan = plan_of(talking, clips((9, 12)), settings)
    render(plan, tmp_path / "a", settings)
    (kept,) = settings.cache_dir.glob("speech/*/words.json")
    words = kept.read_text()
    for torn in ("", "[[1]]", "{}x"):
        kept.write_text(torn)
        made.clear()
        render(plan, tmp_path / "a", settings)
        assert len(made) == 1 and kept.read_text() == words


def test_what_an_earlier_render_said_is_not_said_for_ever(tmp_path: Path, talking: Path, settings: Settings) -> None:
    reel = render(plan_of(talking, clips((0, 3)), settings), tmp_path / "a", settings)
    silent_plan = read_plan(tmp_path / "a" / "talk" / "plan.json")
    assert NO_WORDS in silent_plan.warnings and NO_WORDS in reel.warnings
    render(replace(silent_plan, clips=tuple(clips((9, 13)))), tmp_path / "b", settings)
    assert NO_WORDS not in read_plan(tmp_path / "b" / "talk" / "plan.json").warnings


def test_the_words_reach_the_picture_and_the_exports(tmp_path: Path, talking: Path, settings: Settings,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    orders, materials = [], []
    render_reel, export = pipeline.runner.render_reel, pipeline.runner.export
    monkeypatch.setattr(pipeline.runner, "render_reel", lambda order, *rest: orders.append(order) or render_reel(
        order, *rest))
    monkeypatch.setattr(pipeline.runner, "export", lambda names, material, *rest: materials.append(material) or export(
        names, material, *rest))
    render(plan_of(talking, clips((9, 13)), settings), tmp_path / "a", settings)
    assert orders[0].captions == materials[0].captions and orders[0].captions
    assert set(" ".join(caption.text for caption in orders[0].captions).split()) <= set(SAID)


@pytest.mark.parametrize("message", ["loading Whisper", "listening to clip 2"])
def test_cancelling(tmp_path: Path, talking: Path, settings: Settings, message: str,
                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline.speech.model, "_loaded", {})
    token = CancelToken()

    def report(event: Progress) -> None:
        if event.message.startswith(message):
            token.cancel()

    plan = plan_of(talking, clips((9, 12), (13, 16)), settings)
    with pytest.raises(Cancelled):
        render(plan, tmp_path / "out", settings, report=report, cancel=token)
    assert not [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert not [p for p in settings.cache_dir.rglob("*") if p.name.startswith(".")]


def test_a_model_that_can_not_be_had_is_told_before_the_scan(tmp_path: Path, talking: Path,
                                                             settings: Settings) -> None:
    seen: list[Progress] = []
    with pytest.raises(ModelError, match="small: this Whisper model is not on this machine"):
        make_reel(talking, replace(settings, speech_model=None), tmp_path / "out", report=seen.append)
    assert "scan" not in {event.stage for event in seen}


def test_the_command_line(tmp_path: Path, talking: Path, whisper: Path) -> None:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "app", *map(str, arguments)], cwd=ROOT, capture_output=True,
                              text=True, timeout=120)

    done = run("reel", talking, "-o", tmp_path / "a", "--target", "8", "--scorer", "signals", "--captions", "speech",
               "--speech-model", whisper, "--speech-language", "en", "--cache-dir", tmp_path / "cache")
    assert done.returncode == 0 and done.stderr == ""
    plan = tmp_path / "a" / "talk" / "plan.json"
    document = json.loads(plan.read_text())
    assert document["settings"]["speech_model"] == str(whisper) and document["timings_s"]["speech"] > 0
    document["clips"] = [{"start_s": 1, "end_s": 3}]
    plan.write_text(json.dumps(document))
    done = run("render", plan, "-o", tmp_path / "b", "--cache-dir", tmp_path / "cache")
    assert done.returncode == 0 and done.stderr == f"smolreel: talk.mp4: note: {NO_WORDS}\n"
