"""Noise and gradients split by manifolds whose tangent space is known: planes, a curved one."""

import keras
import numpy as np
import pytest

from pellucid.metrics import off_manifold, statistics
from pellucid.metrics.off_manifold import Changes
from pellucid.models.errors import InputError
from pellucid.models.vae_gan import VaeGan
from tests.conftest import linear_model

RNG = np.random.default_rng(2)
BASIS, _ = np.linalg.qr(RNG.normal(size=(12, 12)))
PLANE, AWAY = BASIS[:, :3], BASIS[:, 3:]
SHAPE = (2, 3, 2)
X = RNG.uniform(0.3, 0.7, (5, *SHAPE)).astype(np.float32)
FLOAT32 = float(np.finfo(np.float32).eps)


def manifold_of(*layers: tuple[np.ndarray, np.ndarray]) -> VaeGan:
    """Encode: the first latent pixels minus .5. Decode: dense layers with tanh between them."""
    latent = len(layers[0][0])
    encoder = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2 * latent)]
    )
    first = np.eye(12, 2 * latent) * (np.arange(2 * latent) < latent)
    encoder.layers[-1].set_weights([first, np.full(2 * latent, -0.5)])
    decoder = keras.Sequential([keras.Input((latent,))])
    for number, (weights, bias) in enumerate(layers):
        last = number == len(layers) - 1
        decoder.add(keras.layers.Dense(len(bias), activation=None if last else "tanh"))
        decoder.layers[-1].set_weights([weights, bias])
    decoder.add(keras.layers.Reshape(SHAPE))
    return VaeGan(encoder, decoder, None)


def plane(scale: np.ndarray | float = 1.0) -> VaeGan:
    return manifold_of(((PLANE * scale).T, np.full(12, 0.5)))


