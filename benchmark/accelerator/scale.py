"""How much is measured, and on what: networks as in the presets, random images."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from pellucid import models
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.data import datasets
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.retrain import Retraining
from pellucid.models.types import Array

BATCH = 100
"""Images in a step of training, as in the presets."""

PRESETS = {
    "cifar_cnn": "paper-cifar10",
    "mnist_cnn": "paper-mnist",
    "strided_cnn": "reduced-mnist",
    "digits_cnn": "quick",
}
"""The preset that says how long a network's retraining is."""

INFOS = {
    "mnist": Info("mnist", "3.0.1", 60_000, 10_000, (28, 28, 1), 10),
    "cifar10": Info("cifar10", "3.0.2", 50_000, 10_000, (32, 32, 3), 10),
}
"""Data sets that plans are made for without having them."""


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        name: `"full"` or `"reduced"`.
        networks: Classifiers, the most important first.
        manifold: VAE-GANs whose results are checked.
        width: Factor on the VAE-GANs' channels where they are checked.
        checked: Images on which results are compared with the CPU's.
        trained: Images of an epoch, at most.
        attacked: Images for PGD and attributions.
        steps: Of PGD.
        modelled: Images for the VAE-GAN whose training is timed.
        autoattack: Images for AutoAttack.
        short: Whether AutoAttack's attacks have few steps.
        counts: Numbers of networks that are trained together.
        processes: Numbers of processes that share the device.
        side: Rows and columns of the matrices whose product is timed.
        megabytes: Of the vector whose copying is timed.
        rounds: Timed calls after the first, of which the median counts.
        preset: The run whose time is estimated.
    """

    name: str
    networks: tuple[str, ...]
    manifold: tuple[str, ...]
    width: float
    checked: int
    trained: int
    attacked: int
    steps: int
    modelled: int
    autoattack: int
    short: bool
    counts: tuple[int, ...]
    processes: tuple[int, ...]
    side: int
    megabytes: int
    rounds: int
    preset: str


FULL = Scale(
    "full",
    networks=tuple(PRESETS),
    manifold=("cifar_vae_gan", "digits_vae_gan"),
    width=0.25,
    checked=16,
    trained=50_000,
    attacked=8192,
    steps=40,
    modelled=2000,
    autoattack=1000,
    short=False,
    counts=(4, 8, 16),
    processes=(2, 4, 8),
    side=8192,
    megabytes=256,
    rounds=3,
    preset="paper-cifar10",
)
REDUCED = Scale(
    "reduced",
    networks=("digits_cnn",),
    manifold=("digits_vae_gan",),
    width=0.25,
    checked=16,
    trained=500,
    attacked=200,
    steps=5,
    modelled=8,
    autoattack=16,
    short=True,
    counts=(2,),
    processes=(),
    side=512,
    megabytes=16,
    rounds=1,
    preset="quick",
)
SCALES = {scale.name: scale for scale in (FULL, REDUCED)}


class Case(NamedTuple):
    """What a network is measured on.

    Attributes:
        shape: Of an image, `(h, w, c)`.
        images: Training images of a retraining in the preset.
        epochs: Of a retraining in the preset; of its training, where it retrains nothing.
        preset: Its name.
    """

    shape: tuple[int, ...]
    images: int
    epochs: int
    preset: str


def described(config: Config) -> Info:
    """The data of a configuration, its limits applied, without having them."""
    data = config.data
    info = INFOS[data.name] if data.name in INFOS else datasets.describe(data.name)
    return dataclasses.replace(
        info,
        train_size=min(data.train_limit or info.train_size, info.train_size),
        test_size=min(data.test_limit or info.test_size, info.test_size),
    )


def case(network: str) -> Case:
    """What a network is measured on, from its preset."""
    config = configuration.resolve(PRESETS[network], None, [])
    section, info = config.section(Retraining), described(config)
    epochs = section.epochs if section else config.training.epochs
    return Case(info.shape, info.train_size, epochs, config.name)


def built(network: str, seed: int = 0) -> keras.Model:
    """A classifier with fresh weights."""
    return models.get(network)(case(network).shape, 10, seed=seed)


def images(shape: tuple[int, ...], n: int) -> tuple[Array, Array]:
    """`(n, *shape)` uint8 at random and `(n,)` int32 labels 0 .. 9 in turn."""
    x = np.random.default_rng(0).integers(0, 256, (n, *shape), np.uint8)
    return x, (np.arange(n) % 10).astype(np.int32)


def random_ranks(shape: tuple[int, ...], n: int) -> Array:
    """A random order of the pixels of each image, `(n, h, w)` uint16; repeated after 1,000."""
    few, (height, width) = min(n, 1000), shape[:2]
    order = np.tile(np.arange(height * width, dtype=np.uint16), (few, 1))
    ranks = np.random.default_rng(0).permuted(order, axis=1).reshape(few, height, width)
    return np.concatenate([ranks] * -(-n // few))[:n]
