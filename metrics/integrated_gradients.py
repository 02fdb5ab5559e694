"""Integrated Gradients: each pixel's share of how the loss changes from a baseline to the image.

With L(z) = xent(f(z), c), c the class that f predicts at the image x and b a baseline image:

    IG_i = (x_i - b_i) * integral over t in [0, 1] of dL/dx_i at b + t (x - b)

The integral is taken by the midpoint rule, at t = (k + 1/2) / 50 for k = 0 .. 49; c stays fixed
along the path. The sum of IG over pixels and channels is L(x) - L(b) (completeness), up to an error
that falls with the square of the number of steps. IG does not depend on the unit of pixels.

The paper attributes the class's score. Here it is the loss, whose gradient all attributions of
this suite take; as with them, absolute values are summed over channels, so that a map ranks pixels.

Reference: Sundararajan, Taly, Yan, arXiv 1703.01365.
"""

from keras import ops

from pellucid.metrics.attributions import Logits, loss_gradient, predicted
from pellucid.models import backend
from pellucid.models.types import Tensor

STEPS = 50
"""Points of the path at which the gradient is taken."""

BLACK = 0.0
"""A black pixel, in [0, 1]."""


def path_integral(
    logits: Logits,
    x: Tensor,
    baseline: Tensor | float,
    label: Tensor | None = None,
    *,
    steps: int = STEPS,
) -> Tensor:
    """IG with its sign, which adds up to xent(f(x), c) - xent(f(b), c). Traceable.

    Args:
        logits: Function from pixels `(n, h, w, c)` to `(n, classes)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        baseline: The path's start in [0, 1]: a scalar, a colour `(c,)` or images as `x`.
        label: c, `(n,)` integers; None for the class that f predicts at `x`.
        steps: Points of the path.

    Returns:
        `(n, h, w, c)`.
    """
    if label is None:
        label = predicted(logits, x)
    path = x - baseline

    def add(step: Tensor, total: Tensor) -> Tensor:
        t = (ops.cast(step, "float32") + 0.5) / steps
        return total + loss_gradient(logits, baseline + t * path, label)

    total = backend.fori_loop(steps, add, ops.zeros_like(x))
    return 2.0 * path * total / steps  # the gradient is d/d(2x - 1)


def integrated_gradients(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """Integrated Gradients (IG) from black: |IG|, summed over channels; `(n, h, w)`."""
    return ops.sum(ops.abs(path_integral(logits, x, BLACK, label)), axis=-1)


def integrated_gradients_mean(
    logits: Logits, x: Tensor, fill: Tensor, label: Tensor | None = None
) -> Tensor:
    """Integrated Gradients from the mean colour (IG-M): |IG|, summed over channels; `(n, h, w)`.

    Args:
        logits: Function from pixels `(n, h, w, c)` to `(n, classes)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        fill: The training set's channel means in [0, 1], `(c,)`: what ROAR removes pixels with.
        label: c, `(n,)` integers; None for the class that f predicts at `x`.
    """
    return ops.sum(ops.abs(path_integral(logits, x, fill, label)), axis=-1)
