"""Trains the tiny SmolVLM that tests use: a real SmolVLM architecture that sees coloured shapes.

    python -m tests.tiny_smolvlm.train      # about twenty minutes on two cores; writes tests/tiny_smolvlm/model

Several questions about the same frames are packed into one row, each blind to the others and at the position where it
would stand alone, so that what is learned is the prompt that the scorer builds. Before that the eye learns alone, with
heads that name what is in a frame and what lies on each patch; they are thrown away afterwards.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from pipeline.scorers.smolvlm2 import prompt
from tests.tiny_smolvlm import lessons as teaching
from tests.tiny_smolvlm import pictures

FOLDER = Path(__file__).parent / "model"
SEED = 7
SPECIAL = ("<|endoftext|>", prompt.START, "<|im_end|>", prompt.WHOLE_IMAGE, prompt.AROUND_IMAGE, prompt.IMAGE,
           prompt.END_OF_TURN)


def make_tokenizer(folder: Path) -> Any:
    """A byte-level BPE tokenizer that splits as SmolLM2's does: digits one by one, words with their space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    raw.decoder = decoders.ByteLevel()
    texts = teaching.corpus()
    texts += [f"{prompt.SYSTEM} System: User: {prompt.in_words(count)} You are provided the following series of frames "
              "from a [H:MM:SS] video.\n\nFrame from :" for count in range(1, 100)] * 3
    texts += ["Assistant: Yes", "Assistant: No", "yes", "no", " yes", " no", "Yes", "No"] * 200
    trainer = trainers.BpeTrainer(vocab_size=720, special_tokens=list(SPECIAL), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<|endoftext|>", bos_token=prompt.START, pad_token="<|im_end|>",
        eos_token=prompt.END_OF_TURN, padding_side="left", model_max_length=8192,
        extra_special_tokens={"image_token": prompt.IMAGE, "fake_image_token": prompt.AROUND_IMAGE,
                              "global_image_token": prompt.WHOLE_IMAGE, "end_of_utterance_token": prompt.END_OF_TURN})
    tokenizer.chat_template = DEFAULT_CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """The architecture with random weights."""
    from transformers import AutoModelForImageTextToText
    from transformers.models.smolvlm import SmolVLMConfig

    vocabulary = len(tokenizer)
    config = SmolVLMConfig(
        scale_factor=4, image_token_id=tokenizer.convert_tokens_to_ids(prompt.IMAGE), tie_word_embeddings=True,
        vision_config={"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 160,
                       "image_size": pictures.SIDE, "patch_size": 8},
        text_config={"model_type": "llama", "vocab_size": vocabulary, "hidden_size": 96, "intermediate_size": 160,
                     "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24,
                     "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
                     "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
                     "pad_token_id": tokenizer.pad_token_id},
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    return AutoModelForImageTextToText.from_config(config)


class Teacher:
    """Makes batches: frames, packed rows and what is to be answered."""

    def __init__(self, tokenizer: Any, seed: int, pool: torch.Tensor) -> None:
        self.rng = random.Random(seed)
        self.painter = pictures.Painter(seed, pool)
        self.tokenizer = tokenizer
        self.image_tokens = (pictures.SIDE // 8) ** 2 // 4 ** 2
        self.known: dict[str, list[int]] = {}
        self.rating_lead = list(prompt.rating_tokens(self.encode).lead)

    def encode(self, text: str) -> list[int]:
        """Ids of a text; short ones recur and are remembered."""
        if text not in self.known:
            if len(self.known) > 20000:
                self.known.clear()
            self.known[text] = self.tokenizer.encode(text, add_special_tokens=False)
        return self.known[text]

    def scene(self, brief: bool) -> list[set[int]]:
        """Kinds seen in each of one to eight frames, or one to three."""
        rng = self.rng
        count = rng.randint(1, 3) if brief else rng.choices(range(1, 9), [4, 4, 5, 5, 2, 1, 1, 2])[0]
        frames: list[set[int]] = [set() for _ in range(count)]
        for kind in rng.sample(range(len(pictures.KINDS)), rng.choices([0, 1, 2], [3, 5, 2])[0]):
            share = rng.randint(1, len(frames)) if rng.random() < 0.6 else len(frames)
            shown = rng.sample(range(len(frames)), share)
            for index in shown:
                frames[index].add(kind)
        return frames

    def batch(self, size: int, brief: bool = False) -> dict[str, Any]:
        """A batch of `size` scenes with their questions; brief ones lack what all prompts begin with."""
        scenes = [self.scene(brief) for _ in range(size)]
        rows = [self.row(frames, brief) for frames in scenes]
        length = max(len(row["ids"]) for row in rows)
        ids = torch.full((size, length), self.tokenizer.pad_token_id)
        positions, branch = torch.zeros(size, length, dtype=torch.long), torch.full((size, length), -1)
        labels = torch.full((size, length), -100)
        for index, row in enumerate(rows):
            count = len(row["ids"])
            for target, name in ((ids, "ids"), (positions, "positions"), (branch, "branch"), (labels, "labels")):
                target[index, :count] = torch.tensor(row[name])
        same = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0)
        mask = same & torch.ones(length, length, dtype=torch.bool).tril()
        mask |= torch.eye(length, dtype=torch.bool)
        seen = torch.tensor([[*sorted(frame), -1, -1][:2] for frames in scenes for frame in frames])
        shots = torch.tensor([index if self.rng.random() < 0.7 else 1000 + self.rng.randrange(10 ** 6)
                              for index, frames in enumerate(scenes) for _ in frames])
        frames, places = self.painter.frames(seen, shots)
        return {"ids": ids, "positions": positions, "mask": mask[:, None], "labels": labels, "branch": branch,
                "seen": seen, "places": places, "pixels": (frames - 0.5) / 0.5,
                "topics": [row["topics"] for row in rows]}

    def row(self, frames: list[set[int]], brief: bool) -> dict[str, Any]:
        """One scene: its prefix (branch 0), then each question with its answer (branches 1 and up)."""
        start = self.rng.random() * self.rng.choice([10, 100, 3000])
        times = [start + index * self.rng.choice([0.5, 1, 2]) for index in range(len(frames))]
        text = prompt.prefix(times, times[-1] + self.rng.random() * 600, self.image_tokens)
        ids = list(self.encode(text[text.index("\nFrame from"):] if brief else text))
        positions, branch, labels = list(range(len(ids))), [0] * len(ids), [-100] * len(ids)
        shared, topics = len(ids), []
        asked_of = teaching.brief_lessons if brief else teaching.lessons
        for number, lesson in enumerate(asked_of(self.rng, frames), start=1):
            asked = self.encode(prompt.suffix(lesson.question))
            answer = [*self.encode(f" {lesson.answer}"), self.tokenizer.eos_token_id]
            ids += asked + answer
            positions += range(shared, shared + len(asked) + len(answer))
            branch += [number] * (len(asked) + len(answer))
            labels += [-100] * len(asked) + answer
            topics.append(lesson.topic)
        return {"ids": ids, "positions": positions, "branch": branch, "labels": labels, "topics": topics}


class Hints:
    """Two extra heads on the eye, thrown away afterwards: what is in a frame, and what lies on each of its patches."""

    def __init__(self, model: Any, image_tokens: int) -> None:
        config = model.config
        self.naming = nn.Linear(config.text_config.hidden_size * image_tokens, len(pictures.KINDS))
        self.placing = nn.Linear(config.vision_config.hidden_size, len(pictures.KINDS) + 1)

    def parameters(self) -> list[nn.Parameter]:
        """Of both."""
        return [*self.naming.parameters(), *self.placing.parameters()]

    def loss(self, seen: Any, kinds: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, str]:
        """How wrong they are, and a note of it."""
        named = functional.one_hot(kinds + 1, len(pictures.KINDS) + 1).amax(1)[:, 1:].float()
        naming = functional.binary_cross_entropy_with_logits(
            self.naming(torch.stack(seen.pooler_output).flatten(1)), named)
        placing = functional.cross_entropy(self.placing(seen.last_hidden_state).flatten(0, 1), (places + 1).flatten())
        return len(pictures.KINDS) * naming + 2 * placing, f"naming {naming.item():.4f}  placing {placing.item():.4f}"


def forward(model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Logits where an answer is expected, the ids that are expected, and what the eye saw."""
    seen = model.get_image_features(batch["pixels"][:, None])
    embeds = model.get_input_embeddings()(batch["ids"])
    place = (batch["ids"] == model.config.image_token_id)[..., None]
    embeds = embeds.masked_scatter(place, torch.cat(list(seen.pooler_output)))
    hidden = model.model.text_model(inputs_embeds=embeds, attention_mask=batch["mask"],
                                    position_ids=batch["positions"]).last_hidden_state
    expected = batch["labels"][:, 1:]
    wanted = expected != -100
    return model.lm_head(hidden[:, :-1][wanted]), expected[wanted], seen


class Optimiser:
    """Muon (Jordan et al. 2024) for the matrices inside, which learn several times faster by it, AdamW for the rest."""

    def __init__(self, modules: list[nn.Module], extra: list[nn.Parameter], steps: int, peak: float) -> None:
        named = [pair for module in modules for pair in module.named_parameters()]
        inner = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name and "lm_head" not in name]
        held = {id(weight) for weight in inner}
        rest = [weight for _, weight in named if id(weight) not in held] + extra
        self._all = list({id(weight): weight for weight in [*inner, *rest]}.values())
        rest = [weight for weight in self._all if id(weight) not in held]
        self._parts = [torch.optim.AdamW(rest, lr=peak / 4, betas=(0.9, 0.98), weight_decay=0.02),
                       torch.optim.Muon(inner, lr=peak, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")]
        self._schedules = [torch.optim.lr_scheduler.LambdaLR(part, lambda step: min(
            (step + 1) / (0.05 * steps), 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps))))
            for part in self._parts]
        self._steps, self._step, self._began = steps, 0, time.monotonic()

    def learn(self, loss: torch.Tensor, note: str) -> None:
        """One step down the slope."""
        loss.backward()
        nn.utils.clip_grad_norm_(self._all, 1.0)
        for part, schedule in zip(self._parts, self._schedules, strict=True):
            part.step()
            schedule.step()
            part.zero_grad(set_to_none=True)
        if self._step % 100 == 0 or self._step == self._steps - 1:
            print(f"step {self._step:5d} of {self._steps}  {note}  {time.monotonic() - self._began:.0f} s", flush=True)
        self._step += 1


def train_eye(model: Any, hints: Hints, painter: pictures.Painter, steps: int, size: int = 128) -> None:
    """Teaches the vision tower and the connector alone: many frames for little. Each frame is used a few times."""
    generator = torch.Generator().manual_seed(SEED)
    drawn: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    optimiser = Optimiser([model.model.vision_model, model.model.connector], hints.parameters(), steps, 1.2e-2)
    for step in range(steps):
        if step % 4 == 0 or not drawn:
            kinds = torch.randint(len(pictures.KINDS), (size, 2), generator=generator)
            kinds = torch.where(torch.rand(size, 2, generator=generator) < 0.55, kinds, -1)
            kinds = kinds.sort(1, descending=True).values
            kinds[kinds[:, 0] == kinds[:, 1], 1] = -1
            frames, places = painter.frames(kinds, torch.arange(size) // 2)
            drawn = [*drawn[-200:], ((frames * 255).byte(), kinds, places)]
        again = int(torch.randint(len(drawn), (), generator=generator))
        frames, kinds, places = drawn[again if step % 4 else -1]
        if step % 2:
            frames, places = frames.flip(-1), places.flip(-1)
        pixels = (frames / 255 - 0.5) / 0.5
        optimiser.learn(*hints.loss(model.get_image_features(pixels[:, None]), kinds, places))


def train_words(model: Any, teacher: Teacher, steps: int, size: int = 32) -> None:
    """Teaches the text model alone, by short questions, what words have to do with what the eye saw."""
    eye = [*model.model.vision_model.parameters(), *model.model.connector.parameters()]
    for weight in eye:
        weight.requires_grad_(False)
    optimiser = Optimiser([model.model.text_model], [], steps, 8e-3)
    for _ in range(steps):
        logits, expected, _ = forward(model, teacher.batch(size, brief=True))
        answers = functional.cross_entropy(logits, expected)
        optimiser.learn(answers, f"answers {answers.item():.4f}")
    for weight in eye:
        weight.requires_grad_(True)


def train(model: Any, hints: Hints, teacher: Teacher, steps: int, size: int) -> None:
    """Teaches the whole model to answer whole prompts."""
    optimiser = Optimiser([model], hints.parameters(), steps, 4e-3)
    for _ in range(steps):
        batch = teacher.batch(size)
        logits, expected, seen = forward(model, batch)
        answers = functional.cross_entropy(logits, expected)
        hint, note = hints.loss(seen, batch["seen"], batch["places"])
        optimiser.learn(3 * answers + 0.5 * hint, f"answers {answers.item():.4f}  {note}")


@torch.inference_mode()
def accuracies(model: Any, teacher: Teacher, batches: int, size: int = 32) -> dict[str, float]:
    """Share of questions about fresh pictures whose whole answer is right, by topic."""
    right: dict[str, list[bool]] = collections.defaultdict(list)
    for _ in range(batches):
        batch = teacher.batch(size)
        logits, expected, _ = forward(model, batch)
        wanted = batch["labels"][:, 1:] != -100
        branch = batch["branch"][:, 1:][wanted]
        row = torch.arange(size)[:, None].expand_as(wanted)[wanted]
        hit = logits.argmax(-1) == expected
        for index, topics in enumerate(batch["topics"]):
            for number, topic in enumerate(topics, start=1):
                right[topic].append(bool(hit[(row == index) & (branch == number)].all()))
    return {topic: sum(hits) / len(hits) for topic, hits in sorted(right.items())}


def save(model: Any, folder: Path) -> None:
    """Half precision, which is enough and small."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig.from_model_config(model.config.text_config)
    model.half().save_pretrained(folder)
    for leftover in folder.glob("*.index.json"):
        leftover.unlink()


def main() -> None:
    """Trains, prints the table and saves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--eye-steps", type=int, default=1600)
    parser.add_argument("--word-steps", type=int, default=700)
    parser.add_argument("--size", type=int, default=24, help="scenes a step")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(options.out)
    model = make_model(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)
    pool = pictures.backgrounds(6000, SEED)
    teacher = Teacher(tokenizer, SEED, pool)
    hints = Hints(model, teacher.image_tokens)
    train_eye(model, hints, pictures.Painter(SEED + 2, pool), options.eye_steps)
    train_words(model, teacher, options.word_steps)
    train(model, hints, teacher, options.steps, options.size)
    model.eval()
    save(model, options.out)
    fresh = Teacher(tokenizer, SEED + 1, pictures.backgrounds(2000, SEED + 1))
    table = accuracies(model.float(), fresh, 40)
    print("\n".join(f"{topic:12s} {share:7.2%}" for topic, share in table.items()), flush=True)
    (options.out / "accuracy.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
