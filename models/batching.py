"""Arrays through a compiled program, in batches that cost no compilation and fit the device.

On a CPU the batch size is what the caller asks for, or as many images as a model's activations
allow, so that results do not depend on the machine's memory. On an accelerator that reports its
free memory, a batch takes at most half of it; the size follows from the memory that the compiler
reports for two sizes. Where a batch of another length costs a compilation, the last one is padded.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from keras import ops

from pellucid.models import backend
from pellucid.models.types import Array, Tensor

MOST = 8192
"""Images in a batch at most; larger batches are not faster."""

MEASURED = (64, 128)
"""Two batch sizes, in images, for which the compiler is asked how much memory a call takes."""

_sizes: WeakKeyDictionary[Callable, dict[tuple, int]] = WeakKeyDictionary()
"""Batch sizes by program and shape of a row; an entry goes with its program."""

_most: WeakKeyDictionary[Callable, int] = WeakKeyDictionary()
"""The most images in a batch of a program, where its model bounds them."""

_lock = threading.Lock()


def bound(run: Callable, most: int) -> None:
    """Bounds the batches of a compiled program, whatever size is asked for.

    Args:
        run: The program.
        most: Images at most.
    """
    with _lock:
        _most[run] = most


def bounded(run: Callable, size: int) -> int:
    """A batch size for a compiled program, or its bound where that is smaller."""
    with _lock:
        return min(size, _most.get(run, size))


def to_device(x: Array | Tensor) -> Tensor:
    """An array as a tensor on the device, of the same dtype; a tensor is returned as it is."""
    return x if ops.is_tensor(x) else backend.to_device(np.ascontiguousarray(x))


def batches(n: int, batch_size: int) -> list[slice]:
    """Slices that cover 0 .. n - 1 in order."""
    return [slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]


def _filled(x: Array | Tensor, size: int) -> Array | Tensor:
    """`x`, padded to `size` rows with copies of its first row."""
    if len(x) == size:
        return x
    return np.concatenate([x, np.repeat(np.asarray(x[:1]), size - len(x), axis=0)])


def largest(
    run: Callable, before: tuple, rows: Sequence[Array | Tensor], after: tuple, default: int
) -> int:
    """The batch size for a compiled program on this device.

    Args:
        run: The compiled program, called as `run(*before, *batch, *after)`.
        before: Its first arguments.
        rows: Arrays `(n, ...)` of which it takes a batch each.
        after: Its last arguments.
        default: The size where the device does not report its free memory.
    """
    free = backend.free_memory()
    if free is None:
        return default
    key = tuple(row.shape[1:] for row in rows)
    with _lock:
        sizes = _sizes.setdefault(run, {})
        if key not in sizes:
            small, large = (
                backend.memory_of(
                    run, (*before, *(to_device(_filled(row[:size], size)) for row in rows), *after)
                )
                for size in MEASURED
            )
            each = max((large - small) / (MEASURED[1] - MEASURED[0]), 1.0)
            fitting = max(1, int((free / 2 - (small - MEASURED[0] * each)) / each))
            sizes[key] = min(MOST, 1 << (fitting.bit_length() - 1))
        return sizes[key]


def in_batches(
    run: Callable,
    before: tuple,
    rows: Sequence[Array | Tensor],
    after: Callable[[int], tuple] = lambda _: (),
    *,
    batch_size: int,
    fixed: bool = False,
) -> Iterator[tuple[slice, Array]]:
    """Calls a compiled program on batches of rows.

    Args:
        run: The program, called as `run(*before, *batch, *after(number of the batch))`.
        before: Its first arguments.
        rows: Arrays `(n, ...)` of which it takes a batch each.
        after: Its last arguments, from the batch's number, which counts from 0.
        batch_size: Rows at a time on a CPU, unless the program's bound is smaller.
        fixed: Whether accelerators use this size too, because random draws depend on it.

    Yields:
        The slice of rows and the output for it.
    """
    n, batch_size = len(rows[0]), bounded(run, batch_size)
    size = batch_size if fixed else largest(run, before, rows, after(0), batch_size)
    pad = backend.fixed_shapes()
    if pad:
        size = min(size, 1 << max(n - 1, 0).bit_length())
    for number, part in enumerate(batches(n, size)):
        batch = [to_device(_filled(row[part], size) if pad else row[part]) for row in rows]
        out = ops.convert_to_numpy(run(*before, *batch, *after(number)))
        yield part, out[: part.stop - part.start]
