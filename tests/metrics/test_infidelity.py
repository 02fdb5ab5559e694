"""Infidelity, against closed forms with the same draws and against maps that say nothing."""

import functools

import numpy as np
import pytest
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics.infidelity import changes, infidelity, unexplained
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.conftest import linear_model

RNG = np.random.default_rng(9)
SHAPE = (4, 4, 3)
X = RNG.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
WEIGHTS = RNG.normal(0, 0.6, (48, 2))


@functools.cache
def noisy_images() -> np.ndarray:
    """`(draws, n, h, w, c)` float64."""
    keys = randomness.keys_of(0, np.arange(6))
    drawn = [
        ops.convert_to_numpy(randomness.normal(randomness.fold_in(keys, k), SHAPE))
        for k in range(50)
    ]
    return np.clip(X - 0.2 * np.array(drawn, np.float64), 0, 1)


def network():
    """Margins near zero, so that noise changes predictions."""
    return linear_model(WEIGHTS, -X.reshape(6, 48).mean(0) @ WEIGHTS, SHAPE)


def logit_change() -> np.ndarray:
    """f(x) - f(x - I) of the class predicted at x, `(draws, n)`."""
    before, after = (
        (z.reshape(*z.shape[:-3], 48) - X.reshape(6, 48).mean(0)) @ WEIGHTS
        for z in (X.astype(np.float64), noisy_images())
    )
    label = before.argmax(1)
    assert (after.argmax(2) != label).any()
    return before[np.arange(6), label] - after[:, np.arange(6), label]


def exact() -> np.ndarray:
    """The gradient of the predicted logit."""
    label = ((X.reshape(6, 48) - X.reshape(6, 48).mean(0)) @ WEIGHTS).argmax(1)
    return WEIGHTS.T[label].reshape(X.shape)


@pytest.mark.parametrize("maps", [None, exact(), -1e-20 * exact(), 1e20 * exact()])
def test_gradient_of_a_linear_network_is_faithful(maps):
    """Whatever its scale. Sums of 48 float32 products have a relative error of some 1e-6."""
    assert (infidelity(network(), X, maps, relative=True) < 1e-10).all()


@pytest.mark.parametrize("seed", range(3))
def test_any_map_on_a_linear_network_by_least_squares(seed):
    maps = np.random.default_rng(seed).normal(size=X.shape)
    predicted = ((X - noisy_images()) * maps).sum(axis=(2, 3, 4))
    squares = [
        np.linalg.lstsq(predicted[:, [i]], logit_change()[:, i])[1][0] / 50 for i in range(6)
    ]
    values = infidelity(network(), X, maps)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, squares, rtol=1e-4)
    np.testing.assert_allclose(
        infidelity(network(), X, maps, relative=True),
        squares / (logit_change() ** 2).mean(0),
        rtol=1e-4,
    )


def test_closed_form_of_a_quadratic_function():
    """f = sum q x^2 / 2, map q x: the error left at a factor of 1 is (I.q I / 2)^2."""
    q, x = WEIGHTS[:, 0].reshape(SHAPE), X.astype(np.float64)
    noise = x - noisy_images()

    def logits(z):
        f = ops.sum(np.float32(q / 2) * ops.square(z), axis=(1, 2, 3))
        return ops.stack([f, 0 * f - 100], axis=1)

    compiled = backend.jit(lambda *rows: changes(logits, *rows, sigma=0.2, draws=50))
    rows = X, np.float32(q * x), randomness.keys_of(0, np.arange(6))
    pairs = ops.convert_to_numpy(compiled(*map(backend.to_device, rows)))
    expected, change = np.moveaxis(pairs, 2, 0)
    curvature = (q * noise**2).sum(axis=(2, 3, 4)) / 2
    np.testing.assert_allclose(expected - change, curvature.T, atol=1e-5)
    assert (unexplained(expected, change)[0] <= (curvature**2).mean(0) + 1e-5).all()


@pytest.mark.parametrize("seed", range(3))
def test_share_not_explained_is_that_of_the_angle(seed):
    """1 - cos^2; the squared correlation of n draws has an error of 2 c (1 - c^2) / sqrt(n)."""
    rng = np.random.default_rng(seed)
    gradient, noise = rng.normal(size=(2, 48))
    x = np.full((1, *SHAPE), 0.5, np.float32)
    other = gradient + rng.uniform(0.3, 2) * noise
    c = gradient @ other / np.linalg.norm(gradient) / np.linalg.norm(other)
    model = linear_model(np.stack([gradient, 0 * gradient], axis=1), np.array([100, 0]), SHAPE)
    (found,) = infidelity(model, x, other.reshape(1, *SHAPE), relative=True, sigma=0.05, draws=2000)
    assert abs(found - (1 - c**2)) < 5 * 2 * c * (1 - c**2) / np.sqrt(2000)


