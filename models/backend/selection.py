"""The largest values of each row without a sort, which compilers for GPUs do not fuse."""

import math

from keras import ops

from robust_interpretability.models.types import Tensor


def largest_by_masks(x: Tensor, k: int) -> Tensor:
    """The `k` largest values of each row, `(n, k)` from `(n, m)`, in falling order. Traceable.

    Of equal values the first comes first, and has the gradient.
    """
    left, found = x, []
    for _ in range(k):
        place = ops.expand_dims(ops.argmax(left, axis=-1), -1)
        hit = ops.cast(ops.arange(x.shape[-1]), place.dtype) == place
        found.append(ops.sum(ops.where(hit, left, ops.zeros_like(x)), axis=-1))
        left = ops.where(hit, ops.full_like(x, -math.inf), left)
    return ops.stack(found, axis=-1)
