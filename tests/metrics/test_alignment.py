"""Alignment: without biases it is a distance, which moves along the gradient confirm."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from pellucid import models
from pellucid.attacks.boundary import margin_towards
from pellucid.metrics.alignment import aligned, alignment
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from tests.conftest import linear_model

SHAPE = (3, 4, 2)


def without_bias(weights: np.ndarray) -> keras.Model:
    """Linear in 2x - 1, as the networks of the suite see images."""
    layers = [keras.layers.Rescaling(2.0, -1.0), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(weights.shape[1], use_bias=False))
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    model.layers[-1].set_weights([weights.astype(np.float32)])
    return model


@pytest.mark.parametrize(("seed", "classes"), [(0, 2), (1, 2), (2, 5)])
def test_linear_network_without_bias_meets_its_boundary_at_that_distance(seed, classes):
    """The runner-up is the class on the other side; 1 percent less is before it, more is beyond."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(24, classes))
    x = rng.uniform(0.4, 0.6, (20, *SHAPE)).astype(np.float32)
    model = without_bias(weights)
    first, second = np.argsort(-predict(model, x), axis=1)[:, :2].T
    normal = (weights[:, first] - weights[:, second]).T
    step = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    distance = alignment(model, x, batch_size=8)
    assert distance.dtype == np.float64
    for factor, leads in ((0.99, True), (1.01, False)):
        moved = x - (factor * distance[:, None] * step).reshape(x.shape)
        logits = (2 * moved.reshape(20, -1) - 1) @ weights
        rows = np.arange(20)
        assert ((logits[rows, first] > logits[rows, second]) == leads).all()


def test_network_of_the_suite_without_biases_is_at_its_linearised_distance():
    """m / ||grad m||, as for every function that is positively homogeneous in 2x - 1."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (12, 8, 8, 1)).astype(np.float32)
    model = models.get("digits_cnn")((8, 8, 1), 10, seed=3)

    def distance() -> np.ndarray:
        second, first = np.argsort(predict(model, x), axis=1)[:, -2:].T
        m, gradient = map(
            ops.convert_to_numpy,
            margin_towards(model, *map(backend.to_device, (x, second, first))),
        )
        return m / np.linalg.norm(gradient.reshape(12, -1), axis=1)

    np.testing.assert_allclose(alignment(model, x), distance(), rtol=1e-3)
    model.get_layer("logits").bias.assign(np.arange(10, dtype=np.float32))
    assert (np.abs(alignment(model, x) / distance() - 1) > 0.01).any()


@pytest.mark.parametrize("seed", range(3))
def test_linear_network_by_hand_whatever_its_bias_and_scale(seed):
    rng = np.random.default_rng(seed)
    weights, x = rng.normal(size=(24, 3)), rng.uniform(0, 1, (9, *SHAPE)).astype(np.float32)
    bias = rng.normal(size=3)
    ordered = np.argsort(x.reshape(9, -1) @ weights + bias, axis=1)
    normal = (weights[:, ordered[:, 2]] - weights[:, ordered[:, 1]]).T
    scaled = 2 * x.reshape(9, -1).astype(np.float64) - 1
    expected = np.abs((scaled * normal).sum(1)) / np.linalg.norm(normal, axis=1) / 2
    for factor in (1.0, 1e-25):
        model = linear_model(factor * weights, factor * bias, SHAPE)
        np.testing.assert_allclose(alignment(model, x), expected, atol=1e-5)
    assert (expected <= np.linalg.norm(scaled, axis=1) / 2).all()


def test_null_gradients_of_random_direction():
    """The mean over 4,000 directions is the bound times that of |cos| on the sphere."""
    d, n = 24, 4000
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(n, *SHAPE)).astype(np.float32)
    x = rng.uniform(0, 1, SHAPE).astype(np.float32)

    def logits(z):
        first = ops.sum(z * weights, axis=(1, 2, 3))
        return ops.stack([first, 0 * first], axis=1)

    values = ops.convert_to_numpy(aligned(logits, backend.to_device(np.stack([x] * n))))
    cosine = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))
    bound = np.linalg.norm(2 * x - 1) / 2
    assert abs(values.mean() - bound * cosine) < 5 * values.std() / math.sqrt(n)
    assert cosine == pytest.approx(math.sqrt(2 / (math.pi * d)), rel=0.02)
    aimed = ops.convert_to_numpy(
        aligned(
            lambda z: ops.stack(
                [ops.sum(z * (2 * x - 1), axis=(1, 2, 3)), 0 * z[:, 0, 0, 0]], axis=1
            ),
            backend.to_device(x[None]),
        )
    )
    assert aimed[0] == pytest.approx(bound, rel=1e-6)


def test_gradients_at_other_images(digits, digits_model):
    """|<2x - 1, g>| / (2 ||g||) with g the gradient at the other image, by Keras' own gradient."""
    x = digits.x_test[:20] / np.float32(255)
    at = np.roll(x, 1, axis=0)
    second, first = np.argsort(predict(digits_model, at), axis=1)[:, -2:].T
    _, gradient = map(
        ops.convert_to_numpy,
        margin_towards(digits_model, *map(backend.to_device, (at, second, first))),
    )
    flat, g = (2 * x - 1).reshape(20, -1), gradient.reshape(20, -1)
    expected = np.abs((flat * g).sum(1)) / (2 * np.linalg.norm(g, axis=1))
    found = alignment(digits_model, x, at=at)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(alignment(digits_model, x, at=x), alignment(digits_model, x))
    with pytest.raises(InputError, match="`at` must be images of the shape of `x`"):
        alignment(digits_model, x, at=at[:3])


def test_a_flat_network_has_none():
    x = np.full((2, *SHAPE), 0.3, np.float32)
    assert np.isnan(alignment(linear_model(np.zeros((24, 3)), np.arange(3), SHAPE), x)).all()


def test_uint8_and_float_images_agree(digits, digits_model):
    x = digits.x_test[:20]
    as_float = alignment(digits_model, x / np.float32(255))
    np.testing.assert_allclose(alignment(digits_model, x), as_float, rtol=1e-4, atol=1e-6)


def test_mistakes(digits_model):
    with pytest.raises(InputError, match="divide by 255 first"):
        alignment(digits_model, np.full((1, 8, 8, 1), 255.0, np.float32))
