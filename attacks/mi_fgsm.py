"""Momentum FGSM: steps along an accumulated gradient."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.projections import (
    into_ball_and_box,
    l1_mean,
    per_image,
    steepest,
)
from pellucid.models import backend
from pellucid.models.types import Tensor


def mi_fgsm(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    loss: str = "xent",
    steps: int = 10,
    step_size: Tensor | float | None = None,
    decay: float = 1.0,
    key: Tensor | None = None,
) -> Tensor:
    """g_{t+1} = decay * g_t + grad / mean(abs(grad)), x_{t+1} = clip(x + P(x_t + a u - x), 0, 1).

    u is the steepest direction of g_{t+1} in the norm, a the step size, P the ball's projection.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses.UNTARGETED`.
        steps: Number of steps; the paper's is 10.
        step_size: Length of a step in pixel units, a scalar or `(n,)`. None: the paper's,
            epsilon / steps.
        decay: The share of the momentum that stays at each step.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm or loss.

    Reference: Dong et al., arXiv 1710.06081 (their L1 norm; its mean differs from it by a constant
    factor).
    """
    check_norm(norm)
    objective = losses.get(loss)
    length = epsilon / steps if step_size is None else step_size
    a = per_image(ops.cast(length, "float32"), x)

    def step(_: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x_adv, g = state
        _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), x_adv)
        g = decay * g + l1_mean(gradient)
        return into_ball_and_box(x_adv + a * steepest(g, norm), x, epsilon, norm), g

    x_adv, _ = backend.fori_loop(steps, step, (x, ops.zeros_like(x)))
    return backend.stop_gradient(x_adv)
