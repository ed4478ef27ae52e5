"""Prompts that do not fit are cut by a rule, and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_tokenizer

from humpback_pipeline.chat import JUDGE_PREFIX, Prompts, load_prompts, render_prompt
from humpback_pipeline.generation import GenerationError, GenerationRequest
from humpback_pipeline.generation.fitting import PromptFitter

PROMPTS = load_prompts()
TOKENIZER = byte_tokenizer()


def user(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def text_of(token_ids: list[int]) -> str:
    return str(TOKENIZER.decode(token_ids))


def test_prompt_that_fits_is_left_alone() -> None:
    fitter = PromptFitter(TOKENIZER, max_model_tokens=200)
    request = GenerationRequest("a", user("How do tides work?"), "Score: ")

    fitted = fitter.fit(request, answer_tokens=50)

    assert fitted.token_ids == render_prompt(TOKENIZER, request.messages, "Score: ")
    assert not fitted.cut
    assert fitter.n_cut == 0


@given(text=st.text(min_size=300, max_size=500), answer_tokens=st.integers(1, 40))
def test_long_prompt_fills_the_window_and_is_counted(text: str, answer_tokens: int) -> None:
    fitter = PromptFitter(TOKENIZER, max_model_tokens=150)

    fitted = fitter.fit(GenerationRequest("a", user(text)), answer_tokens)

    assert fitted.cut
    assert fitter.n_cut == 1
    # One more character (up to four bytes, and a broken-up special token) would not fit.
    assert 150 - answer_tokens - 20 < len(fitted.token_ids) <= 150 - answer_tokens


def test_judge_prompt_cuts_both_answers_to_the_same_length_and_keeps_the_question() -> None:
    first, second = "a" * 3_000, "b" * 2_000
    messages = PROMPTS.judge_messages("Which?", first, second)
    request = GenerationRequest("a", messages, JUDGE_PREFIX, ("Which?", first, second))

    text = text_of(PromptFitter(TOKENIZER, 2_000).fit(request, 1).token_ids)

    prompt = PROMPTS.judge.replace("{first}", "").replace("{second}", "")
    n_first = text.count("a") - prompt.count("a") - "assistant".count("a") - JUDGE_PREFIX.count("a")
    n_second = text.count("b") - prompt.count("b") - JUDGE_PREFIX.count("b")
    assert abs(n_first - n_second) <= 3
    assert n_second > 100
    assert 'Reply with a last line of the form "Better answer: <1 or 2>".' in text
    assert text.endswith(JUDGE_PREFIX)


def test_short_answer_is_kept_whole_beside_a_long_one() -> None:
    first, second = "tides " * 500, "The moon pulls the sea."
    messages = PROMPTS.judge_messages("Which?", first, second)
    request = GenerationRequest("a", messages, JUDGE_PREFIX, ("Which?", first, second))

    assert second in text_of(PromptFitter(TOKENIZER, 1_500).fit(request, 1).token_ids)


def test_rubric_with_other_order_is_still_cut_to_fit() -> None:
    prompts = Prompts(None, None, "{output}", "{output}\n{instruction}", "{first}{second}")
    messages = prompts.rating_messages("instruction", "o" * 500)
    request = GenerationRequest("a", messages, "Score: ", ("instruction", "o" * 500))

    fitted = PromptFitter(TOKENIZER, 200).fit(request, 1)

    assert fitted.cut
    assert len(fitted.token_ids) == 199


def test_window_too_small_for_the_template_is_an_error_with_a_remedy() -> None:
    request = GenerationRequest("seg-7", user("How do tides work?"))

    with pytest.raises(GenerationError, match=r"seg-7.*max_model_tokens"):
        PromptFitter(TOKENIZER, 50).fit(request, answer_tokens=40)


class GluingTokenizer:
    """Writes a space and what follows it as one token, as GPT-2's tokenizer does."""

    all_special_tokens: tuple[str, ...] = ()

    def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
        return "".join(message["content"] for message in messages) + "\n"

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        words = text.replace(" ", "\0 ").split("\0")
        return {"input_ids": [hash(word) for word in words]}


def test_choices_take_over_the_space_where_the_tokenizer_glues_it() -> None:
    fitter = PromptFitter(GluingTokenizer(), 100)
    request = GenerationRequest("a", user("Rate it."), "Score: ")

    asked, ids = fitter.choice_request(request, ("1", "2"))

    assert asked.answer_prefix == "Score:"
    assert ids == [hash(" 1"), hash(" 2")]


def test_choices_of_several_tokens_are_an_error() -> None:
    with pytest.raises(GenerationError, match="as one token"):
        PromptFitter(TOKENIZER, 100).choice_request(
            GenerationRequest("a", user("Rate it."), "Score: "), ("good", "bad")
        )
