"""Agreement against a published example and scikit-learn; shares against known cases."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from human_judging import judged
from sklearn.metrics import cohen_kappa_score

from humpback_pipeline.evaluation.agreement import (
    annotator_agreement,
    cohen_kappa,
    judge_agreement,
    judge_outcome,
    krippendorff_alpha,
    pairwise_agreement,
)
from humpback_pipeline.evaluation.human_plots import three_way_bars
from humpback_pipeline.evaluation.human_shares import human_shares, verdicts

WIN, DRAW, LOSS = "win", "no_difference", "loss"


def test_alpha_is_that_of_krippendorffs_example_with_missing_data() -> None:
    # Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", C: four observers, five
    # values, twelve units, nominal data.
    table = """
        1 2 3 3 2 1 4 1 2 . . .
        1 2 3 3 2 2 4 1 2 5 . 3
        . 3 3 3 2 3 4 2 2 5 1 .
        1 2 3 3 2 4 4 1 2 5 1 .
    """
    observers = [line.split() for line in table.strip().splitlines()]
    counts = np.array(
        [[column.count(value) for value in "12345"] for column in zip(*observers, strict=True)],
        dtype=float,
    )
    assert krippendorff_alpha(counts) == pytest.approx(0.743, abs=5e-4)


def test_kappa_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for n in (5, 60):
        mine, theirs = ([(WIN, DRAW, LOSS)[i] for i in rng.integers(0, 3, n)] for _ in range(2))
        assert cohen_kappa(mine, theirs) == pytest.approx(cohen_kappa_score(mine, theirs))


def test_coefficients_are_not_defined_where_only_one_answer_is_given() -> None:
    found = annotator_agreement(judged({"ada": [WIN] * 4, "bob": [WIN] * 4}))
    assert found["agreement"] == 1.0
    assert found["alpha"] is None
    assert found["alpha_interval"] is None
    (row,) = pairwise_agreement(judged({"ada": [WIN] * 4, "bob": [WIN] * 4}))
    assert row["kappa"] is None


def test_agreement_is_over_pairs_that_two_have_judged() -> None:
    found = annotator_agreement(
        judged(
            {
                "ada": [WIN, LOSS, DRAW, WIN, LOSS],
                "bob": [WIN, LOSS, WIN, None, LOSS],
                "eve": [WIN, WIN, DRAW, None, None],
            }
        )
    )
    assert (found["n_annotators"], found["n_pairs"]) == (3, 4)
    assert found["agreement"] == pytest.approx((1 + 1 / 3 + 1 / 3 + 1) / 4)
    low, high = found["alpha_interval"]
    assert low < found["alpha"] < high


def test_few_perfect_agreements_do_not_claim_certainty() -> None:
    answers = [WIN, LOSS, DRAW, WIN]
    found = annotator_agreement(judged({"ada": answers, "bob": answers}))
    assert found["alpha"] == 1.0
    assert found["agreement_interval"][0] < 0.6
    assert found["alpha_interval"][0] < 0.5
    (row,) = pairwise_agreement(judged({"ada": answers, "bob": answers}))
    assert row["kappa_interval"][0] < 0.5


def test_pairs_all_of_one_kind_have_an_interval_with_a_width() -> None:
    one, many = (judged({"ada": [WIN] * n, "bob": [LOSS] * n}) for n in (1, 50))
    (row,), (sure,) = pairwise_agreement(one), pairwise_agreement(many)
    assert row["kappa"] == 0.0
    low, high = row["kappa_interval"]
    assert low <= 0.0 < 0.5 < high
    assert sure["kappa_interval"][1] < 0.1
    facts = annotator_agreement(one)
    low, high = facts["alpha_interval"]
    assert low < facts["alpha"] < high


def test_bootstrap_interval_narrows_with_pairs_and_is_always_the_same() -> None:
    ada = [WIN, LOSS, DRAW, WIN, LOSS] * 4
    bob = [WIN, LOSS, WIN, WIN, DRAW] * 4
    few, again, many = (
        annotator_agreement(judged({"ada": ada * n, "bob": bob * n}))["alpha_interval"]
        for n in (1, 1, 10)
    )
    assert few == again
    assert many[1] - many[0] < (few[1] - few[0]) / 2


def test_nobody_agrees_with_oneself() -> None:
    found = annotator_agreement(judged({"ada": [WIN, LOSS]}))
    assert (found["n_pairs"], found["agreement"], found["alpha"]) == (0, None, None)
    assert pairwise_agreement(judged({"ada": [WIN, LOSS]})) == []


def test_every_two_annotators_have_a_row() -> None:
    rows = pairwise_agreement(judged({"ada": [WIN, LOSS], "bob": [WIN, WIN], "eve": [None, None]}))
    assert [(r["first"], r["second"], r["n"], r["agreement"]) for r in rows] == [
        ("ada", "bob", 2, 0.5)
    ]


def test_judge_sees_no_difference_within_its_band() -> None:
    assert [judge_outcome(p, 0.1) for p in (1.0, 1.39, 1.4, 1.5, 1.6, 1.61, 2.0)] == [
        *(LOSS, LOSS, DRAW, DRAW, DRAW, WIN, WIN)
    ]
    assert judge_outcome(1.5, 0.0) == DRAW
    assert judge_outcome(1.5001, 0.0) == WIN


def test_judge_is_compared_on_the_pairs_it_has_judged() -> None:
    judged_by_people = verdicts(judged({"ada": [WIN, WIN, LOSS, DRAW, LOSS]}))
    preferences = pl.DataFrame(
        {
            "comparison": ["m2 vs m0"] * 4 + ["m2 vs reference"],
            "prompt_id": ["p0", "p1", "p2", "p3", "p4"],
            "preference": [1.9, 1.55, 1.8, 1.5, 1.2],
        }
    )
    (row,) = judge_agreement(judged_by_people, preferences, 0.1)
    assert row["n"] == 4
    assert row["agreement"] == 0.5  # p0 and p3
    assert row["judge_draws"] == 2
    assert row["win_rate_people"] == pytest.approx(2.5 / 4)
    assert row["win_rate_judge"] == pytest.approx((0.9 + 0.55 + 0.8 + 0.5) / 4)
    # Of p0, p1 and p2, where people see a difference, it leans their way in two.
    assert (row["n_decided"], row["same_side"]) == (3, pytest.approx(2 / 3))


def test_verdict_is_the_most_frequent_answer_or_no_difference() -> None:
    found = verdicts(
        judged(
            {
                "ada": [WIN, WIN, WIN, DRAW, LOSS],
                "bob": [WIN, LOSS, DRAW, DRAW, LOSS],
                "eve": [LOSS, None, None, WIN, LOSS],
            }
        )
    )
    assert found["verdict"].to_list() == [WIN, DRAW, DRAW, DRAW, LOSS]
    assert found["n_annotators"].to_list() == [3, 2, 2, 3, 3]


def test_shares_have_intervals_and_a_sign_test() -> None:
    answers = [WIN] * 12 + [DRAW] * 5 + [LOSS] * 3
    (row,) = human_shares(judged({"ada": answers}))
    assert [row[name] for name in (WIN, DRAW, LOSS)] == [0.6, 0.25, 0.15]
    # Wilson's interval of 12 in 20, as in the tables of any textbook.
    assert row["win_interval"] == (pytest.approx(0.3866, abs=1e-4), pytest.approx(0.7812, abs=1e-4))
    assert row["win_rate"] == pytest.approx(0.725)
    assert row["p_value"] == pytest.approx(0.03516, abs=1e-5)  # 3 or fewer of 15, doubled
    assert row["p_adjusted"] == row["p_value"]
    assert row["few_pairs"]
    assert row["first_share"] == pytest.approx(0.8)


def test_several_comparisons_are_one_family_of_tests() -> None:
    frames = [judged({"ada": [WIN] * 6}), judged({"ada": [DRAW]}, "m2 vs m1")]
    frames.append(judged({"ada": [WIN] * 9 + [LOSS]}, "m2 vs reference"))
    rows = human_shares(pl.concat(frames))
    # Twice the smaller; the larger is not below it. A comparison without a decision is no test.
    assert [row["p_value"] for row in rows] == [0.03125, None, pytest.approx(0.021484375)]
    assert [row["p_adjusted"] for row in rows] == [*(pytest.approx(0.04296875), None), 0.04296875]


def test_shares_of_nothing_but_draws_have_no_p_value() -> None:
    (row,) = human_shares(judged({"ada": [DRAW] * 3}))
    assert (row["p_value"], row["first_share"], row["win_rate"]) == (None, None, 0.5)


def test_bars_are_a_png_that_differs_with_the_shares() -> None:
    one = human_shares(judged({"ada": [WIN, DRAW, LOSS, WIN]}))
    other = human_shares(judged({"ada": [LOSS] * 30}, "m2 vs reference"))
    assert three_way_bars(one).startswith(b"\x89PNG")
    assert three_way_bars(one) == three_way_bars(one) != three_way_bars([*one, *other])
