"""Seeds and curated pairs in the recipe's ratio, and examples over the length limit."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.models import load_tokenizer
from humpback_pipeline.recipe_mixture import MixtureRecipe
from humpback_pipeline.training import TrainingExample, TrainingPair, build_examples, mix
from humpback_pipeline.training.order import training_order

PROMPTS = load_prompts()


def examples(origin: str, n: int) -> list[TrainingExample]:
    return [TrainingExample(f"{origin}{i}", (1,) * (i + 1), (2, 3)) for i in range(n)]


def test_defaults_use_every_example_once_as_the_paper_does() -> None:
    seeds, web = examples("s", 3), examples("w", 5)
    mixture = mix(seeds, web, MixtureRecipe())
    assert mixture.examples == (*seeds, *web)
    assert mixture.n_distinct == 8
    assert mixture.facts() == {
        "seed": {
            "examples": 3,
            "uses": 3,
            "share": 0.375,
            "tokens": 12,
            "completion_tokens": 6,
        },
        "web": {
            "examples": 5,
            "uses": 5,
            "share": 0.625,
            "tokens": 25,
            "completion_tokens": 10,
        },
    }


def test_seed_repeats_use_each_seed_that_often() -> None:
    mixture = mix(examples("s", 2), examples("w", 3), MixtureRecipe(seed_repeats=4))
    uses = Counter(example.example_id for example in mixture.examples)
    assert uses == {"s0": 4, "s1": 4, "w0": 1, "w1": 1, "w2": 1}
    assert mixture.facts()["seed"]["uses"] == 8
    assert mixture.n_distinct == 5


@given(
    n_seed=st.integers(1, 60),
    n_web=st.integers(1, 60),
    share=st.floats(0.4, 0.6),
    seed=st.integers(0, 3),
)
def test_share_is_met_with_every_example_used_and_evenly(
    n_seed: int, n_web: int, share: float, seed: int
) -> None:
    seeds, web = examples("s", n_seed), examples("w", n_web)
    settings = MixtureRecipe(seed_share=share)
    mixture = mix(seeds, web, settings, seed)
    assert mixture == mix(seeds, web, settings, seed)
    uses = Counter(example.example_id for example in mixture.examples)
    for origin in ("s", "w"):
        counts = [n for name, n in uses.items() if name[0] == origin]
        assert max(counts) - min(counts) <= 1
    assert len(uses) == n_seed + n_web
    # One side is used once each, so it is the ratio that is met, to one example of the other.
    assert min(mixture.seed.n_uses / n_seed, mixture.web.n_uses / n_web) == 1
    n_uses = mixture.seed.n_uses + mixture.web.n_uses
    assert abs(mixture.seed.n_uses - share * n_uses) <= 1
    assert mixture.facts()["seed"]["share"] == mixture.seed.n_uses / n_uses


def test_which_examples_get_the_extra_use_depends_on_the_seed() -> None:
    seeds, web = examples("s", 20), examples("w", 30)
    settings = MixtureRecipe(seed_share=0.5)
    assert mix(seeds, web, settings, 0).examples != mix(seeds, web, settings, 1).examples


def test_repeats_come_in_training_as_often_as_in_the_mixture() -> None:
    mixture = mix(examples("s", 4), examples("w", 36), MixtureRecipe(seed_share=0.5))
    lengths = [example.n_tokens for example in mixture.examples]
    order = list(training_order(lengths, 8, len(lengths) // 8, 0))
    seen = Counter(mixture.examples[index].example_id[0] for index in order)
    assert seen["s"] == seen["w"] == 36


@pytest.mark.parametrize(("n_seed", "n_web"), [(3, 0), (0, 3)])
def test_one_side_alone_has_no_ratio_to_keep(n_seed: int, n_web: int) -> None:
    mixture = mix(examples("s", n_seed), examples("w", n_web), MixtureRecipe(seed_share=0.5))
    assert len(mixture.examples) == 3


def test_share_that_would_drill_a_handful_is_refused_with_a_remedy() -> None:
    with pytest.raises(ValueError, match=r"seed_share 0\.9 of 2 seeds.*nearer to 0\.007"):
        mix(examples("s", 2), examples("w", 300), MixtureRecipe(seed_share=0.9))


def test_share_and_repeats_together_are_refused() -> None:
    with pytest.raises(ValidationError, match="seed_share or seed_repeats"):
        MixtureRecipe(seed_share=0.5, seed_repeats=2)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_cut_completion_has_no_end_of_turn_and_a_whole_one_has(tiny_base: Path, direction) -> None:
    tokenizer = load_tokenizer(tiny_base)
    pairs = [
        TrainingPair(str(n), "Ask. " * n if direction == "backward" else "Ask.", "Sea. " * n)
        for n in range(1, 80, 6)
    ]
    whole = build_examples(pairs, PROMPTS, tokenizer, direction, 10_000).examples
    limit = len(whole[-1].prompt_ids) + 60
    cut = build_examples(pairs, PROMPTS, tokenizer, direction, limit)
    assert 0 < cut.n_truncated < len(pairs)
    by_id = {example.example_id: example for example in whole}
    for example in cut.examples:
        full = by_id[example.example_id]
        assert example.prompt_ids == full.prompt_ids
        n = len(example.completion_ids)
        assert example.completion_ids == full.completion_ids[:n]
        assert (tokenizer.eos_token_id in example.completion_ids) == (not example.truncated)
        assert example.truncated == (full.n_tokens > limit)


def test_longer_examples_are_dropped_and_named_where_the_recipe_says_so(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    pairs = [TrainingPair("short", "Ask.", "Sea."), TrainingPair("long", "Ask.", "Sea. " * 80)]
    (short, long) = build_examples(pairs, PROMPTS, tokenizer, "forward", 10_000).examples
    built = build_examples(pairs, PROMPTS, tokenizer, "forward", long.n_tokens - 1, "drop")
    assert built.examples == [short]
    assert built.dropped == {"too_long": ["long"]}
    assert built.n_truncated == 0
    kept = build_examples(pairs, PROMPTS, tokenizer, "forward", long.n_tokens, "drop")
    assert kept.examples == [short, long]
