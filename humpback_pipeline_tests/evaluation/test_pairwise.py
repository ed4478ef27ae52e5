"""The local judge: both orders, averaged, on AlpacaEval's scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.evaluation import win_rate
from humpback_pipeline.evaluation.pairwise import judge_pairs, position_bias
from humpback_pipeline.generation import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    Ledger,
)
from humpback_pipeline.generation.engine import ClosesOnExit
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


@given(p=st.floats(min_value=0.0, max_value=1.0))
def test_position_bias_alone_is_a_draw_and_is_reported(p: float) -> None:
    (preference,) = judge_pairs(responses(("a", "b")), Judge(lambda first, second: p), PROMPTS)

    assert preference.preference == pytest.approx(1.5)
    assert (preference.p_first_order, preference.p_second_order) == pytest.approx((p, 1 - p))
    assert position_bias([preference]) == pytest.approx(2 * p - 1)


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


def test_no_responses_give_no_preferences() -> None:
    assert judge_pairs(responses(), Judge(lambda first, second: 0.5), PROMPTS) == []
