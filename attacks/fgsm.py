"""The fast gradient method: one step of full length."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.projections import into_ball_and_box, per_image, steepest
from robust_interpretability.models import backend


def fgsm(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    loss: str = "xent",
    key: Any = None,
) -> Any:
    """x_adv = clip(x + epsilon * u, 0, 1), with u the steepest direction of the loss in the norm.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: `"xent"` or `"cw"`.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Reference: arXiv 1412.6572 (Linf); the L2 form divides by the gradient's L2 norm.
    """
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(losses.get(loss)(logits(z), y)), x)
    radius = per_image(ops.cast(epsilon, "float32"), x)
    return into_ball_and_box(x + radius * steepest(gradient, norm), x, epsilon, norm)
