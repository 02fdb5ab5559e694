"""How far AutoAttack's `rand` falls when one pass judges, as published, and not the mean of 20.

`python -m tests.peers.judgements` prints the table of `docs/protocol.md`.
"""

import keras
import numpy as np

from pellucid.attacks.autoattack.ensemble import (
    JUDGEMENTS,
    MISCLASSIFIED,
    SURVIVED,
    evaluate,
)
from pellucid.benchmark.data import datasets
from pellucid.models import backend
from tests.fitting import fit

IMAGES = 200
RATES = (0.1, 0.3, 0.5)


class Dropout(keras.layers.Layer):
    """Dropout that goes on in inference."""

    def __init__(self, rate: float, seed: int) -> None:
        super().__init__()
        self.rate, self.seeds = rate, keras.random.SeedGenerator(seed)

    def call(self, x):
        return keras.random.dropout(x, self.rate, seed=self.seeds)


def network(rate: float) -> keras.Model:
    """`digits_cnn` with dropout before its last layer, which draws in inference too."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(2.0, -1.0),
            keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            Dropout(rate, 1),
            keras.layers.Dense(10),
        ]
    )
    for seed, variable in enumerate(model.trainable_variables):
        if len(variable.shape) > 1:
            variable.assign(keras.initializers.GlorotUniform(seed)(variable.shape))
    return model


def main() -> None:
    """Prints accuracies on clean images and under `rand`, by each judgement."""
    digits = datasets.load("digits")
    x, y = digits.x_test[:IMAGES], digits.y_test[:IMAGES]
    print("| dropout | judged by | clean | robust, L2 0.4 | examples that a judgement refused |")
    print("| --- | --- | --- | --- | --- |")
    for rate in RATES:
        model = network(rate)
        fit(model, digits.x_train, digits.y_train, seed=0, epochs=30)
        for judged_by in JUDGEMENTS:
            outcomes = evaluate(
                model, x, y, norm="l2", epsilon=0.4, version="rand", judged_by=judged_by
            )
            clean = np.mean(outcomes.broken_by != MISCLASSIFIED)
            robust = np.mean(outcomes.broken_by == SURVIVED)
            print(f"| {rate} | {judged_by} | {clean:.3f} | {robust:.3f} | {outcomes.unconfirmed} |")


if __name__ == "__main__":
    backend.configure()
    main()
