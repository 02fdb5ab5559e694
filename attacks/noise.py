"""Random noise of a given norm: what a change of that size does without an adversary."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks.projections import axes_of, l2_norm, per_image, steepest
from pellucid.models import backend
from pellucid.models.types import Tensor

HALVINGS = 40
"""Steps of the bisection: its interval then is as short as float32 can tell."""

FLATTEST = 1e-6
"""Entries of the direction below this do not set how far the bisection looks."""


def noise(
    logits: Callable[..., Tensor] | None,
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    key: Tensor,
) -> Tensor:
    """x_adv = clip(x + t * u, 0, 1), u a random direction, t such that ||x_adv - x|| = epsilon.

    L2: u is Gaussian. The norm of the change grows with t, which is found by bisection, and is
    epsilon *after* clipping to the box; if the box does not hold a change that long in this
    direction, it is the longest there is. Linf: u has random signs, and t is epsilon.

    Args:
        logits: Not used; every attack takes it.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Not used.
        epsilon: Norm in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        key: Random key.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.
    """
    direction = steepest(backend.normal(key, ops.shape(x)), norm)
    radius = per_image(ops.cast(epsilon, "float32"), x) + ops.zeros_like(l2_norm(x))
    if norm == "linf":
        return ops.clip(x + radius * direction, 0.0, 1.0)

    def halve(_: Tensor, bounds: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        low, high = bounds
        middle = (low + high) / 2
        short = l2_norm(ops.clip(x + middle * direction, 0.0, 1.0) - x) < radius
        return ops.where(short, middle, low), ops.where(short, high, middle)

    # At this t every pixel whose direction is not tiny has met the wall of the box, so no longer
    # change exists.
    slowest = ops.min(ops.abs(direction), axis=axes_of(x), keepdims=True)
    longest = ops.maximum(1.0 / ops.maximum(slowest, FLATTEST), radius)
    t, _ = backend.fori_loop(HALVINGS, halve, (ops.zeros_like(radius), longest))
    return ops.clip(x + t * direction, 0.0, 1.0)
