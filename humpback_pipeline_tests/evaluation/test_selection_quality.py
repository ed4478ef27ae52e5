"""Precision, recall and AUC on cases worked by hand, and AUC against its definition."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.evaluation import precision_recall


def test_precision_recall_of_a_worked_case():
    measured = precision_recall([5.0, 4.0, 4.0, 2.0, 1.0], [True, False, True, True, False], 4.0)
    assert (measured.n_selected, measured.n_positive, measured.n) == (3, 3, 5)
    assert measured.precision == pytest.approx(2 / 3)
    assert measured.recall == pytest.approx(2 / 3)
    # Six good–bad comparisons: 5>4, 5>1, 4=4 (½), 4>1, 2<4, 2>1.
    assert measured.auc == pytest.approx(4.5 / 6)


def test_precision_recall_selects_ratings_equal_to_the_threshold():
    assert precision_recall([4.5], [True], 4.5).n_selected == 1


def test_precision_recall_with_nothing_selected_is_zero():
    measured = precision_recall([1.0, 2.0], [True, False], 4.0)
    assert (measured.precision, measured.recall, measured.n_selected) == (0.0, 0.0, 0)


@pytest.mark.parametrize("label", [True, False])
def test_auc_of_one_class_says_no_information(label):
    assert precision_recall([1.0, 2.0, 3.0], [label] * 3, 2.0).auc == 0.5


def test_precision_recall_without_positives_has_zero_recall():
    assert precision_recall([5.0], [False], 4.0).recall == 0.0


RATED = st.lists(st.tuples(st.sampled_from([1.0, 2.0, 3.5, 4.0]), st.booleans()), min_size=1)


@given(RATED)
@settings(deadline=None)  # the first call imports scikit-learn
def test_auc_is_the_chance_of_ranking_good_above_bad(rated):
    ratings, labels = zip(*rated, strict=True)
    good = [r for r, label in rated if label]
    bad = [r for r, label in rated if not label]
    wins = sum((g > b) + (g == b) / 2 for g in good for b in bad)
    expected = wins / (len(good) * len(bad)) if good and bad else 0.5
    assert precision_recall(ratings, labels, 3.0).auc == pytest.approx(expected)


@given(RATED)
@settings(deadline=None)  # the first call imports scikit-learn
def test_a_lower_threshold_never_lowers_recall(rated):
    ratings, labels = zip(*rated, strict=True)
    recalls = [precision_recall(ratings, labels, t).recall for t in (4.0, 3.0, 2.0, 1.0)]
    assert recalls == sorted(recalls)


@pytest.mark.parametrize(
    ("ratings", "labels"),
    [([], []), ([1.0], [True, False]), ([float("nan")], [True]), ([1.0], [2])],
)
def test_precision_recall_refuses_unfit_input(ratings, labels):
    with pytest.raises(ValueError, match="precision_recall"):
        precision_recall(ratings, labels, 4.0)


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    measured = precision_recall([5.0, 4.0, 4.0, 2.0], [True, False, False, True], 4.0)
    assert (measured.precision, measured.recall) == (pytest.approx(1 / 3), 0.5)
    assert measured.f1 == pytest.approx(0.4)
    assert precision_recall([1.0], [True], 4.0).f1 == 0.0
