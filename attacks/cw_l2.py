"""Carlini and Wagner's attack: the smallest L2 change, by gradient descent on length and margin."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.boundary import FAR
from pellucid.attacks.projections import axes_of, change_norm
from pellucid.models import backend
from pellucid.models.adam import Adam, adam_start, adam_step
from pellucid.models.errors import InputError
from pellucid.models.types import Tensor

EDGE = 1e-6
"""Distance, on [-1, 1], of starting points from the box's walls, which lie at infinite w."""

ADAM_EPSILON = 1e-8
"""Added to the root of Adam's second moment, as in the paper's code."""

GROWTH = 10.0
"""Factor of c as long as no adversarial example is known."""


def cw_l2(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str = "l2",
    steps: int = 1000,
    searches: int = 9,
    learning_rate: float = 0.01,
    weight: float = 1e-3,
    confidence: float = 0.0,
    key: Tensor | None = None,
) -> Tensor:
    """Minimises ||x' - x||^2 + c max(z_y - max_{j != y} z_j, -confidence) over w with Adam.

    x' = (tanh(w) + 1) / 2 stays in the box. For each image c grows tenfold until an adversarial
    example is known, and is then bisected. The result is the smallest misclassified change, and the
    image if that is longer than the radius.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`; may be infinite.
        norm: `"l2"`.
        steps: Steps of Adam for each c.
        searches: How many values of c are tried.
        learning_rate: Adam's, in w.
        weight: The first c.
        confidence: The margin by which another class must win.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: Another norm.

    Reference: Carlini, Wagner, arXiv 1608.04644 (without their stop when the loss no longer falls).
    """
    if norm != "l2":
        raise InputError(f"`cw_l2` supports the norm 'l2' only. Received '{norm}'.")
    start = ops.arctanh(ops.clip(2.0 * x - 1.0, -1.0 + EDGE, 1.0 - EDGE))
    ones = ops.ones_like(change_norm(x, "l2"))

    def search(_: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        low, high, c, best, shortest = state

        def total(w: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            point = (ops.tanh(w) + 1.0) / 2.0
            margin = losses.margin(logits(point), y)
            length = ops.sum(ops.square(point - x), axis=axes_of(x))
            return ops.sum(length + c * ops.relu(confidence - margin)), (point, margin, length)

        def step(
            _: Tensor, moving: tuple[Tensor, Adam, Tensor, Tensor, Tensor]
        ) -> tuple[Tensor, Adam, Tensor, Tensor, Tensor]:
            w, adam, hit, best, shortest = moving
            _, (point, margin, length), gradient = backend.value_aux_and_gradient(total, w)
            won = (margin > 0) & (margin >= confidence)
            nearer = won & (length < shortest)
            w, adam = adam_step(w, gradient, adam, learning_rate, epsilon=ADAM_EPSILON)
            best = backend.select(nearer, point, best)
            return w, adam, hit | won, best, ops.where(nearer, length, shortest)

        before = (start, adam_start(x), ones < 0, best, shortest)
        _, _, hit, best, shortest = backend.fori_loop(steps, step, before)

        high = ops.where(hit, ops.minimum(high, c), high)
        low = ops.where(hit, low, ops.maximum(low, c))
        c = ops.where(high < FAR, (low + high) / 2.0, GROWTH * c)
        return low, high, c, best, shortest

    # Nothing is shorter than no change, where the image is misclassified already.
    shortest = ops.where(losses.margin(logits(x), y) > 0, 0.0, FAR)
    before = (0.0 * ones, FAR * ones, weight * ones, x, shortest)
    _, _, _, best, _ = backend.fori_loop(searches, search, before)
    within = change_norm(best - x, "l2") <= ops.cast(epsilon, "float32") + 0.0 * ones
    return backend.stop_gradient(backend.select(within, best, x))
