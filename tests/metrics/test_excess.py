"""Nulls of distances and of gradients: what does not know the image has no excess."""

import numpy as np
import pytest

from pellucid.metrics import excess
from pellucid.metrics.off_manifold import tangent_fraction
from tests.metrics.test_spectrum import SHAPE, norms, pink, smooth_plane

SEEDS = pytest.mark.parametrize("seed", range(3))


@SEEDS
def test_lengths_are_those_of_the_changes(seed):
    """After clipping, on images of which many pixels are at a wall of the box."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (9, *SHAPE), dtype=np.uint8) // 128 * 255
    floats = (x / np.float32(255)).astype(np.float64)
    x_adv = np.clip(floats + 0.2 * rng.normal(size=x.shape), 0, 1).astype(np.float32)
    sets = excess.changed(x, x_adv, seed=seed)
    assert list(sets) == ["adversarial", *excess.NULLS]
    np.testing.assert_array_equal(sets["adversarial"], x_adv)
    np.testing.assert_allclose(excess.norms(x, x_adv), norms(x_adv - floats), rtol=1e-12)
    for name in excess.NULLS:
        assert sets[name].min() >= 0
        assert sets[name].max() <= 1
        change = sets[name] - floats
        np.testing.assert_allclose(norms(change), norms(x_adv - floats), rtol=1e-5)
        assert (norms(sets[name] - x_adv) > 0.3 * norms(change)).all()


@SEEDS
@pytest.mark.parametrize("kind", ["white", "smooth"])
def test_a_change_that_does_not_know_the_image_has_no_excess(seed, kind):
    """Within 4 standard errors of 0 over every null that has its spectrum.

    White noise has no excess over white noise; smooth changes lie nearer than that, and not nearer
    than themselves with random phases or on another image.
    """
    rng, plane, n = np.random.default_rng(seed), smooth_plane(), 400
    x = 0.5 + 0.01 * rng.normal(size=(n, *SHAPE))
    change = rng.normal(size=x.shape) if kind == "white" else pink(rng, n)
    x_adv = x + 0.4 * (change.T / norms(change)).T
    sets = excess.changed(x, x_adv, seed=seed)
    own = plane.distance(sets["adversarial"])
    for null in excess.NULLS:
        over = own - plane.distance(sets[null])
        error = over.std() / np.sqrt(n)
        if kind == "smooth" and null == "noise":
            assert over.mean() < -10 * error
        else:
            assert abs(over.mean()) < 4 * error, null


def test_noise_is_white_and_belongs_to_an_images_place():
    x = np.full((2000, 3, 4, 1), 0.5, np.float32)
    x_adv = x + np.float32(0.01)
    found = excess.noise_null(x, x_adv, seed=2)
    change = (found - x).reshape(2000, -1)
    correlations = np.corrcoef(change.T)[np.triu_indices(12, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)
    part = excess.noise_null(x[5:9], x_adv[5:9], seed=2, places=np.arange(5, 9))
    np.testing.assert_array_equal(part, found[5:9])
    assert not np.allclose(excess.noise_null(x, x_adv, seed=3), found)


@SEEDS
def test_gradients_and_their_nulls(seed):
    """Smooth gradients have no excess in a smooth plane; those that point along one image's do.

    Each image has a tangent space of its own, three random directions, and its gradient lies half
    in it: of another image's, as of a random direction, 3 of all dimensions do.
    """
    rng, n, size = np.random.default_rng(seed), 300, int(np.prod(SHAPE))
    smooth = excess.other_gradients(pink(rng, n), seed=seed)
    basis = smooth_plane().basis
    fractions = {k: tangent_fraction(v, [basis] * n).fraction for k, v in smooth.items()}
    over = fractions["own"] - fractions["phases"]
    assert abs(over.mean()) < 4 * over.std() / np.sqrt(n)
    assert fractions["own"].mean() > 2 * basis.shape[1] / size
    np.testing.assert_allclose(np.sort(fractions["permuted"]), np.sort(fractions["own"]))

    bases = [np.linalg.qr(rng.normal(size=(size, 3)))[0] for _ in range(n)]
    along = np.stack([b @ rng.normal(size=3) for b in bases])
    white = rng.normal(size=along.shape)
    mixed = along / norms(along)[:, None] + white / norms(white)[:, None]
    found = excess.other_gradients(mixed.reshape(n, *SHAPE), seed=seed)
    parts = {k: tangent_fraction(v, bases).fraction for k, v in found.items()}
    assert parts["own"].mean() == pytest.approx(0.5, abs=0.05)
    error = parts["permuted"].std() / np.sqrt(n)
    assert abs(parts["permuted"].mean() - 3 / size) < 4 * error
