"""What every contender works on: the data, the sizes, the hyperparameters."""

from typing import NamedTuple

import numpy as np

from pellucid.benchmark.data import datasets

BATCH = 100
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
STEPS, EPSILON, STEP_SIZE = 10, 0.5, 0.1
"""The adversary in training: PGD in L2."""


class Case(NamedTuple):
    """Sizes for one network: images and epochs of each kind of work."""

    data: str
    training: tuple[int, int]
    adversarial: tuple[int, int]
    retraining: tuple[int, int]
    attributed: int
    vae_gan: tuple[str, float, int, int]


CASES = {
    "digits_cnn": Case(
        "digits", (1200, 10), (1200, 2), (1200, 5), 10_000, ("digits_vae_gan", 1.0, 10, 1200)
    ),
    "strided_cnn": Case(
        "mnist", (5000, 2), (1000, 1), (2000, 2), 10_000, ("mnist_vae_gan", 0.25, 10, 1000)
    ),
    "cifar_cnn": Case(
        "cifar10", (500, 1), (100, 1), (300, 1), 1_000, ("cifar_vae_gan", 0.25, 64, 200)
    ),
}


def load(network: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (uint8) and labels to train and to test on."""
    data = datasets.load(CASES[network].data)
    return np.array(data.x_train), data.y_train, np.array(data.x_test), data.y_test


def many(x: np.ndarray, count: int) -> np.ndarray:
    """So many images; small sets are repeated."""
    return np.concatenate([x] * -(-count // len(x)))[:count]


DATA = {8: "digits", 28: "mnist", 32: "cifar10"}
"""Data by the images' height."""


def shape_of(text: str) -> tuple[int, ...]:
    """Of `28x28x1`: (28, 28, 1)."""
    return tuple(map(int, text.split("x")))


def data_of(shape: str, images: int) -> datasets.Dataset:
    """The data whose images have that shape, no more than needed of what is read from a disk."""
    name = DATA[shape_of(shape)[0]]
    limit = {} if name == "digits" else {"train_limit": images, "test_limit": images}
    return datasets.load(name, **limit)
