"""Random points that attacks start from. All functions are traceable."""

import math

from keras import ops

from pellucid.attacks import check_norm
from pellucid.attacks.autoattack import randomness
from pellucid.attacks.projections import axes_of, l2_norm, per_image, steepest
from pellucid.models import backend
from pellucid.models.types import Tensor


def uniform_in_ball(x: Tensor, epsilon: Tensor | float, norm: str, key: Tensor) -> Tensor:
    """A point drawn uniformly from the ball around each image, clipped to the box.

    L2: the direction of a Gaussian vector, at the distance epsilon u^(1/d), with u uniform in
    [0, 1] and d the number of dimensions: a ball's volume grows as its radius to the power of d.

    Args:
        x: Images in [0, 1], `(n, ...)`.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        key: The backend's random key; draws depend on the batch.

    Returns:
        `(n, ...)`.
    """
    check_norm(norm)
    radius = per_image(ops.cast(epsilon, "float32"), x)
    if norm == "linf":
        return ops.clip(x + radius * backend.uniform(key, ops.shape(x), -1.0, 1.0), 0.0, 1.0)
    dimensions = math.prod(x.shape[1:])
    direction = steepest(backend.normal(backend.fold_in(key, 1), ops.shape(x)), norm)
    length = backend.uniform(backend.fold_in(key, 2), ops.shape(x)[:1]) ** (1.0 / dimensions)
    return ops.clip(x + radius * per_image(length, x) * direction, 0.0, 1.0)


def at_distance(x: Tensor, distance: Tensor, norm: str, keys: Tensor) -> Tensor:
    """A point at a distance from each image in a random direction, clipped to the box.

    The direction is Gaussian for L2 and uniform in the cube for Linf, where its largest entry is
    scaled to the distance.

    Args:
        x: Images in [0, 1], `(n, ...)`.
        distance: In pixel units, `(n,)`.
        norm: `"l2"` or `"linf"`.
        keys: The images' random keys, `(n,)` (`autoattack.randomness`); draws do not depend on the
            batch.

    Returns:
        `(n, ...)`.
    """
    check_norm(norm)
    if norm == "l2":
        drawn = randomness.normal(keys, x.shape[1:])
        size = l2_norm(drawn)
    else:
        drawn = 2.0 * randomness.uniform(keys, x.shape[1:]) - 1.0
        size = ops.max(ops.abs(drawn), axis=axes_of(x), keepdims=True)
    return ops.clip(x + per_image(distance, x) * drawn / size, 0.0, 1.0)
