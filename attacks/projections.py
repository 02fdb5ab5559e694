"""Balls, boxes, norms and steepest directions, for both norms. All functions are traceable."""

from keras import ops

from pellucid.attacks import check_norm
from pellucid.models.types import Tensor


def per_image(value: Tensor | float, x: Tensor) -> Tensor:
    """A scalar or `(n,)` value, shaped to multiply images `x` of shape `(n, ...)`."""
    return ops.reshape(value, (-1,) + (1,) * (len(x.shape) - 1))


def axes_of(x: Tensor) -> tuple[int, ...]:
    """All axes but the first, the images'."""
    return tuple(range(1, len(x.shape)))


def l2_norm(x: Tensor) -> Tensor:
    """Euclidean norm of each image, `(n, 1, ..., 1)`; zero at zero.

    It is exact down to the smallest normal numbers: the largest entry is divided out first, because
    squares of float32 below 1e-19 would vanish. A floor under the norm, which does the same for the
    gradient's sake, makes an attack on a confident network fail silently.
    """
    largest = ops.max(ops.abs(x), axis=axes_of(x), keepdims=True)
    scale = ops.where(largest > 0, largest, ops.ones_like(largest))
    return scale * ops.sqrt(ops.sum(ops.square(x / scale), axis=axes_of(x), keepdims=True))


def change_norm(change: Tensor, norm: str) -> Tensor:
    """The norm of each change, `(n,)`."""
    check_norm(norm)
    if norm == "l2":
        return ops.reshape(l2_norm(change), (-1,))
    return ops.max(ops.abs(change), axis=axes_of(change))


def steepest(gradient: Tensor, norm: str, floor: float = 0.0) -> Tensor:
    """The direction of norm 1 that raises a linear function most; zero if the gradient is zero.

    L2: g / ||g||_2. Linf: sign(g). With a floor f, in L2 the shorter g / (||g||_2 + f).

    Args:
        gradient: `(n, ...)`.
        norm: `"l2"` or `"linf"`.
        floor: What is added to the L2 norm, at least 0.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.
    """
    check_norm(norm)
    if norm == "linf":
        return ops.sign(gradient)
    axes = axes_of(gradient)
    largest = ops.max(ops.abs(gradient), axis=axes, keepdims=True)
    scaled = gradient / ops.where(largest > 0, largest, ops.ones_like(largest))
    length = ops.sqrt(ops.sum(ops.square(scaled), axis=axes, keepdims=True))
    direction = scaled / ops.where(length > 0, length, ops.ones_like(length))
    if floor == 0.0:
        return direction
    return direction * (largest * length / (largest * length + floor))


def l1_mean(gradient: Tensor) -> Tensor:
    """Each image's gradient divided by the mean of its absolute values; zero stays zero."""
    axes = axes_of(gradient)
    largest = ops.max(ops.abs(gradient), axis=axes, keepdims=True)
    scaled = gradient / ops.where(largest > 0, largest, ops.ones_like(largest))
    mean = ops.mean(ops.abs(scaled), axis=axes, keepdims=True)
    return scaled / ops.where(mean > 0, mean, ops.ones_like(mean))


def project(delta: Tensor, epsilon: Tensor | float, norm: str) -> Tensor:
    """The nearest point to `delta` in the ball of radius `epsilon` around zero.

    L2: delta * min(1, epsilon / ||delta||_2). Linf: clip(delta, -epsilon, epsilon).

    Args:
        delta: `(n, ...)`.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.
    """
    check_norm(norm)
    radius = per_image(ops.cast(epsilon, "float32"), delta)
    if norm == "linf":
        return ops.clip(delta, -radius, radius)
    length = l2_norm(delta)
    return delta * ops.minimum(1.0, radius / ops.where(length > 0, length, ops.ones_like(length)))


def into_ball_and_box(x_adv: Tensor, x: Tensor, epsilon: Tensor | float, norm: str) -> Tensor:
    """`x_adv` projected onto the ball around `x`, then clipped to the pixel box [0, 1].

    Clipping moves every coordinate towards `x`, so the result stays in the ball.
    """
    return ops.clip(x + project(x_adv - x, epsilon, norm), 0.0, 1.0)
