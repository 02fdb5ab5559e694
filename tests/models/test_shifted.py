"""Convolutions without convolutions."""

import keras
import numpy as np
import pytest

import models
from models import shifted


@pytest.mark.parametrize("name", ["mlp", "digits_cnn", "strided_cnn", "mnist_cnn", "cifar_cnn"])
@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3)])
def test_same_logits(name, shape):
    model = models.get(name)(shape, 10, seed=0, width=0.5)
    for variable in model.trainable_variables:  # biases too
        variable.assign(np.random.default_rng(1).normal(0, 0.1, variable.shape))
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    found = shifted.forward(model)([v.value for v in model.trainable_variables], x)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-4)


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 1), (8, 4, 2), (8, 5, 3), (5, 2, 2), (6, 1, 2)])
def test_padding_is_keras_padding(size, kernel, stride):
    rng = np.random.default_rng(0)
    x, w = rng.random((2, size, size + 1, 3), np.float32), rng.random((kernel, kernel, 3, 4), np.float32)
    expected = keras.ops.conv(x, w, strides=stride, padding="same")
    found = shifted.convolution(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(w), (stride, stride))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_other_models_are_left_alone():
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, dilation_rate=2, padding="same")]
    assert shifted.forward(keras.Sequential(layers)) is None
    assert shifted.forward(keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])) is None
    x = keras.Input((4,))
    assert shifted.forward(keras.Model(x, keras.layers.Dense(2)(x))) is None
