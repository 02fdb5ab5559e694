"""What the machine could do at most, by arithmetic and by memory traffic."""

import time
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.types import Tensor

TURNS = 5


def rate(work: Callable[[], Tensor], amount: float) -> float:
    """`amount` over the least time of several calls, in seconds."""
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        ops.convert_to_numpy(work())
        times.append(time.perf_counter() - start)
    return amount / min(times)


def product_rate(side: int, steps: int = 20, compute: str = "float32") -> float:
    """Operations per second in products of square matrices.

    Args:
        side: Rows and columns.
        steps: Products in one program.
        compute: `"float32"` with all its bits, `"tf32"` (an accelerator with JAX) or `"bfloat16"`.
    """
    values = (np.random.default_rng(0).random((side, side)) / side).astype(np.float32)
    matrix = to_device(values)
    if compute == "bfloat16":
        matrix = ops.cast(matrix, "bfloat16")
    run = backend.jit(
        lambda m: ops.cast(
            backend.fori_loop(steps, lambda _, x: ops.matmul(m, x), m)[:1, :1], "float32"
        ),
        exact=compute != "tf32",
    )
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


def traffic(model: keras.Model, batch: int = 100) -> float:
    """Least bytes that a training step moves for one image, if no two layers are computed at once.

    A layer's values are written, read by the next layer, and read again for the gradient; the
    gradient at them is written and read. A batch reads the weights twice, writes their gradient,
    and Adam reads four vectors, writes three.
    """
    values = sum(int(np.prod(layer.output.shape[1:])) for layer in model.layers)
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    return 4 * (5 * values + 10 * weights / batch)


def bounds(model: keras.Model, products: float, copies: float) -> tuple[float, float]:
    """Images a second in training at most.

    Args:
        model: The network.
        products: Operations a second in matrix products.
        copies: Bytes a second, read and written.

    Returns:
        By arithmetic, and by memory.
    """
    return products / (3 * operations(model)), copies / traffic(model)
