"""What both backends choose from: a table of pixels, and the largest values of a row."""

import math

import numpy as np
from keras import ops

from pellucid.models.types import Tensor

QUOTIENTS = np.arange(256, dtype=np.float32) / np.float32(255)
"""What the values of a byte become as pixels."""


def largest_by_masks(x: Tensor, k: int) -> Tensor:
    """The `k` largest values of each row, `(n, k)` from `(n, m)`, in falling order. Traceable.

    No sort: compilers for GPUs do not fuse one. Of equal values the first comes first, and has the
    gradient.
    """
    left, found = x, []
    for _ in range(k):
        place = ops.expand_dims(ops.argmax(left, axis=-1), -1)
        hit = ops.cast(ops.arange(x.shape[-1]), place.dtype) == place
        found.append(ops.sum(ops.where(hit, left, ops.zeros_like(x)), axis=-1))
        left = ops.where(hit, ops.full_like(x, -math.inf), left)
    return ops.stack(found, axis=-1)
