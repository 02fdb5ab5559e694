"""What a submitted model does with images: measured, and refused if it is not a classifier."""

import time
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.checks import check_classifier
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, program, state
from pellucid.models.types import Array, Tensor
from pellucid.models.untrusted.refusal import Refused

MAX_IMAGES = 32
"""Images in the batch; more are not looked at."""
ALONE = 4
"""Images that are also classified alone."""
WITH_GRADIENT = 8
"""Images at which gradients are tried."""
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


def _gradient(network: keras.Model) -> Callable[..., Tensor]:
    """The gradient of the largest logit at pixels, as attacks and attributions compile it."""

    def gradient(trainable: list[Tensor], other: list[Tensor], x: Tensor) -> Tensor:
        logits = logits_of(network, State(trainable, other))
        return backend.value_and_gradient(lambda z: ops.sum(ops.max(logits(z), axis=1)), x)[1]

    return gradient


def _check_gradient(model: keras.Model, images: Array) -> float:
    """Refuses a model without a gradient at its pixels; returns the seconds of a compiled pass."""
    values, rows = state(model), images[:WITH_GRADIENT]
    run = program(model, ("tried",), _gradient)
    for _ in range(2):  # the first compiles
        began = time.perf_counter()
        found = ops.convert_to_numpy(run(values.trainable, values.other, to_device(rows)))
        seconds = (time.perf_counter() - began) / len(rows)
    if not np.isfinite(found).all():
        raise Refused("The gradient of the model's logits is not finite at some images.")
    return seconds


def measure(model: keras.Model, images: Array, num_classes: int) -> dict[str, float]:
    """Measures a model on images, and refuses what is not a classifier of single images.

    Args:
        model: The model.
        images: `(n, h, w, c)` float32 in [0, 1]; at least two.
        num_classes: The number of logits.

    Returns:
        `pass_difference` between two passes over one batch, `outputs_in_unit_interval`,
        `row_sum_spread` (largest less smallest sum of an image's logits), `max_abs_logit`,
        `seconds_per_image`, `seconds_per_gradient`, `images`.

    Raises:
        Refused: Outputs have another shape, are not finite, are probabilities, or depend on the
            rest of the batch; gradients are not finite.
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
    of_gradient = _check_gradient(model, images)
    sums = first.sum(-1)
    return {
        "pass_difference": difference,
        "outputs_in_unit_interval": bool((first >= 0).all() and (first <= 1).all()),
        "row_sum_spread": float(sums.max() - sums.min()),
        "max_abs_logit": scale,
        "seconds_per_image": seconds,
        "seconds_per_gradient": of_gradient,
        "images": len(images),
    }
