"""Pixels in order of importance: one rank per pixel, 0 the most important.

Ranks are stored instead of masks: which pixels are removed at 10, 30, ... percent is then a
comparison (see `masking`).
"""

from collections.abc import Callable, Iterator

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array

CHUNK = 1000
"""Images ranked at a time: what bounds the memory."""
MOST_PIXELS = 1 << 16
"""Pixels of an image whose ranks fit in uint16."""


def _order(attribution: Array, rng: np.random.Generator) -> Array:
    """Ranks in each row of `(n, pixels)`; a stable sort of shuffled pixels orders ties at random.

    Raises:
        InputError: An attribution is not finite.
    """
    if not np.isfinite(attribution).all():
        raise InputError("`attribution` must be finite. Received NaN or infinity.")
    shuffled = np.argsort(rng.random(attribution.shape, np.float32), axis=1)
    order = np.argsort(-np.take_along_axis(attribution, shuffled, axis=1), axis=1, kind="stable")
    pixel = np.take_along_axis(shuffled, order, axis=1)
    out = np.empty(attribution.shape, np.uint16)
    places = np.broadcast_to(np.arange(attribution.shape[1], dtype=np.uint16), attribution.shape)
    np.put_along_axis(out, pixel, places, axis=1)
    return out


def pieces(
    attribute: Callable[[slice], Array], shape: tuple[int, int, int], *, seed: int
) -> Iterator[Array]:
    """The rank of every pixel within its image, `CHUNK` images at a time; ties in random order.

    Args:
        attribute: From a slice of the images to their attributions `(m, h, w)`, where larger means
            more important.
        shape: `(n, h, w)`.
        seed: Seed of the order among equal pixels.

    Yields:
        `(m, h, w)` uint16: a permutation of 0 .. h w - 1 in each image; n images in total.

    Raises:
        InputError: An attribution is not finite, or an image has more than 65,536 pixels.
    """
    n, pixels = shape[0], shape[1] * shape[2]
    if pixels > MOST_PIXELS:
        raise InputError(f"An image may have at most {MOST_PIXELS:,} pixels. Received {pixels:,}.")
    rng = np.random.default_rng(seed)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        yield _order(attribute(part).reshape(-1, pixels), rng).reshape(-1, *shape[1:])


def indifferent(part: slice, shape: tuple[int, int, int]) -> Array:
    """The attribution that is equal in all pixels, so that their order is random: the baseline.

    Args:
        part: A slice of the images, as for `pieces`.
        shape: `(n, h, w)`.

    Returns:
        `(m, h, w)` float32 zeros.
    """
    return np.zeros((part.stop - part.start, *shape[1:]), np.float32)
