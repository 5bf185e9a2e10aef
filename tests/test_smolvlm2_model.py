"""What the model is asked and how: every shortcut held against the library's plain way of doing the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import ModelError
from pipeline.scorers.smolvlm2 import model as model_module
from pipeline.scorers.smolvlm2 import pixels, prompt, questions
from pipeline.scorers.smolvlm2.model import Choice, View, in_batches
from pipeline.scorers.smolvlm2.questions import Context
from tests.smolvlm2_support import BLUE, RED, as_array, backdrop, draw, tiny, tiny_vlm

SIDE = 64
CONTEXT = Context("A red circle and a blue square.", "A red circle.")


def shots(count: int, seed: int = 0) -> list[pixels.Pixels]:
    pictures = [draw(backdrop(seed + index), "circle", RED if index % 2 else BLUE, 0.3 + 0.1 * index)
                for index in range(count)]
    return [pixels.to_pixels(as_array(picture), SIDE) for picture in pictures]


def times(count: int, start_s: float = 3.0) -> list[float]:
    return [start_s + index * 7 for index in range(count)]


def prefix(count: int, start_s: float = 3.0) -> str:
    return prompt.prefix(times(count, start_s), 500.0, tiny_vlm().image_tokens(SIDE))


def view(count: int, seed: int = 0, start_s: float = 3.0) -> View:
    return View(prefix(count, start_s), tuple(tiny_vlm().features(shots(count, seed))))


def choices() -> list[Choice]:
    vlm = tiny_vlm()
    return [Choice(prompt.suffix(questions.is_it_there(CONTEXT, None)), vlm.yes_no),
            Choice(prompt.suffix(questions.how_well(CONTEXT, None)), vlm.rating)]


def plainly(count: int, seed: int, start_s: float, choice: Choice) -> list[float]:
    """Log-probabilities of the options by one forward pass of the library over everything, pixels included."""
    tokenizer, net = tiny().tokenizer, tiny().model
    ids = tokenizer.encode(prefix(count, start_s) + choice.text, add_special_tokens=False) + list(choice.answers.lead)
    with torch.inference_mode():
        logits = net(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                     pixel_values=torch.from_numpy(np.stack(shots(count, seed)))[None]).logits[0, -1]
    logs = torch.log_softmax(logits.float(), dim=-1)
    return [float(torch.logsumexp(logs[list(option)], dim=0)) for option in choice.answers.options]


CASES = [(3, 0, 3.0), (1, 10, 59.0), (8, 20, 480.0), (2, 30, 3599.0)]


def test_answers_are_those_of_a_plain_forward_pass() -> None:
    """With the prefix run once, questions sharing a beginning, rows padded and features in half precision."""
    session = tiny_vlm().open([view(*case) for case in CASES])
    found = session.choose(choices())
    for number, choice in enumerate(choices()):
        for row, case in enumerate(CASES):
            np.testing.assert_allclose(found[number][row], plainly(*case, choice), atol=1e-3)


def test_one_by_one_and_together_agree() -> None:
    together = tiny_vlm().open([view(*case) for case in CASES]).choose(choices())
    for row, case in enumerate(CASES):
        alone = tiny_vlm().open([view(*case)]).choose(choices())
        for number in range(2):
            np.testing.assert_allclose(together[number][row], alone[number][0], atol=1e-4)


def test_a_question_leaves_no_trace() -> None:
    session = tiny_vlm().open([view(*case) for case in CASES])
    first = session.choose(choices())
    session.write(prompt.suffix(questions.DESCRIBE), 5)
    again = session.choose(list(reversed(choices())))
    np.testing.assert_allclose(again[1], first[0], atol=1e-5)
    np.testing.assert_allclose(again[0], first[1], atol=1e-5)
    np.testing.assert_allclose(session.choose(choices()[:1])[0], first[0], atol=1e-5)


def test_writing_is_the_librarys_greedy_search() -> None:
    question = prompt.suffix(questions.DESCRIBE)
    written = tiny_vlm().open([view(*case) for case in CASES]).write(question, 12)
    for case, text in zip(CASES, written, strict=True):
        ids = torch.tensor([tiny_vlm().encode(prefix(case[0], case[2]) + question)])
        out = tiny().model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False,
            pixel_values=torch.from_numpy(np.stack(shots(case[0], case[1])))[None])
        assert text == tiny().tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True).strip()


def test_smaller_frames_take_fewer_tokens() -> None:
    vlm = tiny_vlm()
    assert vlm.side(256) == 64
    assert vlm.side(40) == 32
    small = [pixels.to_pixels(as_array(backdrop(1)), 32)]
    assert vlm.features(small)[0].shape == (vlm.image_tokens(32), 96)
    View(prompt.prefix([1.0], 5.0, vlm.image_tokens(32)), tuple(vlm.features(small)))


def test_places_and_features_must_match() -> None:
    one = tiny_vlm().features(shots(1))
    with pytest.raises(ValueError, match="8 places for 4"):
        tiny_vlm().open([View(prefix(2), tuple(one))])


def test_a_prompt_longer_than_the_context_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_vlm(), "context", 50)
    with pytest.raises(ModelError, match="use less detail"):
        tiny_vlm().open([view(2)])


def test_a_frame_that_is_dropped_is_noticed() -> None:
    grey = np.zeros((3, SIDE, SIDE), dtype=np.float32)
    with pytest.raises(ModelError, match="padding"):
        tiny_vlm().features([*shots(1), grey])


class Short:
    """Runs batches on a machine whose memory holds `room` items."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error = room, error
        self.done: list[int] = []
        self.tried: list[int] = []

    def run(self, batch: Sequence[int]) -> None:
        self.tried.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        self.done += batch


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
                                   RuntimeError("MPS backend out of memory"),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])
def test_too_little_memory_halves_the_batch_and_loses_nothing(error: Exception) -> None:
    machine = Short(2, error)
    assert list(in_batches(range(11), 8, machine.run, "tiny")) == [2, 4, 6, 8, 10, 11]
    assert machine.done == list(range(11))
    assert machine.tried == [8, 4, 2, 2, 2, 2, 2, 1]


def test_too_little_memory_for_one_is_said() -> None:
    with pytest.raises(ModelError, match="tiny: too little memory"):
        list(in_batches([1, 2], 2, Short(0, MemoryError()).run, "tiny"))


def test_other_errors_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches([1], 2, Short(0, RuntimeError("shapes differ")).run, "tiny"))


def test_rows_run_together_fit_their_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm: Any = tiny_vlm()
    layers = tiny().model.config.text_config.num_hidden_layers
    assert vlm.room(100) == 8
    monkeypatch.setitem(model_module._CACHE_BYTES, "cpu", 3 * 100 * layers * 2 * 2 * 24 * 4)
    assert vlm.room(100) == 3
    assert vlm.room(10**9) == 1
