"""Distances to linearised decision boundaries. All functions are traceable."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.projections import axes_of, change_norm
from pellucid.models import backend
from pellucid.models.types import Tensor

FAR = 1e10
"""Stands for an infinite distance, in pixel units: sums and differences of it stay finite."""


def margin_towards(
    logits: Callable[..., Tensor], point: Tensor, y: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """The margin z_target - z_y at a point, `(n,)`, and its gradient there, `(n, ...)`."""

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        margins = losses.margin_targeted(logits(x), y, target)
        return ops.sum(margins), margins

    _, margins, gradient = backend.value_aux_and_gradient(total, point)
    return margins, gradient


def nearest_boundary(
    logits: Callable[..., Tensor], point: Tensor, y: Tensor, norm: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The class k whose linearised boundary is nearest to a point.

    Its distance is |z_k - z_y| / ||grad (z_k - z_y)||_q, with q the dual norm: 2 for L2, 1 for
    Linf.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        point: Points `(n, ...)`.
        y: The class to leave, `(n,)` integers.
        norm: `"l2"` or `"linf"`: of the distance.

    Returns:
        The distance `(n,)`, the margin z_k - z_y `(n,)` and its gradient `(n, ...)`.
    """

    def nearer(k: Tensor, best: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        target = ops.zeros_like(y) + ops.cast(k, y.dtype)
        margins, gradient = margin_towards(logits, point, y, target)
        if norm == "l2":
            slope = change_norm(gradient, "l2")
        else:
            slope = ops.sum(ops.abs(gradient), axis=axes_of(point))
        distance = ops.where(
            (slope > 0) & (target != y), ops.abs(margins) / ops.where(slope > 0, slope, 1.0), FAR
        )
        wins = distance < best[0]
        return (
            ops.where(wins, distance, best[0]),
            ops.where(wins, margins, best[1]),
            backend.select(wins, gradient, best[2]),
        )

    zeros = 0.0 * change_norm(point, norm)
    none = (zeros + FAR, zeros, ops.zeros_like(point))
    return backend.fori_loop(logits(point).shape[-1], nearer, none)
