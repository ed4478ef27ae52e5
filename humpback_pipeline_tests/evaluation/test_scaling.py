"""The scaling coefficient on points whose line is known."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.evaluation import scaling_coefficient


@given(
    st.floats(-20, 20),
    st.floats(-100, 100),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=8, unique=True),
)
def test_scaling_recovers_the_line_behind_the_points(alpha, intercept, sizes):
    fit = scaling_coefficient(sizes, [alpha * math.log(n) + intercept for n in sizes])
    if max(sizes) > 1.1 * min(sizes):
        assert fit.alpha == pytest.approx(alpha, abs=1e-6)
        assert fit.predict(1) == pytest.approx(intercept, abs=1e-4)
    assert fit.n == len(sizes)


def test_scaling_uses_the_natural_logarithm():
    fit = scaling_coefficient([1, math.e], [10.0, 17.0])
    assert (fit.alpha, fit.intercept) == (pytest.approx(7.0), pytest.approx(10.0))
    assert fit.r_squared == pytest.approx(1.0)


def test_scaling_r_squared_falls_with_scatter():
    # Residuals are −1, 2, −1 around the mean line of slope 0.
    fit = scaling_coefficient([1, math.e, math.e**2], [1.0, 4.0, 1.0])
    assert fit.alpha == pytest.approx(0.0, abs=1e-9)
    assert fit.r_squared == pytest.approx(0.0, abs=1e-9)


def test_scaling_of_equal_win_rates_is_flat():
    fit = scaling_coefficient([100, 200, 400], [50.0, 50.0, 50.0])
    assert fit.alpha == pytest.approx(0.0, abs=1e-9)
    assert fit.r_squared == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("sizes", "rates"),
    [
        ([100], [50.0]),
        ([100, 100], [50, 51]),
        ([0, 5], [1, 2]),
        ([1, 2], [1]),
        ([1, 2], [1, 1e999]),
    ],
)
def test_scaling_refuses_what_gives_no_line(sizes, rates):
    with pytest.raises(ValueError, match="scaling_coefficient"):
        scaling_coefficient(sizes, rates)
