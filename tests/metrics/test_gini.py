"""The Gini index, against its other formula and its known distribution for exponential maps."""

import numpy as np
import pytest
from scipy import stats

from pellucid.metrics.gini import gini
from pellucid.models.errors import InputError


def by_pairs(values: np.ndarray) -> float:
    """Half the mean difference of two pixels, drawn with replacement, over the mean: O(n^2)."""
    values = np.abs(values).ravel()
    return np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())


@pytest.mark.parametrize("n", [1, 2, 7, 784])
def test_one_pixel_holds_everything_or_all_are_equal(n):
    one = np.zeros((1, n))
    one[0, n // 2] = -3.0
    assert gini(one)[0] == pytest.approx(1 - 1 / n, abs=1e-12)
    assert gini(np.full((1, n), 0.1))[0] == pytest.approx(0, abs=1e-15)


def test_by_hand():
    """1 and 3: 2 (1 * 1 + 2 * 3) / (2 * 4) - 3 / 2 = 1 / 4."""
    np.testing.assert_allclose(gini(np.array([[3.0, 1.0], [-1.0, 3.0]])), 0.25, rtol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_is_half_the_relative_mean_difference(seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(4, *rng.integers(1, 9, 2))) ** rng.integers(1, 6)
    maps[0] *= rng.random(maps[0].shape) < 0.5
    maps[0].flat[0] = 1
    np.testing.assert_allclose(gini(maps), [by_pairs(each) for each in maps], rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, -7.0, 1e30, 1e300])
def test_neither_scale_nor_order_matters(scale):
    rng = np.random.default_rng(1)
    maps = rng.exponential(size=(3, 5, 4))
    shuffled = rng.permuted(maps.reshape(3, -1), axis=1)
    np.testing.assert_allclose(gini(scale * shuffled), gini(maps), rtol=1e-12)


def test_a_map_of_zeros_has_none():
    values = gini(np.stack([np.zeros((2, 2)), np.eye(2)]).astype(np.float32))
    assert np.isnan(values[0])
    assert values[1] == 0.5
    assert values.dtype == np.float64


def test_null_a_map_drawn_without_the_network_has_the_index_of_its_distribution():
    """For two exponential pixels 2 G is uniform; the mean for n is (n - 1) / 2 n, here of 4,000."""
    rng = np.random.default_rng(0)
    assert stats.kstest(2 * gini(rng.exponential(size=(2000, 2))), "uniform").pvalue > 1e-4
    n = 16
    error = (n - 1) / n / np.sqrt(12 * (n - 1) * 4000)
    found = gini(rng.exponential(size=(4000, 4, 4))).mean()
    assert abs(found - (n - 1) / (2 * n)) < 5 * error


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((0, 2, 2)), r"one or more attributions.*Received \(0, 2, 2\)"),
        (np.zeros((2, 0)), r"Received \(2, 0\)"),
        (np.zeros(3), r"Received \(3,\)"),
        (np.array([[1, np.nan]]), "must be finite"),
        (np.array([[1, np.inf]]), "must be finite"),
    ],
)
def test_mistakes(maps, message):
    with pytest.raises(InputError, match=message):
        gini(maps)
