"""DeepFool: step after step onto the nearest linearised decision boundary."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.boundary import nearest_boundary
from pellucid.attacks.projections import change_norm, per_image, steepest
from pellucid.models import backend
from pellucid.models.types import Tensor


def deepfool(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    steps: int = 50,
    overshoot: float = 0.02,
    key: Tensor | None = None,
) -> Tensor:
    """x_{t+1} = x_t + d * u, with d the distance to the nearest linearised boundary and u its way.

    The result is the first misclassified point among x + (1 + overshoot) (x_t - x), clipped to the
    box (the attack itself does not know the box), and the image if that point lies beyond the
    radius or does not exist.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`; may be infinite.
        norm: `"l2"` or `"linf"`: of the distances.
        steps: Number of steps at most; each takes one gradient per class.
        overshoot: How far beyond the boundary a point lies, as a share of the change.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.

    Reference: Moosavi-Dezfooli, Fawzi, Frossard, arXiv 1511.04599.
    """
    check_norm(norm)

    def beyond(point: Tensor) -> Tensor:
        return ops.clip(x + (1.0 + overshoot) * (point - x), 0.0, 1.0)

    def wrong(point: Tensor) -> Tensor:
        return losses.misclassified(logits(point), y)

    def step(_: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        point, done = state
        distance, _, gradient = nearest_boundary(logits, point, y, norm)
        moved = point + per_image(distance, x) * steepest(gradient, norm)
        point = backend.select(done, point, moved)
        return point, done | wrong(beyond(point))

    point, done = backend.fori_loop(steps, step, (x, wrong(x)))
    x_adv = beyond(point)
    length = change_norm(x_adv - x, norm)
    within = length <= ops.cast(epsilon, "float32") + ops.zeros_like(length)
    return backend.stop_gradient(backend.select(done & within, x_adv, x))
