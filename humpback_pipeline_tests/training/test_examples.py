from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.chat import load_prompts, render_prompt
from humpback_pipeline.models import load_tokenizer
from humpback_pipeline.training import TrainingExample, TrainingPair, build_examples
from humpback_pipeline.training.examples import hash_examples
from humpback_pipeline.training.order import training_order

PROMPTS = load_prompts()
SEED = TrainingPair("a", "What is the sea?", "The sea is wide.", "seed")
WEB = TrainingPair("b", "What is the sea?", "The sea is wide.", "web")


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path):
    return load_tokenizer(tiny_base)


@pytest.mark.parametrize(
    ("pair", "tag"),
    [
        (SEED, "Answer in the style of an AI Assistant."),
        (WEB, "Answer with knowledge from web search."),
    ],
)
def test_forward_example_has_the_tag_of_its_origin(pair, tag, tokenizer) -> None:
    (example,) = build_examples([pair], PROMPTS, tokenizer, "forward", 512).examples
    expected = (
        f"<|im_start|>system\n{tag}<|im_end|>\n<|im_start|>user\nWhat is the sea?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert tokenizer.decode(example.prompt_ids) == expected
    assert tokenizer.decode(example.completion_ids) == "The sea is wide.<|im_end|>"
    assert example.example_id == pair.pair_id


def test_backward_example_asks_for_the_instruction(tokenizer) -> None:
    (example,) = build_examples([SEED], PROMPTS, tokenizer, "backward", 2_048).examples
    asked = render_prompt(tokenizer, PROMPTS.backward_messages(SEED.output))
    assert list(example.prompt_ids) == asked
    assert "The sea is wide." in tokenizer.decode(example.prompt_ids)
    assert tokenizer.decode(example.completion_ids) == "What is the sea?<|im_end|>"
    (web,) = build_examples([WEB], PROMPTS, tokenizer, "backward", 2_048).examples
    assert web.prompt_ids == example.prompt_ids


def test_labels_ignore_exactly_the_prompt() -> None:
    example = TrainingExample("a", (7, 8, 9), (4, 2))
    assert example.input_ids == [7, 8, 9, 4, 2]
    assert example.labels == [-100, -100, -100, 4, 2]


def test_overlong_completion_is_cut_without_end_of_turn(tokenizer) -> None:
    long = TrainingPair("long", "Write.", "The sea is wide and blue. " * 50)
    (whole,) = build_examples([long], PROMPTS, tokenizer, "forward", 10_000).examples
    limit = len(whole.prompt_ids) + 20
    built = build_examples([long, SEED], PROMPTS, tokenizer, "forward", limit)
    cut = built.examples[0]
    assert cut.n_tokens == limit
    assert cut.completion_ids == whole.completion_ids[:20]
    assert tokenizer.eos_token_id not in cut.completion_ids
    assert cut.truncated
    assert built.n_truncated == 1
    assert not whole.truncated


def test_pair_whose_prompt_leaves_no_room_is_dropped_and_kept_inspectable(tokenizer) -> None:
    long = TrainingPair("long", "Why? " * 200, "The sea is wide and blue. " * 50)
    empty = TrainingPair("empty", "Why?", "  ")
    built = build_examples([long, SEED, empty], PROMPTS, tokenizer, "forward", 200)
    assert [example.example_id for example in built.examples] == ["a"]
    assert built.dropped == {"prompt_too_long": ["long"], "empty": ["empty"]}
    assert built.dropped_counts == {"prompt_too_long": 1, "empty": 1}


def test_short_answer_at_the_limit_is_kept_whole(tokenizer) -> None:
    (whole,) = build_examples([SEED], PROMPTS, tokenizer, "forward", 10_000).examples
    built = build_examples([SEED], PROMPTS, tokenizer, "forward", whole.n_tokens)
    assert built.examples == [whole]


def test_hash_tells_examples_apart() -> None:
    first, second = TrainingExample("a", (1,), (2, 3)), TrainingExample("a", (1, 2), (3,))
    assert hash_examples([first]) == hash_examples([TrainingExample("a", (1,), (2, 3))])
    assert hash_examples([first]) != hash_examples([second])


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_order_uses_every_example_equally_and_sorts_inside_steps(
    lengths: list[int], batch_size: int, steps: int, seed: int
) -> None:
    order = list(training_order(lengths, batch_size, steps, seed))
    assert order == list(training_order(lengths, batch_size, steps, seed))
    assert len(order) == batch_size * steps
    uses = Counter(order)
    counts = [uses[index] for index in range(len(lengths))]
    assert max(counts) - min(counts) <= 1
    for start in range(0, len(order), batch_size):
        step = [lengths[index] for index in order[start : start + batch_size]]
        assert step == sorted(step, reverse=True)


def test_order_depends_on_the_seed() -> None:
    lengths = list(range(50))
    assert list(training_order(lengths, 5, 10, 0)) != list(training_order(lengths, 5, 10, 1))
