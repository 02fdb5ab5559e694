"""What only an accelerator can show: which way trains most networks per hour, and the floors.

    KERAS_BACKEND=jax python -m tests.performance.accelerator cifar_cnn --images 50000 --out FOLDER

prints a line of JSON for each measurement when it is done, and appends it to
`FOLDER/NETWORK.jsonl`. Needs no TensorFlow once the data is decoded. On a CPU the same program runs
with few images."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import keras
import numpy as np

from robust_interpretability import models
from robust_interpretability.attacks.attack import Attack
from robust_interpretability.attacks.attack import run as run_attack
from robust_interpretability.benchmark import environment
from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.training.batched import WAYS, train_together
from robust_interpretability.benchmark.training.classifier import train
from robust_interpretability.benchmark.training.masks import Mask
from robust_interpretability.metrics import attributions
from robust_interpretability.models import backend, batching
from tests.performance.cases import BATCH, CASES
from tests.performance.floor import measure
from tests.ranks import random_ranks

EPOCHS = {"digits_cnn": 12, "strided_cnn": 5, "cifar_cnn": 20}
"""Of a retraining in the presets."""

ROUNDS = 3


def timed(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, float]:
    """Seconds of the first call, which compiles, and the median of the later ones."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


class Measurements:
    """The measurements of one network.

    Args:
        network: A classifier's name.
        images: Training images.
        note: Is given each row.
    """

    def __init__(self, network: str, images: int, note: Callable[[dict], None]) -> None:
        data = datasets.load(CASES[network].data, train_limit=images)
        self.network, self.note, self.shape = network, note, data.info.shape
        self.images, self.labels = data.x_train[:], data.y_train
        self.x, self.fill = batching.to_device(self.images), data.channel_means()
        self.ranks = batching.to_device(random_ranks(data.x_train.shape[:3], seed=0))

    def model(self, seed: int = 0) -> keras.Model:
        """A network with fresh weights."""
        return models.get(self.network)(self.shape, 10, seed=seed)

    def pace(self, what: str, retrainings: int, seconds: tuple[float, float], **more: Any) -> None:
        """Notes one epoch of so many retrainings as retrainings of the preset's length an hour."""
        first, again = seconds
        images = retrainings * len(self.labels) / again
        row = {
            "what": what,
            "retrainings": retrainings,
            "first s": first,
            "s an epoch": again,
            "images/s": images,
        }
        self.note(
            row | {"retrainings/h": 3600 * retrainings / (EPOCHS[self.network] * again)} | more
        )

    def together(self, way: str, count: int, compute: str) -> None:
        """One epoch of so many masked retrainings, as `benchmark.together` trains them."""
        networks = [self.model(seed) for seed in range(count)]
        fractions = np.linspace(0.1, 0.9, count)
        masks = [Mask(self.ranks, float(fraction), "roar", self.fill) for fraction in fractions]
        options = {
            "seeds": range(count),
            "masks": masks,
            "way": way,
            "epochs": 1,
            "compute": compute,
        }
        seconds = timed(lambda: train_together(networks, self.x, self.labels, **options))
        self.pace(way, count, seconds, compute=compute)

    def fit(self) -> None:
        """One epoch by Keras' `fit`, a retraining at a time, the set masked beforehand."""
        model = self.model()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
        x = self.images.astype(np.float32) / 255
        self.pace("fit", 1, timed(lambda: model.fit(x, self.labels, batch_size=BATCH, verbose=0)))

    def adversarial(self, steps: int) -> None:
        """One epoch of training against PGD."""
        model, attack = self.model(), Attack("pgd", "l2", 0.5, steps=steps, step_size=0.1)
        first, again = timed(
            lambda: train(model, self.x, self.labels, seed=0, epochs=1, attack=attack), rounds=1
        )
        row = {"what": f"training against pgd-{steps}", "first s": first, "s an epoch": again}
        self.note(row | {"images/s": len(self.labels) / again})

    def batches(self) -> None:
        """Attack and attribution in batches of 500 and of the size that free memory allows."""
        model, attack = self.model(), Attack("pgd", "l2", 0.5, steps=40, step_size=0.1)
        x, y = self.images[:10_000], self.labels[:10_000]
        work = {
            "pgd-40": lambda: run_attack(attack, model, x, y, batch_size=500),
            "gradient": lambda: attributions.run("gradient", model, x, batch_size=500),
        }
        own, told = batching.largest, []

        def noted(*arguments: Any) -> int:
            told.append(own(*arguments))
            return told[-1]

        for name, largest in (("500", lambda *_: 500), ("chosen", noted)):
            batching.largest = largest
            for what, call in work.items():
                told.clear()
                first, again = timed(call, rounds=2)
                row = {
                    "what": what,
                    "batch": told[-1] if told else 500,
                    "chosen": name,
                    "first s": first,
                }
                self.note(row | {"images/s": len(x) / again})
        batching.largest = own


def main() -> None:
    """Measures what the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", choices=sorted(EPOCHS))
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument(
        "--compute", nargs="+", default=["float32"], choices=("float32", "bfloat16")
    )
    parser.add_argument("--steps", type=int, default=40, help="of PGD in adversarial training")
    parser.add_argument(
        "--only", nargs="+", default=["floor", "fit", "together", "adversarial", "batches"]
    )
    parser.add_argument("--out", type=Path, default=Path())
    chosen = parser.parse_args()
    backend.configure()
    made_with = environment.collect() | {"date": date.today().isoformat()}

    def note(row: dict) -> None:
        line = json.dumps({"network": chosen.network, "images": chosen.images} | row)
        print(line, flush=True)
        with (chosen.out / f"{chosen.network}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    note({"what": "environment"} | made_with)
    measurements = Measurements(chosen.network, chosen.images, note)
    if "floor" in chosen.only:
        note(
            {"what": "floor"}
            | {name: value for name, (value, _) in measure(chosen.network).items()}
        )
    if "fit" in chosen.only:
        measurements.fit()
    if "together" in chosen.only:
        for compute in chosen.compute:
            for way in chosen.ways:
                for count in chosen.counts:
                    measurements.together(way, count, compute)
    if "adversarial" in chosen.only:
        measurements.adversarial(chosen.steps)
    if "batches" in chosen.only:
        measurements.batches()


if __name__ == "__main__":
    main()
