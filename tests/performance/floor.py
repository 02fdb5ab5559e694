"""Training beside what the machine could do at most, by arithmetic and by memory traffic."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from robust_interpretability import models
from robust_interpretability.benchmark.training.classifier import train
from robust_interpretability.models import backend
from robust_interpretability.models.batching import to_device
from tests.performance.cases import BATCH, CASES, load

TURNS = 5
SIDE = {True: 8192, False: 1024}
"""Rows and columns of the matrices, on an accelerator and on one core."""


def rate(work: Callable[[], Any], amount: float) -> float:
    """`amount` over the least time of several calls."""
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        keras.ops.convert_to_numpy(work())
        times.append(time.perf_counter() - start)
    return amount / min(times)


def product_rate(side: int, steps: int = 20) -> float:
    """float32 operations per second in products of square matrices, by the backend's default."""
    matrix = to_device((np.random.default_rng(0).random((side, side)) / side).astype(np.float32))
    run = backend.jit(lambda m: backend.fori_loop(steps, lambda _, x: m @ x, m)[:1, :1])
    return rate(lambda: run(matrix), steps * 2 * side**3)


def copy_rate(megabytes: int = 256, steps: int = 20) -> float:
    """Bytes a second, read and written, when a long vector is changed."""
    vector = to_device(np.zeros(megabytes << 18, np.float32))
    run = backend.jit(lambda v: backend.fori_loop(steps, lambda _, x: x + 1.0, v)[:1])
    return rate(lambda: run(vector), steps * 2 * (megabytes << 20))


def operations(model: keras.Model) -> int:
    """Operations of a forward pass for one image: two per weight and place where it is used."""
    return sum(
        2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
        for layer in model.layers
        if hasattr(layer, "kernel")
    )


def traffic(model: keras.Model) -> float:
    """Least bytes that a training step moves for one image, if no two layers are computed at once.

    A layer's values are written, read by the next layer, and read again for the gradient; the
    gradient at them is written and read. A batch reads the weights twice, writes their gradient,
    and Adam reads four vectors, writes three."""
    values = sum(int(np.prod(layer.output.shape[1:])) for layer in model.layers)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return 4 * (5 * values + 10 * weights / BATCH)


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
    arithmetic, memory = products / (3 * operations(model)), copies / traffic(model)
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
