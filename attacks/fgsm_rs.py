"""FGSM from a random start: one gradient, for fast adversarial training."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.pgd import drawn_start
from robust_interpretability.attacks.projections import into_ball_and_box, per_image, steepest
from robust_interpretability.models import backend

LENGTH = 1.25
"""The step, in radii: the longest with which training was found stable."""


def fgsm_rs(
    logits: Callable, x: Any, y: Any, *, epsilon: Any, norm: str, loss: str = "xent", key: Any
) -> Any:
    """A random point of the ball, then one step of 1.25 radii in the steepest direction, back into ball and box.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses`.
        key: Random key.

    Returns:
        `(n, ...)`.

    Reference: Wong, Rice, Kolter, arXiv 2001.03994 (Linf).
    """
    start = drawn_start(x, epsilon, norm, key)
    _, gradient = backend.value_and_gradient(
        lambda z: ops.sum(losses.get(loss)(logits(z), y)), start
    )
    radius = per_image(ops.cast(epsilon, "float32"), x)
    return into_ball_and_box(start + LENGTH * radius * steepest(gradient, norm), x, epsilon, norm)
