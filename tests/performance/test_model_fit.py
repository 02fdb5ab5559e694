"""`pellucid.AdversarialModel` against `pellucid.fit`, in turns in one process."""

import statistics
import time

import keras
import pytest

import pellucid
from pellucid import models
from pellucid.benchmark.data import datasets
from tests.conftest import needs_tfds

ROUNDS = 5
IMAGES, BATCH = 10_000, 100
ATTACK = pellucid.Attack("pgd", "linf", 0.1, steps=10)


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@needs_tfds
@pytest.mark.parametrize("network", ["strided_cnn", "mlp"])
def test_model_fit(benchmark, figure, network):
    """One epoch of the same network, images, batch, attack and optimizer. Aim: at most 1.3."""
    data = datasets.load("mnist", train_limit=IMAGES, test_limit=10)
    keras.utils.set_random_seed(0)
    ours, own = (models.get(network)(data.info.shape, 10, seed=0) for _ in range(2))
    made = pellucid.AdversarialModel(ours, ATTACK)
    made.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    x = (data.x_train / 255).astype("float32")
    taken: list[tuple[float, float]] = []

    def turn() -> None:
        library = seconds(
            lambda: pellucid.fit(
                own, x, data.y_train, epochs=1, batch_size=BATCH, attack=ATTACK, verbose=False
            )
        )
        taken.append(
            (
                seconds(lambda: made.fit(x, data.y_train, epochs=1, batch_size=BATCH, verbose=0)),
                library,
            )
        )

    turn()  # compiles
    taken.clear()
    benchmark.pedantic(turn, rounds=ROUNDS, iterations=1)
    figure("model.fit", statistics.median(fit for fit, _ in taken), "s")
    figure("pellucid.fit", statistics.median(library for _, library in taken), "s")
    ratios = [fit / library for fit, library in taken]
    figure("ratio", statistics.median(ratios))
    figure("least", min(ratios))
    figure("greatest", max(ratios))
