"""Pixels in order of importance: one rank a pixel, 0 the most important.

Ranks are stored instead of masks: which pixels go at 10, 30, ... percent is then a comparison (see
`masking`).
"""

from collections.abc import Callable, Iterator

import numpy as np

from robust_interpretability.models.errors import InputError

CHUNK = 1000
"""Images ranked at a time: what bounds the memory."""


def _order(attribution: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ranks of each row of `(n, pixels)`; a stable sort of shuffled pixels leaves ties at random."""
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
    attribute: Callable[[slice], np.ndarray], shape: tuple[int, int, int], *, seed: int
) -> Iterator[np.ndarray]:
    """The rank of every pixel within its image, ties broken at random, a piece of the images at a time.

    Args:
        attribute: Given a slice of images, their attributions `(m, h, w)`, larger is more
            important.
        shape: `(n, h, w)`.
        seed: Seed of the order among equal pixels.

    Yields:
        `(m, h, w)` uint16: a permutation of 0 .. h w - 1 in each image; n images in all.

    Raises:
        InputError: An attribution is not finite, or an image has more than 65,536 pixels.
    """
    n, pixels = shape[0], shape[1] * shape[2]
    if pixels > 1 << 16:
        raise InputError(f"An image may have at most 65,536 pixels. Received {pixels}.")
    rng = np.random.default_rng(seed)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        yield _order(attribute(part).reshape(-1, pixels), rng).reshape(-1, *shape[1:])


def ranks(attribution: np.ndarray, *, seed: int) -> np.ndarray:
    """As `pieces`, whole, for attributions that are there as one array; both `(n, h, w)`."""
    n, h, w = attribution.shape
    return np.concatenate(list(pieces(lambda part: attribution[part], (n, h, w), seed=seed)))


def random_ranks(shape: tuple[int, int, int], *, seed: int) -> np.ndarray:
    """A random order for each image: the baseline.

    `shape` is `(n, h, w)`; returns uint16 of that shape.
    """
    return np.concatenate(list(pieces(lambda part: indifferent(part, shape), shape, seed=seed)))


def indifferent(part: slice, shape: tuple[int, int, int]) -> np.ndarray:
    """The attribution to which all pixels of an image are equal: the order is left to chance."""
    return np.zeros((part.stop - part.start, *shape[1:]), np.float32)
