"""Distances to a known manifold: a plane, with a linear encoder and decoder as the VAE-GAN."""

import keras
import numpy as np
import pytest

from pellucid.metrics import densities, manifold
from pellucid.models.errors import InputError
from pellucid.models.vae_gan import VaeGan

RNG = np.random.default_rng(2)
BASIS, _ = np.linalg.qr(RNG.normal(size=(12, 12)))
PLANE, AWAY = BASIS[:, :3], BASIS[:, 3]
CENTRE = np.full(12, 0.5)


@pytest.fixture(scope="module")
def plane() -> VaeGan:
    """Encode: coordinates in the plane (log variances of -2).

    Decode: the point of the plane there.
    """
    encoder = keras.Sequential(
        [keras.Input((2, 3, 2)), keras.layers.Flatten(), keras.layers.Dense(6)]
    )
    encoder.layers[-1].set_weights(
        [np.hstack([PLANE, np.zeros((12, 3))]), np.hstack([-CENTRE @ PLANE, np.full(3, -2.0)])]
    )
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(12), keras.layers.Reshape((2, 3, 2))]
    )
    decoder.layers[0].set_weights([PLANE.T, CENTRE])
    return VaeGan(encoder, decoder, None)


def points(away: np.ndarray) -> np.ndarray:
    flat = CENTRE + RNG.uniform(-0.2, 0.2, (len(away), 3)) @ PLANE.T + away[:, None] * AWAY
    return flat.reshape(-1, 2, 3, 2).astype(np.float32)


def test_distance_is_twice_the_pixel_distance_from_the_plane(plane):
    away = np.array([0.0, 0.1, -0.25, 0.4])
    found = manifold.manifold_distance(points(away), plane)
    np.testing.assert_allclose(found, 2 * np.abs(away), atol=1e-6)


def test_sampled_posterior_lies_off_the_mean_and_is_seeded(plane):
    """Standard deviation exp(-1) in three directions: the mean squared distance is 12 exp(-2)."""
    x = points(np.zeros(4000))
    found = manifold.manifold_distance(x, plane, sample_seed=1)
    assert np.mean(found**2) == pytest.approx(4 * 3 * np.exp(-2), rel=0.05)
    np.testing.assert_array_equal(found, manifold.manifold_distance(x, plane, sample_seed=1))


def test_kept_are_those_that_change_the_standard_prediction():
    np.testing.assert_array_equal(
        densities.kept(np.array([1, 2, 3]), np.array([1, 0, 0])), [False, True, True]
    )


def test_scaled_by_the_clean_range():
    np.testing.assert_allclose(
        densities.scaled(np.array([2.0, 3.0, 6.0]), np.array([2.0, 4.0])), [0, 0.5, 2]
    )
    with pytest.raises(InputError, match="must differ"):
        densities.scaled(np.array([1.0]), np.array([2.0, 2.0]))


def test_density_of_two_points_by_hand():
    """Bandwidth .25 standard deviations of the sample: for -1 and 1 that is .25 sqrt(2)."""
    h = 0.25 * np.sqrt(2)
    grid = np.array([-1.0, 0.0, 0.7])
    kernel = lambda z: np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)  # noqa: E731
    expected = (kernel((grid + 1) / h) + kernel((grid - 1) / h)) / (2 * h)
    np.testing.assert_allclose(densities.density(np.array([-1.0, 1.0]), grid), expected, rtol=1e-9)
