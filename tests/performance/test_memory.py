"""Memory of masked retraining against training on unmasked data, in separate processes."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT, needs_tfds

PROGRAM = """
import resource, sys
from pellucid.models import backend
backend.configure()
import keras
from pellucid import models
import numpy as np
from pellucid.benchmark.data import datasets
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.metrics import attributions, ranking
from pellucid.models.batching import to_device

data = datasets.load(sys.argv[2])
model = models.get("strided_cnn")(data.info.shape, data.info.num_classes, seed=0)
x = to_device(data.x_train)
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "unmasked":
    values, _ = train(model, x, data.y_train, seed=0, epochs=1)
    predicted_classes(model, data.x_test, values=values)
else:
    fill = data.channel_means()

    def rank(x):
        def attribute(part):
            return attributions.run("gradient", model, x[part])

        return ranking.pieces(attribute, x.shape[:3], seed=0)

    ranks = [keras.ops.concatenate([to_device(piece) for piece in rank(data.x_train)])]
    ranks.append(np.concatenate(list(rank(data.x_test))))
    for fraction in (0.1, 0.3, 0.5, 0.7, 0.9):
        masks = [Mask(r, fraction, "roar", fill) for r in ranks]
        values, _ = train(model, x, data.y_train, seed=0, epochs=1, mask=masks[0])
        predicted_classes(model, data.x_test, mask=masks[1], values=values)
print(start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@needs_tfds
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_roar_over_five_fractions(benchmark, figure, name):
    """Peak resident memory of the processes. Aim: at most 1.3 times."""

    def peaks(kind: str) -> tuple[float, float]:
        command = [sys.executable, "-c", PROGRAM, kind, name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        start, peak = map(int, done.stdout.split()[-2:])
        return start / 1024, peak / 1024

    start, unmasked = peaks("unmasked")
    _, masked = benchmark.pedantic(lambda: peaks("roar"), rounds=1)
    figure("before training", start, "MiB")
    figure("unmasked", unmasked, "MiB")
    figure("ROAR", masked, "MiB")
    figure("ratio", masked / unmasked)
