"""Total variation of attribution maps: how much neighbouring pixels differ.

    TV(a) = mean over pairs of neighbours |a_i - a_j| / mean over pixels |a_i|

Neighbours share a side: h (w - 1) pairs beside each other and (h - 1) w pairs one above the other,
each counted once. Because of the denominator the scale of a map does not matter. TV is 0 for a
constant map, which is the smoothest, and 2 for the finest checkerboard of 0 and 1.

If the pixels of a map that is nowhere negative are put in a random order, the expected TV is

    2 n / (n - 1) G(a)

with G the Gini index (`gini`) of its n = h w pixels: any two pixels are then as likely to be
neighbours. A map whose TV is near this value has no spatial structure. One that was drawn without
looking at the network, every pixel alone, is such a map; a blurred one has a low TV, and that says
as little about the network.
"""

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array


def total_variation(maps: Array) -> Array:
    """The mean absolute difference of neighbours in each map over its mean absolute value.

    Args:
        maps: Attributions, `(n, h, w)`, with their sign if they have one.

    Returns:
        `(n,)` float64; NaN where a map is zero in every pixel.

    Raises:
        InputError: There are no maps, a map has no two pixels, or an attribution is not finite.
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 3 or not len(maps) or maps[0].size < 2:
        raise InputError(
            "`maps` must be one or more attributions of at least two pixels, shape (n, h, w)."
            f" Received {maps.shape}."
        )
    if not np.isfinite(maps).all():
        raise InputError("`maps` must be finite. Received NaN or infinity.")
    n, h, w = maps.shape
    beside, above = (np.abs(np.diff(maps, axis=axis)).reshape(n, -1) for axis in (2, 1))
    difference = (beside.sum(axis=1) + above.sum(axis=1)) / (h * (w - 1) + (h - 1) * w)
    mean = np.abs(maps).mean(axis=(1, 2))
    return np.divide(difference, mean, out=np.full(n, np.nan), where=mean > 0)
