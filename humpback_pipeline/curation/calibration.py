"""A small regression over the other scorers' signals, fitted on labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from humpback_pipeline.curation.reference import Reference
from humpback_pipeline.curation.signals import SIGNALS
from humpback_pipeline.curation.twins import SharedTexts, TooFewTextsError

MIN_LABELS = 40
MIN_OF_EITHER = 10
N_FOLDS = 5
EXPECTED = "expected"
# Ranks say how a signal compares with people's; the digits' expectation is a scale of its own.
FEATURES = (*SIGNALS, EXPECTED)
_REMEDY = (
    "Label more (evaluation.labelled_pairs), or use a scorer without labels, such as 'combined'."
)


class CalibrationError(ValueError):
    """There are too few labels to fit a regression on."""


@dataclass(frozen=True)
class Calibration:
    """A logistic regression on standardised features; never on lengths.

    features: names; mean, sd, coefficients: one number each. n_labels, n_positive: what it was
    fitted on. Cross-validated over `N_FOLDS` folds: auc; precision_at_4, recall_at_4, of keeping
    ratings of 4 or more (the precision is None where none is so high).
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    n_labels: int
    n_positive: int
    auc: float
    precision_at_4: float | None = None
    recall_at_4: float | None = None

    def probability(self, signals: Mapping[str, float], reference: Reference) -> float:
        """How likely a pair with these signals is a good one."""
        values = np.asarray(_features(signals, reference))
        z = (values - self.mean) / self.sd
        return float(_sigmoid(float(z @ np.asarray(self.coefficients)) + self.intercept))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Calibration:
        """The reverse of `as_dict`."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in plain.items()
        }
        return cls(**fields)


def rating_of_probability(probability: float) -> float:
    """1 + 4 p: a rating of 4 means three in four."""
    return 1.0 + 4.0 * probability


def fit_calibration(
    signals: Sequence[Mapping[str, float]],
    labels: Sequence[bool],
    reference: Reference,
    shared: SharedTexts | None = None,
) -> Calibration:
    """Fit on labelled pairs; `signals` hold `FEATURES`.

    shared: which pairs have a text in common, for the cross-validated figures; default: none have.
    Raises CalibrationError on too few labels or too few different texts.
    """
    rows, good = _checked(signals, labels, reference)
    mean, sd = rows.mean(0), np.maximum(rows.std(0), 1e-9)
    coefficients, intercept = _fit((rows - mean) / sd, good)
    out_of_fold = out_of_fold_probabilities(signals, labels, reference, shared)
    from sklearn.metrics import roc_auc_score

    kept = np.asarray([rating_of_probability(p) >= 4.0 for p in out_of_fold])
    return Calibration(
        features=FEATURES,
        mean=tuple(mean.tolist()),
        sd=tuple(sd.tolist()),
        coefficients=tuple(coefficients.tolist()),
        intercept=intercept,
        n_labels=len(good),
        n_positive=int(good.sum()),
        auc=float(roc_auc_score(good, out_of_fold)),
        precision_at_4=float(good[kept].mean()) if kept.any() else None,
        recall_at_4=float(kept[good].mean()),
    )


def out_of_fold_probabilities(
    signals: Sequence[Mapping[str, float]],
    labels: Sequence[bool],
    reference: Reference,
    shared: SharedTexts | None = None,
) -> list[float]:
    """Each pair's probability by a fit that has seen neither it nor a pair with a text of it.

    Raises as `fit_calibration`.
    """
    rows, good = _checked(signals, labels, reference)
    found = np.zeros(len(good))
    try:
        for train, test in (shared or SharedTexts.none(len(good))).folds(good, N_FOLDS):
            mean, sd = rows[train].mean(0), np.maximum(rows[train].std(0), 1e-9)
            coefficients, intercept = _fit((rows[train] - mean) / sd, good[train])
            found[test] = _sigmoid((rows[test] - mean) / sd @ coefficients + intercept)
    except TooFewTextsError as error:
        raise CalibrationError(
            f"A regression cannot be cross-validated on {len(good)} labelled pairs: {error}. "
            f"{_REMEDY}"
        ) from error
    return [float(p) for p in found]


def _checked(
    signals: Sequence[Mapping[str, float]], labels: Sequence[bool], reference: Reference
) -> tuple[np.ndarray, np.ndarray]:
    good = np.asarray(labels, dtype=bool)
    fewest = min(int(good.sum()), int((~good).sum()))
    if good.size < MIN_LABELS or fewest < MIN_OF_EITHER:
        raise CalibrationError(
            f"{good.size} labelled pairs, {int(good.sum())} of them good, are too few to fit a "
            f"regression: it needs {MIN_LABELS}, and {MIN_OF_EITHER} of either kind. {_REMEDY}"
        )
    return np.asarray([_features(row, reference) for row in signals]), good


def _features(signals: Mapping[str, float], reference: Reference) -> list[float]:
    return [*reference.log_ranks(signals, SIGNALS), signals[EXPECTED]]


def _fit(rows: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=1_000).fit(rows, good)
    return model.coef_[0], float(model.intercept_[0])


def _sigmoid(values: Any) -> Any:
    from scipy.special import expit

    return expit(values)
