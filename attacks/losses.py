"""The losses an attack raises, one value an example. All functions are traceable."""

from collections.abc import Callable
from typing import Any

from keras import ops

from models.errors import unknown


def xent(logits: Any, y: Any) -> Any:
    """Cross-entropy at the label: log sum_j exp(z_j) - z_y = log(1 + sum_{j != y} exp(z_j - z_y)).

    The second form is the one computed. Its gradient at z_y is the sum of the other probabilities; the usual form's is
    p_y - 1, which float32 rounds away where the network is confident, and the direction of an attack with it.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.

    Returns:
        `(n,)`.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    at_label = ops.sum(label * logits, axis=-1, keepdims=True)
    return ops.logsumexp(ops.where(label > 0, 0.0, logits - at_label), axis=-1)


def cw(logits: Any, y: Any, confidence: float = 500.0) -> Any:
    """The margin loss of Carlini and Wagner: -relu(z_y - max_{j != y} z_j + confidence).

    Deviation from the 2019 code: the maximum runs over the other classes only; there it also meets a zero in the
    label's place.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.
        confidence: The margin by which the other class shall win before the loss is flat.

    Returns:
        `(n,)`, at most 0.

    Reference: arXiv 1608.04644; arXiv 1903.11626.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    at_label = ops.sum(label * logits, axis=-1)
    best_other = ops.max(ops.where(label > 0, -float("inf"), logits), axis=-1)
    return -ops.relu(at_label - best_other + confidence)


_LOSSES = {"xent": xent, "cw": cw}


def get(name: str) -> Callable:
    """The loss of that name.

    Raises:
        InputError: The name is unknown.
    """
    if name not in _LOSSES:
        raise unknown("attack loss", name, _LOSSES)
    return _LOSSES[name]
