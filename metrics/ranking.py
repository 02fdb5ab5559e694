"""Pixels in order of importance: one rank a pixel, 0 the most important.

Ranks are stored instead of masks: which pixels go at 10, 30, ... percent is then a comparison (see `masking`).
"""

import numpy as np

from models.errors import InputError


def ranks(attribution: np.ndarray, *, seed: int, chunk: int = 2000) -> np.ndarray:
    """The rank of every pixel within its image, ties broken at random.

    Args:
        attribution: `(n, h, w)` floats, larger is more important.
        seed: Seed of the order among equal pixels. Image i's order does not depend on the other images.
        chunk: Images at a time; bounds the memory, does not change the result.

    Returns:
        `(n, h, w)` uint16: a permutation of 0 .. h w - 1 in each image.

    Raises:
        InputError: An attribution is not finite, or an image has more than 65,536 pixels.
    """
    n, pixels = len(attribution), int(np.prod(attribution.shape[1:]))
    if pixels > 1 << 16:
        raise InputError(f"An image may have at most 65,536 pixels. Received {pixels}.")
    if not np.isfinite(attribution).all():
        raise InputError("`attribution` must be finite. Received NaN or infinity.")
    flat = attribution.reshape(n, pixels)
    out = np.empty((n, pixels), np.uint16)
    rng = np.random.default_rng(seed)
    places = np.arange(pixels, dtype=np.uint16)
    for start in range(0, n, chunk):
        part = flat[start : start + chunk]
        shuffled = np.argsort(rng.random(part.shape), axis=1)  # a stable sort of shuffled pixels leaves ties at random
        order = np.argsort(-np.take_along_axis(part, shuffled, axis=1), axis=1, kind="stable")
        pixel = np.take_along_axis(shuffled, order, axis=1)
        np.put_along_axis(out[start : start + chunk], pixel, np.broadcast_to(places, part.shape), axis=1)
    return out.reshape(attribution.shape)


def random_ranks(shape: tuple[int, int, int], *, seed: int) -> np.ndarray:
    """A random order for each image: the baseline. `shape` is `(n, h, w)`; returns uint16 of that shape."""
    return ranks(np.zeros(shape, np.float32), seed=seed)
