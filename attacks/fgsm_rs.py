"""FGSM from a random start: one gradient, for fast adversarial training."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.projections import into_ball_and_box, per_image, steepest
from pellucid.attacks.starts import uniform_in_ball
from pellucid.models import backend
from pellucid.models.types import Tensor

LENGTH = 1.25
"""The step, in radii: the longest for which the paper reports stable training."""


def fgsm_rs(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    loss: str = "xent",
    key: Tensor,
) -> Tensor:
    """x_adv = clip(x + P(s + 1.25 epsilon * u(s) - x), 0, 1), from a random point s of the ball.

    u is the steepest direction of the loss in the norm, and P projects onto the ball.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses.UNTARGETED`.
        key: Random key.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm or loss.

    Reference: Wong, Rice, Kolter, arXiv 2001.03994 (Linf).
    """
    objective = losses.get(loss)
    start = uniform_in_ball(x, epsilon, norm, key)
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), start)
    radius = per_image(ops.cast(epsilon, "float32"), x)
    return into_ball_and_box(start + LENGTH * radius * steepest(gradient, norm), x, epsilon, norm)
