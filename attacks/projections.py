"""Balls, boxes and steepest directions, for both norms. All functions are traceable."""

from typing import Any

from keras import ops

from robust_interpretability.models.errors import unknown


def per_image(value: Any, x: Any) -> Any:
    """A scalar or `(n,)` value, shaped to multiply images `x` of shape `(n, ...)`."""
    return ops.reshape(value, (-1,) + (1,) * (len(x.shape) - 1))


def l2_norm(x: Any) -> Any:
    """Euclidean norm of each example, `(n, 1, ..., 1)`; exact down to the smallest normal numbers, zero at zero.

    The largest entry is divided out first: squares of float32 below 1e-19 would vanish. A floor
    under the norm, which does the same for the gradient's sake, makes an attack on a confident
    network fail silently.
    """
    axes = tuple(range(1, len(x.shape)))
    largest = ops.max(ops.abs(x), axis=axes, keepdims=True)
    scale = ops.where(largest > 0, largest, ops.ones_like(largest))
    return scale * ops.sqrt(ops.sum(ops.square(x / scale), axis=axes, keepdims=True))


def steepest(gradient: Any, norm: str) -> Any:
    """The direction of norm 1 that raises a linear function most; zero where the gradient is zero.

    L2: g / ||g||_2. Linf: sign(g).

    Args:
        gradient: `(n, ...)`.
        norm: `"l2"` or `"linf"`.

    Returns:
        `(n, ...)`.
    """
    if norm == "linf":
        return ops.sign(gradient)
    if norm != "l2":
        raise unknown("norm", norm, ("l2", "linf"))
    axes = tuple(range(1, len(gradient.shape)))
    largest = ops.max(ops.abs(gradient), axis=axes, keepdims=True)
    scaled = gradient / ops.where(largest > 0, largest, ops.ones_like(largest))
    length = ops.sqrt(ops.sum(ops.square(scaled), axis=axes, keepdims=True))
    return scaled / ops.where(length > 0, length, ops.ones_like(length))


def l1_mean(gradient: Any) -> Any:
    """A gradient divided by the mean of its absolute values, image by image; zero stays zero."""
    axes = tuple(range(1, len(gradient.shape)))
    largest = ops.max(ops.abs(gradient), axis=axes, keepdims=True)
    scaled = gradient / ops.where(largest > 0, largest, ops.ones_like(largest))
    mean = ops.mean(ops.abs(scaled), axis=axes, keepdims=True)
    return scaled / ops.where(mean > 0, mean, ops.ones_like(mean))


def project(delta: Any, epsilon: Any, norm: str) -> Any:
    """The nearest point to `delta` in the ball of radius `epsilon` around zero.

    L2: delta * min(1, epsilon / ||delta||_2). Linf: clip(delta, -epsilon, epsilon).

    Args:
        delta: `(n, ...)`.
        epsilon: Radius, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.

    Returns:
        `(n, ...)`.
    """
    radius = per_image(ops.cast(epsilon, "float32"), delta)
    if norm == "linf":
        return ops.clip(delta, -radius, radius)
    if norm != "l2":
        raise unknown("norm", norm, ("l2", "linf"))
    length = l2_norm(delta)
    return delta * ops.minimum(1.0, radius / ops.where(length > 0, length, ops.ones_like(length)))


def into_ball_and_box(x_adv: Any, x: Any, epsilon: Any, norm: str) -> Any:
    """`x_adv` with its difference from `x` projected on the ball, then clipped to the pixel box [0, 1].

    Clipping moves every coordinate towards `x`, so the result stays in the ball.
    """
    return ops.clip(x + project(x_adv - x, epsilon, norm), 0.0, 1.0)
