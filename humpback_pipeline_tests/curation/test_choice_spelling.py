"""The digits after a rationale: found once for all rationales, with any tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import byte_tokenizer

from humpback_pipeline.chat import RATING_PREFIX, choice_token_ids
from humpback_pipeline.curation.expected import DIGITS
from humpback_pipeline.generation import GenerationRequest
from humpback_pipeline.generation.fitting import PromptFitter

MESSAGES = [{"role": "user", "content": "Rate it."}]
TOKENIZER = byte_tokenizer()


class GluingTokenizer:
    """Writes a space and what follows it as one token, and counts what it is given."""

    all_special_tokens: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.n_calls = 0

    def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
        return "".join(message["content"] for message in messages) + "\n"

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        self.n_calls += 1
        return {"input_ids": [hash(word) for word in text.replace(" ", "\0 ").split("\0")]}


@given(rationale=st.text(max_size=60))
def test_digits_are_those_of_the_whole_prompt_after_any_rationale(rationale: str) -> None:
    fitter = PromptFitter(TOKENIZER, 4_096)
    fitter.choice_request(GenerationRequest("first", MESSAGES, f"Good.\n{RATING_PREFIX}"), DIGITS)
    prefix = f"{rationale}\n{RATING_PREFIX}"

    asked, ids = fitter.choice_request(GenerationRequest("a", MESSAGES, prefix), DIGITS)

    assert asked.answer_prefix == prefix
    assert ids == choice_token_ids(TOKENIZER, MESSAGES, prefix, DIGITS)


def test_glued_space_moves_after_every_rationale_and_the_rationale_stays() -> None:
    fitter = PromptFitter(GluingTokenizer(), 100)

    for rationale in ("It is clear.", "Two\nlines. ", ""):
        request = GenerationRequest("a", MESSAGES, f"{rationale}\n{RATING_PREFIX}")
        asked, ids = fitter.choice_request(request, DIGITS)

        assert asked.answer_prefix == f"{rationale}\nScore:"
        assert ids == [hash(f" {digit}") for digit in DIGITS]


@pytest.mark.parametrize("n", [2, 200])
def test_many_rationales_are_spelled_once(n: int) -> None:
    tokenizer = GluingTokenizer()
    fitter = PromptFitter(tokenizer, 100)
    fitter.choice_request(GenerationRequest("a", MESSAGES, f"One.\n{RATING_PREFIX}"), DIGITS)
    n_calls = tokenizer.n_calls

    for i in range(n):
        prefix = f"Rationale {i}.\n{RATING_PREFIX}"
        fitter.choice_request(GenerationRequest("a", MESSAGES, prefix), DIGITS)

    assert tokenizer.n_calls == n_calls
    # A prefix that begins the answer is another place than one that begins a line.
    fitter.choice_request(GenerationRequest("a", MESSAGES, RATING_PREFIX), DIGITS)
    assert tokenizer.n_calls > n_calls
