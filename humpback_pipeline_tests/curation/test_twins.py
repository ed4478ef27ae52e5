"""Cross-validation of pairs that share texts; what the calibrated scorer makes of no reading."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from test_rating_scales import CALIBRATION, REFERENCE, labelled

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.curation import (
    SIGNALS,
    CalibrationError,
    Pair,
    Raters,
    Rating,
    Scoring,
    SharedTexts,
    calibrated,
    calibrated_scorer,
    fit_calibration,
    out_of_fold_probabilities,
)
from humpback_pipeline.curation.signals import PairSignals, _signals
from humpback_pipeline.generation import Likelihood
from humpback_pipeline.recipe_curation import CurationRecipe

TEXT = "one two three four five six seven eight nine ten eleven twelve"


def test_texts_are_equal_by_their_words_and_outputs_by_their_opening() -> None:
    shared = SharedTexts.of(
        [
            Pair("Name a fox.", f"{TEXT} thirteen"),
            Pair("name  a FOX", "Other."),
            Pair("Name a cat.", f"{TEXT.upper()}! And something else."),
            Pair("\U0001f44b", "Other"),
            Pair("\U0001f44d", "\U0001f44d"),
        ]
    )
    assert shared.instructions[0] == shared.instructions[1]
    assert len(set(shared.instructions.tolist())) == 4
    assert shared.openings[0] == shared.openings[2]
    assert shared.openings[1] == shared.openings[3]
    assert len(set(shared.openings.tolist())) == 3


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1_000), n_texts=st.integers(20, 60))
def test_no_fold_is_fitted_on_a_text_that_it_rates(seed: int, n_texts: int) -> None:
    rng = random.Random(seed)
    texts = [rng.randrange(n_texts) for _ in range(80)]
    # A flawed pair has the instruction of one and the output of another, so that pairs chain.
    openings = [rng.randrange(n_texts) if rng.random() < 0.3 else text for text in texts]
    shared = SharedTexts(np.asarray(texts), np.asarray(openings))
    good = np.asarray([i % 3 == 0 for i in range(80)])
    rated: list[int] = []
    for train, test in shared.folds(good, 5):
        for numbers in (shared.instructions, shared.openings):
            assert not set(numbers[train]) & set(numbers[test])
        assert len(set(good[train])) == 2
        rated += test.tolist()
    assert sorted(rated) == list(range(80))


def test_twins_do_not_tell_each_others_labels() -> None:
    rng = random.Random(5)
    rows, labels, numbers = [], [], []
    for group in range(60):
        # Nothing tells good from bad but the group, of which all six have nearly the same signals.
        good = rng.random() < 0.5
        signals = {name: rng.gauss(0, 1) for name in SIGNALS} | {"expected": rng.uniform(2, 4)}
        rows += [{n: v + rng.gauss(0, 1e-3) for n, v in signals.items()} for _ in range(6)]
        labels += [good] * 6
        numbers += [group] * 6
    shared = SharedTexts(np.asarray(numbers), np.asarray(numbers))
    fitted = fit_calibration(rows, labels, REFERENCE, shared)
    apart = out_of_fold_probabilities(rows, labels, REFERENCE, shared)
    together = out_of_fold_probabilities(rows, labels, REFERENCE)
    assert fitted.auc == roc_auc_score(labels, apart)
    assert fitted.auc < roc_auc_score(labels, together)
    assert fitted.coefficients == fit_calibration(rows, labels, REFERENCE).coefficients


def test_pairs_of_a_few_texts_are_refused_with_what_to_do() -> None:
    rows, labels = labelled(60, 30)
    numbers = np.asarray([i % 4 for i in range(60)])
    with pytest.raises(CalibrationError, match=r"only 4 different instructions.*Label more"):
        fit_calibration(rows, labels, REFERENCE, SharedTexts(numbers, numbers))
    one = np.zeros(60, int)
    with pytest.raises(CalibrationError, match=r"share instruction or output"):
        fit_calibration(rows, labels, REFERENCE, SharedTexts(np.arange(60), one))


def test_calibration_says_how_precise_a_rating_of_4_is() -> None:
    rows, labels = labelled(200, 80)
    fitted = fit_calibration(rows, labels, REFERENCE)
    kept = [1 + 4 * p >= 4 for p in out_of_fold_probabilities(rows, labels, REFERENCE)]
    n_hits = sum(k and good for k, good in zip(kept, labels, strict=True))
    assert fitted.precision_at_4 == pytest.approx(n_hits / sum(kept))
    assert fitted.recall_at_4 == pytest.approx(n_hits / 80)
    noise, _ = labelled(200, 80, shift=0.0)
    assert fit_calibration(noise, labels, REFERENCE).precision_at_4 is None


def test_pair_that_could_not_be_read_has_the_lowest_rating_and_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nan = math.nan
    read = [
        (PairSignals(nan, nan, nan, error="refused"), Rating(3.0, "expected", 3.0)),
        (PairSignals(0.1, 0.1, 0.1), Rating(1.0, "expected", 1.0, error="too long")),
        (PairSignals(0.1, 0.1, nan), Rating(3.0, "expected", 3.0)),
        (PairSignals(0.1, 0.1, 0.1), Rating(3.0, "expected", 3.0)),
    ]
    monkeypatch.setattr(calibrated, "_read", lambda *_: iter(read))
    pairs = [Pair("Ask.", "Answer.")] * 4
    scoring = Scoring(
        load_prompts(), CurationRecipe(), reference=REFERENCE, calibration=CALIBRATION
    )
    raters = Raters.of(None)  # type: ignore[arg-type]
    ratings = calibrated_scorer(pairs, raters, scoring)
    assert [rating.error for rating in ratings] == [
        "refused",
        "too long",
        "the model gave no number",
        None,
    ]
    assert [(rating.rating, rating.value) for rating in ratings[:3]] == [(1.0, -math.inf)] * 3
    assert ratings[3].rating == 1 + 4 * ratings[3].value > 1
    signals = calibrated.calibration_signals(pairs, raters, scoring)
    assert [math.isnan(row["expected"]) for row in signals] == [False, True, False, False]


def test_ending_that_was_not_told_from_the_answer_is_no_number() -> None:
    def reading(end: float | None) -> Likelihood:
        return Likelihood("a", -8.0, 4, -8.0, 4, end_logprob=end)

    assert math.isnan(_signals(*[reading(None)] * 4).completeness)
    assert _signals(*[reading(0.0)] * 4).completeness == 0.0
    assert _signals(*[reading(-2.0)] * 4).completeness == -2.0
