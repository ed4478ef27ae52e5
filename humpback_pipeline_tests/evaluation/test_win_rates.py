"""The win rate against hand-made cases and against AlpacaEval's own function."""

import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.evaluation import win_rate

PREFERENCES = st.lists(
    st.one_of(
        st.none(),
        st.sampled_from([0.0, 1.0, 1.5, 2.0]),
        st.floats(1.0, 2.0),
        st.sampled_from([-1.0, 0.5, 2.5, math.nan]),
    ),
    min_size=1,
    max_size=40,
).filter(lambda values: any(v == 0 or (v is not None and 1 <= v <= 2) for v in values))


def test_win_rate_counts_a_draw_as_half_a_win():
    measured = win_rate([2.0, 2.0, 1.0, 1.5])
    assert measured.rate == pytest.approx(62.5)
    # Wins 1, 1, 0, ½: variance 0.6875/3, over √4.
    assert measured.standard_error == pytest.approx(100 * math.sqrt(0.6875 / 3) / 2)
    assert (measured.n_wins, measured.n_losses, measured.n_draws, measured.n) == (2, 1, 1, 4)


def test_win_rate_weighs_probabilities_in_full():
    assert win_rate([1.2, 1.4]).rate == pytest.approx(30.0)
    assert win_rate([1.2, 1.4]).n_losses == 2


def test_win_rate_leaves_out_unusable_preferences_and_counts_them():
    measured = win_rate([2.0, None, math.nan, 3.0, 0.5, 1.0])
    assert (measured.rate, measured.n, measured.n_unusable) == (50.0, 2, 4)


def test_win_rate_reads_zero_as_a_draw():
    assert win_rate([0.0, 0.0]).n_draws == 2


def test_win_rate_of_one_prompt_has_no_standard_error():
    assert math.isnan(win_rate([2.0]).standard_error)


@pytest.mark.parametrize("preferences", [[], [None], [math.nan, 7.0]])
def test_win_rate_refuses_when_nothing_is_usable(preferences):
    with pytest.raises(ValueError, match="none of the"):
        win_rate(preferences)


@given(st.lists(st.floats(1.0, 2.0), min_size=2, max_size=50))
def test_win_rate_of_swapped_sides_is_the_rest(preferences):
    there, back = win_rate(preferences), win_rate([3.0 - p for p in preferences])
    assert there.rate + back.rate == pytest.approx(100.0)
    assert there.standard_error == pytest.approx(back.standard_error, abs=1e-9)
    assert there.n_wins + there.n_losses + there.n_draws == there.n


@settings(max_examples=60, deadline=None)
@given(PREFERENCES)
def test_win_rate_equals_alpaca_evals(preferences):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alpaca_eval.metrics import pairwise_to_winrate

        theirs = pairwise_to_winrate(preferences)
    ours = win_rate(preferences)
    assert ours.rate == pytest.approx(theirs["win_rate"])
    assert ours.standard_error == pytest.approx(theirs["standard_error"], nan_ok=True, abs=1e-9)
    assert (ours.n_wins, ours.n_losses, ours.n_draws, ours.n) == (
        theirs["n_wins"],
        theirs["n_wins_base"],
        theirs["n_draws"],
        theirs["n_total"],
    )


@pytest.mark.parametrize(("preference", "n"), [(1.3, 7), (1.7, 30), (1.8, 4)])
def test_interval_of_equal_preferences_is_not_empty_by_rounding(preference, n):
    low, high = win_rate([preference] * n).interval
    assert low < 100 * (preference - 1) - 5
    assert high > 100 * (preference - 1) + 5
