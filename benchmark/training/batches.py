"""The random order in which training examples are visited."""

from keras import ops

from pellucid.models import backend
from pellucid.models.types import Tensor


def batch_order(key: Tensor, n: int, batch_size: int) -> Tensor:
    """Random batches of indices, `(n // batch_size, batch_size)` integers, for one epoch.

    The examples left over after the last full batch are not visited in this epoch.
    """
    steps = n // batch_size
    return ops.reshape(backend.permutation(key, n)[: steps * batch_size], (steps, batch_size))
