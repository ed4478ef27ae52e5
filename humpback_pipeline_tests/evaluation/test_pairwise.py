"""The local judge: both orders, averaged, on AlpacaEval's scale."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.evaluation import win_rate
from humpback_pipeline.evaluation.judge_costs import JudgePrices, cost_rows, judge_cost
from humpback_pipeline.evaluation.pairwise import judge_pairs
from humpback_pipeline.evaluation.position_bias import position_bias
from humpback_pipeline.generation import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    Ledger,
)
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.generation.judging import TokenUsage
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.recipe_curation import SamplingRecipe

PROMPTS = load_prompts()


class Judge(ClosesOnExit):
    """A judge whose P(the first answer is better) is a function of the two answers it reads."""

    name = "judge"
    model_hash = "0"
    n_truncated = 0
    identity: dict[str, str | int] = {"engine": "judge"}  # noqa: RUF012

    def __init__(self, p_first: Callable[[str, str], float]) -> None:
        self.p_first = p_first
        self.n_asked = 0

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        raise AssertionError("a judge chooses")

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        self.n_asked += len(requests)
        answers = []
        for request in requests:
            text = request.messages[-1]["content"]
            first = text.split("Answer 1:\n")[1].split("\n\nAnswer 2:")[0]
            second = text.split("Answer 2:\n")[1].split("\n\nWhich answer")[0]
            p = self.p_first(first, second)
            answers.append(ChoiceProbabilities(request.request_id, (p, 1 - p), 1.0))
        return answers


def responses(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt_id": [f"p{n}" for n in range(len(pairs))],
            "instruction": ["Name a tide."] * len(pairs),
            "output": [output for output, _ in pairs],
            "reference": [reference for _, reference in pairs],
        },
        schema=dict.fromkeys(("prompt_id", "instruction", "output", "reference"), pl.String),
    )


def test_better_answer_wins_whichever_place_it_has() -> None:
    judge = Judge(lambda first, second: 0.9 if first == "good" else 0.1)

    won, lost = judge_pairs(responses(("good", "bad"), ("bad", "good")), judge, PROMPTS)

    assert won.preference == pytest.approx(1.9)
    assert lost.preference == pytest.approx(1.1)
    assert win_rate([won.preference, lost.preference]).rate == pytest.approx(50.0)


@settings(deadline=None)  # the first call imports scipy
@given(p=st.floats(min_value=0.0, max_value=1.0))
def test_position_bias_alone_is_a_draw_and_is_reported(p: float) -> None:
    (preference,) = judge_pairs(responses(("a", "b")), Judge(lambda first, second: p), PROMPTS)

    assert preference.preference == pytest.approx(1.5)
    assert (preference.p_first_order, preference.p_second_order) == pytest.approx((p, 1 - p))
    bias = position_bias([preference])
    assert bias is not None
    assert bias.bias == pytest.approx(2 * p - 1)


@given(in_front=st.floats(0.0, 1.0), behind=st.floats(0.0, 1.0))
def test_preference_is_on_alpacaevals_scale(in_front: float, behind: float) -> None:
    judge = Judge(lambda first, second: in_front if first == "model" else 1 - behind)

    (preference,) = judge_pairs(responses(("model", "reference")), judge, PROMPTS)

    assert 1.0 <= preference.preference <= 2.0
    assert preference.preference == pytest.approx(1 + (in_front + behind) / 2)


def test_comparisons_are_not_asked_twice_with_a_ledger(tmp_path: Path) -> None:
    judge = Judge(lambda first, second: 0.7)
    frame = responses(("a", "b"), ("c", "d"))
    ledger = Ledger(tmp_path / "m1.jsonl")

    first = judge_pairs(frame, judge, PROMPTS, ledger=ledger)
    again = judge_pairs(frame, judge, PROMPTS, ledger=ledger)

    assert first == again
    assert judge.n_asked == 4


class MeteredJudge(Judge):
    """Says that it reads 100 tokens a verdict and writes one; refuses answers that say so."""

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        return [
            ChoiceProbabilities(request.request_id, (0.5, 0.5), 0.0, error="HTTP 400")
            if "unspeakable" in request.messages[-1]["content"]
            else answer
            for request, answer in zip(requests, super().choose(requests, choices), strict=True)
        ]

    def usage(self, request: GenerationRequest, choices: tuple[str, ...]) -> TokenUsage:
        return TokenUsage(100, 1)


def test_no_responses_give_no_preferences() -> None:
    assert judge_pairs(responses(), Judge(lambda first, second: 0.5), PROMPTS) == []
    assert position_bias([]) is None


def pairs_with(n: int, better: float, seed: int) -> list[tuple[str, str]]:
    """Pairs (output, reference) whose output is the better one with probability `better`."""
    rng = random.Random(seed)
    return [
        (f"{rng.random()} good" if rng.random() < better else f"{rng.random()} bad", "so-so")
        for _ in range(n)
    ]


def test_judge_that_takes_the_first_in_eight_of_ten_is_found_out_and_its_win_rate_is_unbiased() -> (
    None
):
    """A known judge: with probability 0.6 it does not read and takes the first, else it reads.

    What it reads it judges rightly. Of pairs in which either side is better alike often it so
    prefers the first in 0.6 + 0.4 / 2 = 0.8.
    """
    rng = random.Random(5)

    def p_first(first: str, second: str) -> float:
        if rng.random() < 0.6:
            return 1.0
        return 1.0 if "good" in first or "bad" in second else 0.0

    pairs = pairs_with(600, better=0.7, seed=1)
    preferences = judge_pairs(responses(*pairs), Judge(p_first), PROMPTS)

    bias = position_bias(preferences)
    assert bias is not None
    # E[p_first_order - p_second_order] = 0.6 whatever is better, and the first wins 0.8 of them.
    assert bias.interval[0] < 0.6 < bias.interval[1]
    assert bias.first_rate == pytest.approx(0.8, abs=0.03)
    # The verdicts of one pair differ where at most one of the two was read: it takes the first in
    # both orders with 0.6 * 0.6 + 2 * 0.6 * 0.4 / 2 = 0.6.
    assert bias.flip_interval[0] < 0.6 < bias.flip_interval[1]
    assert bias.interval[1] - bias.interval[0] < 0.12

    # In one order alone the win rate would be 0.88 or 0.28; in both it is the truth, shrunk to
    # one half by as much as the judge does not read: 0.5 + 0.4 * (0.7 - 0.5).
    n_better = sum("good" in output for output, _ in pairs)
    truth = 50 + 40 * (n_better / len(pairs) - 0.5)
    measured = win_rate([p.preference for p in preferences])
    assert measured.rate == pytest.approx(truth, abs=3)
    assert measured.interval[0] < truth < measured.interval[1]
    one_order = 100 * sum(p.p_first_order for p in preferences) / len(preferences)
    assert one_order > truth + 20


def test_judge_that_never_reads_and_takes_the_first_in_eight_of_ten_gives_every_model_half() -> (
    None
):
    rng = random.Random(8)
    frame = responses(*[("a", "b")] * 500)
    judged = judge_pairs(frame, Judge(lambda *_: float(rng.random() < 0.8)), PROMPTS)

    bias = position_bias(judged)
    assert bias is not None
    assert bias.first_rate == pytest.approx(0.8, abs=0.03)
    assert bias.interval[0] < 0.8 - 0.2 < bias.interval[1]
    assert bias.flip_interval[0] < 0.8 * 0.8 + 0.2 * 0.2 < bias.flip_interval[1]
    low, high = win_rate([p.preference for p in judged]).interval
    assert low < 50 < high
    assert high - low < 6


def test_judge_without_bias_has_none_in_its_interval() -> None:
    rng = random.Random(2)
    frame = responses(*[("a", "b")] * 200)
    bias = position_bias(judge_pairs(frame, Judge(lambda *_: float(rng.random() < 0.5)), PROMPTS))
    assert bias is not None
    assert bias.interval[0] < 0 < bias.interval[1]


def test_verdicts_found_in_the_ledger_are_counted_apart_with_their_tokens(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "m1.jsonl")
    prices = JudgePrices(usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=10.0)
    few, more = responses(("a", "b")), responses(("a", "b"), ("c", "d"), ("e", "f"))

    judge_pairs(few, MeteredJudge(lambda *_: 0.7), PROMPTS, ledger=ledger)
    judge = MeteredJudge(lambda *_: 0.7)
    cost = judge_cost(judge_pairs(more, judge, PROMPTS, ledger=ledger), prices)

    assert judge.n_asked == 4
    assert (cost.n_verdicts, cost.n_new, cost.n_cached, cost.n_unmetered) == (6, 4, 2, 0)
    assert (cost.n_prompt_tokens, cost.n_completion_tokens) == (600, 6)
    assert (cost.new_prompt_tokens, cost.new_completion_tokens) == (400, 4)
    assert cost.usd == pytest.approx((600 * 2 + 6 * 10) / 1e6)
    assert cost.new_usd == pytest.approx((400 * 2 + 4 * 10) / 1e6)


def test_judge_that_is_killed_is_asked_for_the_rest_alone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "m1.jsonl")
    frame = responses(*((f"a{n}", f"b{n}") for n in range(8)))

    class Dies(MeteredJudge):
        def choose(self, requests: Any, choices: Any) -> list[ChoiceProbabilities]:
            if self.n_asked >= 4:
                raise KeyboardInterrupt
            return super().choose(requests, choices)

    with pytest.raises(KeyboardInterrupt):
        judge_pairs(frame, Dies(lambda *_: 0.7), PROMPTS, ledger=ledger, chunk_size=4)
    judge = MeteredJudge(lambda *_: 0.7)
    resumed = judge_pairs(frame, judge, PROMPTS, ledger=ledger, chunk_size=4)

    assert judge.n_asked == 12
    assert [p.preference for p in resumed] == pytest.approx([1.5] * 8)
    cost = judge_cost(resumed)
    assert (cost.n_new, cost.n_cached, cost.n_prompt_tokens) == (12, 4, 1_600)
    assert (cost.usd, cost.new_usd) == (None, None)


def test_pair_that_a_server_refuses_is_marked_and_not_in_the_bias() -> None:
    frame = responses(("unspeakable", "b"), ("a", "b"))
    refused, judged = judge_pairs(frame, MeteredJudge(lambda *_: 1.0), PROMPTS)

    assert (refused.is_refused, judged.is_refused) == (True, False)
    bias = position_bias([refused, judged])
    assert bias is not None
    assert (bias.n, bias.bias, bias.flip_rate) == (1, 1.0, 1.0)
    assert judge_cost([refused, judged]).n_unmetered == 2


def test_costs_of_all_models_are_added_up() -> None:
    judged = judge_pairs(responses(("a", "b")), MeteredJudge(lambda *_: 0.5), PROMPTS)
    free = judge_cost(judged)
    paid = judge_cost(judged, JudgePrices(1.0, 1.0))
    rows = cost_rows({"m0": paid, "m1": paid})
    assert [row["model"] for row in rows] == ["m0", "m1", "all"]
    assert rows[-1]["n_verdicts"] == 4
    assert rows[-1]["usd"] == pytest.approx(404 / 1e6)
    assert cost_rows({"m0": free, "m1": paid})[-1]["usd"] is None
    # A local judge writes nothing, so its price of writing is not needed.
    assert JudgePrices(1.0).usd(1_000_000, 0) == pytest.approx(1.0)
    assert JudgePrices(1.0).usd(1, 1) is None


def test_answer_that_is_neither_choice_is_no_draw() -> None:
    class Prose(Judge):
        def choose(self, requests: Any, choices: Any) -> list[ChoiceProbabilities]:
            nothing = [-math.inf, -math.inf]
            return [normalise_choices(request.request_id, nothing) for request in requests]

    (unread,) = judge_pairs(responses(("a", "b")), Prose(lambda *_: 0.5), PROMPTS)

    assert unread.is_refused
    assert "neither 1 nor 2" in (unread.verdicts[0].error or "")
    assert position_bias([unread]) is None
