"""Finds, fetches and loads a Whisper model: the one seam to faster-whisper and CTranslate2."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import ModelError
from pipeline.media.files import users_path
from pipeline.progress import CancelToken, Progress, Report
from pipeline.types import Word
from pipeline.waiting import attend

# Good at the languages most spoken, and as fast as speech on two cores.
DEFAULT = "small"
SAMPLE_RATE = 16_000

_SIZES = "a size such as tiny, base, small, medium, large-v3 or turbo"
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_ENDS_BYTES = 1 << 20
# Words said within half a second of each other are one stretch; the library's two seconds blur when they are said.
_PAUSE_MS = 500
# A model that fell into a loop would go on for twice as many.
_MAX_TOKENS = 224

_loaded: dict[tuple[str, str, str], Any] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Found:
    """A Whisper model that lies whole on this machine.

    name: as the user named it, or the default's name
    folder: where its files are
    revision: commit of the hub, or a digest of a local folder's files
    """

    name: str
    folder: Path
    revision: str


def find(name: str | None, report: Report, cancel: CancelToken) -> Found:
    """The model called `name`: a size such as "small", a hub id or a folder; fetched once if it isn't here.

    Raises ModelError with one line on what is wrong and what to do; Cancelled.
    """
    library = _library()
    name = name or DEFAULT
    if name not in library.available_models():
        folder = users_path(name)
        # Other than a path's own methods, these take a name that is too long for one that isn't there.
        if os.path.isdir(folder):
            return _whole(name, folder, local=True)
        if os.path.exists(folder) or folder.is_absolute() or name.startswith((".", "~")) or "/" not in name:
            raise ModelError(f"is neither a folder with a Whisper model nor {_SIZES}", name)
    folder = _cached(library, name) or _fetch(library, name, report, cancel)
    return _whole(name, folder, local=False)


def load(found: Found, wanted_device: str, report: Report, cancel: CancelToken) -> Any:
    """The model as faster_whisper.WhisperModel, the same object for every run of this process.

    wanted_device: "auto", "cpu", "cuda" or "mps"; CTranslate2 doesn't know the last, which takes the CPU

    Raises ModelError with one line on what is wrong and what to do; Cancelled.
    """
    devices = _devices(wanted_device)
    keys = {device: (str(found.folder.resolve()), found.revision, device) for device in devices}
    with _lock:
        # On whichever it is already: a GPU that could not be used isn't tried again for every clip.
        for key in keys.values():
            if key in _loaded:
                return _loaded[key]
    for device in devices:
        event = Progress("speech", None, f"loading Whisper {_short(found)} on {device}")
        try:
            model = attend(partial(_load, found, device), partial(report, event), cancel)
        except ModelError:
            # A GPU that is there but can't be used, for want of its libraries or of memory, is done without.
            if device == devices[-1]:
                raise
            continue
        with _lock:
            return _loaded.setdefault(keys[device], model)
    raise AssertionError("there is always a device")


def has_speech(samples: npt.NDArray[np.float32]) -> bool:
    """Whether anybody speaks, (n,) samples at SAMPLE_RATE, by Silero's detector, which needs no weights of ours."""
    from faster_whisper.vad import get_speech_timestamps

    return bool(get_speech_timestamps(samples, _vad_options()))


def hear(model: Any, found: Found, samples: npt.NDArray[np.float32], language: str | None,
         tell: Callable[[float], object], cancel: CancelToken) -> tuple[Word, ...]:
    """The words that are spoken, in seconds from the first sample.

    model: from `load`
    samples: (n,) at SAMPLE_RATE
    language: None to detect it
    tell: called on this thread with the share that is done, 0 to 1

    Raises ModelError, Cancelled.
    """
    if language is not None and language not in model.supported_languages:
        raise ModelError(f"knows no {language}; choose a model for many languages, such as {DEFAULT}", found.name)
    duration_s = len(samples) / SAMPLE_RATE
    words: list[Word] = []
    done = [0.0]

    def listen(stop: threading.Event) -> None:
        # Clips don't follow from each other, and text before makes small models repeat themselves.
        segments, _ = model.transcribe(
            samples, language=language, word_timestamps=True, condition_on_previous_text=False,
            max_new_tokens=_MAX_TOKENS, vad_filter=True, vad_parameters=_vad_options())
        # Each is decoded when it is asked for.
        for segment in segments:
            words.extend(Word(float(word.start), float(word.end), str(word.word)) for word in segment.words or ())
            done[0] = min(1.0, float(segment.end) / duration_s)
            if stop.is_set():
                return

    def work(stop: threading.Event) -> None:
        try:
            listen(stop)
        except Exception as error:
            raise ModelError(f"failed while listening ({_first_line(error)}); choose a smaller model, or --device cpu",
                             found.name) from error

    attend(work, lambda: tell(done[0]), cancel)
    return tuple(words)


def _library() -> Any:
    """faster-whisper, which takes a second to load."""
    import faster_whisper

    return faster_whisper


