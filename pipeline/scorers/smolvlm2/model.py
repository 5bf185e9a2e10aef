"""Runs a loaded model: frames to features, prompts to distributions and sentences.

A prompt's long part is run once for a batch of segments and its keys and values are kept; each question then costs its
own few tokens, after which the cache is cut back to where it was.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from pipeline.errors import ModelError
from pipeline.progress import CancelToken
from pipeline.scorers.smolvlm2 import prompt
from pipeline.scorers.smolvlm2.loading import Loaded
from pipeline.scorers.smolvlm2.pixels import Pixels, tokens_per_frame, usable_side
from pipeline.scorers.smolvlm2.prompt import AnswerTokens
from pipeline.scorers.smolvlm2.store import Features
from pipeline.types import FloatTrack

Item = TypeVar("Item")
# Memory for keys and values, and rows above which a device gains nothing.
_CACHE_BYTES = {"cpu": 1 << 30, "mps": 2 << 30, "cuda": 6 << 30}
_MOST_ROWS = {"cpu": 8, "mps": 8, "cuda": 32}
_HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class View:
    """What the model is shown: frames of one segment, or of a whole video.

    text: the prompt up to and with the last frame, as `prompt.prefix` builds it
    features: of each frame in order, (tokens, hidden)
    """

    text: str
    features: tuple[Features, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """A question whose answer is one of a few.

    text: the prompt from after the last frame on, as `prompt.suffix` builds it
    answers: where the options are read
    """

    text: str
    answers: AnswerTokens


class SmolVLM:
    """A loaded model with what its config says about frames and tokens."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        config = loaded.model.config
        self._patch, self._scale = int(config.vision_config.patch_size), int(config.scale_factor)
        self.image_side = int(config.vision_config.image_size)
        self.context = int(config.text_config.max_position_embeddings)
        self._ends = _end_ids(loaded)
        self._known: dict[str, list[int]] = {}
        self.yes_no = self._readable(prompt.yes_no_tokens)
        self.rating = self._readable(prompt.rating_tokens)

    def _readable(self, locate: Callable[[prompt.Encode], AnswerTokens]) -> AnswerTokens:
        try:
            return locate(self.encode)
        except ValueError as error:
            raise ModelError(f"{error}; choose a SmolVLM2 model", self.loaded.name) from error

    def side(self, wanted: int | None) -> int:
        """The side of frames nearest below `wanted` that this model takes; None for its own."""
        return usable_side(wanted, self.image_side, self._patch, self._scale)

    def image_tokens(self, side: int) -> int:
        """Tokens that a frame of this side takes."""
        return tokens_per_frame(side, self._patch, self._scale)

    def encode(self, text: str) -> list[int]:
        """Ids of a text, none added."""
        if text not in self._known:
            self._known[text] = list(self.loaded.tokenizer.encode(text, add_special_tokens=False))
        return self._known[text]

    def plain(self, text: str) -> str:
        """`text` on one line, without this model's special tokens."""
        return prompt.plain(text, self.loaded.tokenizer.get_added_vocab())

    def features(self, pixels: Sequence[Pixels]) -> list[Features]:
        """What the eye makes of each frame, (tokens, hidden).

        In half precision even where the model computes in more, so that a cached frame equals a fresh one.
        """
        import torch

        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(pixels))[:, None].to(self.loaded.device)
            found = self.loaded.model.get_image_features(batch).pooler_output
            if len(found) != len(pixels) or any(len(one) != len(found[0]) or not len(one) for one in found):
                raise ModelError("dropped a frame as padding", self.loaded.name)
            return [one.float().clamp(-_HALF_MAX, _HALF_MAX).half().cpu().numpy() for one in found]

    @contextmanager
    def stopping(self, cancel: CancelToken) -> Iterator[None]:
        """Let `cancel` end what this thread has the model do in the block between two layers: a batch takes seconds.

        Cancelled is raised from inside then.
        """
        import torch

        thread = threading.get_ident()

        def look(*_: object) -> None:
            # The model is one object for all threads of this process.
            if threading.get_ident() == thread:
                cancel.check()

        stacks = [module for module in self.loaded.model.modules() if isinstance(module, torch.nn.ModuleList)]
        hooks = [layer.register_forward_pre_hook(look) for stack in stacks for layer in stack]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def open(self, views: Sequence[View]) -> Session:
        """Runs the views and returns what answers questions about them."""
        return Session(self, views)

    def room(self, tokens: int) -> int:
        """How many rows of so many tokens are run together at first: as many as a share of memory keeps, 1 to 32."""
        text = self.loaded.model.config.text_config
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        width = 4 if self.loaded.dtype == "float32" else 2
        row = tokens * text.num_hidden_layers * 2 * text.num_key_value_heads * head * width
        return int(min(max(_CACHE_BYTES[self.loaded.device] // max(row, 1), 1), _MOST_ROWS[self.loaded.device]))

    @property
    def ends(self) -> frozenset[int]:
        """Ids that end an answer."""
        return self._ends


class Session:
    """Views whose keys and values are held ready for questions. Rows are padded on the left."""

    def __init__(self, model: SmolVLM, views: Sequence[View]) -> None:
        import torch
        from transformers import DynamicCache

        self._model, self._net, self._device = model, model.loaded.model, model.loaded.device
        rows = [model.encode(view.text) for view in views]
        longest = max(len(row) for row in rows)
        if longest >= model.context:
            raise ModelError(f"{longest} tokens are more than its {model.context}; use less detail", model.loaded.name)
        image = int(self._net.config.image_token_id)
        # What stands in the padding is never looked at, but it must not be taken for a frame.
        ids = torch.full((len(rows), longest), 1 if image == 0 else 0)
        self._mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, longest - len(row):] = torch.tensor(row)
            self._mask[index, longest - len(row):] = 1
        self._mask = self._mask.to(self._device)
        self._cache = DynamicCache(config=self._net.config.text_config)
        with torch.inference_mode():
            ids = ids.to(self._device)
            embeds = self._net.get_input_embeddings()(ids)
            seen = np.concatenate([frame for view in views for frame in view.features])
            place = ids == image
            if int(place.sum()) != len(seen):
                raise ValueError(f"{int(place.sum())} places for {len(seen)} features")
            embeds[place] = torch.from_numpy(seen).to(self._device, embeds.dtype)
            positions = (self._mask.cumsum(1) - 1).clamp(min=0)
            self._run(embeds, positions)

    def choose(self, choices: Sequence[Choice]) -> list[FloatTrack]:
        """For each question the log-probabilities of its options, (views, options).

        What the questions begin with alike, the lines about the whole video, is run once too.
        """
        import torch

        asked = [[*self._model.encode(choice.text), *choice.answers.lead] for choice in choices]
        shared = prompt.shared_length(asked)
        readings: list[FloatTrack] = []
        with torch.inference_mode():
            if shared:
                self._say(asked[0][:shared])
            for ids, choice in zip(asked, choices, strict=True):
                logs = torch.log_softmax(self._say(ids[shared:]), dim=-1)
                options = [torch.logsumexp(logs[:, list(spelled)], dim=-1) for spelled in choice.answers.options]
                readings.append(torch.stack(options, dim=1).cpu().numpy().astype(np.float64))
                self._take_back(len(ids) - shared)
            self._take_back(shared)
        return readings

    def write(self, text: str, most: int) -> list[str]:
        """The likeliest answer to a question, word by word, for each view, at most `most` tokens long."""
        import torch

        asked = self._model.encode(text)
        written: list[list[int]] = [[] for _ in range(len(self._mask))]
        open_rows = set(range(len(written)))
        with torch.inference_mode():
            logits, said = self._say(asked), len(asked)
            for step in itertools.count(1):
                following = logits.argmax(dim=-1)
                for row, token in enumerate(following.tolist()):
                    if row in open_rows and token not in self._model.ends:
                        written[row].append(token)
                    else:
                        open_rows.discard(row)
                if not open_rows or step >= most:
                    break
                logits = self._say(following[:, None])
                said += 1
            self._take_back(said)
        return [self._model.loaded.tokenizer.decode(row, skip_special_tokens=True).strip() for row in written]

    def _say(self, ids: Any) -> Any:
        """Appends ids, the same for every row or (rows, n), and returns float32 logits of what comes next."""
        import torch

        tokens = torch.as_tensor(ids, device=self._device)
        if tokens.ndim == 1:
            tokens = tokens[None].expand(len(self._mask), -1)
        done = self._mask.sum(1, keepdim=True)
        positions = done + torch.arange(tokens.shape[1], device=self._device)
        self._mask = torch.cat([self._mask, torch.ones_like(tokens)], dim=1)
        hidden = self._run(self._net.get_input_embeddings()(tokens), positions)
        return self._net.lm_head(hidden[:, -1]).float()

    def _run(self, embeds: Any, positions: Any) -> Any:
        return self._net.model.text_model(
            inputs_embeds=embeds, attention_mask=self._mask, position_ids=positions, cache=self._cache,
            use_cache=True).last_hidden_state

    def _take_back(self, count: int) -> None:
        """Forgets the last `count` tokens of every row."""
        if count:
            self._cache.crop(-count)
            self._mask = self._mask[:, :-count]


def _end_ids(loaded: Loaded) -> frozenset[int]:
    """Every id after which an answer is over."""
    ends: set[int] = set()
    for holder in (loaded.model.generation_config, loaded.model.config.text_config, loaded.tokenizer):
        ids = getattr(holder, "eos_token_id", None)
        ends.update(ids if isinstance(ids, list | tuple) else [] if ids is None else [ids])
    turn = loaded.tokenizer.convert_tokens_to_ids(prompt.END_OF_TURN)
    return frozenset(int(token) for token in {*ends, turn})


def in_batches(items: Sequence[Item], size: int, run: Callable[[Sequence[Item]], None], name: str) -> Iterator[int]:
    """Calls `run` on one batch after another and yields how many items are done.

    A batch for which memory is too small is tried again by halves, and the halved size is kept; ModelError where even
    one item is too much.
    """
    done = 0
    while done < len(items):
        batch = items[done:done + size]
        if _fits(run, batch, name):
            done += len(batch)
            yield done
        else:
            size = len(batch) // 2
            _free_memory()


def _fits(run: Callable[[Sequence[Item]], None], batch: Sequence[Item], name: str) -> bool:
    """Runs a batch; False where memory was too small for more than one item."""
    try:
        run(batch)
    except Exception as error:
        if not out_of_memory(error):
            raise
        if len(batch) == 1:
            raise ModelError("too little memory for a single segment; use less detail or a smaller model",
                             name) from error
        return False
    return True


def out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the processor or of the device, ran out."""
    import torch

    words = ("out of memory", "can't allocate memory", "not enough memory")
    return (isinstance(error, MemoryError | torch.OutOfMemoryError)
            or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)))


def _free_memory() -> None:
    """Gives memory that is only held for later back to the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
