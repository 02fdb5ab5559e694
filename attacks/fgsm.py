"""The fast gradient method: one step of full length."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.projections import into_ball_and_box, per_image, steepest
from pellucid.models import backend
from pellucid.models.types import Tensor


def fgsm(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    loss: str = "xent",
    key: Tensor | None = None,
) -> Tensor:
    """x_adv = clip(x + epsilon * u, 0, 1), u the steepest direction of the loss in the norm.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses.UNTARGETED`.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm or loss.

    Reference: arXiv 1412.6572 (Linf); the L2 form divides by the gradient's L2 norm.
    """
    objective = losses.get(loss)
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), x)
    radius = per_image(ops.cast(epsilon, "float32"), x)
    return into_ball_and_box(x + radius * steepest(gradient, norm), x, epsilon, norm)
