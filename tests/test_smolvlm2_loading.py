"""Loading: what is on this machine, what can be fetched, and one clear line for each thing that can be wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors

from pipeline.errors import Cancelled, ModelError
from pipeline.progress import CancelToken, Progress, silent
from pipeline.scorers.smolvlm2 import hub, loading
from tests.smolvlm2_support import TINY, tiny

NAME = "some/SmolVLM"


def fails(name: str) -> str:
    """The line that loading `name` ends in."""
    with pytest.raises(ModelError) as caught:
        loading.load(name, "cpu", silent, CancelToken(), dtype="float32")
    line = str(caught.value)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line
    return line


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A model folder that may be damaged."""
    return Path(shutil.copytree(TINY, tmp_path / "model"))


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has no model."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: True)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client as it is when there is no network."""
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("[Errno -2] Name or service not known")

    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)


def in_cache(cache: Path, files: list[str]) -> Path:
    """The tiny model as the hub's cache keeps one, with these files only."""
    folder = cache / "models--some--SmolVLM"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    for file in files:
        shutil.copy(TINY / file, snapshot / file)
    return snapshot


ALL = [path.name for path in TINY.iterdir()]


def test_a_local_folder_loads_and_says_what_it_is() -> None:
    loaded = tiny()
    assert type(loaded.model).__name__ == "SmolVLMForConditionalGeneration"
    assert (loaded.device, loaded.dtype) == ("cpu", "float32")
    assert loaded.revision == hub._fingerprint(TINY)
    assert not loaded.model.training


def test_a_model_is_loaded_once_for_each_process() -> None:
    assert loading.load(str(TINY), "cpu", silent, CancelToken(), dtype="float32") is tiny()


def test_the_revision_of_a_folder_changes_with_its_files(copy: Path) -> None:
    before = hub._fingerprint(copy)
    assert before == hub._fingerprint(TINY)
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert hub._fingerprint(copy) != before


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    check = ("import sys, pipeline.scorers.smolvlm2.scorer as s; "
             "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'tokenizers') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_folder_without_a_config(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert "holds no config.json" in fails(str(copy))


def test_a_config_that_is_no_json(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    assert "config.json can't be read" in fails(str(copy))


def test_another_architecture(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "llava"}))
    assert "is a llava model" in fails(str(copy))


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing(copy: Path, file: str) -> None:
    (copy / file).unlink()
    assert f"{file} is missing" in fails(str(copy))


