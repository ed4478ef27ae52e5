"""AlpacaEval's length-controlled win rate: what the rate would be if both answers were as long.

A logistic model explains each preference by the difference in length, the difficulty of the prompt
and the model's own quality; the rate is then predicted with the length difference set to zero.
Source: Dubois et al., "Length-Controlled AlpacaEval" (arXiv 2404.04475). The fitting code and its
settings are the `alpaca_eval` library's own (0.6.6, Apache-2.0). Only the preparation of its input
is restated here, because the library fetches a table from a model hub even where its formula does
not use it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .calibration import alpaca_eval_indexes, find_calibration, read_calibration

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["auto", "length_controlled_v1", "length_controlled_minimal"]

_N_FOLDS = 5  # of the library's cross-validation: fewer prompts cannot be split


@dataclass(frozen=True)
class LengthControlledWinRate:
    """A length-controlled win rate.

    rate, standard_error: percent; the standard error is the library's, over the *predicted*
        preferences, and so says nothing of the uncertainty of the fit. It is NaN for the minimal
        formula, which predicts the same for every prompt.
    raw_rate: percent, the plain win rate of the same preferences.
    method: the formula used. n: prompts predicted for; n_fitted: those with a usable preference.
    is_extreme_change: the library's own warning sign that the fit may have failed.
    coefficients: the fitted weights by term.
    """

    rate: float
    standard_error: float
    raw_rate: float
    method: str
    n: int
    n_fitted: int
    is_extreme_change: bool
    coefficients: dict[str, float]


def length_controlled_win_rate(
    annotations: Sequence[Mapping[str, Any]],
    *,
    method: Method = "auto",
    calibration: str | Path | None = None,
    download: bool = False,
) -> LengthControlledWinRate:
    """Return the win rate with the judge's taste for length taken out.

    annotations: one mapping a prompt with `preference` (1.0 … 2.0, None if unusable), `output_1`
        (the baseline's answer) and `output_2` (the model's); optional `instruction`, `index`
        (position among AlpacaEval's prompts), `generator_1`, `generator_2`.
    method: which formula, by the library's names:
        - "length_controlled_v1", the leaderboard's. It applies to AlpacaEval's 805 prompts only
          (all in published order, or any of them with `index`), because it needs AlpacaEval's
          table of prompt difficulties and of two baselines told to be verbose and concise
          (`df_gamed.csv` of the data set tatsu-lab/alpaca_eval, CC BY-NC 4.0, not shipped here).
        - "length_controlled_minimal" knows length and quality alone: any prompts, no table. Its
          figures are **not** comparable with the leaderboard's.
        - "auto" is v1 for AlpacaEval's prompts and minimal for others. It never puts minimal in
          the place of v1 for want of the table.
    calibration: path of `df_gamed.csv`; by default the local hub cache is searched.
    download: let the hub be asked for the table. By default nothing is ever fetched.

    Raises CalibrationTableMissingError when v1 has no table; ValueError when v1 is asked for other
    prompts, a column is missing, several models are mixed, fewer than 5 preferences are usable, or
    (minimal) all are 1.0 or all 2.0.
    """
    frame = _annotation_frame(annotations)
    indexes = alpaca_eval_indexes(frame)
    chosen = method
    if method == "auto":
        chosen = "length_controlled_minimal" if indexes is None else "length_controlled_v1"
    table = None
    if chosen == "length_controlled_v1":
        if indexes is None:
            raise ValueError(
                "length_controlled_v1 applies to AlpacaEval's 805 prompts only: give all of them "
                "in published order, or an `index` (0 … 804) with each; for other prompts use "
                "method='length_controlled_minimal'"
            )
        frame["index"] = indexes
        table = read_calibration(find_calibration(calibration, download))
    if _is_same_generator(frame):
        return _against_itself(frame, chosen)
    if table is None and set(frame["preference"].dropna()) in ({1.0}, {2.0}):
        # The library then has one class to fit; of all losses its weights make 50 %.
        raise ValueError(
            "length_controlled_win_rate: all preferences are sure and alike, so there is nothing "
            "that length could explain"
        )
    return _fit(frame, chosen, table)


def _annotation_frame(annotations: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame.from_records([dict(row) for row in annotations])
    missing = {"preference", "output_1", "output_2"} - set(frame.columns)
    if missing:
        raise ValueError(f"length_controlled_win_rate: annotations lack {sorted(missing)}")
    for column in ("output_1", "output_2"):
        if not frame[column].map(lambda text: isinstance(text, str)).all():
            raise ValueError(f"length_controlled_win_rate: every {column} must be a string")
    if "generator_2" in frame and frame["generator_2"].nunique() > 1:
        raise ValueError(
            "length_controlled_win_rate: annotations mix several models "
            f"({', '.join(sorted(map(str, frame['generator_2'].unique())))}); rate one at a time"
        )
    preference = frame["preference"].astype(float).replace({0.0: 1.5})
    frame["preference"] = preference.where(preference.between(1.0, 2.0))
    if frame["preference"].notna().sum() < _N_FOLDS:
        raise ValueError(
            f"length_controlled_win_rate: at least {_N_FOLDS} usable preferences are needed, "
            f"there are {int(frame['preference'].notna().sum())}"
        )
    return frame


def _fit(frame: pd.DataFrame, method: str, table: pd.DataFrame | None) -> LengthControlledWinRate:
    import pandas as pd

    with _library() as glm:
        settings = glm.GLM_INFO[method]
        observed, counterfactual = _features(frame, table)
        weight = None
        if table is not None:
            observed = pd.concat([table, observed], axis=0)
            is_model = observed["not_gamed_baseline"].astype(bool)
            # Halved because there are two calibration baselines (as in the library).
            weight = is_model.astype(float) + (
                settings["regularize_to_baseline_lambda"] * (~is_model).astype(float) / 2
            )
        design, design_equal_length = glm.make_dmatrix_for_model(
            observed, counterfactual, formula=settings["formula"]
        )
        known = design["preference"].notna()
        model = glm.fit_LogisticRegressionCV(
            design[known],
            "preference",
            is_ytrue_proba=True,
            sample_weight=None if weight is None else weight[known],
            **settings["kwargs"],
        )
        predicted = pd.Series(model.predict_proba(design_equal_length)[:, 1])
        raw_rate = float((frame["preference"] - 1).mean() * 100)
        rate = float(predicted.mean() * 100)
        is_extreme = bool(glm.get_is_extreme_changes(raw_rate, rate))
    return LengthControlledWinRate(
        rate=rate,
        standard_error=float("nan") if table is None else float(predicted.sem() * 100),
        raw_rate=raw_rate,
        method=method,
        n=len(frame),
        n_fitted=int(frame["preference"].notna().sum()),
        is_extreme_change=is_extreme,
        coefficients={
            str(term): float(value)
            for term, value in zip(design_equal_length.columns, model.coef_[0], strict=True)
        },
    )


def _features(frame: pd.DataFrame, table: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the library's features of the annotations, as observed and with equal lengths."""
    observed = frame[["preference"]] - 1
    delta_chars = frame["output_1"].str.len() - frame["output_2"].str.len()
    spread = delta_chars.std()
    # Equal differences everywhere leave nothing to control for; dividing by zero would say NaN.
    observed["std_delta_len"] = delta_chars / spread if spread > 0 else 0.0
    observed["not_gamed_baseline"] = True
    if table is not None:
        # By row label, as in the library: the table's first 805 rows are the prompts in order.
        difficulty = table.drop_duplicates("index")["instruction_difficulty"]
        observed["instruction_difficulty"] = [difficulty[i] for i in frame["index"]]
    counterfactual = observed.drop(columns=["preference"]).assign(std_delta_len=0.0)
    return observed, counterfactual


def _is_same_generator(frame: pd.DataFrame) -> bool:
    return {"generator_1", "generator_2"} <= set(frame.columns) and frame["generator_1"].iloc[
        0
    ] == frame["generator_2"].iloc[0]


def _against_itself(frame: pd.DataFrame, method: str) -> LengthControlledWinRate:
    """Return the 50 % that a model has against itself by construction (as in the library)."""
    return LengthControlledWinRate(
        rate=50.0,
        standard_error=0.0,
        raw_rate=float((frame["preference"] - 1).mean() * 100),
        method=method,
        n=len(frame),
        n_fitted=0,
        is_extreme_change=False,
        coefficients={},
    )


@contextmanager
def _library() -> Iterator[Any]:
    """Lend the library's module, keeping its global settings and deprecation noise from leaking."""
    with warnings.catch_warnings():
        # Old scikit-learn spellings and pkg_resources: the library's to mend, pinned here.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        import sklearn
        from alpaca_eval.metrics import glm_winrate

        # The fit switches metadata routing on for the whole process; the context restores it.
        with sklearn.config_context(enable_metadata_routing=True):
            yield glm_winrate
