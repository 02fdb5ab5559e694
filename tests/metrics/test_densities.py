"""Peaks of densities, and differences of samples: numbers that can be worked out by hand."""

import numpy as np
import pytest

from pellucid.metrics import densities, statistics
from pellucid.models.errors import InputError


def test_peak_is_where_the_exact_density_is_highest():
    values = np.random.default_rng(0).gamma(3, 1, 1500)
    grid = np.linspace(0, 10, 20001)
    exact = grid[np.argmax(densities.density(values, grid))]
    found = densities.peak(values)
    assert found.value == pytest.approx(exact, abs=0.02)
    assert found.low < found.value < found.high
    assert found.n == 1500


def test_peak_interval_covers_the_true_mode():
    """A normal sample's mode is its mean; of 40 intervals at 95 percent at least 34 hold it."""
    rng = np.random.default_rng(1)
    found = [densities.peak(rng.normal(2, 1, 400), resamples=100) for _ in range(40)]
    assert sum(f.low <= 2 <= f.high for f in found) >= 34
    assert all(f.high - f.low < 2 for f in found)


@pytest.mark.parametrize("values", [np.arange(29.0), np.ones(50)])
def test_too_few_or_equal_values_have_no_peak(values):
    with pytest.raises(InputError, match="30 or more values that differ"):
        densities.peak(values)


def test_welch_difference_by_hand():
    """Means 2 and 5, variances 1 and 4, n = 3 each: standard error sqrt(5/3), 2.94 degrees."""
    found = statistics.difference(np.array([1.0, 2, 3]), np.array([3.0, 5, 7]))
    assert found.value == -3
    freedom = (1 / 3 + 4 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    from scipy import stats

    half = stats.t.ppf(0.975, freedom) * np.sqrt(5 / 3)
    assert (found.low, found.high) == pytest.approx((-3 - half, -3 + half))
    assert found.n == 3


def test_difference_of_single_values_has_no_interval():
    found = statistics.difference(np.array([1.0]), np.array([3.0, 5]))
    assert found.value == -3
    assert np.isnan(found.low)
