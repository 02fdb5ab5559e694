"""Removing pixels by rank, inside a compiled step or on the host."""

import math

from keras import ops

from pellucid.metrics import MODES
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.types import Array, Tensor


def pixel_count(fraction: float, pixels: int) -> int:
    """The number of pixels in a fraction of an image, halves rounded up.

    Raises:
        InputError: The fraction lies outside (0, 1).
    """
    if not 0 < fraction < 1:
        raise InputError(
            f"A fraction must lie in (0, 1), end points excluded. Received {fraction}."
        )
    return int(fraction * pixels + 0.5)


def masked(x: Tensor, ranks: Tensor, count: Tensor, keep: Tensor, fill: Tensor) -> Tensor:
    """Images without their `count` highest-ranked pixels (ROAR), or with only those (KAR).

    Traceable.

    Args:
        x: `(n, h, w, c)` float32.
        ranks: `(n, h, w)` integers, 0 the most important pixel.
        count: Number of pixels, from `pixel_count`; an integer scalar.
        keep: False removes the top `count` pixels, True keeps only them; a boolean scalar.
        fill: `(c,)`: what a removed pixel becomes, the training set's channel means.

    Returns:
        `(n, h, w, c)` float32.
    """
    _, height, width, channels = x.shape
    top = ops.cast(ranks, "int32") < count
    removed = ops.expand_dims(ops.not_equal(top, keep), -1)
    # A long row is broadcast faster than `fill`.
    row = ops.tile(ops.broadcast_to(ops.cast(fill, x.dtype), (channels,)), (width,))
    filled = ops.broadcast_to(row, (ops.shape(x)[0], height, width * channels))
    return backend.select(
        ops.broadcast_to(removed, ops.shape(x)), ops.reshape(filled, ops.shape(x)), x
    )


def removed(ranks: Array, fraction: float, mode: str) -> Array:
    """Which pixels `masked` would fill, on the host.

    Args:
        ranks: `(n, h, w)` integers, 0 the most important pixel.
        fraction: Share of the pixels that is removed (ROAR) or kept (KAR), in (0, 1).
        mode: A key of `MODES`.

    Returns:
        `(n, h, w)` bool.
    """
    top = ranks < pixel_count(fraction, math.prod(ranks.shape[1:]))
    return top if MODES[mode].top_pixels == "removed" else ~top
