"""DeepFool: again and again onto the nearest linearised decision boundary."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks.autoattack.fab import change_norm, nearest_boundary
from robust_interpretability.attacks.projections import per_image, steepest
from robust_interpretability.models import backend
from robust_interpretability.models.errors import unknown

OVERSHOOT = 0.02


def deepfool(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    steps: int = 50,
    overshoot: float = OVERSHOOT,
    key: Any = None,
) -> Any:
    """The first misclassified point on DeepFool's way; the image itself where there is none within the radius.

    A step goes the shortest way to the boundary of the class whose linearised boundary is nearest.
    The point judged is x + (1 + overshoot) (x_t - x), clipped to the box, which the attack does not
    know otherwise.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`; may be infinite.
        norm: `"l2"` or `"linf"`: in which the boundary is near.
        steps: Number of steps at most; each takes a gradient for each class.
        overshoot: How far beyond the boundary a point is judged, as a share of the change.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.

    Reference: Moosavi-Dezfooli, Fawzi, Frossard, arXiv 1511.04599.
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))

    def judged(point: Any) -> Any:
        return ops.clip(x + (1.0 + overshoot) * (point - x), 0.0, 1.0)

    def wrong(point: Any) -> Any:
        return ops.cast(ops.argmax(logits(point), axis=-1), "int32") != ops.cast(y, "int32")

    def step(_: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        point, done = at
        distance, _, gradient = nearest_boundary(logits, point, y, norm)
        moved = point + per_image(distance, x) * steepest(gradient, norm)
        point = ops.where(per_image(done, x), point, moved)
        return point, done | wrong(judged(point))

    point, done = backend.fori_loop(steps, step, (x, wrong(x)))
    found = judged(point)
    short = change_norm(found - x, norm) <= ops.cast(epsilon, "float32") + ops.zeros_like(
        change_norm(x, norm)
    )
    return backend.stop_gradient(ops.where(per_image(done & short, x), found, x))
