"""Total variation of maps whose value is known, and of maps without spatial structure."""

import itertools

import numpy as np
import pytest

from pellucid.metrics.gini import gini
from pellucid.metrics.total_variation import total_variation
from pellucid.models.errors import InputError


def by_pairs(values: np.ndarray) -> float:
    """Over all pairs of pixels whose places differ by one step."""
    h, w = values.shape
    places = list(itertools.product(range(h), range(w)))
    differences = [
        abs(values[a] - values[b])
        for a, b in itertools.combinations(places, 2)
        if abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1
    ]
    return np.mean(differences) / np.mean(np.abs(values))


@pytest.mark.parametrize("shape", [(1, 2), (3, 1), (4, 6)])
def test_constant_maps_and_checkerboards(shape):
    """Where half of the pixels are 1, a difference of 1 is twice the mean."""
    rows, columns = np.indices(shape)
    board = (rows + columns) % 2
    maps = np.stack([np.full(shape, 0.1), board, 2 * board - 1, 1 + 2 * board])
    expected = [0, 1 / board.mean(), 2, 2 / (1 + 2 * board).mean()]
    np.testing.assert_allclose(total_variation(maps), expected, rtol=1e-14)


def test_stripes_differ_across_alone():
    """4x4 in two halves: 4 of 24 pairs differ by 1, the mean is 1/2."""
    halves = np.repeat([[0.0, 0, 1, 1]], 4, axis=0)
    np.testing.assert_allclose(total_variation(np.stack([halves, halves.T])), 1 / 3, rtol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_is_that_over_all_pairs_of_neighbours(seed):
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(3, rng.integers(1, 6), rng.integers(2, 6)))
    values = total_variation(maps)
    np.testing.assert_allclose(values, [by_pairs(each) for each in maps], rtol=1e-12)
    for same in (1e-30 * maps, -7e30 * maps, maps[:, ::-1], maps.transpose(0, 2, 1)):
        np.testing.assert_allclose(total_variation(same), values, rtol=1e-12)


def test_null_pixels_in_random_order_have_twice_the_gini_index():
    """2 n / (n - 1) G on average, here over 4,000 orders of a sharp and of an even map."""
    rng = np.random.default_rng(0)
    for one in (rng.exponential(size=20) ** 3, rng.uniform(1, 2, 20)):
        orders = rng.permuted(np.tile(one, (4000, 1)), axis=1).reshape(-1, 4, 5)
        values = total_variation(orders)
        expected = 2 * 20 / 19 * gini(orders[:1])[0]
        assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(4000)


def test_a_blurred_map_is_smoother_and_no_more_right():
    noise = np.random.default_rng(0).exponential(size=(20, 16, 16))
    blurred = sum(np.roll(noise, (i, j), (1, 2)) for i in range(3) for j in range(3))
    assert (total_variation(blurred) < 0.5 * total_variation(noise)).all()


def test_a_map_of_zeros_has_none():
    values = total_variation(np.stack([np.zeros((2, 2)), np.eye(2)]).astype(np.float32))
    assert np.isnan(values[0])
    assert values[1] == 2
    assert values.dtype == np.float64


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((0, 2, 2)), r"at least two pixels.*Received \(0, 2, 2\)"),
        (np.zeros((2, 1, 1)), r"Received \(2, 1, 1\)"),
        (np.zeros((2, 4)), r"Received \(2, 4\)"),
        (np.full((1, 2, 2), np.nan), "must be finite"),
    ],
)
def test_mistakes(maps, message):
    with pytest.raises(InputError, match=message):
        total_variation(maps)