def test_null_a_map_drawn_without_the_network():
    """(1 - 1/K) (1 - 1/d) of the logit's squared change is left, on average over 400 maps."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (400, *SHAPE)).astype(np.float32)
    values = infidelity(network(), x, rng.normal(size=x.shape), relative=True)
    error = values.std() / np.sqrt(400)
    assert abs(values.mean() - (1 - 1 / 50) * (1 - 1 / 48)) < 4 * error
    assert error < 0.003


def test_null_a_map_of_zeros_leaves_all():
    np.testing.assert_allclose(
        infidelity(network(), X, np.zeros(X.shape)), (logit_change() ** 2).mean(0), rtol=1e-4
    )
    assert (infidelity(network(), X, np.zeros(X.shape), relative=True) == 1).all()


def test_the_gradient_at_other_images():
    """On a linear network the gradient depends on the class alone: of another class it is wrong."""
    label = ((X.reshape(6, 48) - X.reshape(6, 48).mean(0)) @ WEIGHTS).argmax(1)
    other = np.roll(np.arange(6), 1)
    assert 0 < (label[other] == label).sum() < 6
    found = infidelity(network(), X, at=X[other], relative=True)
    by_hand = infidelity(network(), X, exact()[other], relative=True)
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    np.testing.assert_array_equal(found < 1e-10, label[other] == label)
    with pytest.raises(
        InputError, match=r"`at` must be images of the shape of `x`, \(6, 4, 4, 3\)"
    ):
        infidelity(network(), X, at=X[:2])
    with pytest.raises(InputError, match="Pass one"):
        infidelity(network(), X, exact(), at=X)


def test_a_flat_network_has_no_share():
    flat = linear_model(np.zeros((48, 2)), np.zeros(2), SHAPE)
    assert (infidelity(flat, X) == 0).all()
    assert np.isnan(infidelity(flat, X, relative=True)).all()


def test_grows_with_the_square_of_the_noise_on_a_linear_network():
    """At 1/2 noise of .02 and .06 meets no wall; the draws are the same."""
    x, maps = np.full((2, *SHAPE), 0.5, np.float32), RNG.normal(size=(2, *SHAPE))
    one, three = (infidelity(network(), x, maps, sigma=sigma) for sigma in (0.02, 0.06))
    np.testing.assert_allclose(three, 9 * one, rtol=1e-3)
    (few, more) = (infidelity(network(), x, maps, draws=draws) for draws in (5, 50))
    assert (np.abs(few / more - 1) > 1e-2).all()


def test_grows_with_the_square_of_the_logits():
    bias = -X.reshape(6, 48).mean(0) @ WEIGHTS
    maps = RNG.normal(size=X.shape)
    tripled = linear_model(3 * WEIGHTS, 3 * bias, SHAPE)
    np.testing.assert_allclose(
        infidelity(tripled, X, maps), 9 * infidelity(network(), X, maps), rtol=1e-4
    )


def test_draws_depend_on_seed_and_place_and_not_on_the_batch(digits, digits_model):
    x = digits.x_test[:6]
    values = infidelity(digits_model, x)
    assert (values > 0).all()
    for same in (
        infidelity(digits_model, x, batch_size=4),
        infidelity(digits_model, x / np.float32(255)),
    ):
        np.testing.assert_allclose(same, values, rtol=1e-3)
    twice = infidelity(digits_model, np.stack([x[0], x[0]]))
    assert twice[0] == pytest.approx(values[0], rel=1e-3)
    assert abs(twice[1] / twice[0] - 1) > 2e-3
    assert (np.abs(infidelity(digits_model, x, seed=1) / values - 1) > 2e-3).all()


@pytest.mark.parametrize(
    ("x", "maps", "options", "message"),
    [
        (255 * X, None, {}, "divide by 255 first"),
        (X, X[..., 0], {}, r"the shape of `x`, \(6, 4, 4, 3\). Received \(6, 4, 4\)"),
        (X, np.full(X.shape, np.nan), {}, "must be finite"),
        (X, None, {"sigma": 0.0}, "must be above 0. Received 0.0 and 50"),
        (X, None, {"draws": 0}, "must be above 0. Received 0.2 and 0"),
    ],
)
def test_mistakes(x, maps, options, message):
    with pytest.raises(InputError, match=message):
        infidelity(network(), x, maps, **options)
