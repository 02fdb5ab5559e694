"""The classifiers of the protocol: no batch norm, dropout, augmentation or weight decay.

All weights are Glorot uniform, all biases zero, all activations ReLU. `width` multiplies the
channels of every hidden layer (1 is the protocol's network); the seed fixes the initial weights.
Convolutions keep the image size ("same" padding) unless they are strided; the paper does not print
its padding.
"""

import keras
import numpy as np
from keras import layers

from pellucid.models.errors import InputError


def scaled(units: int, width: float) -> int:
    """`units * width`, rounded, at least 1: the number of channels or units of a layer.

    Raises:
        InputError: `width` is not above 0.
    """
    if not width > 0:
        raise InputError(f"`width` must be a number above 0. Received {width}.")
    return max(1, round(units * width))


def _classifier(
    name: str, input_shape: tuple[int, ...], num_classes: int, hidden: list[keras.Layer], seed: int
) -> keras.Model:
    """Rescaling, the hidden layers, a dense layer of logits; with the initial weights of `seed`."""
    output = layers.Dense(num_classes, name="logits")
    stack = [*hidden, output]
    states = np.random.SeedSequence(seed).generate_state(len(stack))
    for layer, state in zip(stack, states, strict=True):
        if hasattr(layer, "kernel_initializer"):
            layer.kernel_initializer = keras.initializers.GlorotUniform(seed=int(state >> 1))
    return keras.Sequential(
        [keras.Input(input_shape), layers.Rescaling(2.0, -1.0, name="rescaling"), *stack], name=name
    )


def _image_shape(name: str, input_shape: tuple[int, ...], smallest: int) -> None:
    if len(input_shape) != 3 or min(input_shape[:2]) < smallest:
        raise InputError(
            f"`{name}` needs images of shape (h, w, c) with h and w of at least {smallest}."
            f" Received {input_shape}."
        )


def _conv(filters: int, size: int, name: str, strides: int = 1) -> keras.Layer:
    return layers.Conv2D(
        filters, size, strides=strides, padding="same", activation="relu", name=name
    )


def mlp(
    input_shape: tuple[int, ...], num_classes: int, *, seed: int, width: float = 1.0
) -> keras.Model:
    """Dense 128, dense `num_classes`: the network of the two-dimensional toy.

    Args:
        input_shape: Shape of one example, any rank.
        num_classes: Number of logits.
        seed: Seed of the initial weights.
        width: Factor on the hidden units.

    Returns:
        The model, [0, 1] inputs to logits.
    """
    hidden = [
        layers.Flatten(name="flatten"),
        layers.Dense(scaled(128, width), activation="relu", name="dense"),
    ]
    return _classifier("mlp", input_shape, num_classes, hidden, seed)


def digits_cnn(
    input_shape: tuple[int, ...], num_classes: int, *, seed: int, width: float = 1.0
) -> keras.Model:
    """Conv 3x3 stride 2: 16, 32; dense 64; for 8x8 images.

    Arguments as for `mlp`, with `input_shape` `(h, w, c)`.
    """
    _image_shape("digits_cnn", input_shape, 4)
    hidden = [
        _conv(scaled(16, width), 3, "conv_1", strides=2),
        _conv(scaled(32, width), 3, "conv_2", strides=2),
        layers.Flatten(name="flatten"),
        layers.Dense(scaled(64, width), activation="relu", name="dense"),
    ]
    return _classifier("digits_cnn", input_shape, num_classes, hidden, seed)


def strided_cnn(
    input_shape: tuple[int, ...], num_classes: int, *, seed: int, width: float = 1.0
) -> keras.Model:
    """Conv 4x4 stride 2: 16, 32; dense 100; the reduced scale's network.

    Arguments as for `digits_cnn`.
    """
    _image_shape("strided_cnn", input_shape, 4)
    hidden = [
        _conv(scaled(16, width), 4, "conv_1", strides=2),
        _conv(scaled(32, width), 4, "conv_2", strides=2),
        layers.Flatten(name="flatten"),
        layers.Dense(scaled(100, width), activation="relu", name="dense"),
    ]
    return _classifier("strided_cnn", input_shape, num_classes, hidden, seed)


def mnist_cnn(
    input_shape: tuple[int, ...], num_classes: int, *, seed: int, width: float = 1.0
) -> keras.Model:
    """Conv 5x5 32, conv 5x5 64, max-pool 2, dense 1024. Arguments as for `digits_cnn`.

    Reference: arXiv 1903.11626, appendix.
    """
    _image_shape("mnist_cnn", input_shape, 2)
    hidden = [
        _conv(scaled(32, width), 5, "conv_1"),
        _conv(scaled(64, width), 5, "conv_2"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(name="flatten"),
        layers.Dense(scaled(1024, width), activation="relu", name="dense"),
    ]
    return _classifier("mnist_cnn", input_shape, num_classes, hidden, seed)


def cifar_cnn(
    input_shape: tuple[int, ...], num_classes: int, *, seed: int, width: float = 1.0
) -> keras.Model:
    """Conv 3x3 32, 32, max-pool 2, conv 3x3 64, 64, max-pool 2, dense 512.

    Arguments as for `digits_cnn`.

    Reference: arXiv 1903.11626, appendix.
    """
    _image_shape("cifar_cnn", input_shape, 4)
    hidden = [
        _conv(scaled(32, width), 3, "conv_1"),
        _conv(scaled(32, width), 3, "conv_2"),
        layers.MaxPooling2D(2, name="pool_1"),
        _conv(scaled(64, width), 3, "conv_3"),
        _conv(scaled(64, width), 3, "conv_4"),
        layers.MaxPooling2D(2, name="pool_2"),
        layers.Flatten(name="flatten"),
        layers.Dense(scaled(512, width), activation="relu", name="dense"),
    ]
    return _classifier("cifar_cnn", input_shape, num_classes, hidden, seed)
