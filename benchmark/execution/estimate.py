"""How long a plan would take on this device, from a few batches measured now.

Measured are a batch of standard training, one of adversarial training with a few attack steps (a
step's cost follows), and one of the VAE-GAN, on random images of the data's shape, as many side by
side as a run would compute. Units that only evaluate are estimated from the same numbers.
"""

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from pellucid import models
from pellucid.attacks.attack import Attack
from pellucid.benchmark.execution.threads import default_workers
from pellucid.benchmark.progress import duration
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.benchmark.units import vae_gan as vae_gan_unit
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.types import Tensor

ATTACK_STEPS = 4
"""Steps of the measured attack; the plan's may have ten times as many."""
FEW = 8
"""Images of a first, short measurement of the VAE-GAN."""
LONG = 5.0
"""Seconds that a longer measurement may not take."""
EPOCHS = 3
"""Of a measured training run."""


class Pace(NamedTuple):
    """Seconds per image, with `workers` at work side by side.

    Attributes:
        standard: One pass of standard training.
        step: One step of an attack.
        vae_gan: One pass of VAE-GAN training; 0 where the plan has none.
        workers: How many worked side by side.
    """

    standard: float
    step: float
    vae_gan: float
    workers: int


def _seconds(fit: Callable[..., object], workers: int) -> float:
    """Seconds of one epoch, all workers at once, without what the first one compiles.

    With JAX a run is one program, whose epochs cannot be timed one by one: a second run is timed.
    """

    def whole(_: int) -> list[float]:
        fit(epochs=EPOCHS)
        start = time.perf_counter()
        fit(epochs=EPOCHS)
        return [(time.perf_counter() - start) / EPOCHS]

    def each(_: int) -> list[float]:
        times: list[float] = []
        fit(epochs=EPOCHS, progress=lambda *_: times.append(time.perf_counter()))
        return np.diff(times).tolist()

    one = whole if backend.WHOLE_RUNS else each
    with ThreadPoolExecutor(workers) as pool:
        return float(np.median([s for times in pool.map(one, range(workers)) for s in times]))


def vae_gan_pace(plan: Plan, section: VaeGanSection, x: Tensor) -> float:
    """Seconds per image of VAE-GAN training; a large network is measured on few images.

    Args:
        plan: The plan, for the shape of its images.
        section: The VAE-GAN and its training.
        x: Images on the device, `(n, h, w, c)` uint8.
    """
    builder = models.get(section.name)
    vae_gan = builder(plan.info.shape, seed=0, latent=section.latent, width=section.width)
    pace = 0.0
    for images in sorted({min(FEW, len(x)), len(x)}):
        fit = functools.partial(
            fit_vae_gan,
            vae_gan,
            x[:images],
            seed=0,
            epochs=2,
            batch_size=min(section.batch_size, images),
            learning_rate=section.learning_rate,
            discriminator_steps=section.discriminator_steps,
        )
        times: list[float] = []
        fit(progress=lambda *_, seen=times: seen.append(time.perf_counter()))
        pace = (times[1] - times[0]) / images  # the first epoch compiles; a plan has one VAE-GAN
        if pace * len(x) > LONG:
            break
    return pace


def measure(plan: Plan, workers: int) -> Pace:
    """Measures the pace of a plan's networks on this device.

    It takes seconds for a small network and a minute for a large one.

    Args:
        plan: The plan.
        workers: Units that a run would compute at a time.
    """
    config, info = plan.config, plan.info
    batch = min(config.training.batch_size, info.train_size)
    rng = np.random.default_rng(0)
    images = 2 * batch
    x = to_device(rng.integers(0, 256, (images, *info.shape)).astype(np.uint8))
    y = rng.integers(0, info.num_classes, images).astype(np.int32)
    builder = models.get(config.model.name)
    model = builder(info.shape, info.num_classes, seed=0, width=config.model.width)

    fit = functools.partial(
        train, model, x, y, seed=0, batch_size=batch, compute=config.training.compute
    )
    attack = Attack("pgd", "l2", 0.1, steps=ATTACK_STEPS, step_size=0.1)
    standard = _seconds(fit, workers) / images
    attacked = _seconds(functools.partial(fit, attack=attack), workers) / images
    step = max(attacked - standard, 0.0) / ATTACK_STEPS
    section = config.section(VaeGanSection)
    with_manifold = config.section(Manifold) and section
    vae_gan = vae_gan_pace(plan, section, x) if with_manifold and section else 0.0
    return Pace(standard, step, vae_gan, workers)


def seconds(unit: Unit, pace: Pace) -> float:
    """What a unit would take at a pace."""
    if unit.kind is vae_gan_unit.KIND:
        return unit.images * pace.vae_gan
    return unit.images * pace.standard + (unit.cost - unit.images) * pace.step


def estimate(units: list[Unit], pace: Pace) -> float:
    """Seconds for all units, the workers always busy."""
    return sum(seconds(unit, pace) for unit in units) / pace.workers


def report(plan: Plan, left: list[Unit], workers: int | None) -> str:
    """The estimate in words, with the pace it rests on.

    Args:
        plan: The plan.
        left: The units still to be computed.
        workers: Units at a time; a run's where not given.
    """
    backend.configure()
    count = workers or default_workers()
    pace = measure(plan, count)
    by_kind: dict[str, float] = {}
    for unit in left:
        taken = seconds(unit, pace) / pace.workers
        by_kind[unit.kind.name] = by_kind.get(unit.kind.name, 0.0) + taken
    most = sorted((kind for kind in by_kind if by_kind[kind] >= 1), key=lambda k: -by_kind[k])
    parts = ", ".join(f"{kind} {duration(by_kind[kind])}" for kind in most)
    text = (
        f"about {duration(estimate(left, pace))} on {', '.join(backend.devices())}, {count} at a"
        f" time ({parts})\nmeasured: {pace.workers / pace.standard:,.0f} images/s in training,"
        f" {pace.workers / max(pace.step, 1e-9):,.0f} images/s in one attack step"
    )
    if pace.vae_gan:
        text += f", {1 / pace.vae_gan:,.0f} images/s in one VAE-GAN training"
    return text
