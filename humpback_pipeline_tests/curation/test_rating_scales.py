"""Every way onto the scale from 1 to 5: in range, finite, and never falling as signals rise."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.curation import (
    SIGNALS,
    Calibration,
    CalibrationError,
    Reference,
    ReferencePairsError,
    expected_rating,
    fit_calibration,
    out_of_fold_probabilities,
)
from humpback_pipeline.curation.likelihood_scorers import rating_by_reference
from humpback_pipeline.curation.reference import Ranking, rating_of_rank

ANY = st.floats(allow_nan=False, allow_infinity=False)
SENSIBLE = st.floats(min_value=-1e6, max_value=1e6)
HUMAN = st.lists(SENSIBLE, min_size=20, max_size=60)


def spread(n: int = 40, seed: int = 0) -> Reference:
    rng = random.Random(seed)
    return Reference.of([{name: rng.gauss(0, 1) for name in SIGNALS} for _ in range(n)])


def labelled(
    n: int, n_good: int, seed: int = 1, shift: float = 2.0
) -> tuple[list[dict[str, float]], list[bool]]:
    rng = random.Random(seed)
    labels = [i < n_good for i in range(n)]
    rows = [
        {name: rng.gauss(0 if good else -shift, 1) for name in SIGNALS}
        | {"expected": rng.uniform(2, 4)}
        for good in labels
    ]
    return rows, labels


@settings(deadline=None)
@given(value=ANY, other=ANY, human=HUMAN)
def test_log_rank_is_finite_and_never_falls(value: float, other: float, human: list[float]) -> None:
    low, high = sorted((value, other))

    assert math.isfinite(Ranking(human).log_rank(low))
    assert Ranking(human).log_rank(low) <= Ranking(human).log_rank(high) <= 0.0


def test_values_between_two_reference_values_have_ranks_of_their_own() -> None:
    ranking = Ranking([float(i) for i in range(20)])
    values = [3.0 + i / 1_000 for i in range(1_000)]
    ranks = [ranking.log_rank(value) for value in values]
    assert len(set(ranks)) == 1_000
    assert ranks[0] == pytest.approx(math.log(4 / 20))
    assert ranks[500] == pytest.approx(math.log(4.5 / 20))


@settings(deadline=None)
@given(a=ANY, b=ANY)
def test_rating_of_rank_is_in_range_and_never_falls(a: float, b: float) -> None:
    low, high = sorted((a, b))

    assert 1.0 <= rating_of_rank(low) <= rating_of_rank(high) <= 5.0


@pytest.mark.parametrize(("share", "rating"), [(0.05, 4.0), (0.2, 4.5), (1.0, 5.0), (0.005, 3.0)])
def test_rating_of_rank_keeps_the_meaning_of_a_4_and_a_5(share: float, rating: float) -> None:
    assert rating_of_rank(math.log(share)) == pytest.approx(rating)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(ANY, ANY, ANY), min_size=2, max_size=6), seed=st.integers(0, 5))
def test_weakest_link_is_the_lowest_rank_in_any_order_and_company(
    rows: list[tuple[float, float, float]], seed: int
) -> None:
    reference = spread(seed=seed)
    pairs = [dict(zip(SIGNALS, row, strict=True)) for row in rows]
    together = [rating_by_reference(reference, SIGNALS, min)(pair) for pair in pairs]

    for pair, (value, rating) in zip(pairs, together, strict=True):
        assert value == min(reference.log_ranks(pair, SIGNALS))
        assert 1.0 <= rating <= 5.0
        alone = rating_by_reference(reference, tuple(reversed(SIGNALS)), min)(pair)
        assert alone == (value, rating)


@settings(deadline=None)
@given(row=st.tuples(ANY, ANY, ANY), name=st.sampled_from(SIGNALS), more=ANY)
def test_better_signal_never_lowers_a_rating(
    row: tuple[float, float, float], name: str, more: float
) -> None:
    pair = dict(zip(SIGNALS, row, strict=True))
    better = {**pair, name: max(pair[name], more)}

    for combine in (min, lambda ranks: math.fsum(ranks) / len(ranks)):
        rate = rating_by_reference(spread(), SIGNALS, combine)
        assert rate(pair)[1] <= rate(better)[1]


@pytest.mark.parametrize("human", [[0.0] * 20, [float(i) for i in range(20)]])
@pytest.mark.parametrize("value", [-1e300, -1.79e308, 0.0, 1.79e308])
def test_extreme_value_has_a_finite_rank_whatever_the_spread(
    value: float, human: list[float]
) -> None:
    assert math.isfinite(Ranking(human).log_rank(value))


def test_too_few_reference_pairs_are_an_error_with_a_remedy() -> None:
    with pytest.raises(ReferencePairsError, match=r"19 .*at least 20"):
        spread(19)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda p: sum(p) > 1e-300))
def test_expected_rating_is_in_range_for_any_distribution(weights: list[float]) -> None:
    probabilities = [weight / math.fsum(weights) for weight in weights]

    assert 1.0 <= expected_rating(probabilities) <= 5.0


@settings(max_examples=60, deadline=None)
@given(row=st.tuples(SENSIBLE, SENSIBLE, SENSIBLE), expected=st.floats(1, 5), more=SENSIBLE)
def test_calibrated_probability_is_a_probability_and_follows_its_coefficients(
    row: tuple[float, float, float], expected: float, more: float
) -> None:
    pair = dict(zip(SIGNALS, row, strict=True)) | {"expected": expected}
    probability = CALIBRATION.probability(pair, REFERENCE)

    assert 0.0 <= probability <= 1.0
    for name, weight in zip(CALIBRATION.features, CALIBRATION.coefficients, strict=True):
        changed = CALIBRATION.probability({**pair, name: max(pair[name], more)}, REFERENCE)
        assert changed >= probability if weight >= 0 else changed <= probability


def test_calibration_survives_json_and_knows_no_length() -> None:
    again = Calibration.from_dict(json.loads(json.dumps(CALIBRATION.as_dict())))

    assert again == CALIBRATION
    assert set(CALIBRATION.features) <= {*SIGNALS, "expected"}
    rows, labels = labelled(60, 30)
    longer = [{**row, "n_chars": 1e6 * label} for row, label in zip(rows, labels, strict=True)]
    assert fit_calibration(longer, labels, REFERENCE) == fit_calibration(rows, labels, REFERENCE)


def test_calibration_tells_good_from_bad_and_finds_nothing_in_noise() -> None:
    rows, labels = labelled(200, 100)
    fitted = fit_calibration(rows, labels, REFERENCE)
    noise, _ = labelled(200, 100, shift=0.0)

    assert fitted.auc > 0.9
    assert fit_calibration(noise, labels, REFERENCE).auc < 0.65
    assert (fitted.n_labels, fitted.n_positive) == (200, 100)


def test_out_of_fold_probabilities_have_not_seen_their_own_label() -> None:
    from sklearn.metrics import roc_auc_score

    noise, labels = labelled(40, 20, shift=0.0, seed=3)
    fitted = fit_calibration(noise, labels, REFERENCE)
    unseen = out_of_fold_probabilities(noise, labels, REFERENCE)

    # In noise there is nothing to find but the labels themselves.
    seen = roc_auc_score(labels, [fitted.probability(row, REFERENCE) for row in noise])
    assert fitted.auc == roc_auc_score(labels, unseen) < 0.6 < seen


@pytest.mark.parametrize(("n", "n_good"), [(39, 20), (60, 9), (60, 51), (0, 0)])
def test_too_few_labels_are_refused_with_what_to_do(n: int, n_good: int) -> None:
    rows, labels = labelled(n, n_good)

    with pytest.raises(CalibrationError, match=r"too few.*Label more"):
        fit_calibration(rows, labels, REFERENCE)


REFERENCE = spread()
CALIBRATION = fit_calibration(*labelled(120, 60), REFERENCE)
