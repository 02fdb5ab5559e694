"""Projections by descent in the latent space, onto manifolds whose nearest points are known."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.metrics import latent_projection, manifold
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from pellucid.models.vae_gan import VaeGan

BASIS, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))
SHAPE = (2, 3, 2)


def plane(where: float) -> VaeGan:
    """Decode: .5 + z in a plane of three dimensions. Encode: the same z for all images."""
    encoder = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(6)])
    encoder.layers[-1].set_weights([np.zeros((12, 6)), np.full(6, where)])
    decoder = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(12), keras.layers.Reshape(SHAPE)]
    )
    decoder.layers[0].set_weights([BASIS[:, :3].T, np.full(12, 0.5)])
    return VaeGan(encoder, decoder, None)


def points(away: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images at distances from the plane, in pixel units."""
    inside = np.random.default_rng(seed).uniform(-0.2, 0.2, (len(away), 3))
    flat = 0.5 + inside @ BASIS[:, :3].T + away[:, None] * BASIS[:, 3]
    return flat.reshape(-1, *SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def vae_gan() -> VaeGan:
    """Untrained: its encoder knows nothing of its decoder."""
    return models.get("digits_vae_gan")((8, 8, 1), seed=0, latent=10, width=0.25)


@pytest.mark.parametrize("prior_draws", [0, 2])
def test_distance_from_a_plane(prior_draws):
    """Twice the pixel distance d, from whatever start.

    A projection that is e off the foot has the distance 2 sqrt(d^2 + e^2); e is below a fiftieth of
    Adam's rate. Pixels rounded to float32 move by at most sqrt(12) 2^-25.
    """
    away = np.array([0.0, 0.05, -0.1, 0.25])
    x, e = points(away), latent_projection.LEARNING_RATE / 50
    found = latent_projection.project(plane(-1.0), x, prior_draws=prior_draws)
    assert (found.distance >= 2 * (np.abs(away) - np.sqrt(12) * 2.0**-25)).all()
    assert (found.distance <= 2 * np.hypot(away, e)).all()
    foot = points(np.zeros(4))
    assert (np.linalg.norm((found.projection - foot).reshape(4, -1), axis=1) < e).all()
    np.testing.assert_array_equal(found.distance, manifold.distance(x, found.projection))


def test_decoded_images_are_found_again(vae_gan):
    """x = decode(z*): each is nearer than 1 % of ||x||, where the encoder is further off.

    Most of ||x|| is the images' common mean, so the mean distance is held to 1 % of what is not.
    """
    z = np.random.default_rng(0).normal(size=(16, 10)).astype(np.float32)
    x = predict(vae_gan.decoder, z)
    distance = latent_projection.project(vae_gan, x).distance / 2
    length, varying = (
        np.linalg.norm((x - centre).reshape(16, -1), axis=1) for centre in (0.0, x.mean(axis=0))
    )
    assert (distance < 0.01 * length).all()
    assert (manifold.manifold_distance(x, vae_gan) / 2 > 0.01 * length).all()
    assert distance.mean() < 0.01 * varying.mean()


@pytest.mark.parametrize("seed", range(3))
def test_never_above_the_encoders_distance(vae_gan, seed):
    """Whatever the images, the steps and the rate, even one that throws Adam far away."""
    x = np.random.default_rng(seed).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    encoders = manifold.manifold_distance(x, vae_gan)
    for steps, learning_rate in ((0, 0.05), (2, 100.0), (20, 0.05)):
        found = latent_projection.project(
            vae_gan, x, steps=steps, learning_rate=learning_rate, prior_draws=1, seed=seed
        )
        assert (found.distance <= encoders).all()
    assert (found.distance < encoders).all()


def test_the_best_point_of_the_path_is_kept():
    """Adam's first step is its rate along each axis: at 1, from z = 1 to the image's z = 0.

    Momentum then carries it past; the image is kept. A last step counts as much as the others. In
    float32 1 - .999 is off by up to 3e-5 of itself and its root, by which Adam divides, by half of
    that: the step misses by up to 1.5e-5 sqrt(12), and by 2e-6 sqrt(12) for Adam's epsilon.
    """
    x = np.full((2, *SHAPE), 0.5, np.float32)
    start = np.sqrt(12)
    for steps, expected in ((0, start), (1, 0.0), (2, 0.0), (5, 0.0)):
        found = latent_projection.project(
            plane(1.0), x, steps=steps, learning_rate=1.0, prior_draws=0
        )
        np.testing.assert_allclose(found.distance, expected, rtol=1e-6, atol=6e-5)


def test_with_no_steps_the_best_start_is_kept():
    """The encoder's code of all images is 3: with enough draws from N(0, I) one is nearer."""
    x, far = points(np.zeros(20)), plane(3.0)
    alone = latent_projection.project(far, x, steps=0, prior_draws=0)
    np.testing.assert_array_equal(alone.distance, manifold.manifold_distance(x, far))
    one, two = (latent_projection.project(far, x, steps=0, prior_draws=n) for n in (1, 2))
    assert (two.distance <= one.distance).all()
    assert (one.distance < alone.distance).sum() > 15
    assert 0 < (two.distance < one.distance).sum() < 20


def test_starts_follow_the_standard_normal():
    """Of a plane through .5, a start z is sqrt(2 z) away in paper units: 4 * 3 in the mean square.

    4 |z|^2 has the variance 16 * 6; its mean over 2,000 draws is within 4 standard errors.
    """
    x = np.full((2000, *SHAPE), 0.5, np.float32)
    found = latent_projection.project(plane(100.0), x, steps=0, prior_draws=1)
    assert np.mean(found.distance**2) == pytest.approx(12, abs=4 * np.sqrt(96 / 2000))


def test_a_better_start_is_found_among_several():
    """decode(z) = .5 + .25 sin over one latent dimension: the encoder starts in the wrong valley.

    From there Adam stays in it; a draw from the prior near 0 reaches z* = 0.
    """
    encoder = keras.Sequential([keras.Input((1, 1, 2)), keras.layers.Flatten()])
    encoder.add(keras.layers.Dense(2))
    encoder.layers[-1].set_weights([np.zeros((2, 2)), np.array([9.0, 0.0])])
    z = keras.Input((1,))
    pair = keras.layers.Concatenate()([keras.ops.sin(z) * 0.25 + 0.5, z * 0.01 + 0.5])
    decoder = keras.Model(z, keras.layers.Reshape((1, 1, 2))(pair))
    x = np.full((8, 1, 1, 2), 0.5, np.float32)
    vae_gan = VaeGan(encoder, decoder, None)
    alone, several = (latent_projection.project(vae_gan, x, prior_draws=n) for n in (0, 2))
    assert (alone.distance > 0.1).all()
    assert (several.distance < 0.01).sum() >= 6


def test_images_do_not_depend_on_their_batch():
    """What is drawn for an image is its place's; a padded or smaller batch only rounds otherwise.

    In the plane a rounding of 1e-7 in z does not grow: the descent contracts.
    """
    x = points(np.random.default_rng(1).uniform(-0.2, 0.2, 7))
    whole = latent_projection.project(plane(50.0), x, steps=30, seed=4)
    small = latent_projection.project(plane(50.0), x, steps=30, seed=4, batch_size=2)
    part = latent_projection.project(plane(50.0), x[3:6], steps=30, seed=4, places=[3, 4, 5])
    np.testing.assert_allclose(small.distance, whole.distance, rtol=1e-5)
    np.testing.assert_allclose(part.distance, whole.distance[3:6], rtol=1e-5)
    moved = latent_projection.project(plane(50.0), x[3:6], steps=30, seed=4)
    other = latent_projection.project(plane(50.0), x, steps=30, seed=5)
    assert (np.abs(moved.distance / whole.distance[3:6] - 1) > 1e-3).all()
    assert (np.abs(other.distance / whole.distance - 1) > 1e-3).all()


def test_bytes_and_floats_agree(vae_gan):
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    one, two = (latent_projection.project(vae_gan, v, steps=3) for v in (x, x / np.float32(255)))
    np.testing.assert_allclose(one.distance, two.distance, rtol=1e-5)


def test_mistakes(vae_gan):
    x = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(InputError, match=r"must be 0 or more\. Received -1 and 2"):
        latent_projection.project(vae_gan, x, steps=-1)
    with pytest.raises(InputError, match=r"`places` must be 2 integers"):
        latent_projection.project(vae_gan, x, places=[0.0, 1.0])
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        latent_projection.project(vae_gan, x + 2)
