"""Finds a model on this machine, or fetches it from the Hugging Face hub.

`HF_HOME`, `HF_HUB_CACHE` and `HF_HUB_OFFLINE` mean what they always mean. A model that is already here costs no network
call, and only safetensors are ever fetched, since other weights can carry code.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.media.files import users_path
from pipeline.progress import CancelToken, Progress, Report
from pipeline.waiting import attend

_WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt")
_NETWORK_TIMEOUT_S = 15
_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Found:
    """A model that lies whole on this machine.

    name: as the user named it, or the default's id
    folder: where its files are
    revision: commit of the hub, or a digest of a local folder's files
    """

    name: str
    folder: Path
    revision: str


def find(name: str, report: Report, cancel: CancelToken) -> Found:
    """The model called `name`, a local folder or a hub id, fetched if it isn't here.

    Raises ModelError with one line on what is wrong and what to do; Cancelled.
    """
    folder = users_path(name)
    # Other than a path's own method, this takes a name that is too long for one that isn't there.
    if os.path.isdir(folder):
        _check_folder(folder, name)
        return Found(name, folder, _fingerprint(folder))
    if os.path.exists(folder) or folder.is_absolute() or name.startswith(("./", "../", "~", ".\\", "..\\")):
        raise ModelError("is no folder; give a folder that holds a SmolVLM2 model, or its id on the hub", name)
    folder = _cached(name) or _fetch(name, report, cancel)
    _check_folder(folder, name)
    return Found(name, folder, folder.name)


def _check_folder(folder: Path, name: str) -> None:
    """Raise ModelError for a folder that holds no whole SmolVLM model."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError("holds no config.json; give a folder that holds a SmolVLM2 model", name)
    try:
        config = json.loads(path.read_bytes())
        kind = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("its config.json can't be read; fetch the model again", name) from error
    if kind != "smolvlm":
        raise ModelError(f"is a {kind} model; SmolReel reads SmolVLM2 models, whose type is smolvlm", name)
    missing = _missing(folder)
    if missing:
        raise ModelError(f"{missing} is missing; fetch the model again", name)


def _missing(folder: Path) -> str | None:
    """What a model's folder lacks to be whole, in words; None where it lacks nothing."""
    if not (folder / "tokenizer.json").is_file():
        return "tokenizer.json"
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return None if (folder / "model.safetensors").is_file() else "model.safetensors"
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError):
        return "a readable model.safetensors.index.json"
    return next((shard for shard in sorted(shards) if not (folder / shard).is_file()), None)


def _fingerprint(folder: Path) -> str:
    """A digest that changes with the model: of its config and of each weight file's size and both ends."""
    state = hashlib.sha256((folder / "config.json").read_bytes())
    for path in [folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]:
        size = path.stat().st_size
        with path.open("rb") as file:
            state.update(f"{path.name} {size}".encode() + file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            state.update(file.read())
    return state.hexdigest()[:16]


def _cached(name: str) -> Path | None:
    """Where the hub's cache has the model whole; None where it hasn't. Makes no network call."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_WANTED), local_files_only=True))
    except HFValidationError as error:
        raise ModelError("is neither a folder nor a model's id, such as HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
                         name) from error
    except LocalEntryNotFoundError:
        return None
    whole = (folder / "config.json").is_file() and _missing(folder) is None
    return folder if whole else None


def _fetch(name: str, report: Report, cancel: CancelToken) -> Path:
    """Downloads what is missing and returns the folder. Progress is reported on the calling thread."""
    from huggingface_hub import hf_hub_download, is_offline_mode

    if is_offline_mode():
        raise ModelError("is not, or not wholly, on this machine and HF_HUB_OFFLINE forbids to fetch it; unset it "
                         "once, or give a model's folder", name)
    files = attend(lambda _: _list_files(name), lambda: None, cancel, leave=True)
    total = sum(size for _, size in files)
    counter = _Counter(cancel)
    arrived: list[Path] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            for file, _ in files:
                path = hf_hub_download(name, file, tqdm_class=counter.bar(), etag_timeout=_NETWORK_TIMEOUT_S)
                arrived.append(Path(path))
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="fetch model", daemon=True)
    thread.start()
    short = name.rsplit("/", 1)[-1]
    while thread.is_alive():
        cancel.check()
        done = min(counter.bytes, total)
        report(Progress("score", done / total if total else None,
                        f"fetching {short}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"))
        thread.join(_POLL_S)
    cancel.check()
    if failures:
        raise _explained(name, failures[0]) from failures[0]
    return next(path.parent for path in arrived if path.name == "config.json")


def _list_files(name: str) -> Sequence[tuple[str, int]]:
    """Names and sizes in bytes of the files to fetch, config first."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name, files_metadata=True, timeout=_NETWORK_TIMEOUT_S)
    except Exception as error:
        raise _explained(name, error) from error
    files = [(file.rfilename, file.size or 0) for file in info.siblings or ()
             if "/" not in file.rfilename and any(fnmatch(file.rfilename, pattern) for pattern in _WANTED)]
    names = {file for file, _ in files}
    if "config.json" not in names or not any(file.endswith(".safetensors") for file in names):
        raise ModelError("has no config or no safetensors weights on the hub; choose a SmolVLM2 model", name)
    return sorted(files, key=lambda file: file[1])


def _explained(name: str, error: Exception) -> ModelError:
    """The hub's errors in one line; what isn't the hub's own is the network's."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, ModelError):
        return error
    if isinstance(error, GatedRepoError):
        return ModelError("asks for its terms to be accepted on the hub; do so, then run `hf auth login`", name)
    if isinstance(error, RepositoryNotFoundError):
        return ModelError("is no model on the hub that may be read; check its spelling, or give a folder", name)
    if isinstance(error, HfHubHTTPError):
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return ModelError(f"can't be fetched, the hub says: {first}; try again later", name)
    if isinstance(error, OSError) and error.errno is not None and getattr(error, "filename", None):
        return ModelError(f"can't be kept on this machine: {error.strerror}", name)
    return ModelError("is not, or not wholly, on this machine and the hub can't be reached; connect to the network "
                      "once, or give a model's folder", name)


class _Counter:
    """Counts the bytes that arrive, on whichever threads they do, and stops the download when asked to."""

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._files: list[list[Any]] = []

    @property
    def bytes(self) -> int:
        """Of all files so far. Of a file's bars, what arrived and what is written, the further one counts."""
        return sum(max((int(bar.n) for bar in bars), default=0) for bars in self._files)

    def bar(self) -> Any:
        """A progress bar class for one more file, as the hub's client wants one, that shows nothing."""
        from tqdm import tqdm

        cancel = self._cancel
        bars: list[Any] = []
        self._files.append(bars)

        class Silent(tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **{**kwargs, "disable": True})
                bars.append(self)

            def update(self, n: float | None = 1) -> bool | None:
                cancel.check()
                self.n += n or 0
                return None

        return Silent
