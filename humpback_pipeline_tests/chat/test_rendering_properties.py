"""Whatever the texts hold: the loss covers the output and its end, and all readers see one form."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import pytest
from chat_families import FAMILIES, OTHERS, family_tokenizer
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from humpback_pipeline.chat import (
    RenderingError,
    end_text_with_turn,
    ensure_chat_template,
    load_prompts,
    render_example,
    render_prompt,
    special_token_ids,
    turn_ending,
)
from humpback_pipeline.generation.engine import LikelihoodRequest
from humpback_pipeline.generation.fitting import PromptFitter
from humpback_pipeline.training import TrainingPair, build_examples

PROMPTS = load_prompts()
# Pieces at which tokens are joined, stripped or split, besides plain characters.
PIECES = (
    "\n",
    "\n\n",
    " ",
    "  ",
    "\t",
    "](",
    "(",
    "[",
    "a",
    "é",
    "e\u0301",
    "1",
    "12",
    ".",
    "漢",
    "🐋",
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
)
# Spaces between header and answer, by the template and (v0.3) the tokenizer.
SPACE_BEFORE = {"llama-2": " ", "vicuna": " ", "mistral-v0.3": "  "}
# Templates that strip an answer; the others write it as it is.
STRIPPING = ("llama-2", "llama-3", "llama-3.2", "gemma")


@cache
def ready_tokenizer(family: str) -> Any:
    tokenizer = family_tokenizer(family)
    ensure_chat_template(tokenizer)
    end_text_with_turn(tokenizer)
    return tokenizer


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
@settings(max_examples=40, deadline=None)
@given(instruction=TEXTS, output=TEXTS)
def test_labelled_tokens_are_the_output_and_its_end_for_all_texts(
    family: str, direction: Any, instruction: str, output: str
) -> None:
    tokenizer = ready_tokenizer(family)
    pair = TrainingPair("a", instruction, output, "web")
    answer = output if direction == "forward" else instruction
    assume(answer.strip())
    assume(not any(token in answer for token in (*tokenizer.all_special_tokens, "</think>")))
    (example,) = build_examples([pair], PROMPTS, tokenizer, direction, 100_000).examples

    whole = tokenizer.decode([*example.prompt_ids, *example.completion_ids])
    before = tokenizer.decode(example.prompt_ids)
    end = "".join(tokenizer.convert_ids_to_tokens(turn_ending(tokenizer))).replace("▁", " ")
    assert whole.startswith(before)
    assert whole.endswith(end)
    labelled = whole[len(before) :].removesuffix(end)
    expected = answer.strip() if family in STRIPPING else answer
    if "qwen" in family or family.startswith("llama-3"):
        expected = unicodedata.normalize("NFC", expected)  # as these tokenizers do
    if family == "qwen-3":
        expected = expected.lstrip("\n")
    # These tokenizers write a space with this very sign, and cannot tell the two apart.
    expected = expected.replace("▁", " ") if tokenizer.unk_token else expected
    assert labelled == SPACE_BEFORE.get(family, "") + expected
    # One end of turn, and it comes last.
    ends = special_token_ids(tokenizer) - {tokenizer.unk_token_id}
    assert [token in ends for token in example.completion_ids[:-1]].count(True) == 0
    assert example.completion_ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
@settings(max_examples=30, deadline=None)
@given(instruction=TEXTS, output=TEXTS)
def test_training_inference_and_scoring_read_the_same_tokens(
    family: str, instruction: str, output: str
) -> None:
    assume(output.strip())
    tokenizer = ready_tokenizer(family)
    pair = TrainingPair("a", instruction, output, "web")
    messages = PROMPTS.forward_messages(instruction, "web")
    (example,) = build_examples([pair], PROMPTS, tokenizer, "forward", 100_000).examples

    assert list(example.prompt_ids) == render_prompt(tokenizer, messages)
    request = LikelihoodRequest("a", messages, output)
    scored = PromptFitter(tokenizer, 100_000).fit_answer(request)
    assert scored.token_ids == example.input_ids
    assert scored.start == len(example.prompt_ids)
    assert not scored.cut
    # And it is what the tokenizer makes of the conversation as one text, where no token of that
    # spans prompt and answer.
    text = tokenizer.decode(example.prompt_ids), tokenizer.decode(example.input_ids)
    ids = [tokenizer(part, add_special_tokens=False).input_ids for part in text]
    if ids[1][: len(ids[0])] == ids[0] == list(example.prompt_ids):
        assert ids[1] == example.input_ids


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_commands_in_somebodys_text_stay_words(family: str) -> None:
    tokenizer = ready_tokenizer(family)
    added = [str(t) for t in tokenizer.added_tokens_decoder.values() if t.special]
    plain = render_example(tokenizer, PROMPTS.forward_messages("Quote", "seed"), "Here.")
    rich = render_example(
        tokenizer,
        PROMPTS.forward_messages("Quote " + " ".join(added), "seed"),
        f"Here: {' '.join(added)}.",
    )
    special = special_token_ids(tokenizer)
    for one, other in (
        (plain.prompt_ids, rich.prompt_ids),
        (plain.completion_ids, rich.completion_ids),
    ):
        assert [t for t in one if t in special] == [t for t in other if t in special]


@pytest.mark.parametrize("family", ["llama-2", "mistral-v0.1", "none"])
def test_answer_of_unknown_words_is_not_cut_at_the_first(family: str) -> None:
    tokenizer = ready_tokenizer(family)
    unknown = tokenizer.unk_token_id
    model = tokenizer.backend_tokenizer.model
    fallback, model.byte_fallback = model.byte_fallback, False
    try:
        messages = PROMPTS.forward_messages("Which sign?", "seed")
        ids = render_example(tokenizer, messages, "It is 漢, they say.").completion_ids
    finally:
        model.byte_fallback = fallback
    assert unknown in ids
    assert "they say." in tokenizer.decode(ids)
    assert ids[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("family", ["llama-3.2", "qwen-2.5"])
def test_prompt_is_the_same_on_every_day(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.utils.chat_template_utils as utils

    tokenizer = ready_tokenizer(family)
    messages = PROMPTS.forward_messages("What day is it?", "seed")
    today = render_prompt(tokenizer, messages)

    class Later(utils.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls(2031, 5, 6)

    monkeypatch.setattr(utils, "datetime", Later)
    utils._compile_jinja_template.cache_clear()
    assert render_prompt(tokenizer, messages) == today


def test_reasoning_model_whose_prompt_opens_a_thought_is_refused_for_training_only() -> None:
    tokenizer = family_tokenizer("qwen-2.5")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] }}"
        "<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    assert not end_text_with_turn(tokenizer)
    messages = PROMPTS.forward_messages("Why?", "seed")
    assert tokenizer.decode(render_prompt(tokenizer, messages)).endswith("<think>\n")
    with pytest.raises(RenderingError, match="another chat template"):
        render_example(tokenizer, messages, "Because.")


def test_plain_template_opens_a_text_as_the_tokenizer_does() -> None:
    messages = PROMPTS.forward_messages("Why?", "seed")
    for family, opening in (("none", "<s>Answer"), ("smollm-2", "Answer")):
        tokenizer = family_tokenizer(family)
        tokenizer.chat_template = None
        assert ensure_chat_template(tokenizer)
        assert tokenizer.decode(render_prompt(tokenizer, messages)).startswith(opening)
