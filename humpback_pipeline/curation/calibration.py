"""A small regression over the other scorers' signals, fitted on labelled pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from humpback_pipeline.curation.reference import Reference
from humpback_pipeline.curation.signals import SIGNALS

MIN_LABELS = 40
MIN_OF_EITHER = 10
N_FOLDS = 5
EXPECTED = "expected"
# Ranks say how a signal compares with people's; the digits' expectation is a scale of its own.
FEATURES = (*SIGNALS, EXPECTED)


class CalibrationError(ValueError):
    """There are too few labels to fit a regression on."""


@dataclass(frozen=True)
class Calibration:
    """A logistic regression on standardised features; never on lengths.

    features: names; mean, sd, coefficients: one number each. n_labels, n_positive: what it was
    fitted on. auc: cross-validated, over `N_FOLDS` folds.
    """

    features: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float
    n_labels: int
    n_positive: int
    auc: float

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


def fit_calibration(
    signals: Sequence[Mapping[str, float]], labels: Sequence[bool], reference: Reference
) -> Calibration:
    """Fit on labelled pairs; `signals` hold `FEATURES`. Raises CalibrationError on too few."""
    rows, good = _checked(signals, labels, reference)
    mean, sd = rows.mean(0), np.maximum(rows.std(0), 1e-9)
    coefficients, intercept = _fit((rows - mean) / sd, good)
    out_of_fold = out_of_fold_probabilities(signals, labels, reference)
    from sklearn.metrics import roc_auc_score

    return Calibration(
        features=FEATURES,
        mean=tuple(mean.tolist()),
        sd=tuple(sd.tolist()),
        coefficients=tuple(coefficients.tolist()),
        intercept=intercept,
        n_labels=len(good),
        n_positive=int(good.sum()),
        auc=float(roc_auc_score(good, out_of_fold)),
    )


def out_of_fold_probabilities(
    signals: Sequence[Mapping[str, float]], labels: Sequence[bool], reference: Reference
) -> list[float]:
    """Each pair's probability by a fit that has not seen it. Raises CalibrationError on too few."""
    from sklearn.model_selection import StratifiedKFold

    rows, good = _checked(signals, labels, reference)
    found = np.zeros(len(good))
    for train, test in StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(rows, good):
        mean, sd = rows[train].mean(0), np.maximum(rows[train].std(0), 1e-9)
        coefficients, intercept = _fit((rows[train] - mean) / sd, good[train])
        found[test] = _sigmoid((rows[test] - mean) / sd @ coefficients + intercept)
    return [float(p) for p in found]


def _checked(
    signals: Sequence[Mapping[str, float]], labels: Sequence[bool], reference: Reference
) -> tuple[np.ndarray, np.ndarray]:
    good = np.asarray(labels, dtype=bool)
    fewest = min(int(good.sum()), int((~good).sum()))
    if good.size < MIN_LABELS or fewest < MIN_OF_EITHER:
        raise CalibrationError(
            f"{good.size} labelled pairs, {int(good.sum())} of them good, are too few to fit a "
            f"regression: it needs {MIN_LABELS}, and {MIN_OF_EITHER} of either kind. Label more "
            "(evaluation.labelled_pairs), or use a scorer without labels, such as 'combined'."
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
