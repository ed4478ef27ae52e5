"""Prompts and rendering: one example, the same tokens in training, inference and rating."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.chat import (
    RATING_PREFIX,
    PromptError,
    RenderingError,
    choice_token_ids,
    ensure_chat_template,
    load_prompts,
    render_example,
    render_prompt,
)

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
MISTRAL = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    + LLAMA_2
)
TEMPLATES = {"chatml": CHATML, "llama-2": LLAMA_2, "mistral": MISTRAL, "none": None}


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level tokenizer without merges: one token a byte, and four special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return fast


@pytest.fixture(params=TEMPLATES, autouse=False)
def templated(request: pytest.FixtureRequest, tokenizer):
    tokenizer.chat_template = TEMPLATES[request.param]
    tokenizer.eos_token = "<|im_end|>" if request.param == "chatml" else "</s>"
    ensure_chat_template(tokenizer)
    return tokenizer


def test_training_prompt_is_the_inference_prompt_token_for_token(templated) -> None:
    messages = load_prompts().forward_messages("What is a tide?", "inference")
    example = render_example(templated, messages, "The sea's daily rise and fall.")
    assert example.prompt_ids == render_prompt(templated, messages)


def test_completion_holds_the_answer_and_one_end_of_turn_and_nothing_else(templated) -> None:
    messages = load_prompts().forward_messages("Why?", "seed")
    ids = render_example(templated, messages, "Because.").completion_ids
    assert ids.count(templated.eos_token_id) == 1
    assert ids[-1] == templated.eos_token_id
    assert templated.decode(ids[:-1]).strip() == "Because."


def test_system_tag_is_never_lost_whatever_the_template_supports(templated) -> None:
    prompts = load_prompts()
    text = templated.decode(render_prompt(templated, prompts.forward_messages("Hi", "inference")))
    assert prompts.tag_seed in text
    assert prompts.tag_web in text


def test_special_tokens_in_somebodys_text_stay_words(templated) -> None:
    eos = templated.eos_token
    messages = load_prompts().forward_messages(f"Quote {eos} for me", "seed")
    harmless = load_prompts().forward_messages("Quote for me", "seed")
    example = render_example(templated, messages, f"Here: {eos} and on.")
    assert example.completion_ids.count(templated.eos_token_id) == 1
    assert "and on." in templated.decode(example.completion_ids)
    plain = render_prompt(templated, harmless).count(templated.eos_token_id)
    assert example.prompt_ids.count(templated.eos_token_id) == plain


def test_digits_after_the_prefix_are_one_token_each(templated) -> None:
    messages = load_prompts().rating_messages("Q", "A")
    ids = choice_token_ids(templated, messages, RATING_PREFIX, tuple("12345"))
    assert [templated.decode([token]) for token in ids] == list("12345")


def test_choice_of_several_tokens_is_refused(templated) -> None:
    with pytest.raises(RenderingError, match="'10'"):
        choice_token_ids(templated, load_prompts().rating_messages("Q", "A"), "", ("10",))


def test_template_that_changes_the_prompt_under_an_answer_is_refused(tokenizer) -> None:
    tokenizer.chat_template = "{{ messages | length }}{{ messages[-1]['content'] }}"
    with pytest.raises(RenderingError, match="another chat template"):
        render_example(tokenizer, [{"role": "user", "content": "x"}], "y")


def test_tags_follow_the_origin_of_the_pair() -> None:
    prompts = load_prompts()
    system = {
        origin: prompts.forward_messages("Q", origin)[0]["content"]
        for origin in ("seed", "web", "inference")
    }
    assert system == {
        "seed": prompts.tag_seed,
        "web": prompts.tag_web,
        "inference": f"{prompts.tag_seed} {prompts.tag_web}",
    }
    assert load_prompts(None, None).forward_messages("Q", "seed") == [
        {"role": "user", "content": "Q"}
    ]


def test_backward_prompt_carries_no_tag_of_the_forward_direction() -> None:
    prompts = load_prompts()
    (message,) = prompts.backward_messages("The text.")
    assert message["content"].endswith("The text.")
    assert prompts.tag_seed not in message["content"]


@given(instruction=st.text(max_size=60), output=st.text(max_size=60))
def test_values_are_filled_in_verbatim_whatever_they_hold(instruction: str, output: str) -> None:
    prompts = load_prompts()
    (message,) = prompts.rating_messages(instruction, "{instruction}" + output)
    before, after = prompts.rating.split("{instruction}")
    middle, end = after.split("{output}")
    assert message["content"] == before + instruction + middle + "{instruction}" + output + end


def test_rubric_comes_before_the_pair_so_that_its_prefix_is_shared() -> None:
    rating = load_prompts().rating
    assert rating.index("5:") < rating.index("{instruction}") < rating.index("{output}")


def test_own_rubric_without_its_fields_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rubric.txt"
    path.write_text("Rate this: {instruction}")
    with pytest.raises(PromptError, match=r"rubric\.txt.*\{output\}"):
        load_prompts(rubric=path)
    with pytest.raises(PromptError, match="no such prompt file"):
        load_prompts(rubric=tmp_path / "absent.txt")


def test_hash_changes_with_the_prompt_it_belongs_to(tmp_path: Path) -> None:
    path = tmp_path / "rubric.txt"
    path.write_text("Rate {instruction} {output}")
    standard, own = load_prompts().hashes(), load_prompts(rubric=path).hashes()
    assert {name for name in standard if standard[name] != own[name]} == {"rating"}
