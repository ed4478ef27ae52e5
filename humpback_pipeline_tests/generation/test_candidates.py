"""Several candidate instructions a segment: ids, the likeliest kept, the rest inspectable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.chat import Prompts
from humpback_pipeline.generation import (
    Generation,
    GenerationRequest,
    Ledger,
    TextGenerator,
    generate_instructions,
)
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.recipe_curation import InstructionFiltersRecipe, SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)
ANYTHING = InstructionFiltersRecipe(max_copied_fraction=None, same_language=False)
TIDES = "# Spring tides\n\nTides are highest at new and full moon."


def segments(*texts: str) -> pl.DataFrame:
    ids = [f"s{n}" for n in range(len(texts))]
    return pl.DataFrame({"segment_id": ids, "text": list(texts)})


class Answering(ClosesOnExit):
    """Gives the (text, finish reason, mean log-probability) of each request id."""

    name = "answering"
    model_hash = "0"
    n_truncated = 0
    identity: dict[str, str | int] = {"engine": "answering"}  # noqa: RUF012

    def __init__(self, answers: dict[str, tuple[str, str, float | None]]) -> None:
        self.answers = answers

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        return [
            Generation(request.request_id, text, reason, 10, 5, logprob, prompt_cut=True)
            for request in requests
            for text, reason, logprob in [self.answers[request.request_id]]
        ]


def test_likeliest_usable_candidate_is_kept(prompts: Prompts) -> None:
    engine = Answering(
        {
            "s0#0": ("Why do tides rise?", "stop", -1.5),
            "s0#1": ("Spring tides", "stop", -0.1),
            "s0#2": ("When are tides highest?", "stop", -0.5),
            "s1#0": ("", "stop", -3.0),
            "s1#1": ("What is the", "length", -2.0),
            "s1#2": ("I'm sorry, but I can't help with that.", "stop", -2.5),
        }
    )

    result = generate_instructions(
        segments(TIDES, "Another text."), engine, prompts, SAMPLING, candidates=3
    )

    (row,) = result.frame.to_dicts()
    assert row["segment_id"] == "s0"
    assert row["instruction"] == "When are tides highest?"
    assert row["mean_logprob"] == -0.5
    assert row["n_candidates"] == 2
    assert result.dropped == {"cut_instruction": 1}
    assert result.candidates_dropped == {
        "copied_from_output": 1,
        "empty_instruction": 1,
        "cut_instruction": 1,
        "refusal": 1,
    }
    assert result.n_truncated == 2
    rows = {(r["segment_id"], r["candidate"]): r for r in result.dropped_rows.to_dicts()}
    assert rows["s0", 1]["text"] == "Spring tides"
    assert not rows["s0", 1]["segment_dropped"]
    assert all(rows["s1", n]["segment_dropped"] for n in range(3))


def test_without_log_probabilities_the_first_usable_candidate_is_kept(prompts: Prompts) -> None:
    engine = Answering(
        {
            "s0#0": ("Spring tides", "stop", None),
            "s0#1": ("Why do tides rise?", "stop", None),
            "s0#2": ("When are tides highest?", "stop", None),
        }
    )

    result = generate_instructions(segments(TIDES), engine, prompts, SAMPLING, candidates=3)

    assert result.frame["instruction"].to_list() == ["Why do tides rise?"]
    assert result.frame["mean_logprob"].to_list() == [None]


def test_greedy_decoding_asks_once_and_a_lone_candidate_has_the_segments_id(
    prompts: Prompts,
) -> None:
    engine = Answering({"s0": ("Why do tides rise?", "stop", -1.0)})
    greedy = SamplingRecipe(temperature=0.0, max_new_tokens=8)

    for sampling, candidates in ((greedy, 4), (SAMPLING, 1)):
        result = generate_instructions(
            segments(TIDES), engine, prompts, sampling, candidates=candidates
        )
        assert result.frame["n_candidates"].to_list() == [1]


def test_real_engine_writes_different_candidates_and_more_of_them_keep_the_first(
    generator: TextGenerator, prompts: Prompts, tmp_path: Path
) -> None:
    frame = segments(*(f"Text number {n} about the sea." for n in range(3)))
    ledger = Ledger(tmp_path / "shard.jsonl")

    def write(n: int) -> tuple[pl.DataFrame, set[str]]:
        result = generate_instructions(
            frame, generator, prompts, SAMPLING, candidates=n, filters=ANYTHING, ledger=ledger
        )
        assert result.frame.height + sum(result.dropped.values()) == 3
        n_usable = result.frame["n_candidates"].sum()
        assert n_usable + sum(result.candidates_dropped.values()) == 3 * n
        return result.dropped_rows, {answer["text"] for answer in ledger.read().values()}

    few, texts = write(2)
    assert len(texts) > 3
    again, _ = write(2)
    assert again.equals(few)
    more, all_texts = write(4)
    assert texts <= all_texts
    assert len(ledger.read()) == 12
    first = more.filter(pl.col("candidate") < 2).select("segment_id", "candidate", "text")
    assert first.sort("segment_id", "candidate").equals(
        few.select("segment_id", "candidate", "text").sort("segment_id", "candidate")
    )
