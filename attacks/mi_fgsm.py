"""Momentum FGSM: steps along an accumulated gradient."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.projections import into_ball_and_box, l1_mean, steepest
from robust_interpretability.models import backend
from robust_interpretability.models.errors import unknown


def mi_fgsm(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    loss: str = "xent",
    steps: int = 10,
    step_size: Any,
    decay: float = 1.0,
    key: Any = None,
) -> Any:
    """g_{t+1} = decay g_t + grad / mean |grad|, then a step in g's steepest direction, into ball and box.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses`.
        steps: Number of steps; the paper's is 10.
        step_size: Length of a step in pixel units; the paper's is epsilon / steps.
        decay: What is kept of the momentum.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm or loss.

    Reference: Dong et al., arXiv 1710.06081 (their L1 norm; its mean differs from it by a constant
    factor).
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))
    objective = losses.get(loss)

    def step(_: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        x_adv, momentum = at
        _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), x_adv)
        momentum = decay * momentum + l1_mean(gradient)
        return (
            into_ball_and_box(x_adv + step_size * steepest(momentum, norm), x, epsilon, norm),
            momentum,
        )

    return backend.stop_gradient(backend.fori_loop(steps, step, (x, ops.zeros_like(x)))[0])
