"""How fast each network is trained, attacked and attributed, and several networks at once."""

import functools
import math
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

from pellucid.attacks import NORM_TITLES
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.attacks.autoattack import ensemble
from pellucid.benchmark.accelerator import floors
from pellucid.benchmark.accelerator.correctness import RADII, short
from pellucid.benchmark.accelerator.record import Outcome, Record
from pellucid.benchmark.accelerator.scale import (
    BATCH,
    Case,
    Scale,
    built,
    case,
    images,
    random_ranks,
)
from pellucid.benchmark.training import ways
from pellucid.benchmark.training.batched import WAYS, train_together
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.metrics import attributions
from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.functional import predict
from pellucid.models.types import Array, Json, Tensor

FLOORS, TRAINED, TOGETHER = "floors", "training", "together"
"""Names of steps whose figures others use."""
PLAIN, MASKED, ADVERSARIAL = "training", "masked training", "training against PGD"
"""Names of rows that the proposal uses."""
FAR = {"linf": 0.5, "l2": 5.0}
"""Radii at which every attack succeeds at once, for the calls that compile."""
NEAR = 1e-6
"""A radius at which none does: every image costs all steps."""


def timed(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Seconds of the first call, which compiles, and the median of the later ones."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def computes() -> tuple[str, ...]:
    """The types in which this device may be worth measuring."""
    if not backend.has_accelerator():
        return ("float32",)
    return ("float32", "tf32", "bfloat16") if backend.NAME == "jax" else ("float32", "bfloat16")


def measured_floors(scale: Scale) -> Outcome:
    """Copying, and products of square matrices in each type."""
    copies = floors.copy_rate(scale.megabytes)
    rows: list[Json] = [{"what": f"copy of {scale.megabytes} MiB", "GB/s": copies / 1e9}]
    for compute in computes():
        products = floors.product_rate(scale.side, compute=compute)
        what = f"product of {scale.side}x{scale.side}, {compute}"
        rows.append({"what": what, "GFLOP/s": products / 1e9})
    return Outcome(rows)


class _Epoch:
    """An epoch of a network on random images, in several ways."""

    def __init__(self, network: str, scale: Scale, record: Record) -> None:
        self.network, self.scale = network, scale
        self.case: Case = case(network)
        self.n = min(self.case.images, scale.trained)
        self.images, self.labels = images(self.case.shape, self.n)
        self.x: Tensor = to_device(self.images)
        self.model = built(network)
        self.most: float | None = None
        if record.done(FLOORS):
            copy, product, *_ = record.rows(FLOORS)
            self.most = min(floors.bounds(self.model, product["GFLOP/s"] * 1e9, copy["GB/s"] * 1e9))

    @functools.cached_property
    def ranks(self) -> Tensor:
        """A random order of pixels for each image, on the device."""
        return to_device(random_ranks(self.case.shape, self.n))

    def mask(self, fraction: float) -> Mask:
        """The mask of a retraining."""
        return Mask(self.ranks, fraction, "roar", np.full(self.case.shape[-1], 0.5))

    def row(
        self,
        what: str,
        seconds: tuple[float | None, float],
        compute: str = "float32",
        networks: int = 1,
    ) -> Json:
        """A pace, also as retrainings of the preset's length in an hour."""
        first, again = seconds
        pace = networks * (self.n // BATCH * BATCH) / again
        whole, exact = self.case.images * self.case.epochs, compute == "float32"
        return {
            "what": what,
            "networks": networks,
            "compute": compute,
            "first call, s": first,
            "s an epoch": again,
            "images/s": pace,
            "retrainings/h": 3600 * pace / whole,
            "share of the floor": pace / self.most if self.most and exact else None,
        }

    def length(self) -> str:
        """The sentence that says how long a retraining is."""
        return (
            f"A retraining is {self.case.epochs} epochs of {self.case.images:,} images, as in"
            f" `{self.case.preset}`; timed is one epoch of {self.n:,}."
        )


def training(network: str, scale: Scale, record: Record) -> Outcome:
    """Plain and masked training, in each type, and Keras' `fit`."""
    epoch = _Epoch(network, scale, record)
    fit = functools.partial(
        train, epoch.model, epoch.x, epoch.labels, seed=0, epochs=1, batch_size=BATCH
    )
    rows = [epoch.row(PLAIN, timed(fit, scale.rounds))]
    for compute in computes():
        masked = functools.partial(fit, mask=epoch.mask(0.3), compute=compute)
        rows.append(epoch.row(MASKED, timed(masked, scale.rounds), compute))
    by_keras = timed(_keras_fit(epoch.images, epoch.labels, network), 1)
    rows.append(epoch.row("training by Keras' fit", by_keras))
    return Outcome(rows, (epoch.length(),))


def _keras_fit(x: Array, y: Array, network: str) -> Callable[[], object]:
    model = built(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    pixels = x.astype(np.float32) / 255
    return lambda: model.fit(pixels, y, batch_size=BATCH, verbose=0)


def adversarial(network: str, scale: Scale, record: Record) -> Outcome:
    """Training against PGD, on a tenth of the images."""
    epoch = _Epoch(network, scale, record)
    n = max(BATCH, epoch.n // 10)
    attack = Attack("pgd", "l2", 0.5, steps=scale.steps, step_size=0.1)
    x, y = epoch.x[:n], epoch.labels[:n]
    first, again = timed(
        lambda: train(epoch.model, x, y, seed=0, epochs=1, batch_size=BATCH, attack=attack), 1
    )
    row = {"what": ADVERSARIAL, "steps": scale.steps, "images": n, "first call, s": first}
    return Outcome([row | {"images/s": n // BATCH * BATCH / again}])


def attacked(network: str, scale: Scale, record: Record) -> Outcome:
    """PGD in batches by free memory and of 500, and the gradient's attribution."""
    n, model = scale.attacked, built(network)
    x, y = images(case(network).shape, n)
    sizes: list[int] = []
    rows: list[Json] = []
    for random_start in (False, True):  # what is drawn at random keeps to batches of 500
        attack = Attack(
            "pgd", "l2", 0.5, steps=scale.steps, step_size=0.1, random_start=random_start
        )
        sizes.clear()
        call = functools.partial(run_attack, attack, model, x, y, progress=sizes.append)
        what = f"PGD-{scale.steps}{', random start' if random_start else ''}"
        seconds = timed(call, 1)
        rows.append(_pace(what, sizes[0], n, seconds))
    maps = timed(lambda: attributions.run("gradient", model, x), scale.rounds)
    rows.append(_pace("gradient", None, n, maps))
    return Outcome(rows, ("The weights are the initial ones.",))


def _pace(what: str, batch: int | None, n: int, seconds: tuple[float, float]) -> Json:
    first, again = seconds
    return {
        "what": what,
        "batch": batch,
        "images": n,
        "first call, s": first,
        "images/s": n / again,
    }


def autoattack(network: str, scale: Scale, record: Record) -> Outcome:
    """AutoAttack on images that no attack changes: the longest case."""
    norm, n, model = RADII[network][0], scale.autoattack, built(network)
    x, _ = images(case(network).shape, n)
    y = predict(model, x).argmax(-1)
    attacks = short(norm) if scale.short else ensemble.ensemble("standard", norm, 10)
    rows: list[Json] = []
    for name, attack in attacks.items():
        seconds = []
        for radius in (FAR[norm], NEAR):
            start = time.perf_counter()
            outcome = ensemble.evaluate(
                model, x, y, norm=norm, epsilon=radius, attacks={name: attack}
            )
            seconds.append(time.perf_counter() - start)
        passes = int(outcome.gradients.sum() + outcome.forwards.sum())
        rows.append(
            {
                "what": name,
                "images": n,
                "first call, s": seconds[0],
                "s": seconds[1],
                "gradients and passes": passes,
                "gradients and passes/s": passes / seconds[1],
                "images left": int((outcome.broken_by == ensemble.SURVIVED).sum()),
            }
        )
    whole = sum(row["s"] for row in rows)
    version = "a shortened version" if scale.short else "version standard"
    note = (
        f"AutoAttack, {version}, {NORM_TITLES[norm]} at a radius of {NEAR:g}, where every image"
        f" costs all steps: {whole:.3g} s for {n:,} images, {n / whole:.3g} images/s. The"
        f" first call is at a radius of {FAR[norm]:g}, where all images leave early; it compiles."
    )
    return Outcome(rows, (note,))


def together(network: str, scale: Scale, record: Record) -> Outcome:
    """Each way of training several networks, for each number of them, and processes that share."""
    epoch = _Epoch(network, scale, record)

    def measured(way: str, count: int, compute: str = "float32") -> Json:
        work = functools.partial(
            train_together,
            [built(network, seed) for seed in range(count)],
            epoch.x,
            epoch.labels,
            seeds=range(count),
            masks=[epoch.mask(float(share)) for share in np.linspace(0.1, 0.9, count)],
            way=way,
            epochs=1,
            batch_size=BATCH,
            compute=compute,
        )
        seconds = timed(work, 1 if count > 1 else scale.rounds)
        return epoch.row(way, seconds, compute, count)

    possible = WAYS if backend.WHOLE_RUNS else WAYS[:1]
    rows = [
        measured(way, count)
        for way in possible
        for count in ((1,) if way == "one" else scale.counts)
    ]
    for processes in scale.processes:
        height, width, channels = epoch.case.shape
        kind = ways.Case(network, 1.0, (height, width, channels), 10, BATCH, "float32")
        pace = ways.rate(ways.Way("one", 1, processes), kind)
        seconds = processes * (epoch.n // BATCH * BATCH) / pace if pace else math.inf
        rows.append(epoch.row(f"{processes} processes", (None, seconds), networks=processes))
    best = max((row for row in rows if row["what"] in WAYS), key=lambda row: row["images/s"])
    rows += [measured(best["what"], best["networks"], compute) for compute in computes()[1:]]
    note = (
        f"Best in one process, in float32: {best['what']}, {best['networks']} at a time,"
        f" {best['retrainings/h']:,.0f} retrainings/h."
    )
    return Outcome(rows, (epoch.length(), note))
