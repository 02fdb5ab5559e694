"""ROAD: an order of the pixels scored by the accuracy on imputed images, without retraining.

A fraction p of each image's pixels is removed and imputed from the others (`imputation`), and the
network that the order explains classifies what results. Most relevant first (MoRF) removes the top
pixels of the order, least relevant first (LeRF) the bottom ones. Over the fractions 0, p_1, ...,
p_k, 1 with the trapezoid rule, image by image,

    ROAD = area(LeRF curve - MoRF curve),

so higher is better. The two curves meet at the ends: at 0 nothing is removed, at 1 everything is.
It is at most 1 - (p_1 + 1 - p_k) / 2; a random order has mean 0, and the reverse of an order has
exactly minus its score, because noise belongs to a pixel's place: it is the same for all fractions
and orders.

Reference: Rong et al., arXiv 2202.00449.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pellucid.metrics.imputation import NOISE, impute
from pellucid.metrics.masking import pixel_count
from pellucid.metrics.retraining import score_weights
from pellucid.models.batching import batches
from pellucid.models.checks import check_images, check_labels
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import predict
from pellucid.models.types import Array

if TYPE_CHECKING:
    import keras

ORDERS = {"morf": "most relevant first", "lerf": "least relevant first"}
"""In which order pixels are removed, by name."""


def _check_fractions(fractions: Sequence[float]) -> Array:
    f = np.asarray(fractions, float)
    if f.ndim != 1 or not len(f) or not ((f > 0) & (f < 1)).all() or (np.diff(f) <= 0).any():
        raise InputError(f"Fractions must increase within (0, 1). Received {f.tolist()}.")
    return f


def road(
    model: "keras.Model",
    x: Array,
    y: Array,
    ranks: Array,
    *,
    fractions: Sequence[float],
    order: str,
    noise: float = NOISE,
    seed: int = 0,
    batch_size: int = 500,
) -> Array:
    """Which images are classified correctly without a fraction of their pixels.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        ranks: `(n, h, w)` integers, 0 the most relevant pixel (`ranking.pieces`).
        fractions: `(k,)` increasing, in (0, 1): how many pixels are removed.
        order: A key of `ORDERS`.
        noise: Standard deviation of the noise on imputed pixels.
        seed: Seed of the noise.
        batch_size: Images at a time; does not change the result beyond rounding.

    Returns:
        `(k, n)` booleans.

    Raises:
        InputError: The order is unknown, the fractions do not increase within (0, 1) or leave no
            pixel, or there are images outside [0, 1], or labels or ranks of another shape.
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    f = _check_fractions(fractions)
    check_images(x)
    check_labels(y, len(x), model.output_shape[-1])
    if np.ndim(x) != 4 or np.shape(ranks) != x.shape[:3]:
        raise InputError(
            f"`ranks` must have one rank per pixel of `x`, shape {x.shape[:3]}. Received"
            f" {np.shape(ranks)}."
        )
    pixels = x.shape[1] * x.shape[2]
    hits = np.empty((len(f), len(x)), bool)
    for row, fraction in zip(hits, f, strict=True):
        count = pixel_count(fraction, pixels)
        for part in batches(len(x), batch_size):
            rank = ranks[part]
            removed = rank < count if order == "morf" else rank >= pixels - count
            images = impute(x[part], removed, noise=noise, seed=seed, offset=part.start)
            logits = predict(model, images, batch_size=batch_size)
            row[part] = logits.argmax(axis=-1) == y[part]
    return hits


def road_score(morf: Array, lerf: Array, fractions: Sequence[float]) -> Array:
    """The area between the two curves of each image; their mean is the score of the order.

    Args:
        morf: `(k, n)`, from `road` with order `"morf"`.
        lerf: `(k, n)`, from `road` with order `"lerf"`.
        fractions: `(k,)`, as for `road`.

    Returns:
        `(n,)` float64, in [-1, 1].

    Raises:
        InputError: The fractions do not increase within (0, 1), or the shapes differ.
    """
    f = _check_fractions(fractions)
    if np.ndim(morf) != 2 or len(morf) != len(f) or np.shape(morf) != np.shape(lerf):
        raise InputError(
            f"`morf` and `lerf` must both have shape ({len(f)}, n). Received {np.shape(morf)} and"
            f" {np.shape(lerf)}."
        )
    return score_weights(f) @ (np.asarray(lerf, float) - np.asarray(morf, float))
