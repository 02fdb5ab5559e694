"""What a submitted model does with images: measured, and refused if it is not a classifier."""

import time

import keras
import numpy as np

from robust_interpretability.models.checks import check_classifier
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.types import Array
from robust_interpretability.models.untrusted.refusal import Refused

MAX_IMAGES = 32
"""Images in the batch; more are not looked at."""
ALONE = 4
"""Images that are also classified alone."""
ROUNDING = 1e-3
"""Largest difference between orders of a sum, relative to the largest logit and at least 1."""


def _logits(model: keras.Model, images: Array) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)), np.float32)


def _check_each_image_by_itself(
    model: keras.Model, images: Array, logits: Array, tolerance: float
) -> None:
    """Refuses a model whose logits for an image depend on the other images of the batch."""
    order = np.random.default_rng(0).permutation(len(images))
    half = len(images) // 2 + 1
    singles = [_logits(model, images[i : i + 1]) for i in range(min(ALONE, len(images)))]
    for changed, expected, how in (
        (_logits(model, images[order]), logits[order], "in another order"),
        (_logits(model, images[:half]), logits[:half], "in a smaller batch"),
        (np.concatenate(singles), logits[: len(singles)], "alone"),
    ):
        off = float(np.abs(changed - expected).max()) if changed.shape == expected.shape else np.inf
        if not off <= tolerance:
            raise Refused(
                f"The model's logits depend on the rest of the batch: {how}, an image's logits"
                f" differ by {off:.3g}. Each image must be classified by itself."
            )


def measure(model: keras.Model, images: Array, num_classes: int) -> dict[str, float]:
    """Measures a model on images, and refuses what is not a classifier of single images.

    Args:
        model: The model.
        images: `(n, h, w, c)` float32 in [0, 1]; at least two.
        num_classes: The number of logits.

    Returns:
        `pass_difference` between two passes over one batch, `outputs_in_unit_interval`,
        `row_sum_spread` (largest less smallest sum of an image's logits), `max_abs_logit`,
        `seconds_per_image`, `images`.

    Raises:
        Refused: Outputs have another shape, are not finite, are probabilities, or depend on the
            rest of the batch.
    """
    images = images[:MAX_IMAGES]
    try:
        check_classifier(model, images, num_classes)
    except InputError as error:
        raise Refused(str(error)) from None
    first = _logits(model, images)
    began = time.perf_counter()
    second = _logits(model, images)
    seconds = (time.perf_counter() - began) / len(images)
    difference = float(np.abs(first - second).max())
    scale = float(np.abs(first).max())
    tolerance = ROUNDING * max(1.0, scale) + 2 * difference
    _check_each_image_by_itself(model, images, first, tolerance)
    sums = first.sum(-1)
    return {
        "pass_difference": difference,
        "outputs_in_unit_interval": bool((first >= 0).all() and (first <= 1).all()),
        "row_sum_spread": float(sums.max() - sums.min()),
        "max_abs_logit": scale,
        "seconds_per_image": seconds,
        "images": len(images),
    }
