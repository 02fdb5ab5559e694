"""Ranks: permutations in the order of importance, ties at random."""

import numpy as np
import pytest

from pellucid.metrics import ranking
from pellucid.models.errors import InputError
from tests.ranks import random_ranks, ranks


def test_order_of_importance():
    values = np.array([[[0.1, 5.0], [-2.0, 0.3]]], np.float32)
    np.testing.assert_array_equal(ranks(values, seed=0), [[[2, 0], [3, 1]]])
    assert ranks(values, seed=0).dtype == np.uint16


def test_every_image_is_a_permutation_in_the_order_of_its_values(monkeypatch):
    monkeypatch.setattr(ranking, "CHUNK", 7)
    values = np.random.default_rng(0).integers(0, 3, (50, 5, 4)).astype(np.float32)
    found = ranks(values, seed=4)
    np.testing.assert_array_equal(np.sort(found.reshape(50, 20)), np.tile(np.arange(20), (50, 1)))
    np.testing.assert_array_equal(found, ranks(values, seed=4))
    in_order = np.take_along_axis(values.reshape(50, 20), np.argsort(found.reshape(50, 20)), axis=1)
    assert (np.diff(in_order) <= 0).all()


def test_ties_fall_evenly():
    """Each of 16 equal pixels is first in 1/16 of 20,000 images, within 5 standard deviations."""
    first = (random_ranks((20_000, 4, 4), seed=1) == 0).reshape(20_000, 16).sum(0)
    assert abs(first - 1250).max() < 5 * np.sqrt(20_000 / 16 * 15 / 16)
    assert not np.array_equal(random_ranks((3, 4, 4), seed=1), random_ranks((3, 4, 4), seed=2))


def test_bad_attributions():
    with pytest.raises(InputError, match="must be finite"):
        ranks(np.full((1, 2, 2), np.nan), seed=0)
    with pytest.raises(InputError, match=r"at most 65,536 pixels\. Received 66,049"):
        ranks(np.zeros((1, 257, 257)), seed=0)
