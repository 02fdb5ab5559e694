"""How long a plan would take on this device, from a few batches measured now.

Measured are a batch of standard training, of adversarial training with a few attack steps (a step's
cost follows), and of the VAE-GAN, on made-up images of the data's shape, as many side by side as a
run would have. What only evaluates is reckoned from the same numbers.
"""

import functools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from robust_interpretability import models
from robust_interpretability.attacks.attack import Attack
from robust_interpretability.benchmark.execution.threads import default_workers
from robust_interpretability.benchmark.progress import duration
from robust_interpretability.benchmark.training.classifier import train
from robust_interpretability.benchmark.training.vae_gan import fit_vae_gan
from robust_interpretability.benchmark.units.plan import Plan, Unit
from robust_interpretability.models import backend
from robust_interpretability.models.batching import to_device

ATTACK_STEPS = 4
"""Of the measured attack; the plan's own may be ten times as long."""


FEW, LONG = 8, 5.0
"""Images of a first short measurement, and the seconds that a longer one may not take."""


class Pace(NamedTuple):
    """Seconds an image, with `workers` at work side by side.

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


def _seconds(work: Callable[..., Any], workers: int) -> float:
    """Seconds of one epoch: the median of those after the first, which compiles; all workers at once."""

    def one(_: int) -> list[float]:
        times = [time.perf_counter()]
        work(progress=lambda *_: times.append(time.perf_counter()))
        return np.diff(times).tolist()[1:]

    with ThreadPoolExecutor(workers) as pool:
        return float(
            np.median([seconds for found in pool.map(one, range(workers)) for seconds in found])
        )


def _vae_gan_pace(plan: Plan, x: Any) -> float:
    """Seconds an image of VAE-GAN training; a large network is measured on a few images only."""
    section = plan.config.vae_gan
    if section is None:
        return 0.0
    options = section.model_dump()
    shape = {k: options.pop(k) for k in ("latent", "width")}
    vae_gan = models.get(options.pop("name"))(plan.info.shape, seed=0, **shape)
    found = 0.0
    for images in (FEW, len(x)):
        options |= {"epochs": 2, "batch_size": min(section.batch_size, images)}
        # there is one in a plan; the others work beside it
        found = (
            _seconds(functools.partial(fit_vae_gan, vae_gan, x[:images], seed=0, **options), 1)
            / images
        )
        if found * len(x) > LONG:
            break
    return found


def measure(plan: Plan, workers: int) -> Pace:
    """Measures the pace of a plan's networks on this device. Takes seconds for a small network, a minute for a large.

    Args:
        plan: The plan.
        workers: Units a run would do at a time.
    """
    config, info = plan.config, plan.info
    batch = min(config.training.batch_size, info.train_size)
    rng = np.random.default_rng(0)
    images = 2 * batch
    x = to_device(rng.integers(0, 256, (images, *info.shape)).astype(np.uint8))
    y = rng.integers(0, info.num_classes, images).astype(np.int32)
    model = models.get(config.model.name)(
        info.shape, info.num_classes, seed=0, width=config.model.width
    )
    attack = Attack("pgd", "l2", 0.1, steps=ATTACK_STEPS, step_size=0.1)

    options: dict[str, Any] = {
        "seed": 0,
        "epochs": 3,
        "batch_size": batch,
        "compute": config.training.compute,
    }
    plain = _seconds(functools.partial(train, model, x, y, **options), workers) / images
    attacked = (
        _seconds(functools.partial(train, model, x, y, attack=attack, **options), workers) / images
    )
    step = max(attacked - plain, 0.0) / ATTACK_STEPS
    pace = _vae_gan_pace(plan, x) if config.manifold and config.vae_gan else 0.0
    return Pace(plain, step, pace, workers)


def seconds(unit: Unit, pace: Pace) -> float:
    """What a unit would take at a pace."""
    if unit.kind == "vae_gan":
        return unit.images * pace.vae_gan
    if unit.kind in ("train", "retrain", "agreement"):
        return unit.images * pace.standard + (unit.cost - unit.images) * pace.step
    return unit.cost * pace.step


def estimate(units: list[Unit], pace: Pace) -> float:
    """Seconds for all units, the workers always busy."""
    return sum(seconds(unit, pace) for unit in units) / pace.workers


def report(plan: Plan, left: list[Unit], workers: int | None) -> str:
    """The estimate in words, with the pace it rests on.

    Args:
        plan: The plan.
        left: The units still to be done.
        workers: Units at a time; as a run's where not given.
    """
    backend.configure()
    count = workers or default_workers()
    pace = measure(plan, count)
    by_kind: dict[str, float] = {}
    for unit in left:
        by_kind[unit.kind] = by_kind.get(unit.kind, 0.0) + seconds(unit, pace) / pace.workers
    most = sorted((k for k in by_kind if by_kind[k] >= 1), key=lambda k: -by_kind[k])
    parts = ", ".join(f"{kind} {duration(by_kind[kind])}" for kind in most)
    return (
        f"about {duration(estimate(left, pace))} on {', '.join(backend.devices())}, {count} at a"
        f" time ({parts})\nmeasured: {pace.workers / pace.standard:,.0f} images/s in training,"
        f" {pace.workers / max(pace.step, 1e-9):,.0f} images/s in one attack step"
        + (f", {1 / pace.vae_gan:,.0f} images/s in one VAE-GAN training" if pace.vae_gan else "")
    )
