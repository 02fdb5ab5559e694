"""Estimates against values worked out by hand, and the coverage of intervals."""

import math

import numpy as np
import pytest

from pellucid.metrics import statistics
from pellucid.models.errors import InputError


def test_proportion_is_wilsons():
    found = statistics.proportion(8, 10)
    assert found.value == 0.8
    assert (found.low, found.high) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)


def test_mean_is_students():
    found = statistics.mean(np.array([1.0, 2.0, 3.0]))
    assert (found.value, found.low, found.high) == pytest.approx(
        (2, 2 - 2.484138, 2 + 2.484138), abs=1e-5
    )
    assert np.isnan(statistics.mean(np.array([1.0])).low)


def test_correlation_by_hand():
    """x = 1..5, y = 1, 3, 2, 5, 4: Pearson and Spearman .8, slope .8, intercept .6."""
    found = statistics.correlation(np.arange(1.0, 6), np.array([1.0, 3, 2, 5, 4]))
    assert (found.pearson, found.spearman, found.slope, found.intercept) == pytest.approx(
        (0.8, 0.8, 0.8, 0.6)
    )
    half = 1.959964 / np.sqrt(2)
    assert found.pearson_low == pytest.approx(np.tanh(np.arctanh(0.8) - half), abs=1e-6)
    assert found.spearman_high == pytest.approx(
        np.tanh(np.arctanh(0.8) + half * np.sqrt(1.32)), abs=1e-6
    )


def test_correlation_where_there_is_none_to_take():
    assert np.isnan(statistics.correlation(np.ones(5), np.arange(5)).pearson)
    assert np.isnan(statistics.correlation(np.arange(2), np.arange(2)).pearson), (
        "two points are always on a line"
    )
    assert np.isnan(statistics.correlation(np.arange(3), np.array([0, 2, 1])).pearson_low)
    with pytest.raises(InputError, match="two or more pairs"):
        statistics.correlation(np.ones(1), np.ones(1))


@pytest.mark.parametrize("n", [4, 5, 6, 8])
def test_a_perfect_order_of_few_pairs_is_not_certain(n):
    """It excludes zero where 2 of n! orders are under 5 percent, as the exact test: from n = 5."""
    x = np.arange(n)
    rising, falling = statistics.correlation(x, x**3), statistics.correlation(x, -(x**3))
    assert rising.spearman_high == 1
    assert -1 < rising.spearman_low < 1
    assert (rising.spearman_low > 0) == (2 / math.factorial(n) < 0.05)
    assert (falling.spearman_low, falling.spearman_high) == pytest.approx(
        (-1, -rising.spearman_low)
    )


def test_perfect_order_by_hand():
    """Five pairs: half a swap of neighbours below 1 is .95; error sqrt((1 + .95^2 / 2) / 2)."""
    found = statistics.correlation(np.arange(5), np.arange(5) ** 2)
    half = 1.959964 * np.sqrt((1 + 0.95**2 / 2) / 2)
    assert found.spearman_low == pytest.approx(np.tanh(np.arctanh(0.95) - half), abs=1e-6)
