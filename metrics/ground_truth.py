"""Scores of attributions where it is known which pixels tell the classes apart.

With p the absolute attribution of an image divided by its sum, M its true pixels, |M| their number
and u their uniform distribution, 1 / |M| on M and 0 elsewhere:

    mass_share  = sum of p over M
    precision   = share of M among the |M| pixels with the largest p
    earth_mover = 1 - EMD(p, u) / sqrt(h² + w²)

EMD is the least cost of moving p to u, mass times Euclidean distance in pixels. All three are 1 for
the truth itself. A constant map and pixels in random order get |M| / (h w) in the first two; in the
third, what a constant map gets depends on M. A map of zeros says what a constant one does and
counts as one.

Reference: Clark et al., arXiv 2306.12816 (precision, earth mover's distance). Their precision takes
tied pixels in the order of the sort and no pixel whose attribution is zero; here it is the expected
value over random orders of tied pixels.
"""

import functools
import os
from collections.abc import Callable

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array

MOST_PIXELS = 64 * 64
"""Pixels of the largest image whose earth mover's distance is computed: half a second each."""
ITERATIONS = 10_000_000
"""Steps after which the network simplex gives up; 64x64 pixels take it under 100,000."""


def _checked(attribution: Array, truth: Array) -> tuple[Array, Array]:
    """The absolute attribution, 1 at its largest, and the true pixels, both `(n, pixels)`.

    Raises:
        InputError: The shapes differ or are not `(n, h, w)`, an attribution is not finite, or an
            image has no true pixel.
    """
    attribution, truth = np.asarray(attribution, np.float64), np.asarray(truth)
    if attribution.ndim != 3 or attribution.shape != truth.shape:
        raise InputError(
            "`attribution` and `truth` must have one shape (n, h, w). Received"
            f" {attribution.shape} and {truth.shape}."
        )
    if truth.dtype != bool:
        raise InputError(f"`truth` must be boolean. Received {truth.dtype}.")
    if not np.isfinite(attribution).all():
        raise InputError("`attribution` must be finite. Received NaN or infinity.")
    if not truth.any(axis=(1, 2)).all():
        raise InputError("`truth` must mark a pixel of every image. Received an image without one.")
    mass, truth = np.abs(attribution).reshape(len(truth), -1), truth.reshape(len(truth), -1)
    most = mass.max(axis=1, keepdims=True)
    # divided first: the sum of the largest floats would be infinite
    return np.divide(mass, most, out=np.ones_like(mass), where=most > 0), truth


def mass_share(attribution: Array, truth: Array) -> Array:
    """The share of an image's absolute attribution that lies on its true pixels.

    Args:
        attribution: `(n, h, w)`; its sign does not count.
        truth: `(n, h, w)` bool.

    Returns:
        `(n,)` float64 in [0, 1].

    Raises:
        InputError: The shapes differ or are not `(n, h, w)`, an attribution is not finite, or an
            image has no true pixel.
    """
    mass, truth = _checked(attribution, truth)
    return np.sum(mass, axis=1, where=truth) / np.sum(mass, axis=1)


def precision(attribution: Array, truth: Array) -> Array:
    """The share of true pixels among as many of the most important: the expected value where tied.

    With k = |M|, t the k-th largest value, a pixels above it and b equal to it, of which a_M and
    b_M are true:  (a_M + (k - a) b_M / b) / k.

    Arguments, returned shape and errors as for `mass_share`.
    """
    mass, truth = _checked(attribution, truth)
    k = truth.sum(axis=1)
    threshold = np.take_along_axis(-np.sort(-mass, axis=1), k[:, None] - 1, axis=1)
    above, tied = mass > threshold, mass == threshold
    places = (k - above.sum(axis=1)) / tied.sum(axis=1)
    return ((above & truth).sum(axis=1) + places * (tied & truth).sum(axis=1)) / k


def earth_mover(attribution: Array, truth: Array) -> Array:
    """1 - EMD / diagonal: 1 where the attribution is uniform on the true pixels and 0 elsewhere.

    Exact: the transport problem is solved by a network simplex. What p and u have in common need
    not move, as distances obey the triangle inequality; so p - u is moved from where it is positive
    to where it is negative.

    Arguments, returned shape and errors as for `mass_share`.

    Raises:
        InputError: As `mass_share`; or an image has more than 4,096 pixels.
    """
    mass, truth = _checked(attribution, truth)
    height, width = np.shape(attribution)[1:]
    if height * width > MOST_PIXELS:
        raise InputError(
            f"The earth mover's distance is computed for images of at most {MOST_PIXELS:,} pixels."
            f" Received {height * width:,}."
        )
    pixels = np.indices((height, width)).reshape(2, -1).T.astype(np.float64)
    excess = mass / mass.sum(axis=1, keepdims=True) - truth / truth.sum(axis=1, keepdims=True)
    distance = np.array([_transport(row, pixels) for row in excess])
    return 1 - distance / np.hypot(height, width)


def _transport(excess: Array, pixels: Array) -> float:
    """The least cost of moving mass from where there is too much to where there is too little.

    Args:
        excess: `(pixels,)`, of sum 0.
        pixels: `(pixels, 2)`: row and column of each.
    """
    from scipy.spatial.distance import cdist

    much, little = excess > 0, excess < 0
    if not (much.any() and little.any()):
        return 0.0
    supply, demand = excess[much], -excess[little]
    moved = supply.sum()
    distance = cdist(pixels[much], pixels[little])
    cost, log = _solver()(
        supply / moved, demand / demand.sum(), distance, numItermax=ITERATIONS, log=True
    )
    if log["warning"]:
        raise RuntimeError(f"POT did not solve a transport problem: {log['warning']}")
    return float(moved * cost)


@functools.cache
def _solver() -> Callable:
    """POT's solver of transport problems."""
    # else importing POT imports every framework that it finds
    for framework in ("CUPY", "JAX", "PYTORCH", "TENSORFLOW"):
        os.environ.setdefault(f"POT_BACKEND_DISABLE_{framework}", "1")
    from ot.lp import emd2

    return emd2
