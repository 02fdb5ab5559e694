"""Shared by all tests: real TFDS data where it is there, one configuration of the backend."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.models import backend

backend.configure()

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "tfds"
if "TFDS_DATA_DIR" not in os.environ and SHARED.is_dir():
    os.environ["TFDS_DATA_DIR"] = str(SHARED)


def has_tfds(name: str) -> bool:
    return any((datasets.tfds_folder() / name).glob("*/dataset_info.json"))


FIRST = (
    "jax",
    "ray_workers",
    "submitting",
    "command_line",
    "robust_accuracy",
    "accelerator",
    "board",
)
"""The files that take longest: begun first, so that neither worker is left with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first; the rest in the order in which they were found."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in FIRST)


needs_tfds = pytest.mark.skipif(
    not all(map(has_tfds, ("mnist", "fashion_mnist", "cifar10"))),
    reason=f"MNIST, Fashion-MNIST and CIFAR-10 are not prepared in {datasets.tfds_folder()}",
)


@pytest.fixture(scope="session")
def digits() -> datasets.Dataset:
    return datasets.load("digits")


@pytest.fixture(scope="session")
def digits_model(digits):
    """A digits classifier trained for a few epochs."""
    from pellucid import models
    from tests.fitting import fit

    model = models.get("digits_cnn")((8, 8, 1), 10, seed=1)
    fit(model, digits.x_train, digits.y_train, seed=1, epochs=12)
    return model


def linear_model(weights: np.ndarray, bias: np.ndarray, shape: tuple[int, ...]) -> keras.Model:
    """Logits = flatten(x) @ weights + bias: everything about it can be worked out by hand."""
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(weights.shape[1])]
    model = keras.Sequential(layers)
    model.layers[-1].set_weights([weights.astype(np.float32), bias.astype(np.float32)])
    return model
