"""The losses that attacks raise, one value per example. All functions are traceable."""

import functools
from collections.abc import Callable

from keras import ops

from pellucid.models import backend
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Tensor


def xent(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy at the label: log sum_j exp(z_j) - z_y = log(1 + sum_{j != y} exp(z_j - z_y)).

    The second form is computed, as m + log1p(sum_{j != y} exp(z_j - z_y - m) + expm1(-m)) with m
    the margin if it is above 0, else 0. Its gradient at z_y is the sum of the other
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


def rounded_xent(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy at the label in the usual form, log sum_j exp(z_j) - z_y.

    Its gradient is that of the code of arXiv 1903.11626: at z_y it is p_y - 1, which float32 rounds
    to 0 where the other probabilities sum to less than 3e-8.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.

    Returns:
        `(n,)`.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    m = backend.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    total = ops.log(ops.sum(ops.exp(logits - m), axis=-1))
    return m[:, 0] + total - ops.sum(label * logits, axis=-1)


def cw(logits: Tensor, y: Tensor, confidence: float = 500.0, *, label_zero: bool = False) -> Tensor:
    """The margin loss of Carlini and Wagner: -relu(z_y - max_{j != y} z_j + confidence).

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.
        confidence: The margin by which another class must win before the loss is flat.
        label_zero: Whether the maximum also meets a zero in the label's place,
            max_j (1 - [j = y]) z_j, as in the code of arXiv 1903.11626. Where all other logits are
            negative, the gradient then lowers z_y and raises no other class.

    Returns:
        `(n,)`, at most 0.

    Reference: arXiv 1608.04644; arXiv 1903.11626.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    at_label = ops.sum(label * logits, axis=-1)
    in_place = 0.0 if label_zero else -float("inf")
    best_other = ops.max(ops.where(label > 0, in_place, logits), axis=-1)
    return -ops.relu(at_label - best_other + confidence)


def misclassified(logits: Tensor, y: Tensor) -> Tensor:
    """Whether the class of the highest logit is another than the label, `(n,)` bool."""
    return ops.cast(ops.argmax(logits, axis=-1), "int32") != ops.cast(y, "int32")


def _at(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class per example, `(n,)`."""
    return ops.sum(ops.one_hot(classes, logits.shape[-1], dtype="float32") * logits, axis=-1)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{j != y} z_j - z_y: above 0 if the example is misclassified.

    Args:
        logits: `(n, classes)`.
        y: `(n,)` integers.

    Returns:
        `(n,)`.
    """
    label = ops.one_hot(y, logits.shape[-1], dtype="float32")
    best_other = ops.max(ops.where(label > 0, -float("inf"), logits), axis=-1)
    return best_other - ops.sum(label * logits, axis=-1)


def _quotient(above: Tensor, below: Tensor) -> Tensor:
    """A quotient whose denominator, a difference of ordered logits, is zero if they are equal."""
    return above / ops.where(below > 0, below, ops.ones_like(below))


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """The difference of logits ratio: margin / (z_(1) - z_(3)), with z_(k) the k-th largest logit.

    It does not change when logits are scaled or shifted.

    Args:
        logits: `(n, classes)`, at least three classes.
        y: `(n,)` integers.

    Returns:
        `(n,)`.

    Raises:
        InputError: Fewer than three classes.

    Reference: Croce, Hein, arXiv 2003.01690. They add 1e-12 to the denominator, which would change
    the loss if logits are small.
    """
    if logits.shape[-1] < 3:
        raise InputError(f"The DLR loss needs at least 3 classes. Received {logits.shape[-1]}.")
    ordered = backend.largest(logits, 3)
    return _quotient(margin(logits, y), ordered[:, 0] - ordered[:, 2])


def margin_targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """z_target - z_y, `(n,)`; arguments as for `dlr_targeted`, any number of classes."""
    return _at(logits, target) - _at(logits, y)


def dlr_targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
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
    ordered = backend.largest(logits, 4)
    return _quotient(
        margin_targeted(logits, y, target), ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2
    )


UNTARGETED: dict[str, Callable[..., Tensor]] = {
    "xent": xent,
    "cw": cw,
    "dlr": dlr,
    "margin": margin,
}
"""Functions `(logits, y)`."""

TARGETED: dict[str, Callable[..., Tensor]] = {
    "dlr-targeted": dlr_targeted,
    "margin-targeted": margin_targeted,
}
"""Functions `(logits, y, target)`."""


def get(
    name: str, *, cw_label_zero: bool = False, xent_rounded: bool = False
) -> Callable[..., Tensor]:
    """The untargeted loss of that name.

    Args:
        name: A key of `UNTARGETED`.
        cw_label_zero: `label_zero`, if the loss is `cw`.
        xent_rounded: `rounded_xent` in place of `xent`.

    Raises:
        InputError: The name is unknown.
    """
    if name not in UNTARGETED:
        raise unknown("attack loss", name, UNTARGETED)
    if cw_label_zero and name == "cw":
        return functools.partial(cw, label_zero=True)
    if xent_rounded and name == "xent":
        return rounded_xent
    return UNTARGETED[name]
