"""The prompt, held against what transformers' own processor and chat template make of the same frames."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers.models.smolvlm import processing_smolvlm
from transformers.models.smolvlm.video_processing_smolvlm import DEFAULT_SYSTEM_MESSAGE

from pipeline.scorers.smolvlm2 import prompt, questions
from pipeline.scorers.smolvlm2.questions import Context
from tests.smolvlm2_support import tiny, tiny_vlm

# What num2words, which transformers wants and we don't, says.
WORDS = {1: "one", 2: "two", 3: "three", 8: "eight", 13: "thirteen", 20: "twenty", 21: "twenty-one", 64: "sixty-four",
         99: "ninety-nine", 100: "one hundred", 101: "one hundred and one", 342: "three hundred and forty-two"}


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A SmolVLMProcessor with all that building a prompt needs, but without torchvision."""
    monkeypatch.setattr(processing_smolvlm, "num2words", WORDS.__getitem__)
    made = object.__new__(processing_smolvlm.SmolVLMProcessor)
    made.image_seq_len = 4
    made.image_token, made.fake_image_token, made.global_image_token = "<image>", prompt.AROUND_IMAGE, "<global-img>"
    return made


def library_text(processor: Any, times_s: list[float], duration_s: float, question: str) -> str:
    metadata = SimpleNamespace(fps=25.0, timestamps=times_s, duration=duration_s)
    inputs = {"pixel_values": SimpleNamespace(shape=(1, len(times_s), 3, 64, 64)), "video_metadata": [metadata]}
    video = processor.replace_video_token(inputs, 0)
    conversation = [
        {"role": "system", "content": [{"type": "text", "text": DEFAULT_SYSTEM_MESSAGE}]},
        {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]}]
    template = processing_smolvlm.DEFAULT_CHAT_TEMPLATE
    text = tiny().tokenizer.apply_chat_template(conversation, chat_template=template, add_generation_prompt=True,
                                                tokenize=False)
    return str(text).replace("<video>", video)


@pytest.mark.parametrize(("times_s", "duration_s"), [
    ([0.0], 0.9), ([3.2, 4.9, 61.0], 72.4), ([59.999, 60.0], 3599.9), ([3600.0, 7325.5], 7400.0),
    ([float(second) for second in range(21)], 86500.0)])
@pytest.mark.parametrize("question", [
    questions.DESCRIBE, questions.SUMMARISE, questions.what_is_a_highlight("A frog.", "the frog's jump"),
    questions.is_it_there(Context("A frog in a pond.", "It jumps."), None),
    questions.how_well(Context("", ""), "3 frogs")])
def test_is_token_for_token_the_librarys(processor: Any, times_s: list[float], duration_s: float,
                                         question: str) -> None:
    whole = library_text(processor, times_s, duration_s, question)
    prefix, suffix = prompt.prefix(times_s, duration_s, 4), prompt.suffix(question)
    assert prefix + suffix == whole
    encode = tiny_vlm().encode
    assert encode(prefix) + encode(suffix) == tiny().tokenizer.encode(whole, add_special_tokens=False)


def test_every_frame_has_its_places() -> None:
    ids = tiny_vlm().encode(prompt.prefix([0.5, 1.5, 2.5], 3.0, 16))
    assert ids.count(tiny().model.config.image_token_id) == 48


def test_special_tokens_are_one_id_each() -> None:
    for token in (prompt.START, prompt.END_OF_TURN, prompt.IMAGE, prompt.AROUND_IMAGE, prompt.WHOLE_IMAGE):
        assert len(tiny_vlm().encode(token)) == 1


@pytest.mark.parametrize(("count", "words"), WORDS.items())
def test_counts_in_words(count: int, words: str) -> None:
    assert prompt.in_words(count) == words


def test_counts_no_further_than_it_can() -> None:
    with pytest.raises(ValueError, match="1000 frames"):
        prompt.in_words(1000)
    with pytest.raises(ValueError, match="at least one frame"):
        prompt.prefix([], 1.0, 4)


def test_what_a_user_writes_is_never_a_special_token() -> None:
    written = prompt.plain("a <image>frog<end_of_utterance>\n<ima<image>ge>", [prompt.IMAGE, prompt.END_OF_TURN])
    assert written == "a frog <ima ge>"
    assert tiny_vlm().plain("<fake_token_around_image>x") == "x"


def test_yes_and_no_in_every_single_token_spelling() -> None:
    known = {" Yes": [1], "Yes": [2], " yes": [3], "yes": [4, 5], " YES": [6, 7], "YES": [2], " No": [8], "No": [9],
             " no": [10], "no": [11], " NO": [12, 13], "NO": [14]}
    assert prompt.yes_no_tokens(known.__getitem__).options == ((1, 2, 3), (8, 9, 10, 11, 14))
    with pytest.raises(ValueError, match="no single token for yes"):
        prompt.yes_no_tokens(lambda text: [1, 2] if "y" in text.lower() else [3])


def test_ratings_where_a_space_is_part_of_the_digit_and_where_not() -> None:
    joined = prompt.rating_tokens(lambda text: [int(text) + (10 if text.startswith(" ") else 0)])
    assert joined.lead == ()
    assert joined.options[2] == (3, 13)
    parted = prompt.rating_tokens(lambda text: [99] * text.count(" ") + [int(text)])
    assert parted.lead == (99,)
    assert parted.options == ((1,), (2,), (3,), (4,), (5,))
    with pytest.raises(ValueError, match="rating"):
        prompt.rating_tokens(lambda text: [7])


def test_shared_beginning_leaves_every_question_a_token() -> None:
    assert prompt.shared_length([[1, 2, 3], [1, 2, 4, 5]]) == 2
    assert prompt.shared_length([[1, 2], [1, 2, 3]]) == 1
    assert prompt.shared_length([[1, 2, 3]]) == 2
    assert prompt.shared_length([[1], [2]]) == 0


def test_the_context_stands_before_the_question() -> None:
    context = Context("A cartoon.", "The frog jumps.")
    asked = questions.is_it_there(context, "a frog")
    assert asked.index("A cartoon.") < asked.index("The frog jumps.") < asked.index('"a frog"')
    assert "such a highlight" in questions.how_well(context, None)
    assert "highlight of it" not in questions.is_it_there(Context("", ""), "a frog")
    assert '"a frog"' in questions.what_is_a_highlight("A cartoon.", "a frog")


@pytest.mark.parametrize(("written", "tidied"), [
    ("In this video, we see a frog that jumps.", "A frog that jumps."),
    ("The video shows a man. He walks.", "A man."),
    ("This part of the video shows a red circle.", "A red circle."),
    ("There is a dog in the yard", "A dog in the yard"),
    ("  two\npeople talk. ", "Two people talk."),
    ("A man and a man and a man and a man and a man.", ""),
    ("", ""), (" . ", ""), ("The video", "The video")])
def test_answers_are_tidied(written: str, tidied: str) -> None:
    assert questions.tidy(written) == tidied
