"""Instructions, responses, ratings and preferences from a real engine, and how they are cleaned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_settings import tiny_settings

from humpback_pipeline.chat import Prompts
from humpback_pipeline.curation import Pair, rate_pairs
from humpback_pipeline.evaluation.pairwise import judge_pairs
from humpback_pipeline.generation import (
    Generation,
    GenerationRequest,
    Ledger,
    TextGenerator,
    generate_instructions,
    generate_responses,
)
from humpback_pipeline.generation.augment import clean_instruction
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)
PAIRS = [Pair("Name a tide.", "Spring tide."), Pair("Why is the sky blue?", "Rayleigh scattering.")]


@dataclass(frozen=True)
class Prompt:
    prompt_id: str
    instruction: str
    output: str


def segments(*texts: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"segment_id": [f"s{n}" for n in range(len(texts))], "text": list(texts)},
        schema={"segment_id": pl.String, "text": pl.String},
    )


class Scripted(ClosesOnExit):
    """Answers with the texts given, to test what is made of them."""

    name = "scripted"
    model_hash = "0"
    n_truncated = 0
    identity: dict[str, str | int] = {"engine": "scripted"}  # noqa: RUF012

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers = answers
        self.requests: list[GenerationRequest] = []

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        self.requests += requests
        return [
            Generation(request.request_id, text, reason, 10, 5, -1.0)
            for request, (text, reason) in zip(requests, self.answers, strict=True)
        ]


def test_instructions_are_cleaned_and_bad_ones_dropped_by_reason(prompts: Prompts) -> None:
    engine = Scripted((' Instruction: "Explain tides." ', "stop"), ("…", "stop"), ("Wh", "length"))

    result = generate_instructions(segments("Tides are.", "b", "c"), engine, prompts, SAMPLING)

    assert result.frame.to_dicts() == [
        {
            "segment_id": "s0",
            "instruction": "Explain tides.",
            "output": "Tides are.",
            "instruction_chars": 14,
            "output_chars": 10,
            "finish_reason": "stop",
            "mean_logprob": -1.0,
            "n_candidates": 1,
        }
    ]
    assert result.dropped == {"empty_instruction": 1, "cut_instruction": 1}
    assert result.dropped_rows["text"].to_list() == ["…", "Wh"]
    assert "Tides are." in engine.requests[0].messages[-1]["content"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: Why?", "Why?"),
        ("The instruction: “Name it.”", "Name it."),
        ('"A" or "B"?', '"A" or "B"?'),
        ('Say "hi" and "bye"', 'Say "hi" and "bye"'),
        ("What's it's use?'", "What's it's use?'"),
        ('"', '"'),
        ("", ""),
    ],
)
def test_clean_instruction(text: str, expected: str) -> None:
    assert clean_instruction(text) == expected


@given(st.text())
def test_clean_instruction_only_takes_away(text: str) -> None:
    cleaned = clean_instruction(text)

    assert cleaned in text
    assert cleaned == cleaned.strip()


def test_no_segments_give_an_empty_frame(generator: TextGenerator, prompts: Prompts) -> None:
    result = generate_instructions(segments(), generator, prompts, SAMPLING)

    assert result.frame.is_empty()
    assert result.frame.schema["mean_logprob"] == pl.Float64
    assert result.dropped == {}


def test_real_engine_answers_every_segment_once(
    generator: TextGenerator, prompts: Prompts, tmp_path: Path
) -> None:
    frame = segments(*(f"Text number {n} about the sea." for n in range(5)))
    ledger = Ledger(tmp_path / "shard.jsonl")

    first = generate_instructions(frame, generator, prompts, SAMPLING, ledger=ledger, chunk_size=2)
    again = generate_instructions(frame, generator, prompts, SAMPLING, ledger=ledger, chunk_size=2)

    assert first.frame.height + sum(first.dropped.values()) == 5
    assert len(ledger.read()) == 5
    # Sampled anew they would differ: the second time, all come from the ledger.
    assert again.frame.equals(first.frame)
    assert again.dropped_rows.equals(first.dropped_rows)


def test_real_engine_responds_to_prompts_under_both_tags(
    generator: TextGenerator, prompts: Prompts
) -> None:
    asked = [Prompt("p0", "Name a tide.", "Spring."), Prompt("p1", "Why?", "")]

    frame = generate_responses(asked, generator, prompts, SAMPLING, generator_name="m1")

    assert frame["prompt_id"].to_list() == ["p0", "p1"]
    assert frame["reference"].to_list() == ["Spring.", ""]
    assert frame["generator"].to_list() == ["m1", "m1"]
    assert frame["n_tokens"].is_between(1, 8).all()


def test_real_engine_rates_every_pair_in_range(
    generator: TextGenerator, prompts: Prompts, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "shard.jsonl")

    ratings = rate_pairs(
        PAIRS * 3, generator, "expected", prompts=prompts, ledger=ledger, chunk_size=4
    )

    assert len(ratings) == 6
    for rating in ratings:
        expected = sum(p * digit for digit, p in enumerate(rating.probabilities, 1))
        assert 1.0 <= rating.rating <= 5.0
        assert rating.rating == pytest.approx(expected)
        assert math.fsum(rating.probabilities) == pytest.approx(1.0)
        assert rating.scorer == "expected"
    assert ratings[0].rating != ratings[1].rating
    assert ratings[0].rating == pytest.approx(ratings[2].rating, abs=0.05)


def test_rate_pairs_opens_a_directory_and_closes_it(tiny_model: Path, cache_dir: Path) -> None:
    ratings = rate_pairs(
        PAIRS, tiny_model, settings=tiny_settings("transformers"), cache_dir=cache_dir
    )

    assert [1.0 <= rating.rating <= 5.0 for rating in ratings] == [True, True]


def test_pair_that_does_not_fit_is_rated_and_marked(
    generator: TextGenerator, prompts: Prompts
) -> None:
    long = replace(PAIRS[0], output="The moon pulls. " * 1_000)
    before = generator.n_truncated

    ratings = rate_pairs([long, PAIRS[1]], generator, "expected", prompts=prompts)

    assert [rating.prompt_cut for rating in ratings] == [True, False]
    assert generator.n_truncated == before + 1


def test_real_engine_judges_both_orders(generator: TextGenerator, prompts: Prompts) -> None:
    frame = pl.DataFrame(
        {
            "prompt_id": ["p0", "p1"],
            "instruction": ["Name a tide.", "Why?"],
            "output": ["Spring tide.", "Same."],
            "reference": ["Neap tide.", "Same."],
        }
    )

    preferences = judge_pairs(frame, generator, prompts)

    assert [p.prompt_id for p in preferences] == ["p0", "p1"]
    assert all(1.0 <= p.preference <= 2.0 for p in preferences)
    # Equal answers draw, however biased the judge is towards a position.
    assert preferences[1].preference == pytest.approx(1.5, abs=0.01)
