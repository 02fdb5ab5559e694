"""Training beside what the machine could do at most, by arithmetic and by memory traffic."""

import statistics
import time

from pellucid import models
from pellucid.benchmark.accelerator.floors import (
    TURNS,
    bounds,
    copy_rate,
    operations,
    product_rate,
    traffic,
)
from pellucid.benchmark.training.classifier import train
from pellucid.models import backend
from pellucid.models.batching import to_device
from tests.performance.cases import BATCH, CASES, load

SIDE = {True: 8192, False: 1024}
"""Rows and columns of the matrices, on an accelerator and on one core."""


def measure(network: str) -> dict[str, tuple[float, str]]:
    """Images per second in training, the two floors, and the share of the nearer one."""
    x, y, *_ = load(network)
    images, epochs = (len(x), 10) if backend.has_accelerator() else CASES[network].training
    model = models.get(network)(x.shape[1:], 10, seed=0)
    on_device, times = to_device(x[:images]), []
    for _ in range(TURNS + 1):
        start = time.perf_counter()
        train(model, on_device, y[:images], seed=0, epochs=epochs, batch_size=BATCH)
        times.append(time.perf_counter() - start)
    reached = images * epochs / statistics.median(times[1:])  # the first one compiles
    products, copies = product_rate(SIDE[backend.has_accelerator()]), copy_rate()
    arithmetic, memory = bounds(model, products, copies)
    return {
        "matrix product": (products / 1e9, "GFLOP/s"),
        "copy": (copies / 1e9, "GB/s"),
        "forward": (operations(model) / 1e6, "MFLOP an image"),
        "traffic": (traffic(model) / 1e6, "MB an image"),
        "by arithmetic": (arithmetic, "images/s"),
        "by memory": (memory, "images/s"),
        "reached": (reached, "images/s"),
        "share": (reached / min(arithmetic, memory), ""),
    }
