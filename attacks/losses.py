"""The losses an attack raises, one value an example. All functions are traceable."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError, unknown


def xent(logits: Any, y: Any) -> Any:
    """Cross-entropy at the label: log sum_j exp(z_j) - z_y = log(1 + sum_{j != y} exp(z_j - z_y)).

    The second form is the one computed, as m + log1p(sum_{j != y} exp(z_j - z_y - m) + expm1(-m))
    with m the margin where it is above 0, else 0. Its gradient at z_y is the sum of the other
    probabilities; the usual form's is p_y - 1, which float32 rounds away where the network is
    confident, and the direction of an attack with it. Its value is exact there too.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.

    Returns:
        `(n,)`.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    above = ops.where(
        label > 0, -float("inf"), logits - ops.sum(label * logits, axis=-1, keepdims=True)
    )
    m = backend.stop_gradient(ops.relu(ops.max(above, axis=-1, keepdims=True)))
    return m[:, 0] + ops.log1p(ops.sum(ops.exp(above - m), axis=-1) + ops.expm1(-m[:, 0]))


def cw(logits: Any, y: Any, confidence: float = 500.0) -> Any:
    """The margin loss of Carlini and Wagner: -relu(z_y - max_{j != y} z_j + confidence).

    Deviation from the 2019 code: the maximum runs over the other classes only; there it also meets
    a zero in the label's place.

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


def _at(logits: Any, classes: Any) -> Any:
    """The logit of one class an example, `(n,)`."""
    return ops.sum(ops.one_hot(classes, logits.shape[-1], dtype="float32") * logits, axis=-1)


def margin(logits: Any, y: Any) -> Any:
    """max_{j != y} z_j - z_y: above 0 where the example is misclassified.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.

    Returns:
        `(n,)`.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    return ops.max(ops.where(label > 0, -float("inf"), logits), axis=-1) - ops.sum(
        label * logits, axis=-1
    )


def _quotient(above: Any, below: Any) -> Any:
    """A quotient whose denominator, a difference of ordered logits, may be zero where several are equal."""
    return above / ops.where(below > 0, below, ops.ones_like(below))


def dlr(logits: Any, y: Any) -> Any:
    """The difference of logits ratio: margin / (z_(1) - z_(3)), with z_(k) the k-th largest logit.

    It does not change when logits are scaled or shifted.

    Args:
        logits: `(n, classes)`, at least three classes.
        y: `(n,)` integers.

    Returns:
        `(n,)`.

    Raises:
        InputError: Fewer than three classes.

    Reference: Croce, Hein, arXiv 2003.01690, whose denominator has 1e-12 more: that would count
    where logits are small.
    """
    if logits.shape[-1] < 3:
        raise InputError(f"The DLR loss needs at least 3 classes. Received {logits.shape[-1]}.")
    ordered, _ = ops.top_k(logits, 3)
    return _quotient(margin(logits, y), ordered[:, 0] - ordered[:, 2])


def margin_targeted(logits: Any, y: Any, target: Any) -> Any:
    """z_target - z_y, `(n,)`; arguments as for `dlr_targeted`, any number of classes."""
    return _at(logits, target) - _at(logits, y)


def dlr_targeted(logits: Any, y: Any, target: Any) -> Any:
    """The targeted difference of logits ratio: (z_target - z_y) / (z_(1) - (z_(3) + z_(4)) / 2).

    Args:
        logits: `(n, classes)`, at least four classes.
        y: `(n,)` integers.
        target: The class to become, `(n,)` integers.

    Returns:
        `(n,)`.

    Raises:
        InputError: Fewer than four classes.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    if logits.shape[-1] < 4:
        raise InputError(
            f"The targeted DLR loss needs at least 4 classes. Received {logits.shape[-1]}."
        )
    ordered, _ = ops.top_k(logits, 4)
    return _quotient(
        margin_targeted(logits, y, target), ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
    )


_LOSSES = {"xent": xent, "cw": cw, "dlr": dlr, "margin": margin}
TARGETED = {"dlr-targeted": dlr_targeted, "margin-targeted": margin_targeted}


def get(name: str) -> Callable:
    """The loss of that name.

    Raises:
        InputError: The name is unknown.
    """
    if name not in _LOSSES:
        raise unknown("attack loss", name, _LOSSES)
    return _LOSSES[name]
