"""Several networks at once are the same networks, to rounding, in every way of the backend."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.benchmark.training.batched import WAYS, train_together
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.ranks import random_ranks

SEEDS = (3, 4, 5)
OPTIONS = {"epochs": 2, "batch_size": 50, "learning_rate": 2e-3}
HERE = WAYS if backend.NAME == "jax" else WAYS[:1]
"""The ways of this backend; `test_jax` runs this file with JAX."""


FAR = 1e-5
"""Share of the distance covered in training by which weights may differ.

Rounding is seen in single weights, since Adam divides by the gradient's size.
"""


def vector(weights: list) -> np.ndarray:
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(w)) for w in weights]).astype(
        np.float64
    )


def networks(name: str = "digits_cnn") -> list[keras.Model]:
    return [models.get(name)((8, 8, 1), 10, seed=seed, width=0.5) for seed in SEEDS]


def masks(digits) -> list[Mask]:
    ranks = random_ranks((300, 8, 8), seed=0)
    settings = ((0.3, "roar"), (0.7, "kar"), (0.9, "roar"))
    return [Mask(ranks, fraction, mode, digits.channel_means()) for fraction, mode in settings]


def alone(digits, masked: bool, name: str = "digits_cnn"):
    x, y = digits.x_train[:300], digits.y_train[:300]
    every = masks(digits) if masked else [None] * 3
    return [
        train(model, x, y, seed=seed, mask=mask, **OPTIONS)
        for model, seed, mask in zip(networks(name), SEEDS, every, strict=True)
    ]


@pytest.mark.parametrize("way", HERE)
@pytest.mark.parametrize(
    ("name", "masked"), [("digits_cnn", True), ("digits_cnn", False), ("cifar_cnn", False)]
)
def test_same_networks(digits, way, masked, name):
    """Pooling only without masks: among equal pixels, rounding decides which is the largest."""
    x, y = digits.x_train[:300], digits.y_train[:300]
    found = train_together(
        networks(name),
        x,
        y,
        seeds=SEEDS,
        masks=masks(digits) if masked else None,
        way=way,
        **OPTIONS,
    )
    for start, (values, history), (expected, expected_history) in zip(
        networks(name), found, alone(digits, masked, name), strict=True
    ):
        np.testing.assert_allclose(history, expected_history, rtol=1e-3)
        here, there, before = (
            vector(v) for v in (values.trainable, expected.trainable, start.trainable_variables)
        )
        assert np.linalg.norm(here - there) < FAR * np.linalg.norm(there - before)
    one, other = (np.asarray(values.trainable[0]) for values, _ in found[:2])
    assert np.abs(one - other).max() > 0.01  # they are different networks


@pytest.mark.parametrize("way", HERE)
def test_other_variables_are_each_networks_own(digits, way):
    def build(seed: int) -> keras.Model:
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.BatchNormalization()]
        layers.append(
            keras.layers.Dense(10, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))
        )
        return keras.Sequential(layers)

    x, y = digits.x_train[:300], digits.y_train[:300]
    together = train_together(
        [build(s) for s in SEEDS], x, y, seeds=SEEDS, masks=masks(digits), way=way, **OPTIONS
    )
    for seed, mask, (values, _) in zip(SEEDS, masks(digits), together, strict=True):
        expected, _ = train(build(seed), x, y, seed=seed, mask=mask, **OPTIONS)
        for a, b in zip(values.other, expected.other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_mistakes(digits):
    x, y = digits.x_train[:300], digits.y_train[:300]
    with pytest.raises(
        InputError, match=r"Unknown way to train several networks 'vmapp'\. Did you mean 'vmap'"
    ):
        train_together(networks(), x, y, seeds=SEEDS, way="vmapp", **OPTIONS)
    if backend.NAME == "tensorflow":
        with pytest.raises(InputError, match="Several networks at once need KERAS_BACKEND=jax"):
            train_together(networks(), x, y, seeds=SEEDS, way="vmap", **OPTIONS)
    different = [Mask(random_ranks((300, 8, 8), seed=s), 0.3, "roar", np.zeros(1)) for s in SEEDS]
    with pytest.raises(InputError, match="must share their `ranks`"):
        train_together(networks(), x, y, seeds=SEEDS, masks=different, way="one", **OPTIONS)
    with pytest.raises(InputError, match="`epochs` must be at least 1"):
        train_together(networks(), x, y, seeds=SEEDS, way="one", **OPTIONS | {"epochs": 0})
