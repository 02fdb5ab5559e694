"""The project's own programs, compiled for a GPU that is not there.

What the project compiles is recorded while it runs here in small; the same functions are then
compiled by XLA for the GPU that `h200.txtpb` describes. Nothing of it has run on a GPU.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies

from pellucid import models
from pellucid.attacks import Attack
from pellucid.attacks.autoattack import ensemble
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.metrics import attributions
from pellucid.models import backend, functional
from pellucid.models.backend import jax as jax_backend
from tests.attacks.test_autoattack import short
from tests.gpu_compile import hlo
from tests.ranks import random_ranks

GPU = Path(__file__).with_name("h200.txtpb")
IMAGES = 100
"""In a batch."""
FEW = 13
"""In a batch of a program that runs here too: a number that no other axis has."""
SHAPES = {"cifar_cnn": (32, 32, 3), "mnist_cnn": (28, 28, 1), "strided_cnn": (28, 28, 1)}
VAE_GANS = {"cifar_vae_gan": (32, 32, 3), "mnist_vae_gan": (28, 28, 1)}


class Recorded(NamedTuple):
    """A program as the project jits it, its function's name, and what it was first called with."""

    name: str
    program: Any
    arguments: tuple


class Part(NamedTuple):
    """A part of a program that holds convolutions or products.

    Attributes:
        loops: How many loops are around it.
        counts: What one pass through it does.
        memory: Bytes that the whole program takes besides its arguments.
        exact: Whether all products and convolutions of the program keep float32's bits.
    """

    loops: int
    counts: hlo.Counts
    memory: int
    exact: bool


class RecordedError(Exception):
    """The program is known; there is no need to run it."""


@contextmanager
def recording(run_here: bool) -> Iterator[list[Recorded]]:
    """Collects what is compiled, with the flag of an accelerator; a program is recorded once.

    Args:
        run_here: Whether the programs run here too; without, what calls one is left at once.
    """
    before = backend.jit, backend.has_accelerator, functional._programs
    found: list[Recorded] = []

    def jit(function: Callable, **options: Any) -> Callable:
        compiled, seen = before[0](function, **options), False

        def call(*arguments: object) -> object:
            nonlocal seen
            if not seen:
                found.append(Recorded(function.__name__, compiled, arguments))
                seen = True
            if not run_here:
                raise RecordedError
            return compiled(*arguments)

        return call

    backend.jit, functional._programs = jit, {}
    backend.has_accelerator = jax_backend.has_accelerator = lambda: True
    try:
        yield found
    except RecordedError:
        pass
    finally:
        backend.jit, backend.has_accelerator, functional._programs = before
        jax_backend.has_accelerator = before[1]


def compiled(recorded: Recorded) -> list[Part]:
    """The parts of a program, compiled for the GPU, with `IMAGES` images in a batch."""
    os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
    topology = topologies.get_topology_desc(
        platform="cuda", target_config=GPU.read_text(), topology="1x1x1"
    )
    there = jax.sharding.SingleDeviceSharding(topology.devices[0])

    def described(value: jax.Array | np.ndarray) -> jax.ShapeDtypeStruct:
        shape = [IMAGES if length == FEW else length for length in value.shape]
        return jax.ShapeDtypeStruct(shape, value.dtype, sharding=there)

    shapes = jax.tree.map(described, recorded.arguments)
    program = recorded.program.lower(*shapes).compile()
    text = program.as_text()
    module, exact = hlo.parse(text), hlo.exact(text)
    memory = program.memory_analysis().temp_size_in_bytes
    places = [(hlo.entry(module), 0), *hlo.loops(module)]
    return [
        Part(depth, hlo.counts(module, name), memory, exact)
        for name, depth in places
        if hlo.multiplies(module, name)
    ]


def training(name: str, what: str, compute: str = "float32") -> list[Recorded]:
    """`what` is `plain`, `masked` or `PGD-40`."""
    shape = SHAPES[name]
    x, y = images(shape, 10 * IMAGES)
    attack = Attack("pgd", "l2", 0.5, steps=40, step_size=0.05) if what == "PGD-40" else None
    ranks = random_ranks((len(x), *shape[:2]), seed=0) if what == "masked" else None
    mask = None if ranks is None else Mask(ranks, 0.3, "roar", np.full(shape[2], 0.5))
    with recording(run_here=False) as found:
        network = models.get(name)(shape, 10, seed=0)
        train(network, x, y, seed=0, epochs=2, attack=attack, mask=mask, compute=compute)
    return found


def attribution(name: str) -> list[Recorded]:
    """The gradient times the image."""
    with recording(run_here=False) as found:
        network = models.get(name)(SHAPES[name], 10, seed=0)
        attributions.run("gradient_input", network, images(SHAPES[name])[0], batch_size=IMAGES)
    return found


def autoattack(name: str, norm: str) -> list[Recorded]:
    """All programs of the ensemble; they run here, in small."""
    x, _ = images(SHAPES[name], FEW)
    with recording(run_here=True) as found:
        network = models.get(name)(SHAPES[name], 10, seed=0)
        y = np.argmax(functional.predict(network, x), axis=-1)
        options = {"norm": norm, "epsilon": 1e-5, "batch_size": FEW, "attacks": short(norm)}
        ensemble.evaluate(network, x, y, **options)
    return found


def manifold_model(name: str) -> list[Recorded]:
    """An epoch of a VAE-GAN."""
    with recording(run_here=False) as found:
        shape = VAE_GANS[name]
        network, x = models.get(name)(shape, seed=0), images(shape, 10 * IMAGES)[0]
        fit_vae_gan(network, x, seed=0, epochs=1)
    return found


def images(shape: tuple[int, ...], n: int = IMAGES) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels at random."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), np.uint8), np.arange(n) % 10
