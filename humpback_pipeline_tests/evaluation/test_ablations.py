"""Ablations side by side: intervals of α, the table with the paper's figures, and the plots."""

from __future__ import annotations

import io
import math

import numpy as np
import polars as pl
import pytest
from PIL import Image

from humpback_pipeline.evaluation.ablation_plots import scaling_curves, study_bars
from humpback_pipeline.evaluation.ablations import (
    ABLATIONS_SCHEMA,
    ablation_table,
    compare_with_final,
    rate_row,
    scaling_fits,
)
from humpback_pipeline.evaluation.scaling import alpha_over_prompts, scaling_coefficient

SIZES = (100, 800, 1_600, 3_200)


def judged(preferences: list[float]) -> pl.DataFrame:
    ids = [f"p{n}" for n in range(len(preferences))]
    return pl.DataFrame({"prompt_id": ids, "preference": preferences})


def fact(study: str, series: str, n: int, preferences: list[float], **more: object) -> dict:
    counts = {"n_seeds": 0, "n_augmented": n, "versus_final": None}
    return {"study": study, "series": series, **counts, **rate_row(preferences), **more}


def test_alpha_over_prompts_is_the_alpha_of_the_mean_rates() -> None:
    preferences = np.random.default_rng(0).uniform(1, 2, (len(SIZES), 40))
    found = alpha_over_prompts(SIZES, preferences)
    rates = (preferences.mean(axis=1) - 1) * 100
    assert found.alpha == pytest.approx(scaling_coefficient(SIZES, rates).alpha)
    assert found.n_prompts == 40
    assert found.low < found.alpha < found.high


def test_interval_of_alpha_holds_the_true_one_about_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    true_rates = 0.3 + 0.04 * np.log(SIZES)
    hits = 0
    for _ in range(200):
        # What is easy in a prompt, all models find easy.
        ease = rng.normal(0, 0.08, 60)
        chance = np.clip(true_rates[:, None] + ease + rng.normal(0, 0.05, (4, 60)), 0, 1)
        found = alpha_over_prompts(SIZES, 1 + chance)
        hits += found.low <= 4.0 <= found.high
    assert 180 <= hits <= 198


def test_prompt_without_a_verdict_for_one_size_is_left_out_of_all() -> None:
    whole = np.array([[1.2, 1.4, 1.9], [1.4, 1.6, math.nan]])
    found = alpha_over_prompts([1, math.e], whole)
    assert found.n_prompts == 2
    assert found.alpha == pytest.approx(20.0)


def test_alpha_of_a_single_prompt_has_no_interval() -> None:
    found = alpha_over_prompts([1, math.e], [[1.2], [1.4]])
    assert (found.low, found.high, found.standard_error) == (None, None, None)


def test_alpha_without_a_prompt_judged_for_every_size_is_refused() -> None:
    with pytest.raises(ValueError, match="no prompt"):
        alpha_over_prompts([1, 2], [[math.nan, 1.2], [1.3, math.nan]])


def test_scatter_about_the_line_is_the_regressions_standard_error() -> None:
    from scipy.stats import linregress

    rates = [40.0, 43.0, 42.0, 47.0]
    expected = linregress(np.log(SIZES), rates).stderr
    assert scaling_coefficient(SIZES, rates).standard_error == pytest.approx(expected)
    assert scaling_coefficient(SIZES[:2], rates[:2]).standard_error is None


def test_table_has_the_papers_row_for_its_system_prompts_alone() -> None:
    facts = {
        "both": fact("system_prompts", "both", 4, [1.5, 1.7]),
        "none": fact("system_prompts", "none", 4, [1.5, 1.4]),
        "odd": fact("system_prompts", "odd", 4, [1.5, 1.4]),
        "other": fact("joint_training", "other", 4, [1.5, 1.4]),
    }
    tags = {"both": (True, "both"), "none": (False, "none"), "odd": (True, "web")}
    table = ablation_table(facts, {**tags, "other": (True, "both")})
    assert table.schema == pl.Schema(ABLATIONS_SCHEMA)
    assert table["paper_rate"].to_list() == [66.47, 59.96, None, None]
    assert table["paper_standard_error"].to_list() == [3.04, 3.09, None, None]


