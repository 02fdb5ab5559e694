"""How fast it is. Ratios are of medians of runs that take turns in one process."""

import statistics
import subprocess
import time

import keras
import pytest

from pellucid import models
from pellucid.benchmark.training.classifier import train
from tests.commands import COMMAND
from tests.conftest import ROOT

ROUNDS, EPOCHS = 7, 10


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_digits_training_against_keras_fit(benchmark, figure, digits):
    """Images per second of `fit`'s program and of `keras.Model.fit`, the same network, batch 100.

    Aim: twice.
    """
    x, y = digits.x_train, digits.y_train
    ours, theirs = (models.get("digits_cnn")((8, 8, 1), 10, seed=0) for _ in range(2))
    keras.utils.set_random_seed(0)
    theirs.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    as_float = x.astype("float32") / 255

    def fit_ours():
        train(ours, x, y, seed=0, epochs=EPOCHS, batch_size=100)

    def fit_theirs():
        theirs.fit(as_float, y, epochs=EPOCHS, batch_size=100, verbose=0)

    fit_ours()
    fit_theirs()
    turns = [(seconds(fit_ours), seconds(fit_theirs)) for _ in range(ROUNDS)]
    mine, his = (statistics.median(column) for column in zip(*turns, strict=True))
    images = EPOCHS * len(x)
    figure("ours", images / mine, "images/s")
    figure("keras", images / his, "images/s")
    figure("ratio", his / mine)
    benchmark.pedantic(fit_ours, rounds=3)


@pytest.mark.parametrize("workers", [1, 2])
def test_retrainings_side_by_side(benchmark, figure, digits, workers):
    """Images per second of several masked retrainings in threads, as the executor runs them."""
    from concurrent.futures import ThreadPoolExecutor

    from pellucid.benchmark.training.masks import Mask
    from tests.ranks import random_ranks

    ranks = random_ranks(digits.x_train.shape[:3], seed=0)
    mask = Mask(ranks, 0.3, "roar", digits.channel_means())
    model = models.get("digits_cnn")((8, 8, 1), 10, seed=0)

    def one(seed: int) -> None:
        train(model, digits.x_train, digits.y_train, seed=seed, epochs=EPOCHS, mask=mask)

    one(0)
    with ThreadPoolExecutor(workers) as pool:
        benchmark.pedantic(lambda: list(pool.map(one, range(8))), rounds=5)
    figure("speed", 8 * EPOCHS * len(digits.x_train) / benchmark.stats.stats.median, "images/s")


def test_quick_preset(benchmark, figure, tmp_path):
    """`make benchmark` after installation, figures included. Aim: at most 180 s on two cores."""

    def whole() -> None:
        subprocess.run(
            [*COMMAND, "run", "--out", tmp_path / "quick"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    benchmark.pedantic(whole, rounds=1)
    figure("time", benchmark.stats.stats.max, "s")
