"""Random noise of the attack's norm: what a change of that size does by itself."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks.projections import l2_norm, per_image, steepest
from robust_interpretability.models import backend


def noise(logits: Callable | None, x: Any, y: Any, *, epsilon: Any, norm: str, key: Any) -> Any:
    """X + a random direction, scaled so that the change has norm `epsilon` *after* clipping to the box.

    L2: a Gaussian direction u; clip(x + t u) is a change whose norm grows with t, and t is found by
    bisection. Where the box does not hold a change that long in this direction, the longest there
    is. Linf: epsilon times random signs.

    Args:
        logits: Not used; every attack takes it.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Not used.
        epsilon: Norm in pixel units, a scalar or `(n,)`, one for each image.
        norm: `"l2"` or `"linf"`.
        key: Random key.

    Returns:
        `(n, ...)`.
    """
    direction = steepest(backend.normal(key, ops.shape(x)), norm)
    radius = per_image(ops.cast(epsilon, "float32"), x) + ops.zeros_like(l2_norm(x))
    if norm == "linf":
        return ops.clip(x + radius * direction, 0.0, 1.0)

    def halve(_: Any, bounds: tuple[Any, Any]) -> tuple[Any, Any]:
        low, high = bounds
        middle = (low + high) / 2
        short = l2_norm(ops.clip(x + middle * direction, 0.0, 1.0) - x) < radius
        return ops.where(short, middle, low), ops.where(short, high, middle)

    # at this t every pixel whose direction is not tiny has met the wall of the box: no longer
    # change exists
    slowest = ops.min(ops.abs(direction), axis=tuple(range(1, len(x.shape))), keepdims=True)
    longest = ops.maximum(1.0 / ops.maximum(slowest, 1e-6), radius)
    low, _ = backend.fori_loop(40, halve, (ops.zeros_like(radius), longest))
    return ops.clip(x + low * direction, 0.0, 1.0)
