"""Max-pooling for accelerators: Keras' own values and gradients, ties included."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from pellucid.models import backend, pooling
from pellucid.models.functional import State, logits_of, state

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def value_and_gradient(pool, x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = backend.value_and_gradient(lambda x: ops.sum(pool(x) * weights), backend.to_device(x))
    return tuple(map(ops.convert_to_numpy, found))


@settings(max_examples=40 if backend.NAME == "tensorflow" else 4, deadline=None)
@given(
    size=PAIRS,
    strides=PAIRS,
    padding=st.sampled_from(["valid", "same"]),
    rows=st.integers(3, 7),
    columns=st.integers(3, 7),
    channels=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_gradient_is_keras_own(size, strides, padding, rows, columns, channels, seed):
    """Three values alone, so that most windows have ties: negative ones too, beside padding."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 1, (2, rows, columns, channels)).astype(np.float32)
    shape = ops.max_pool(x, size, strides, padding).shape
    weights = rng.normal(size=shape).astype(np.float32)
    found = value_and_gradient(lambda x: pooling.max_pool(x, size, strides, padding), x, weights)
    expected = value_and_gradient(lambda x: ops.max_pool(x, size, strides, padding), x, weights)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=3e-6)  # sums of up to nine shares


def test_the_first_of_equal_pixels_has_the_gradient():
    x = np.float32([[1, 3, 0, 0], [3, 3, 0, 0]]).reshape(1, 2, 4, 1)
    _, gradient = value_and_gradient(
        lambda x: pooling.max_pool(x, (2, 2), (2, 2), "valid"),
        x,
        np.float32([5, 7]).reshape(1, 1, 2, 1),
    )
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 5, 7, 0], [0, 0, 0, 0]])


def test_in_bfloat16():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)

    def total(x):
        return ops.sum(
            ops.cast(pooling.max_pool(ops.cast(x, "bfloat16"), (2, 2), (2, 2), "valid"), "float32")
        )

    _, gradient = backend.value_and_gradient(total, backend.to_device(x))
    windows = ops.convert_to_numpy(gradient).reshape(2, 2, 2, 2, 2, 3).sum((2, 4))
    np.testing.assert_array_equal(windows, 1)


def nested() -> keras.Model:
    """As a user writes one: a model inside, a shared layer, a frozen one, drawing and moments."""
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            layers.MaxPooling2D(3, 2),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
        ]
    )
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, trainable=False, name="max_pooling2d")(image)
    x = layers.Flatten()(inner(layers.Activation("relu")(x)))
    shared = layers.Dense(16, activation="tanh")
    return keras.Model(image, layers.Dense(10)(shared(shared(x))))


def test_a_model_is_the_same_but_for_its_pooling(digits):
    model = nested()
    made = pooling.first_maxima(model)
    kinds = [type(layer) for layer in made._flatten_layers()]
    assert pooling.FirstMaximumPooling2D in kinds
    assert layers.MaxPooling2D not in kinds
    assert all(
        type(layer) is not pooling.FirstMaximumPooling2D for layer in model._flatten_layers()
    )
    x, labels = digits.x_train[:8] / np.float32(255), digits.y_train[:8]

    def loss(model: keras.Model, values: State):
        def at(x):
            logits = logits_of(model, values)(x)
            return ops.sum(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))

        return at

    values = state(model)
    for v, w in zip(model.trainable_variables, made.trainable_variables, strict=True):
        assert v.shape == w.shape
    found, expected = (
        backend.value_and_gradient(loss(m, values), backend.to_device(x)) for m in (made, model)
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


class Own(layers.Layer):
    """A layer whose configuration does not tell what it computes."""

    factor = 1.0

    def call(self, x):
        """Scales."""
        return x * self.factor


class Subclass(keras.Sequential):
    """A model with a call of its own."""

    def call(self, x, training=None):
        """Doubles."""
        return 2 * super().call(x)


@pytest.mark.parametrize(
    "model",
    [
        keras.Sequential([keras.Input((8, 8, 1)), layers.MaxPooling2D(2), Own(), layers.Flatten()]),
        Subclass([keras.Input((8, 8, 1)), layers.MaxPooling2D(2), layers.Flatten()]),
        keras.Sequential([keras.Input((8, 8, 1)), layers.AveragePooling2D(2), layers.Flatten()]),
    ],
    ids=["a layer of a user's", "a subclass", "no max-pooling"],
)
def test_what_cannot_be_made_again_stays_as_it_is(model):
    assert pooling.first_maxima(model) is model