def test_a_shard_that_is_missing(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-1-of-2.safetensors")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-2-of-2.safetensors is missing" in fails(str(copy))


def test_weights_that_are_cut_off(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "can't be loaded" in fails(str(copy))


def test_weights_of_another_model(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights.pop(next(name for name in weights if "connector" in name))
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "weights don't fit its config.json" in fails(str(copy))


def test_pickled_weights_are_never_read(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({}, copy / "pytorch_model.bin")
    assert "model.safetensors is missing" in fails(str(copy))


def test_a_tokenizer_of_another_model(copy: Path) -> None:
    path = copy / "tokenizer.json"
    path.write_text(path.read_text().replace("<global-img>", "<other>"))
    assert "tokenizer has no <global-img>" in fails(str(copy))


def test_a_config_with_another_image_token(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["image_token_id"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    assert "disagree on the image token" in fails(str(copy))


def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    assert "is no folder" in fails(str(tmp_path / "absent"))
    assert "is no folder" in fails("./absent")
    (tmp_path / "file").write_text("")
    assert "is no folder" in fails(str(tmp_path / "file"))


@pytest.mark.usefixtures("empty_cache", "unreachable")
def test_a_name_that_can_be_no_models() -> None:
    assert "neither a folder nor a model's id" in fails("what is this?")


@pytest.mark.usefixtures("empty_cache", "offline")
def test_offline_by_wish() -> None:
    assert "HF_HUB_OFFLINE" in fails(NAME)


@pytest.mark.usefixtures("empty_cache", "unreachable")
def test_no_network() -> None:
    assert "the hub can't be reached; connect" in fails(NAME)


@pytest.mark.usefixtures("unreachable")
def test_a_half_downloaded_cache(empty_cache: Path) -> None:
    in_cache(empty_cache, ["config.json", "tokenizer.json"])
    assert "not wholly, on this machine" in fails(NAME)


@pytest.mark.usefixtures("unreachable")
def test_a_cached_model_needs_no_network(empty_cache: Path) -> None:
    snapshot = in_cache(empty_cache, ALL)
    found = hub.find(NAME, silent, CancelToken())
    assert (found.folder, found.revision) == (snapshot, "a" * 40)
    assert loading.load(NAME, "cpu", silent, CancelToken(), dtype="float32").revision == "a" * 40


def response(status: int) -> Any:
    """What the hub's errors want to be told of."""
    return SimpleNamespace(status_code=status, headers={}, request=None, url="https://huggingface.co")


@pytest.mark.parametrize(("error", "words"), [
    (lambda: errors.RepositoryNotFoundError("404", response=response(404)), "is no model on the hub"),
    (lambda: errors.GatedRepoError("403", response=response(403)), "terms"),
    (lambda: errors.HfHubHTTPError("500 Server Error\nmore", response=response(500)), "500 Server Error; try again"),
    (lambda: OSError(28, "No space left on device", "/x"), "No space left")])
@pytest.mark.usefixtures("empty_cache")
def test_what_the_hub_may_say(monkeypatch: pytest.MonkeyPatch, error: Any, words: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error()

    monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", fail)
    assert words in fails(NAME)


class Hub:
    """A hub that holds the tiny model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, snapshot: Path, files: list[str]) -> None:
        self.snapshot, self.files, self.threads = snapshot, files, set[int]()
        self.gate = threading.Event()
        monkeypatch.setattr(huggingface_hub, "is_offline_mode", lambda: False)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", self.info)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)
        monkeypatch.setattr(hub, "_POLL_S", 0.001)

    def info(self, *_: Any, **__: Any) -> Any:
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name, size=(TINY / name).stat().st_size)
                                         for name in self.files] + [SimpleNamespace(rfilename="README.md", size=9)])

    def download(self, name: str, file: str, tqdm_class: Any, **_: Any) -> str:
        self.threads.add(threading.get_ident())
        size = (TINY / file).stat().st_size
        with tqdm_class(total=size, initial=0) as arriving, tqdm_class(total=size) as writing:
            arriving.update(size // 2)
            self.gate.wait(5)
            arriving.update(size - size // 2)
            writing.update(size)
        self.snapshot.mkdir(parents=True, exist_ok=True)
        shutil.copy(TINY / file, self.snapshot / file)
        return str(self.snapshot / file)


def test_a_download_shows_how_far_it_is_on_the_callers_thread(
        monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    there = Hub(monkeypatch, empty_cache / ("b" * 40), ALL)
    seen: list[tuple[int, Progress]] = []

    def report(progress: Progress) -> None:
        seen.append((threading.get_ident(), progress))
        there.gate.set()

    assert hub.find(NAME, report, CancelToken()).revision == "b" * 40
    assert {thread for thread, _ in seen} == {threading.get_ident()}
    assert threading.get_ident() not in there.threads
    fractions = [progress.fraction for _, progress in seen]
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    assert all(fraction is not None and 0 <= fraction <= 1 for fraction in fractions)
    assert "fetching SmolVLM" in seen[0][1].message
    assert not (there.snapshot / "README.md").exists()


def test_a_download_can_be_cancelled(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    there = Hub(monkeypatch, empty_cache / ("b" * 40), ALL)
    token = CancelToken()
    with pytest.raises(Cancelled):
        hub.find(NAME, lambda _: token.cancel(), token)
    there.gate.set()


def test_a_model_without_safetensors_on_the_hub(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    Hub(monkeypatch, empty_cache / ("b" * 40), ["config.json", "tokenizer.json"])
    assert "no safetensors weights" in fails(NAME)


def test_a_device_that_is_not_there() -> None:
    if torch.cuda.is_available():
        assert loading.choose_device("cuda") == "cuda"
    else:
        with pytest.raises(ModelError, match="no cuda device here"):
            loading.choose_device("cuda")
    assert loading.choose_device("cpu") == "cpu"


@pytest.mark.parametrize(("memory_gb", "expected"), [(6, loading.MIDDLE), (8, loading.MIDDLE), (12, loading.LARGE)])
def test_the_default_model_fits_the_device(monkeypatch: pytest.MonkeyPatch, memory_gb: int, expected: str) -> None:
    properties = SimpleNamespace(total_memory=memory_gb * 1024**3)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert loading.default_model("cuda") == expected
    assert loading.default_model("mps") == loading.MIDDLE
    assert loading.default_model("cpu") == loading.SMALL


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_the_number_format_fits_the_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int],
                                        expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert loading.choose_dtype("cuda") == expected


def test_too_little_memory_is_said_before_it_runs_out(monkeypatch: pytest.MonkeyPatch, copy: Path) -> None:
    monkeypatch.setattr(loading, "free_ram_bytes", lambda: 1000)
    assert "too little memory on cpu; use a smaller model" in fails(str(copy))
