"""Loss on the answer and its end of turn and on nothing else, token by token, for known families.

`golden_tokens.json` holds every token of four examples with each family's template and kind of
tokenizer; those with loss are apart. Write it anew, and read the difference, with

    PYTHONPATH=humpback_pipeline_tests python humpback_pipeline_tests/chat/test_golden_tokens.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_families import FAMILIES, OTHERS, family_tokenizer

from humpback_pipeline.chat import (
    end_text_with_turn,
    ensure_chat_template,
    load_prompts,
    render_prompt,
)
from humpback_pipeline.training import TrainingExample, TrainingPair, build_examples

GOLDEN = Path(__file__).parent / "golden_tokens.json"
INSTRUCTION, OUTPUT = "Why is the sea salty?", "Rivers carry salt:\n\n1. a little\n2. for ages"
TAGGED, UNTAGGED = load_prompts(), load_prompts(None, None)
CASES: dict[str, tuple[Any, Any, Any]] = {
    "forward, seed": (TAGGED, "forward", "seed"),
    "forward, web": (TAGGED, "forward", "web"),
    "forward, no tags": (UNTAGGED, "forward", "seed"),
    "backward": (TAGGED, "backward", "seed"),
}
# What each family's answers end with, spelt out; golden tokens alone could be wrong together.
ENDS = {
    "llama-2": " </s>",
    "llama-3": "<|eot_id|>",
    "llama-3.2": "<|eot_id|>",
    "qwen-2.5": "<|im_end|>",
    "qwen-2.5-base": "<|im_end|>",
    "qwen-3": "<|im_end|>",
    "mistral-v0.1": "</s>",
    "mistral-v0.3": "</s>",
    "smollm-2": "<|im_end|>",
    "none": "</s>",
    "gemma": "<end_of_turn>",
    "phi-3": "<|end|>",
    "no-generation-prompt": "<|im_end|>",
    "vicuna": "</s>",
}
# What stands between the question and the answer, whatever the template leaves to whom.
HEADERS = {
    "llama-2": " [/INST]",
    "llama-3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "llama-3.2": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen-3": "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    "mistral-v0.1": " [/INST]",
    "mistral-v0.3": "[/INST]",
    "none": "\n\n### Response:\n",
    "gemma": "<start_of_turn>model\n",
    "phi-3": "<|assistant|>\n",
    "vicuna": " ASSISTANT:",
}


def ready_tokenizer(family: str) -> Any:
    """As `load_tokenizer` makes it."""
    tokenizer = family_tokenizer(family)
    ensure_chat_template(tokenizer)
    end_text_with_turn(tokenizer)
    return tokenizer


def built(tokenizer: Any, case: str) -> TrainingExample:
    prompts, direction, origin = CASES[case]
    pair = TrainingPair("a", INSTRUCTION, OUTPUT, origin)
    (example,) = build_examples([pair], prompts, tokenizer, direction, 4_096).examples
    return example


def spelt(tokenizer: Any, ids: tuple[int, ...]) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(list(ids)))


def golden_of(family: str) -> dict[str, dict[str, str]]:
    tokenizer = ready_tokenizer(family)
    examples = {case: built(tokenizer, case) for case in CASES}
    return {
        case: {
            "no loss": spelt(tokenizer, example.prompt_ids),
            "loss": spelt(tokenizer, example.completion_ids),
        }
        for case, example in examples.items()
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_with_and_without_loss_are_the_golden_ones(family: str) -> None:
    assert golden_of(family) == json.loads(GOLDEN.read_text(encoding="utf-8"))[family]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_loss_is_on_the_whole_answer_and_its_end_and_nothing_before_or_after(
    family: str, case: str
) -> None:
    tokenizer = ready_tokenizer(family)
    example = built(tokenizer, case)
    answer = INSTRUCTION if case == "backward" else OUTPUT

    before = tokenizer.decode(example.prompt_ids)
    text = tokenizer.decode([*example.prompt_ids, *example.completion_ids])
    assert text.startswith(before)
    # Not too narrow: the first and the last of the answer are in, and the end of turn is.
    assert text[len(before) :].lstrip(" ") == answer + ENDS[family]
    assert tokenizer.decode(example.completion_ids[-1:]) == ENDS[family].strip()
    assert example.completion_ids[-1] == tokenizer.eos_token_id  # where engines stop
    # Not in the header, and the header is all there.
    header = HEADERS.get(family, "<|im_start|>assistant\n")
    assert before.endswith(header)
    assert answer not in before
    # In the labels themselves, which are what the loss is taken on.
    n_prompt = len(example.prompt_ids)
    assert example.labels[:n_prompt] == [-100] * n_prompt
    assert example.labels[n_prompt:] == example.input_ids[n_prompt:]


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_nothing_of_a_next_turn_has_loss(family: str) -> None:
    tokenizer = ready_tokenizer(family)
    turn = [
        {"role": "user", "content": INSTRUCTION},
        {"role": "assistant", "content": OUTPUT},
        {"role": "user", "content": "And lakes?"},
    ]
    options = {"enable_thinking": False, "strftime_now": lambda _: "26 Jul 2024"}
    text = tokenizer.apply_chat_template(turn, tokenize=False, **options)
    ids = tokenizer(text, add_special_tokens=False).input_ids
    example = built(tokenizer, "forward, no tags")
    if family != "qwen-3":  # it takes the closed reasoning out of turns that are not the last
        assert ids[: example.n_tokens] == example.input_ids
    rest = tokenizer.decode(ids[example.n_tokens :])
    assert "And lakes?" in rest
    assert rest.strip()[0] != OUTPUT[-1]


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_tags_differ_between_origins_and_reach_every_family(family: str) -> None:
    tokenizer = ready_tokenizer(family)
    prompts = {case: tokenizer.decode(built(tokenizer, case).prompt_ids) for case in CASES}
    assert TAGGED.tag_seed in prompts["forward, seed"]
    assert TAGGED.tag_web in prompts["forward, web"]
    assert TAGGED.tag_web not in prompts["forward, seed"]
    for case in ("forward, no tags", "backward"):
        assert TAGGED.tag_seed not in prompts[case]
    both = tokenizer.decode(
        render_prompt(tokenizer, TAGGED.forward_messages(INSTRUCTION, "inference"))
    )
    assert f"{TAGGED.tag_seed} {TAGGED.tag_web}" in both


if __name__ == "__main__":
    tokens = {family: golden_of(family) for family in FAMILIES}
    GOLDEN.write_text(json.dumps(tokens, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
