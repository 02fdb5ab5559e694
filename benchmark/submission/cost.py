"""What it takes to measure a submitted model on this device, worked out before it is begun."""

import time
from typing import TYPE_CHECKING, NamedTuple

from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.execution import estimate as timing
from pellucid.benchmark.execution.threads import default_workers
from pellucid.benchmark.units import retrain, train, vae_gan
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import SUBMISSION
from pellucid.metrics import ATTRIBUTIONS

if TYPE_CHECKING:
    import keras

    from pellucid.models.types import Array

TIMED = 32
"""Images whose gradients are timed."""
LONG = 10.0
"""Seconds after which the first, slower, call counts as the measurement."""


class Cost(NamedTuple):
    """What is left to do.

    Attributes:
        seconds: All of it, the workers always busy.
        per_pass: Seconds of one pass of the model on one image, forward and back.
        passes: Passes of the model on one image that are left.
    """

    seconds: float
    per_pass: float
    passes: float


def pace(model: "keras.Model", x: "Array") -> float:
    """Seconds of one pass on one image, forward and back, with what it takes to compile left out.

    Args:
        model: The model.
        x: Images `(n, h, w, c)`.
    """
    from pellucid.metrics import attributions

    some, taken = x[:TIMED], 0.0
    for _ in range(2):
        began = time.perf_counter()
        attributions.run("gradient", model, some)
        taken = time.perf_counter() - began
        if taken > LONG:
            break
    return taken / len(some)


def passes(plan: Plan, store: Store) -> float:
    """Passes of the submitted model on one image in the units that are not done."""
    left = [unit for unit in plan.units if unit.network == SUBMISSION and not store.done(unit)]
    total, orders = 0.0, set()
    for unit in left:
        if unit.kind is not retrain.KIND:
            total += unit.cost
        elif unit.spec.order.source is not None:
            orders.add(unit.spec.order)
    section, train_size = plan.config.section(retrain.Retraining), plan.info.train_size
    limit = section.train_limit if section else None
    maps = sum(ATTRIBUTIONS[order.attribution].passes for order in orders)
    return total + maps * (min(limit or train_size, train_size) + plan.info.test_size)


def _of_training(plan: Plan, store: Store, workers: int) -> float:
    """Seconds for the networks that are left to train, by what was trained here before."""
    kinds = (retrain.KIND, train.KIND, vae_gan.KIND)
    left = [unit for unit in plan.units if unit.kind in kinds and not store.done(unit)]
    done = [unit for unit in plan.units if unit.kind is retrain.KIND and store.done(unit)]
    if done and all(unit.kind is retrain.KIND for unit in left):
        taken = sum(store.stored(unit).seconds for unit in done)
        return sum(unit.images for unit in left) * taken / sum(unit.images for unit in done)
    own = timing.measure(plan, workers)
    return sum(timing.seconds(unit, own) for unit in left)


def estimate(
    plan: Plan, store: Store, model: "keras.Model", data: Dataset, workers: int | None
) -> Cost:
    """What is left to do of a plan.

    Args:
        plan: The plan of a submission.
        store: What is done.
        model: The model.
        data: The data set.
        workers: Units at a time; one per core where not given.
    """
    at_once = workers or default_workers()
    per_pass, left = pace(model, data.x_test), passes(plan, store)
    total = _of_training(plan, store, at_once) + left * per_pass
    return Cost(total / at_once, per_pass, left)
