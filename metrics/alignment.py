"""Alignment of an image with the gradient of its margin.

    alignment(x) = |<2x - 1, g>| / (2 ||g||_2),   g = the gradient of m at x

with m = z_1 - z_2 the margin between the largest logit and the runner-up. The image is taken on the
scale [-1, 1], which the networks of this suite see after their first layer; the 2 in the
denominator is the step from there to pixel units, in which radii are.

For a network that is linear in 2x - 1 without biases, m = <2x - 1, g> / 2 and alignment is the
distance to the boundary with the runner-up. So it is for every network that is positively
homogeneous in 2x - 1 (ReLU, no biases), if the network is replaced by its linearisation at x. With
biases, the two differ.

By Cauchy and Schwarz alignment is at most ||2x - 1||_2 / 2. If g has a random direction, alignment
is on average that bound times G(d / 2) / (sqrt(pi) G((d + 1) / 2)), about sqrt(2 / (pi d)), with G
the gamma function and d the number of entries of x: what a network has by chance.

Reference: Etmann et al., arXiv 1905.04172.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks.losses import margin
from pellucid.attacks.projections import axes_of, steepest
from pellucid.metrics.attributions import Logits, predicted
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.checks import check_images, check_paired
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor


def aligned(logits: Logits, x: Tensor, at: Tensor | None = None) -> Tensor:
    """The alignment of each image, `(n,)`. Traceable.

    Args:
        logits: From pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        at: The images whose gradients are taken, as `x`; None for the same.
    """
    at = x if at is None else at
    label = predicted(logits, at)
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(margin(logits(z), label)), at)
    direction, axes = steepest(gradient, "l2"), axes_of(x)
    along = ops.abs(ops.sum((2.0 * x - 1.0) * direction, axis=axes)) / 2.0
    return ops.where(ops.any(direction != 0, axis=axes), along, float("nan"))


def _program(model: keras.Model) -> Callable:
    return lambda trainable, other, *images: aligned(
        logits_of(model, State(trainable, other)), *map(pixels, images)
    )


def alignment(
    model: keras.Model, x: Array, *, at: Array | None = None, batch_size: int = 500
) -> Array:
    """The alignment of every image with the gradient of its margin, in pixel units.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        at: The images whose gradients are taken, as `x`: a control, as it has other images'. None
            for the same.
        batch_size: Images at a time.

    Returns:
        `(n,)` float64; NaN where the gradient is zero.

    Raises:
        InputError: There are no images, or some outside [0, 1]; or `at` has another shape.
    """
    check_images(x)
    if at is not None:
        check_paired(x, at)
    compiled, variables = program(model, ("alignment", at is None), _program), state(model)
    values = np.empty(len(x), np.float64)
    for part, batch in in_batches(
        compiled,
        (variables.trainable, variables.other),
        [x] if at is None else [x, at],
        batch_size=batch_size,
    ):
        values[part] = batch
    return values
