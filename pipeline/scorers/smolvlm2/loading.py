"""Loads a SmolVLM2 model onto a device, once for each process."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.cores import free_ram_bytes
from pipeline.errors import ModelError
from pipeline.progress import CancelToken, Progress, Report
from pipeline.scorers.smolvlm2 import prompt
from pipeline.scorers.smolvlm2.hub import Found, find
from pipeline.waiting import attend

SMALL = "HuggingFaceTB/SmolVLM2-256M-Video-Instruct"
MIDDLE = "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"
LARGE = "HuggingFaceTB/SmolVLM2-2.2B-Instruct"

# The 2.2B model takes 5.2 GB for one video; batches and the desktop want the rest.
_ROOM_FOR_LARGE_BYTES = 9 * 1024**3

_loaded: dict[tuple[str, str, str, str], Loaded] = {}
_lock = threading.Lock()
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that is ready to use.

    model: a SmolVLMForConditionalGeneration in evaluation mode
    tokenizer: its tokenizer
    name, revision: of the model, for plans and caches
    device: "cpu", "cuda" or "mps"
    dtype: "bfloat16", "float16" or "float32"
    busy: held by the run that uses it
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str
    device: str
    dtype: str
    busy: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @contextlib.contextmanager
    def held(self, report: Report, cancel: CancelToken) -> Iterator[None]:
        """Have the model alone while the block lasts: two batches at once take twice the memory and save no time.

        Raises Cancelled, also while it waits for others.
        """
        while not self.busy.acquire(timeout=_POLL_S):
            cancel.check()
            report(Progress("score", None, "waiting for another run that uses the model"))
        try:
            yield
        finally:
            self.busy.release()


def choose_device(wanted: str) -> str:
    """The device to use where the user wants "auto", "cpu", "cuda" or "mps"; ModelError where it isn't there."""
    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, there in usable.items() if there)
    if not usable[wanted]:
        raise ModelError(f"PyTorch finds no {wanted} device here; use auto or cpu", "device")
    return wanted


def choose_dtype(device: str) -> str:
    """The number format that the device computes fastest in without losing answers."""
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float16"
    if device == "mps":
        return "bfloat16" if torch.backends.mps.is_macos_or_newer(14, 0) else "float32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if has_bf16 else "float32"


def default_model(device: str) -> str:
    """The largest model that is pleasant on the device."""
    import torch

    if device == "cuda":
        return LARGE if torch.cuda.get_device_properties(0).total_memory >= _ROOM_FOR_LARGE_BYTES else MIDDLE
    return MIDDLE if device == "mps" else SMALL


def locate(name: str | None, wanted_device: str, report: Report, cancel: CancelToken) -> tuple[str, Found]:
    """The device to use and the model's files, fetched if they aren't here; as `load`, without loading."""
    def choose() -> tuple[str, str]:
        device = choose_device(wanted_device)
        return device, name or default_model(device)

    if "torch" in sys.modules:
        device, wanted = choose()
    else:
        # Its first import takes seconds.
        event = Progress("score", None, "starting PyTorch")
        device, wanted = attend(lambda _: choose(), partial(report, event), cancel)
    return device, find(wanted, report, cancel)


def load(name: str | None, wanted_device: str, report: Report, cancel: CancelToken, dtype: str | None = None) -> Loaded:
    """The model called `name`, a hub id or a folder, ready to use; the same object for every run of this process.

    name: None for the device's default
    wanted_device: "auto", "cpu", "cuda" or "mps"
    dtype: None for the device's best

    Raises ModelError with one line on what is wrong and what to do; Cancelled.
    """
    device, found = locate(name, wanted_device, report, cancel)
    dtype = dtype or choose_dtype(device)
    key = (str(found.folder.resolve()), found.revision, device, dtype)
    if key in _loaded:
        return _loaded[key]

    def work(_: threading.Event) -> Loaded:
        with _lock:
            if key not in _loaded:
                _loaded[key] = _load(found, device, dtype)
            return _loaded[key]

    short = found.name.rstrip("/").rsplit("/", 1)[-1]
    event = Progress("score", None, f"loading {short} on {device} in {dtype}")
    return attend(work, partial(report, event), cancel)


def _load(found: Found, device: str, dtype: str) -> Loaded:
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    _check_room(found, device, dtype)
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)
            both: Any = AutoModelForImageTextToText.from_pretrained(
                found.folder, dtype=getattr(torch, dtype), use_safetensors=True, local_files_only=True,
                trust_remote_code=False, output_loading_info=True)
            model, report = both
            model = model.to(device).eval()
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_big(found.name, device) from error
    except Exception as error:
        # Whatever a damaged file makes the libraries raise: safetensors' own error, KeyError, RuntimeError …
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"can't be loaded ({first[:160]}); fetch it again", found.name) from error
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise ModelError("its weights don't fit its config.json; fetch it again", found.name)
    _check_tokenizer(model, tokenizer, found.name)
    return Loaded(model, tokenizer, found.name, found.revision, device, dtype)


def _check_tokenizer(model: Any, tokenizer: Any, name: str) -> None:
    """Raise ModelError where the tokenizer lacks what prompts are made of, or disagrees with the config."""
    unknown = tokenizer.unk_token_id
    for token in (prompt.START, prompt.END_OF_TURN, prompt.IMAGE, prompt.AROUND_IMAGE, prompt.WHOLE_IMAGE):
        number = tokenizer.convert_tokens_to_ids(token)
        known = number is not None and number != unknown and number < model.config.text_config.vocab_size
        if not known or tokenizer.encode(token, add_special_tokens=False) != [number]:
            raise ModelError(f"its tokenizer has no {token}; choose a SmolVLM2 model", name)
    if tokenizer.convert_tokens_to_ids(prompt.IMAGE) != model.config.image_token_id:
        raise ModelError("its tokenizer and its config.json disagree on the image token; fetch it again", name)


def _check_room(found: Found, device: str, dtype: str) -> None:
    """Raise ModelError before the system runs out of memory: Linux would end the process without a word."""
    import torch

    written = sum(path.stat().st_size for path in found.folder.glob("*.safetensors"))
    # Published weights have two bytes a number.
    needed = written * (2 if dtype == "float32" else 1)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else free_ram_bytes()
    if free is not None and needed > free:
        raise _too_big(found.name, device)


def _too_big(name: str, device: str) -> ModelError:
    return ModelError(f"too little memory on {device}; use a smaller model, such as {SMALL}", name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from writing bars and notes to the terminal, which is the shell's."""
    from transformers.utils import logging as transformers_logging

    # It is only partly typed.
    logging: Any = transformers_logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
