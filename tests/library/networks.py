"""Networks as other people write them, all of one function of the pixels: that of `linear`."""

import keras
import numpy as np
from keras import layers, ops

SHAPE, CLASSES = (6, 4, 1), 3
WEIGHTS = np.random.default_rng(0).normal(size=(24, CLASSES)).astype(np.float32)
WEIGHTS -= WEIGHTS.mean(axis=0)  # no class gains by bright pixels alone
BIAS = np.array([0.1, -0.2, 0.3], np.float32)


def images(n: int = 12, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=(n, *SHAPE)).astype(np.float32)


def logits(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1) @ WEIGHTS + BIAS


def labels(n: int = 12, seed: int = 1) -> np.ndarray:
    """The classes that the network predicts."""
    return logits(images(n, seed)).argmax(-1)


def first_logit(logits, y):
    """A loss of a caller's."""
    return logits[:, 0]


def dense(factor: float = 1.0, **options: object) -> layers.Dense:
    weights = [WEIGHTS * factor, BIAS]
    layer = layers.Dense(CLASSES, **options)
    layer.build((None, len(WEIGHTS)))
    layer.set_weights(weights)
    return layer


def sequential() -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense()])


def unbuilt() -> keras.Model:
    """A sequential model that does not know its input."""
    return keras.Sequential([layers.Flatten(), dense()])


def functional() -> keras.Model:
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, dense()(layers.Flatten()(inputs)))


def any_size() -> keras.Model:
    """Declared for images of any size, which a mean over them would allow."""
    inputs = keras.Input((None, None, 1))
    return keras.Model(inputs, dense()(layers.Reshape((24,))(inputs)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), dense()

    def call(self, x, training=False):
        return self.dense(self.flatten(x))


class Raw(keras.Model):
    """Without layers: its weights are variables."""

    def __init__(self):
        super().__init__()
        self.w = self.add_weight(shape=WEIGHTS.shape)
        self.w.assign(WEIGHTS)

    def call(self, x):
        return ops.matmul(ops.reshape(x, (-1, 24)), self.w) + BIAS


def with_dropout() -> keras.Model:
    """Batch normalisation at its start and dropout, which do nothing in inference."""
    norm = layers.BatchNormalization(epsilon=1e-7)
    return keras.Sequential(
        [keras.Input(SHAPE), norm, layers.Dropout(0.5), layers.Flatten(), dense()]
    )


def nested() -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), functional(), layers.Activation("linear")])


def softmax() -> keras.Model:
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense(activation="softmax")])


def of_bytes() -> keras.Model:
    """Takes pixels from 0 to 255."""
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), dense(1 / 255)])


def rescaled() -> keras.Model:
    """Takes pixels from 0 to 255 and divides by itself."""
    rescaling = layers.Rescaling(1 / 255)
    return keras.Sequential([keras.Input(SHAPE), rescaling, layers.Flatten(), dense()])


def bytes_to_probabilities() -> keras.Model:
    layer = dense(1 / 255, activation="softmax")
    return keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layer])


def half() -> keras.Model:
    flatten = layers.Flatten(dtype="mixed_float16")
    return keras.Sequential([keras.Input(SHAPE), flatten, dense(dtype="mixed_float16")])


PLAIN = (
    sequential,
    unbuilt,
    functional,
    any_size,
    Subclassed,
    Raw,
    with_dropout,
    nested,
)
"""Pixels in [0, 1] to logits."""

STATED = {
    softmax: {"logits": False},
    of_bytes: {"scale": 255},
    rescaled: {"scale": 255},
    bytes_to_probabilities: {"logits": False, "scale": 255},
}
"""Others, and the arguments that say what they do."""
