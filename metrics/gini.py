"""Gini index of attribution maps: how few pixels hold most of the attribution.

    G(a) = 2 sum_i i a_(i) / (n sum_i a_i) - (n + 1) / n,   i = 1 .. n

with a_(1) <= ... <= a_(n) the absolute values of a map's n pixels in ascending order. G is 0 where
all pixels are equal and 1 - 1/n where one pixel holds everything; neither the scale of a map nor
the order of its pixels matters. It is half the mean difference of two pixels, drawn with
replacement, over the mean:

    G(a) = sum_ij |a_i - a_j| / (2 n sum_i a_i)

A sparse map need not be a right one. A map that was drawn without looking at the network has the
index of what its pixels were drawn from: in the mean (n - 1) / n times 1/2 if that is an
exponential distribution, 1/3 if it is uniform from 0.

Reference: Chalasani et al., arXiv 1810.06583; Hurley, Rickard, arXiv 0811.4706.
"""

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array


def gini(maps: Array) -> Array:
    """The Gini index of each map's absolute values.

    Args:
        maps: Attributions, `(n, ...)`.

    Returns:
        `(n,)` float64 in [0, 1); NaN where a map is zero in every pixel.

    Raises:
        InputError: There are no maps, a map has no pixels, or an attribution is not finite.
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim < 2 or not maps.size:
        raise InputError(
            f"`maps` must be one or more attributions, shape (n, ...). Received {maps.shape}."
        )
    if not np.isfinite(maps).all():
        raise InputError("`maps` must be finite. Received NaN or infinity.")
    values = np.sort(np.abs(maps).reshape(len(maps), -1), axis=1)
    total, n = values.sum(axis=1), values.shape[1]
    # the weights 2 i - n - 1 add up to zero: a constant map has exactly 0
    weighted = values @ (2.0 * np.arange(1, n + 1) - n - 1)
    return np.divide(weighted, n * total, out=np.full(len(maps), np.nan), where=total > 0)
