"""Whisper models: where they are found, what is said where they can't be had, and how they are stopped."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import faster_whisper
import numpy as np
import pytest

from pipeline.errors import Cancelled, ModelError, SettingsError
from pipeline.progress import CancelToken, Progress, silent
from pipeline.settings import SPEECH_LANGUAGES, Settings
from pipeline.speech import model
from pipeline.waiting import attend


def refused(name: str | None) -> str:
    """The line that is said."""
    with pytest.raises(ModelError) as caught:
        model.find(name, silent, CancelToken())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_known_by_its_content(whisper: Path, tmp_path: Path) -> None:
    found = model.find(str(whisper), silent, CancelToken())
    copy = shutil.copytree(whisper, tmp_path / "copy")
    assert model.find(str(copy), silent, CancelToken()).revision == found.revision
    data = bytearray((copy / "model.bin").read_bytes())
    data[-1] ^= 1
    (copy / "model.bin").write_bytes(data)
    assert model.find(str(copy), silent, CancelToken()).revision != found.revision


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json", "vocabulary.json"])
def test_a_folder_that_lacks_a_file(whisper: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(whisper, tmp_path / "copy")
    (copy / name).unlink()
    assert f"holds no {name}" in refused(str(copy))


@pytest.mark.parametrize("name", ["./gone", "/gone", "huge", "~/gone", "a/b/c"])
def test_names_of_nothing(name: str) -> None:
    assert name in refused(name) and "small" in refused(name)


def test_a_file_is_no_folder(whisper: Path) -> None:
    assert "neither a folder" in refused(str(whisper / "model.bin"))


def test_offline_and_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "HF_HUB_OFFLINE" in refused(None) and "a/model" in refused("a/model")
    seen: list[bool] = []
    real = faster_whisper.download_model

    def no_network(name: str, local_files_only: bool = False) -> str:
        seen.append(local_files_only)
        if local_files_only:
            return str(real(name, local_files_only=True))
        raise ConnectionError("no route to host")

    monkeypatch.setattr(faster_whisper, "download_model", no_network)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    assert "connect to the network once, or give a model's folder" in refused("tiny") and seen == [True, False]


def test_a_model_in_the_hubs_cache_is_not_fetched(
        whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "models--Systran--faster-whisper-small"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0123abcd")
    shutil.copytree(whisper, place / "snapshots" / "0123abcd")
    real = faster_whisper.download_model
    monkeypatch.setattr(faster_whisper, "download_model",
                        lambda name, local_files_only: real(name, local_files_only=local_files_only,
                                                            cache_dir=str(tmp_path)))
    found = model.find(None, silent, CancelToken())
    assert (found.name, found.revision) == ("small", "0123abcd")
    (place / "snapshots" / "0123abcd" / "model.bin").unlink()
    assert "HF_HUB_OFFLINE" in refused(None)


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json"])
def test_a_damaged_model(whisper: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(whisper, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:100])
    found = model.find(str(copy), silent, CancelToken())
    with pytest.raises(ModelError, match="can't be loaded") as caught:
        model.load(found, "cpu", silent, CancelToken())
    assert "\n" not in str(caught.value)


def test_a_model_is_loaded_once(whisper: Path) -> None:
    found = model.find(str(whisper), silent, CancelToken())
    one = model.load(found, "cpu", silent, CancelToken())
    assert model.load(found, "mps", silent, CancelToken()) is one
    assert one.model.compute_type.startswith("int8") and one.model.device == "cpu"


def test_a_gpu_that_can_not_be_used_is_done_without(whisper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver is there but not the rest: this machine's CTranslate2 says so itself."""
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU here")
    found = model.find(str(whisper), silent, CancelToken())
    with pytest.raises(ModelError, match="finds no cuda device"):
        model.load(found, "cuda", silent, CancelToken())
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(model, "_loaded", {})
    assert model.load(found, "auto", silent, CancelToken()).model.device == "cpu"
    with pytest.raises(ModelError, match="can't be used on cuda"):
        model.load(found, "cuda", silent, CancelToken())


def test_languages_are_those_of_the_library() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert sorted(SPEECH_LANGUAGES) == sorted(_LANGUAGE_CODES)
    with pytest.raises(SettingsError, match="'english' is no language code"):
        Settings(speech_language="english")


def test_a_voice_is_told_from_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * model.SAMPLE_RATE).astype(np.float32)
    assert not model.has_speech(noise) and not model.has_speech(np.zeros(100, np.float32))


def test_what_can_not_be_interrupted_is_left_behind() -> None:
    token, release, stopped = CancelToken(), threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        release.wait(30)
        assert stop.is_set()
        stopped.set()

    with pytest.raises(Cancelled):
        attend(work, token.cancel, token)
    release.set()
    assert stopped.wait(30)


def test_what_work_returns_and_raises() -> None:
    told: list[int] = []
    assert attend(lambda _: 3, lambda: told.append(threading.get_ident()), CancelToken()) == 3
    assert set(told) <= {threading.get_ident()}
    with pytest.raises(KeyError):
        attend(lambda _: {}["x"], lambda: None, CancelToken())


def test_fetching_can_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    release, token = threading.Event(), CancelToken()

    def slow(name: str, local_files_only: bool = False) -> str:
        from huggingface_hub.errors import LocalEntryNotFoundError

        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        release.wait(30)
        return name

    def report(event: Progress) -> None:
        assert event.stage == "speech" and "fetching Whisper small" in event.message
        token.cancel()

    monkeypatch.setattr(faster_whisper, "download_model", slow)
    monkeypatch.setattr("huggingface_hub.is_offline_mode", lambda: False)
    with pytest.raises(Cancelled):
        model.find("small", report, token)
    release.set()
