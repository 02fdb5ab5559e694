"""Carlini and Wagner's attack: the smallest L2 change, by gradient descent on its length and the margin."""

from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.autoattack.fab import FAR, change_norm
from robust_interpretability.attacks.projections import per_image
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError

EDGE = 1e-6
"""How near to the walls of the box, on [-1, 1], a starting point may lie: the transform takes walls to infinity."""
BETA_1, BETA_2, FLOOR = 0.9, 0.999, 1e-8


def cw_l2(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str = "l2",
    steps: int = 1000,
    searches: int = 9,
    learning_rate: Any = 0.01,
    weight: float = 1e-3,
    confidence: float = 0.0,
    key: Any = None,
) -> Any:
    """The smallest misclassified change found; the image itself where it is longer than the radius.

    Adam minimises ||x' - x||^2 + c max(z_y - max_{j != y} z_j, -confidence) over w, with x' =
    (tanh(w) + 1) / 2, which keeps to the box. c grows tenfold for an image until an example is
    found, and is then bisected.

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
        confidence: The margin by which another class shall win.
        key: Not used; every attack takes one.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: Another norm.

    Reference: Carlini, Wagner, arXiv 1608.04644 (without their stop where the loss no longer
    falls).
    """
    if norm != "l2":
        raise InputError(f"`cw_l2` knows the norm 'l2'. Received '{norm}'.")
    start = ops.arctanh(ops.clip(2.0 * x - 1.0, -1.0 + EDGE, 1.0 - EDGE))
    ones = ops.ones_like(change_norm(x, "l2"))

    def at(w: Any) -> Any:
        return (ops.tanh(w) + 1.0) / 2.0

    def search(_: Any, state: tuple) -> tuple:
        low, high, c, best, shortest = state

        def total(w: Any) -> tuple[Any, Any]:
            point = at(w)
            margin = losses.margin(logits(point), y)
            length = ops.sum(ops.square(point - x), axis=tuple(range(1, len(x.shape))))
            return ops.sum(length + c * ops.relu(confidence - margin)), (point, margin, length)

        def step(i: Any, moving: tuple) -> tuple:
            w, first, second, hit, best, shortest = moving
            _, (point, margin, length), gradient = backend.value_aux_and_gradient(total, w)
            won = (margin > 0) & (margin >= confidence)
            nearer = won & (length < shortest)
            first = BETA_1 * first + (1 - BETA_1) * gradient
            second = BETA_2 * second + (1 - BETA_2) * ops.square(gradient)
            t = ops.cast(i, "float32") + 1.0
            pace = learning_rate * ops.sqrt(1.0 - BETA_2**t) / (1.0 - BETA_1**t)
            w = w - pace * first / (ops.sqrt(second) + FLOOR)
            best = ops.where(per_image(nearer, x), point, best)
            return w, first, second, hit | won, best, ops.where(nearer, length, shortest)

        zeros = ops.zeros_like(x)
        begun = (start, zeros, zeros, ones < 0, best, shortest)
        _, _, _, hit, best, shortest = backend.fori_loop(steps, step, begun)
        high, low = (
            ops.where(hit, ops.minimum(high, c), high),
            ops.where(hit, low, ops.maximum(low, c)),
        )
        c = ops.where(high < FAR, (low + high) / 2.0, 10.0 * c)
        return low, high, c, best, shortest

    clean = ops.where(
        losses.margin(logits(x), y) > 0, 0.0, FAR
    )  # nothing is shorter than no change
    begun = (0.0 * ones, FAR * ones, weight * ones, x, clean)
    _, _, _, best, _ = backend.fori_loop(searches, search, begun)
    within = change_norm(best - x, "l2") <= ops.cast(epsilon, "float32") + 0.0 * ones
    return backend.stop_gradient(ops.where(per_image(within, x), best, x))