def _vad_options() -> Any:
    from faster_whisper.vad import VadOptions

    return VadOptions(min_silence_duration_ms=_PAUSE_MS)


def _short(found: Found) -> str:
    return found.name.rstrip("/").rsplit("/", 1)[-1]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _whole(name: str, folder: Path, *, local: bool) -> Found:
    """The model in `folder`; ModelError where it lacks a file."""
    missing = _missing(folder)
    if missing and local:
        raise ModelError(f"holds no {missing}; give a folder with a Whisper model in CTranslate2's format, such as "
                         "those that Systran keeps on the hub", name)
    if missing:
        raise ModelError(f"its {missing} is missing; choose a model in CTranslate2's format", name)
    return Found(name, folder, _digest(folder) if local else folder.name)


def _missing(folder: Path) -> str | None:
    """The first file that a model's folder lacks to be whole; without a tokenizer the library would fetch one."""
    if not any(folder.glob("vocabulary.*")):
        return "vocabulary.json"
    return next((name for name in _NEEDED if not (folder / name).is_file()), None)


def _digest(folder: Path) -> str:
    """Changes with the model: of its files' sizes and both ends."""
    state = hashlib.sha256()
    for name in _NEEDED:
        size = (folder / name).stat().st_size
        with (folder / name).open("rb") as file:
            state.update(f"{name} {size}".encode() + file.read(_ENDS_BYTES))
            file.seek(max(0, size - _ENDS_BYTES))
            state.update(file.read())
    return state.hexdigest()[:16]


def _cached(library: Any, name: str) -> Path | None:
    """Where the hub's cache has the model whole; None where it hasn't. Makes no network call."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(library.download_model(name, local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f"is neither a folder, nor a model's id on the hub, nor {_SIZES}", name) from error
    except LocalEntryNotFoundError:
        return None
    return folder if _missing(folder) is None else None


def _fetch(library: Any, name: str, report: Report, cancel: CancelToken) -> Path:
    """Downloads what is missing and returns the folder."""
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise ModelError("this Whisper model is not on this machine and HF_HUB_OFFLINE forbids to fetch it; unset it "
                         "once, or give a model's folder with --speech-model", name)
    def work(_: threading.Event) -> Path:
        try:
            return Path(library.download_model(name))
        except Exception as error:
            raise _unfetched(name, error) from error

    # The rest of a download that is given up lies in the hub's cache, where the next one goes on from it.
    return attend(work, partial(report, Progress("speech", None, f"fetching Whisper {name}, once")), cancel, leave=True)


def _unfetched(name: str, error: Exception) -> ModelError:
    """The hub's errors in one line; what isn't the hub's own is the network's."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelError("asks for its terms to be accepted on the hub; do so, then run `hf auth login`", name)
    if isinstance(error, RepositoryNotFoundError):
        return ModelError("is no model on the hub that may be read; check its spelling, or give a folder", name)
    if isinstance(error, HfHubHTTPError):
        return ModelError(f"can't be fetched, the hub says: {_first_line(error)}; try again later", name)
    if isinstance(error, OSError) and error.errno is not None and getattr(error, "filename", None):
        return ModelError(f"can't be kept on this machine: {error.strerror}", name)
    return ModelError("this Whisper model is not on this machine and the hub can't be reached; connect to the network "
                      "once, or give a model's folder with --speech-model", name)


def _devices(wanted: str) -> Sequence[str]:
    """CTranslate2's devices to try, best first."""
    import ctranslate2

    if wanted not in ("auto", "cuda"):
        return ("cpu",)
    if ctranslate2.get_cuda_device_count() == 0:
        if wanted == "cuda":
            raise ModelError("CTranslate2, which runs Whisper, finds no cuda device here; use auto or cpu", "device")
        return ("cpu",)
    return ("cuda",) if wanted == "cuda" else ("cuda", "cpu")


def _compute_type(device: str) -> str:
    """The number format that the device computes fastest in without losing words."""
    import ctranslate2

    best = {"cuda": "float16", "cpu": "int8"}[device]
    return best if best in ctranslate2.get_supported_compute_types(device) else "float32"


def _load(found: Found, device: str, _: threading.Event) -> Any:
    try:
        model = _library().WhisperModel(str(found.folder), device=device, compute_type=_compute_type(device),
                                        local_files_only=True)
        if device == "cuda":
            # CUDA's libraries are looked for when they are first used, which shall be now.
            model.encode(model.feature_extractor(np.zeros(SAMPLE_RATE, np.float32)))
    except Exception as error:
        # Whatever a damaged file makes the libraries raise, for which they have no class of their own.
        if device == "cuda":
            raise ModelError(f"can't be used on cuda ({_first_line(error)}); use --device cpu", found.name) from error
        raise ModelError(f"can't be loaded ({_first_line(error)}); fetch it again, or choose another model",
                         found.name) from error
    return model
