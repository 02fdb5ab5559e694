"""Arrays through a compiled program, in batches that cost no compilation and fit the device.

On a CPU the batch is what the caller asks for, so that results do not depend on the machine's
memory. On an accelerator that tells its free memory, it is as large as half of that allows, found
from what the compiler says two sizes take. Where a batch of another length costs a compilation, the
last one is filled up.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from robust_interpretability.models import backend

MOST = 8192
"""Larger batches gain nothing."""

MEASURED = (64, 128)
"""Two batch sizes whose memory is asked for."""

_sizes: dict[tuple, int] = {}
_lock = threading.Lock()


def to_device(x: Any) -> Any:
    """An array as a tensor on the device, its type kept; a tensor is there already."""
    return x if ops.is_tensor(x) else backend.to_device(np.ascontiguousarray(x))


def batches(n: int, batch_size: int) -> list[slice]:
    """Slices that cover 0 .. n - 1 in order."""
    return [slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]


def _filled(x: Any, size: int) -> Any:
    """`x` with its first row repeated behind it until it has `size` rows."""
    return (
        x
        if len(x) == size
        else np.concatenate([x, np.repeat(np.asarray(x[:1]), size - len(x), axis=0)])
    )


def largest(run: Any, before: tuple, rows: Sequence[Any], after: tuple, default: int) -> int:
    """The batch size for a compiled program on this device.

    Args:
        run: The compiled program, called as `run(*before, *batch, *after)`.
        before: Its first arguments.
        rows: Arrays of which it takes a batch each.
        after: Its last arguments.
        default: The size where the device does not tell its free memory.
    """
    free = backend.free_memory()
    if free is None:
        return default
    key = (id(run), *(row.shape[1:] for row in rows))
    with _lock:
        if key not in _sizes:
            small, large = (
                backend.memory_of(
                    run, (*before, *(to_device(_filled(row[:size], size)) for row in rows), *after)
                )
                for size in MEASURED
            )
            each = max((large - small) / (MEASURED[1] - MEASURED[0]), 1.0)
            fitting = max(1, int((free / 2 - (small - MEASURED[0] * each)) / each))
            _sizes[key] = min(MOST, 1 << (fitting.bit_length() - 1))
        return _sizes[key]


def in_batches(
    run: Any,
    before: tuple,
    rows: Sequence[Any],
    after: Callable[[int], tuple] = lambda _: (),
    *,
    batch_size: int,
    fixed: bool = False,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Calls a compiled program on batches of rows.

    Args:
        run: The program, called as `run(*before, *batch, *after(number of the batch))`.
        before: Its first arguments.
        rows: Arrays `(n, ...)` of which it takes a batch each.
        after: Its last arguments, given the batch's number from 0.
        batch_size: Rows at a time on a CPU.
        fixed: Whether it is so everywhere, because what is drawn at random depends on it.

    Yields:
        The slice of rows and the output for it.
    """
    n = len(rows[0])
    size = batch_size if fixed else largest(run, before, rows, after(0), batch_size)
    pad = backend.fixed_shapes()
    if pad:
        size = min(size, 1 << max(n - 1, 0).bit_length())
    for number, part in enumerate(batches(n, size)):
        batch = [to_device(_filled(row[part], size) if pad else row[part]) for row in rows]
        out = ops.convert_to_numpy(run(*before, *batch, *after(number)))
        yield part, out[: part.stop - part.start]
