"""What else would give a map's score: orders of pixels that know less than the map does.

A control stands beside every score of a map. Some do not ask the network: a centred Gaussian, the
edges of the image. Others keep part of what the network's own map has: its mean over the training
images (where the network looks, whatever the image), the map blurred, the standard network's map
blurred until it is as smooth, and the maps of other images. A shuffled map has the centre, the
smoothness, the spectrum and the number of pixels of an own map, and nothing of the image; within a
predicted class, it also tells the class by its shape as much as an own map does.

Reference: Adebayo et al., arXiv 1810.03292 (untrained networks); Rong et al., arXiv 2202.00449 (the
shape of a mask tells the class); arXiv 2304.13836 (blurring raises ROAR).
"""

import numpy as np
from scipy import ndimage

from pellucid.metrics.spectrum import derangement
from pellucid.models.checks import as_floats
from pellucid.models.types import Array

CENTRE = 4
"""The centred Gaussian has a standard deviation of 1 / CENTRE of the image's height and width."""

BLUR = 8
"""A blurred map is blurred by the larger of 1 / BLUR of the image's height and `LEAST_BLUR`."""

LEAST_BLUR = 1.0
"""In pixels."""


def centred_gaussian(height: int, width: int) -> Array:
    """exp(-(u^2 + v^2) / 2), u and v the distances from the centre in units of h / 4 and w / 4.

    Returns:
        `(h, w)` float32.
    """
    rows, columns = ((np.arange(side) - (side - 1) / 2) * CENTRE / side for side in (height, width))
    return np.exp(-(rows[:, None] ** 2 + columns**2) / 2).astype(np.float32)


def sobel(x: Array) -> Array:
    """Magnitude of Sobel's gradient, summed over channels; the border is mirrored.

    Args:
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].

    Returns:
        `(n, h, w)` float32.
    """
    floats = as_floats(x)

    def slope(along: int, across: int) -> Array:
        difference = ndimage.correlate1d(floats, [-1.0, 0.0, 1.0], along, mode="reflect")
        return ndimage.correlate1d(difference, [1.0, 2.0, 1.0], across, mode="reflect")

    return np.hypot(slope(1, 2), slope(2, 1)).sum(axis=-1)


def blur_width(height: int) -> float:
    """The standard deviation, in pixels, by which a network's own maps are blurred."""
    return max(height / BLUR, LEAST_BLUR)


def shuffled(n: int, seed: int) -> Array:
    """For each of n images another one, whose map it gets: a permutation without fixed points.

    Raises:
        InputError: There is one image only.
    """
    return derangement(n, seed)


def shuffled_within(classes: Array, seed: int) -> Array:
    """As `shuffled`, each image with one of its own class.

    Args:
        classes: The predicted class of each image, `(n,)` integers.
        seed: Seed of the permutation.

    Returns:
        `(n,)` int64. The only image of a class keeps its own map.
    """
    following = np.arange(len(classes))
    for c in np.unique(classes):
        members = np.flatnonzero(classes == c)
        if len(members) > 1:
            following[members] = members[derangement(len(members), seed)]
    return following
