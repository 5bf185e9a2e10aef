"""Builds a tiny Whisper, in the form that faster-whisper loads, that says the same sentences whatever it hears.

Its weights are drawn, but its decoder's positions point at the words of a text: so all that is real of a real one runs
(loading, the search for words and the times at which they lie, detection of the language), fast and to a known end.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import torch

TEXT = "We choose to go. Nobody asked us why, and nobody will!"
SPOKEN_S = 3.0
_STEP_S = 0.02


def build(folder: Path, *, language: str = "en") -> Path:
    """Write the model into `folder`, which doesn't exist yet; `language` is what it takes everything for."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        # The libraries that convert models warn of each other's old habits; what is under test starts after them.
        warnings.simplefilter("ignore")
        _save(Path(place), language)
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(place, copy_files=["tokenizer.json", "preprocessor_config.json"]).convert(str(folder))
    return folder


def _save(folder: Path, language: str) -> None:
    """The same as transformers keeps it."""
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [f"Ġ{word}" for word in dict.fromkeys(TEXT.split())]
    # The empty entry is what tells CTranslate2 that a model knows more than English.
    entries = [*letters, *words, ""]
    tokenizer = Tokenizer(models.BPE(vocab={entry: number for number, entry in enumerate(entries)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    languages = [f"<|{code}|>" for code in _LANGUAGE_CODES]
    special = ["<|endoftext|>", "<|startoftranscript|>", *languages, "<|translate|>", "<|transcribe|>",
               "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    ids = {token: tokenizer.token_to_id(token) for token in [*special, *words]}
    first_time = ids["<|notimestamps|>"] + 1
    config = WhisperConfig(
        vocab_size=first_time + 1501, d_model=64, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=80,
        decoder_start_token_id=ids["<|startoftranscript|>"], eos_token_id=ids["<|endoftext|>"],
        bos_token_id=ids["<|endoftext|>"], pad_token_id=ids["<|endoftext|>"])
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    said = [ids[f"Ġ{word}"] for word in TEXT.split()]
    # What follows each position: the language, whose place the prompt takes with the task, then the times and the text.
    follow = [ids[f"<|{language}|>"], ids["<|transcribe|>"], first_time, *said, first_time + round(SPOKEN_S / _STEP_S),
              ids["<|endoftext|>"]]
    with torch.no_grad():
        rows = torch.randn(config.vocab_size, config.d_model)
        rows = 4 * torch.nn.functional.normalize(rows - rows.mean(dim=1, keepdim=True), dim=1)
        model.model.decoder.embed_tokens.weight.copy_(rows)
        model.proj_out.weight.copy_(rows)
        positions = model.model.decoder.embed_positions.weight
        positions.copy_(rows[ids["<|endoftext|>"]] * 12)
        positions[:len(follow)] = rows[follow] * 12
    model.generation_config = GenerationConfig(
        suppress_tokens=[], begin_suppress_tokens=[letters.index("Ġ"), ids["<|endoftext|>"]],
        alignment_heads=[[1, 0], [1, 1]], lang_to_id={name: ids[name] for name in languages},
        decoder_start_token_id=ids["<|startoftranscript|>"])
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": 80, "sampling_rate": 16000}))
