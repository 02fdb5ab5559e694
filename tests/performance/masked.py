"""Training on masked images beside training on whole ones: images a second, taking turns."""

import statistics
import time

import numpy as np

from pellucid import models
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.models.batching import to_device
from tests.performance.cases import BATCH, data_of, shape_of
from tests.ranks import random_ranks

IMAGES = {"digits_cnn": 1200, "strided_cnn": 4000, "cifar_cnn": 500}
EPOCHS = {"digits_cnn": 10, "strided_cnn": 1, "cifar_cnn": 1}
TURNS, FRACTION = 5, 0.3


def measure(network: str, shape: str) -> dict[str, tuple[float, str]]:
    """Both throughputs, the median of their ratios, and the least and the greatest."""
    images, epochs = IMAGES[network], EPOCHS[network]
    data = data_of(shape, images)
    x, y = np.array(data.x_train[:images]), data.y_train[:images]
    model = models.get(network)(shape_of(shape), 10, seed=0)
    ranks, on_device = to_device(random_ranks(x.shape[:3], seed=0)), to_device(x)
    mask = Mask(ranks, FRACTION, "roar", (x.mean((0, 1, 2)) / 255).astype(np.float32))

    def seconds(mask: Mask | None) -> float:
        start = time.perf_counter()
        train(model, on_device, y, seed=0, epochs=epochs, batch_size=BATCH, mask=mask)
        return time.perf_counter() - start

    for each in (None, mask):
        seconds(each)  # compiles
    turns = [(seconds(None), seconds(mask)) for _ in range(TURNS)]
    whole, masked = (epochs * len(x) / statistics.median(v) for v in zip(*turns, strict=True))
    ratios = [without / with_mask for without, with_mask in turns]
    return {
        "unmasked": (whole, "images/s"),
        "masked": (masked, "images/s"),
        "masked / unmasked": (statistics.median(ratios), ""),
        "lowest": (min(ratios), ""),
        "highest": (max(ratios), ""),
    }