def curved(seed: int) -> tuple[VaeGan, np.ndarray]:
    """tanh(z A + a) B + b, and its Jacobian at the posterior means of X by hand."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(4, 6)), rng.normal(size=(6, 12))
    bias = rng.normal(size=6)
    z = X.reshape(5, 12)[:, :4].astype(np.float64) - 0.5
    slopes = 1 - np.tanh(z @ a + bias) ** 2
    by_hand = np.einsum("ak,nk,kp->npa", a, slopes, b)
    return manifold_of((a, bias), (b, np.full(12, 0.5))), by_hand


@pytest.mark.parametrize("seed", range(3))
def test_jacobian_and_tangent_space_of_a_curved_manifold(seed):
    """Within the rounding of float32: 22 products and sums of numbers up to the largest."""
    vae_gan, expected = curved(seed)
    z = X.reshape(5, 12)[:, :4] - np.float32(0.5)
    for batch_size in (1024, 7):
        found = off_manifold.jacobian(vae_gan.decoder, z, batch_size=batch_size)
        assert found.shape == (5, 12, 4)
        bound = 22 * FLOAT32 * np.abs(expected).max()
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound)
    for tangent, matrix in zip(off_manifold.tangent_bases(vae_gan, X), expected, strict=True):
        assert tangent.shape == (12, 4)
        np.testing.assert_allclose(tangent.T @ tangent, np.eye(4), atol=5 * FLOAT32)
        projection = matrix @ np.linalg.pinv(matrix)
        condition = np.linalg.cond(matrix)
        np.testing.assert_allclose(
            tangent @ tangent.T, projection, rtol=0, atol=22 * FLOAT32 * condition
        )


def test_rank_counts_directions_above_the_tolerance(monkeypatch):
    monkeypatch.setattr(off_manifold, "CHUNK", 2)
    cases = [
        (plane(np.array([1.0, 1.0, 0.0])), None, 2),
        (plane(np.array([1.0, 1.0, 1e-3])), None, 3),
        (plane(np.array([1.0, 1.0, 1e-3])), 1e-2, 2),
        (plane(1e-6), None, 3),
        (plane(0.0), None, 0),
        (manifold_of((np.stack([PLANE[:, 0]] * 2), np.full(12, 0.5))), None, 1),
    ]
    for vae_gan, tolerance, rank in cases:
        bases = list(off_manifold.tangent_bases(vae_gan, X, tolerance=tolerance))
        assert [b.shape for b in bases] == [(12, rank)] * 5
        np.testing.assert_allclose(
            bases[0] @ bases[0].T, PLANE[:, :rank] @ PLANE[:, :rank].T, rtol=0, atol=30 * FLOAT32
        )


def test_noise_is_split_into_orthogonal_directions_of_length_one():
    noise = np.random.default_rng(0).normal(size=(50, 12))
    tangent, normal = off_manifold.split(noise, PLANE.astype(np.float32))
    for part, outside in ((tangent, AWAY), (normal, PLANE)):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(part @ outside, 0, atol=12 * FLOAT32)
        inside = noise - noise @ outside @ outside.T
        expected = inside / np.linalg.norm(inside, axis=1, keepdims=True)
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-5)
    for tangent_basis, missing in ((np.zeros((12, 0)), 0), (BASIS, 1)):
        parts = off_manifold.split(noise, tangent_basis.astype(np.float32))
        assert np.isnan(parts[missing]).all()
        np.testing.assert_allclose(np.linalg.norm(parts[1 - missing], axis=1), 1, rtol=1e-6)


def directions(draws: int = 3, x: np.ndarray = X) -> tuple[np.ndarray, np.ndarray]:
    return off_manifold.noise_directions([PLANE.astype(np.float32)] * len(x), x, draws=draws)


def test_directions_belong_to_an_images_place():
    tangent, normal = directions()
    assert tangent.shape == normal.shape == (3, *X.shape)
    for part, outside in ((tangent, AWAY), (normal, PLANE)):
        np.testing.assert_allclose(part.reshape(3, 5, 12) @ outside, 0, atol=12 * FLOAT32)
    again = off_manifold.noise_directions(
        [PLANE.astype(np.float32)] * 2, X[2:4], draws=3, places=np.array([2, 3])
    )
    np.testing.assert_array_equal(again[0], tangent[:, 2:4])
    np.testing.assert_array_equal(again[1], normal[:, 2:4])
    flat = np.concatenate([tangent.reshape(15, 12), normal.reshape(15, 12)])
    assert (np.abs(flat @ flat.T)[~np.eye(30, dtype=bool)] < 1 - 1e-3).all()


def test_change_of_the_softmax_by_hand():
    """A linear network: the softmax at x + t u, less the softmax at x, in absolute value."""
    weights = RNG.normal(size=(12, 3))
    model, parts = linear_model(weights, np.zeros(3), SHAPE), directions()
    found = off_manifold.noise_changes(model, X, parts, lengths=(0.5, 8.0), batch_size=2)

    def softmax(logits: np.ndarray) -> np.ndarray:
        return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    x = X.reshape(5, 12).astype(np.float64)
    for part, changes in zip(parts, found, strict=True):
        for column, length in enumerate((0.5, 8.0)):
            noisy = x + length * part.reshape(3, 5, 12)
            change = np.abs(softmax(noisy @ weights) - softmax(x @ weights)).sum(-1).mean(0)
            np.testing.assert_allclose(changes[:, column], change, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("seen", "blind"), [(PLANE, 1), (AWAY, 0)])
def test_a_network_that_sees_one_of_the_two_only(seen, blind):
    """Along the other directions the logits move by the rounding of twelve products alone."""
    model = linear_model(seen @ RNG.normal(size=(seen.shape[1], 3)), np.zeros(3), SHAPE)
    found = off_manifold.noise_changes(model, X, directions(), lengths=(1.44,))
    assert (found[blind] < 1e-4).all()
    assert (found[1 - blind] > 0.01).all()


def test_a_network_without_preferred_directions_has_the_ratio_one():
    """Logits depend on the distance from a grey image alone, and so not on the direction."""
    inputs = keras.Input(SHAPE)
    squares = keras.layers.Flatten()(keras.ops.square(inputs - 0.5))
    dense = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, dense(squares))
    dense.set_weights([np.array([[1.0, 0.0]] * 12)])
    grey = np.full((6, *SHAPE), 0.5, np.float32)
    found = off_manifold.noise_changes(model, grey, directions(4, grey))
    assert (found.tangent > 0.1).all()
    for ratio in off_manifold.ratios(found):
        np.testing.assert_allclose(ratio[:3], 1, rtol=1e-5)


def test_ratio_is_of_means_over_images_that_have_both():
    tangent = np.array([[1.0, 0.0], [3.0, 0.0], [np.nan, 0.0]])
    normal = np.array([[0.5, 1.0], [1.0, 1.0], [9.0, np.nan]])
    first, second = off_manifold.ratios(Changes(tangent, normal))
    assert first.value == 1.5 / 4
    assert first.n == 2
    assert first.low == pytest.approx(1 / 3)
    assert first.high == pytest.approx(1 / 2)
    assert np.isnan(second[:3]).all()
    assert np.isnan(off_manifold.ratios(Changes(tangent[:1], normal[:1]))[0].low)


def test_ratios_interval_covers_the_true_ratio():
    """Pairs of means .5 and 1; of 60 intervals at 95 percent at least 50 hold .5."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        tangent = rng.exponential(size=(80, 1))
        normal = 0.25 * tangent + 0.25 * rng.exponential(size=(80, 1))
        ratio = off_manifold.ratios(Changes(tangent, normal), resamples=200)[0]
        assert ratio.low < ratio.value < ratio.high < 1
        held += ratio.low <= 0.5 <= ratio.high
    assert held >= 50