def test_chance_findings_are_corrected_over_all_variants() -> None:
    facts = {
        name: fact("baselines", name, 4, [1.5, 1.6], versus_final={"p_value": p})
        for name, p in {"a": 0.01, "b": 0.04, "c": 0.5}.items()
    }
    facts["alone"] = fact("baselines", "alone", 4, [1.5, 1.6])
    table = ablation_table(facts, dict.fromkeys(facts, (True, "both")))
    assert table["p_adjusted"].to_list() == pytest.approx([0.03, 0.08, 0.5, None])


def test_variant_is_compared_with_the_final_model_prompt_by_prompt() -> None:
    final = judged([1.1, 1.2, 1.3, 1.4])
    found = compare_with_final(judged([1.15, 1.3, 1.45, 1.5]).reverse(), final)
    assert found is not None
    assert found["versus_final"] == pytest.approx(10.0)
    assert found["p_value"] == pytest.approx(2 / 2**4)
    assert compare_with_final(judged([1.2]), final) is None


def test_series_of_two_sizes_are_fitted_and_single_models_are_not() -> None:
    preferences = {
        "small": judged([1.4, 1.5]),
        "large": judged([1.5, 1.6]),
        "lone": judged([1.5, 1.6]),
    }
    facts = {
        name: fact(
            "quality_quantity",
            "A_4" if name != "lone" else "lone",
            {"small": 100, "large": 1_000, "lone": 100}[name],
            frame["preference"].to_list(),
        )
        for name, frame in preferences.items()
    }
    table = ablation_table(facts, dict.fromkeys(facts, (True, "both")))
    (fit,) = scaling_fits(table, preferences)
    assert fit["series"] == "A_4"
    assert fit["alpha"] == pytest.approx(10 / math.log(10))
    assert fit["prompts"] == 2
    assert fit["scatter"] is None


def test_series_judged_on_different_prompts_has_an_alpha_without_an_interval() -> None:
    other = judged([1.5, 1.6]).with_columns(prompt_id=pl.lit("x") + pl.col("prompt_id"))
    preferences = {"a": judged([1.4, 1.5]), "b": other}
    facts = {
        name: fact("quality_quantity", "A_4", n, [1.5, 1.6]) for name, n in (("a", 10), ("b", 20))
    }
    table = ablation_table(facts, dict.fromkeys(facts, (True, "both")))
    (fit,) = scaling_fits(table, preferences)
    assert (fit["low"], fit["high"], fit["prompts"]) == (None, None, 0)


def test_plots_show_the_points_the_papers_slopes_and_its_rates() -> None:
    rows = [
        {"series": s, "variant": f"{s}-{n}", "n_examples": n, "rate": r, "low": r - 5,
         "high": r + 5, "paper_rate": None}
        for s, n, r in (("A_4", 100, 40.0), ("A_4", 1_000, 50.0), ("lone", 10, 30.0))
    ]  # fmt: skip
    fits = [{"series": "A_4", "alpha": 4.34, "intercept": 20.0}]
    bars = [{**rows[0], "paper_rate": 66.47}, rows[1]]
    drawn = {
        "curves": scaling_curves(rows, fits, "Curves"),
        "nothing fitted": scaling_curves(rows[2:], [], "Curves"),
        "bars": study_bars(bars, "System prompts"),
        "without the paper": study_bars(rows, "System prompts"),
    }
    for png in drawn.values():
        image = Image.open(io.BytesIO(png))
        assert image.format == "PNG"
        assert np.asarray(image.convert("L")).min() < 140
    assert len(set(drawn.values())) == len(drawn)
