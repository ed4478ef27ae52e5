"""The length-controlled win rate against the library's own function, on made-up calibration."""

import math
import random
import warnings
from pathlib import Path

import pytest

from humpback_pipeline.evaluation import (
    CalibrationTableMissingError,
    length_controlled_win_rate,
    win_rate,
)
from humpback_pipeline.evaluation.alpaca_eval_files import Annotation
from humpback_pipeline.evaluation.annotation_rates import try_length_control
from humpback_pipeline.evaluation.calibration import N_ALPACA_EVAL_PROMPTS


def annotations(n: int, taste_for_length: float = 3.0, seed: int = 0) -> list[dict]:
    """Preferences of a judge who likes long answers: the model is the more talkative side."""
    rng = random.Random(seed)
    rows = []
    for position in range(n):
        chars_1, chars_2 = rng.randint(50, 600), rng.randint(300, 1500)
        lead = taste_for_length * math.tanh((chars_2 - chars_1) / 500) - 1.5
        probability = 1 / (1 + math.exp(-lead))
        rows.append(
            {
                "instruction": f"prompt {position}",
                "index": position,
                "generator_1": "baseline",
                "generator_2": "model",
                "output_1": "a" * chars_1,
                "output_2": "b" * chars_2,
                "preference": 1 + min(max(probability + rng.gauss(0, 0.05), 0), 1),
            }
        )
    return rows


def without(rows: list[dict], *columns: str) -> list[dict]:
    return [{k: v for k, v in row.items() if k not in columns} for row in rows]


@pytest.fixture(scope="module")
def calibration(tmp_path_factory) -> Path:
    rng = random.Random(7)
    difficulty = [rng.gauss(0, 1) for _ in range(N_ALPACA_EVAL_PROMPTS)]
    lines = ["model,index,preference,std_delta_len,instruction_difficulty,not_gamed_baseline"]
    for model, shift in (("verbose", 1.0), ("concise", -1.0)):
        for index in range(N_ALPACA_EVAL_PROMPTS):
            preference = 1 / (1 + math.exp(-(shift + difficulty[index] / 4)))
            delta = rng.gauss(-shift, 0.5)
            lines.append(f"{model},{index},{preference!r},{delta!r},{difficulty[index]!r},False")
    path = tmp_path_factory.mktemp("calibration") / "df_gamed.csv"
    path.write_text("\n".join(lines))
    return path


def library_result(rows: list[dict], table: Path, method: str, monkeypatch) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sklearn
        from alpaca_eval.metrics import glm_winrate

        # The library can only fetch its table from a hub: hand it ours instead.
        monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(table))
        with sklearn.config_context():
            return glm_winrate.get_length_controlled_winrate(
                rows, glm_name=method, save_weights_dir=None
            )


@pytest.mark.parametrize("hole", [None, 5])
def test_v1_equals_the_library(calibration, monkeypatch, hole):
    rows = annotations(N_ALPACA_EVAL_PROMPTS)
    if hole is not None:
        rows[hole]["preference"] = None
    theirs = library_result(rows, calibration, "length_controlled_v1", monkeypatch)
    ours = length_controlled_win_rate(rows, calibration=calibration)
    assert ours.method == "length_controlled_v1"
    assert ours.rate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)
    assert ours.standard_error == pytest.approx(theirs["lc_standard_error"], abs=1e-9)
    assert ours.raw_rate == pytest.approx(theirs["win_rate"])
    assert ours.n == N_ALPACA_EVAL_PROMPTS
    assert ours.n_fitted == N_ALPACA_EVAL_PROMPTS - (hole is not None)


def test_minimal_equals_the_library(calibration, monkeypatch):
    rows = annotations(60)
    theirs = library_result(rows, calibration, "length_controlled_minimal", monkeypatch)
    ours = length_controlled_win_rate(rows, method="length_controlled_minimal")
    assert ours.rate == pytest.approx(theirs["length_controlled_winrate"], abs=1e-9)
    assert math.isnan(ours.standard_error)


def test_length_control_lowers_the_rate_of_a_talkative_model():
    rows = without(annotations(120), "index")
    measured = length_controlled_win_rate(rows)
    assert measured.method == "length_controlled_minimal"
    assert measured.rate < win_rate([row["preference"] for row in rows]).rate - 5
    assert measured.coefficients["np.tanh(std_delta_len)"] < 0


def test_minimal_allows_answers_of_equal_length():
    rows = [
        {"preference": 1 + (i % 4) / 3, "output_1": "same", "output_2": "size"} for i in range(40)
    ]
    assert length_controlled_win_rate(rows).rate == pytest.approx(50, abs=1)


def test_a_model_against_itself_has_half_by_construction():
    rows = [dict(row, generator_1="model") for row in without(annotations(30), "index")]
    assert length_controlled_win_rate(rows).rate == 50.0


def test_v1_without_its_table_says_how_to_mend_it(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(CalibrationTableMissingError, match=r"calibration=.*download=True"):
        length_controlled_win_rate(annotations(20))
    with pytest.raises(CalibrationTableMissingError, match="does not exist"):
        length_controlled_win_rate(annotations(20), calibration=tmp_path / "none.csv")


def test_v1_takes_the_table_from_the_local_hub_cache(monkeypatch, calibration):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: str(calibration))
    cached = length_controlled_win_rate(annotations(50))
    assert cached == length_controlled_win_rate(annotations(50), calibration=calibration)


def test_v1_refuses_other_prompts(calibration):
    rows = without(annotations(N_ALPACA_EVAL_PROMPTS), "index")
    with pytest.raises(ValueError, match="805 prompts only"):
        length_controlled_win_rate(rows, method="length_controlled_v1", calibration=calibration)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: without(rows, "output_1"), "lack"),
        (lambda rows: rows[:4], "at least 5"),
        (lambda rows: [*rows, dict(rows[0], generator_2="other")], "several models"),
        (lambda rows: [*rows, dict(rows[0], output_2=None)], "must be a string"),
    ],
)
def test_length_control_refuses_unfit_annotations(change, message):
    with pytest.raises(ValueError, match=message):
        length_controlled_win_rate(change(without(annotations(20), "index")))


def test_length_control_leaves_scikit_learn_settings_alone():
    import sklearn

    before = sklearn.get_config()
    length_controlled_win_rate(without(annotations(20), "index"))
    assert sklearn.get_config() == before


@pytest.mark.parametrize("preference", [1.0, 2.0])
def test_sure_preferences_that_are_all_alike_leave_nothing_to_fit(preference: float) -> None:
    rows = [{**row, "preference": preference} for row in annotations(8)]
    with pytest.raises(ValueError, match="sure and alike"):
        length_controlled_win_rate(rows, method="length_controlled_minimal")


def test_rate_that_the_penalty_alone_has_made_says_so() -> None:
    shape = [(9, 1.0), (2, 2.0), (5, 1.0), (8, 1.0), (1, 1.0), (7, 2.0)]
    rows = [
        Annotation("i", "a" * 5, "b" * n_chars, "reference", "model", preference)
        for n_chars, preference in shape
    ]
    rate, note = try_length_control(rows)
    assert rate is not None
    assert rate.rate == pytest.approx(50)
    assert "too few prompts" in note
