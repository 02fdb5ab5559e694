"""Other implementations of convolution compute what Keras' does."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.models import backend, convolution
from pellucid.models.functional import logits_of, state


@pytest.mark.parametrize("name", ["mlp", "digits_cnn", "strided_cnn", "mnist_cnn", "cifar_cnn"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3)])
def test_same_logits(name, shape):
    model = models.get(name)(shape, 10, seed=0, width=0.5)
    for variable in model.trainable_variables:  # biases too
        variable.assign(np.random.default_rng(1).normal(0, 0.1, variable.shape))
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    found = convolution.forward(model)([v.value for v in model.trainable_variables], x)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-4)


def test_other_models_are_left_alone():
    forward = convolution.forward
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, dilation_rate=2, padding="same")]
    assert forward(keras.Sequential(layers)) is None
    assert forward(keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])) is None
    x = keras.Input((4,))
    assert forward(keras.Model(x, keras.layers.Dense(2)(x))) is None


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [
        (28, 4, 2),
        (8, 3, 2),
        (7, 3, 2),
        (9, 5, 3),
        (8, 3, 3),
        (8, 2, 4),
        (32, 4, 2),
        (7, 3, 1),
        (6, 1, 2),
    ],
)
@pytest.mark.parametrize("channels", [3, 8])
def test_convolution_and_its_gradients_are_keras_own(size, kernel, stride, channels):
    rng = np.random.default_rng(0)
    x = rng.random((2, size, size + 1, channels), np.float32)
    w = rng.random((kernel, kernel, channels, 5), np.float32)
    weight = keras.ops.convert_to_tensor(rng.random((1,), np.float32))

    def gradients(convolution):
        def value(at):
            return keras.ops.sum(keras.ops.sin(convolution(*at)) * weight)

        return backend.value_and_gradient(value, [keras.ops.convert_to_tensor(v) for v in (x, w)])

    own = gradients(lambda x, w: backend.convolution(x, w, (stride, stride)))
    theirs = gradients(lambda x, w: keras.ops.conv(x, w, strides=stride, padding="same"))
    np.testing.assert_allclose(own[0], theirs[0], rtol=1e-5)
    for a, b in zip(own[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_logits_are_the_same_with_it(monkeypatch):
    """Networks that it serves and those that it does not."""
    rng = np.random.default_rng(0)
    for name, shape in (
        ("strided_cnn", (28, 28, 1)),
        ("cifar_cnn", (32, 32, 3)),
        ("mlp", (4, 4, 1)),
    ):
        model, x = (
            models.get(name)(shape, 10, seed=0, width=0.5),
            rng.random((3, *shape), np.float32),
        )
        found = []
        for own in (False, True):
            monkeypatch.setattr(backend, "has_faster_convolution", lambda own=own: own)
            found.append(
                keras.ops.convert_to_numpy(
                    logits_of(model, state(model))(keras.ops.convert_to_tensor(x))
                )
            )
        np.testing.assert_allclose(*found, atol=1e-6)
    layers = [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)]
    model = keras.Sequential(layers)
    assert logits_of(model, state(model))(keras.ops.ones((2, 4))).shape == (2, 3)