def test_images_without_a_tangent_direction_are_nan_and_left_out():
    model = linear_model(RNG.normal(size=(12, 3)), np.zeros(3), SHAPE)
    bases = [PLANE.astype(np.float32)] * 4 + [np.zeros((12, 0), np.float32)]
    parts = off_manifold.noise_directions(bases, X)
    found = off_manifold.noise_changes(model, X, parts)
    np.testing.assert_array_equal(np.isnan(found.tangent).any(axis=1), [0, 0, 0, 0, 1])
    assert np.isfinite(found.normal).all()
    assert [ratio.n for ratio in off_manifold.ratios(found)] == [4] * 4


def test_tangent_fraction_of_known_gradients():
    inside, outside = PLANE @ np.array([1.0, -2.0, 0.5]), AWAY @ np.arange(1.0, 10.0)
    outside *= np.linalg.norm(inside) / np.linalg.norm(outside)
    cases = [inside, outside, inside + outside, 1e-30 * (inside + 2 * outside), 0 * inside]
    gradients = np.stack(cases).reshape(5, *SHAPE)
    found = off_manifold.tangent_fraction(gradients, [PLANE.astype(np.float32)] * 5)
    np.testing.assert_allclose(found.fraction, [1, 0, 0.5, 0.2, np.nan], atol=1e-6)
    np.testing.assert_array_equal(found.null, [3 / 12] * 5)


@pytest.mark.parametrize("seed", range(4))
def test_a_random_gradient_has_the_fraction_of_the_rank(seed):
    """A beta distribution of mean r / d and variance 2 r (d - r) / (d^2 (d + 2)).

    The mean of 3,000 is within 4 standard errors.
    """
    rng, d = np.random.default_rng(seed), 12
    rank = int(rng.integers(1, d))
    gradients = rng.normal(size=(3000, *SHAPE)) * rng.lognormal(0, 3, (3000, 1, 1, 1))
    found = off_manifold.tangent_fraction(gradients, [BASIS[:, :rank]] * 3000)
    error = np.sqrt(2 * rank * (d - rank) / (d**2 * (d + 2)) / 3000)
    assert abs(statistics.mean(found.fraction).value - rank / d) < 4 * error
    np.testing.assert_array_equal(found.null, rank / d)


def test_gradients_keep_their_channels_and_reach_the_fraction():
    """W (p - onehot) / 2 of a linear network; with weights in the plane its fraction is 1."""
    weights = PLANE @ RNG.normal(size=(3, 4))
    found = off_manifold.input_gradients(linear_model(weights, np.zeros(4), SHAPE), X, batch_size=2)
    logits = X.reshape(5, 12).astype(np.float64) @ weights
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(5), logits.argmax(1)] -= 1
    np.testing.assert_allclose(found, (p @ weights.T / 2).reshape(X.shape), rtol=1e-4, atol=1e-6)
    bases = off_manifold.tangent_bases(plane(), X)
    np.testing.assert_allclose(off_manifold.tangent_fraction(found, bases).fraction, 1, atol=1e-5)


def test_mistakes():
    model = linear_model(np.ones((12, 3)), np.zeros(3), SHAPE)
    with pytest.raises(InputError, match="one basis of 12 pixels for each of the 5 images"):
        off_manifold.tangent_fraction(X, [PLANE] * 4)
    with pytest.raises(InputError, match="one basis of 12 pixels for each of the 5 images"):
        off_manifold.noise_directions([PLANE] * 6, X)
    with pytest.raises(InputError, match="one basis of 12 pixels"):
        off_manifold.noise_directions([PLANE[:11]] * 5, X)
    with pytest.raises(InputError, match=r"must have the shape \(draws, 5, 2, 3, 2\)"):
        off_manifold.noise_changes(model, X, (X, X))
    with pytest.raises(InputError, match="`draws` must be 1 or more"):
        off_manifold.noise_directions([PLANE] * 5, X, draws=0)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        off_manifold.noise_changes(model, X + 1, directions())
