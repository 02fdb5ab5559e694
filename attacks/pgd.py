"""Projected gradient descent on the negative loss, in the paper's form."""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.projections import into_ball_and_box, per_image, steepest
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError, unknown


def drawn_start(x: Any, epsilon: Any, norm: str, key: Any) -> Any:
    """A point drawn uniformly from the ball, clipped to the box."""
    radius = per_image(ops.cast(epsilon, "float32"), x)
    if norm == "linf":
        return ops.clip(x + radius * backend.uniform(key, ops.shape(x), -1.0, 1.0), 0.0, 1.0)
    dimensions = math.prod(x.shape[1:])
    direction = steepest(backend.normal(backend.fold_in(key, 1), ops.shape(x)), norm)
    length = backend.uniform(backend.fold_in(key, 2), ops.shape(x)[:1]) ** (1.0 / dimensions)
    return ops.clip(x + radius * per_image(length, x) * direction, 0.0, 1.0)


def pgd(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    loss: str = "xent",
    steps: int = 40,
    step_size: Any,
    random_start: bool = False,
    restarts: int = 1,
    key: Any = None,
) -> Any:
    """x_{t+1} = clip(x + P(x_t + step_size * u(x_t) - x), 0, 1), u the steepest direction, P the ball's projection.

    With restarts, an image keeps the run that changes its prediction, among those the one of
    highest loss.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: `"xent"` or `"cw"`.
        steps: Number of gradient steps.
        step_size: Length of a step in pixel units; it may exceed the radius, as in the paper.
        random_start: Start from a random point of the ball instead of from `x`.
        restarts: Number of runs; more than one needs `random_start`.
        key: Random key, for `random_start`.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: Several restarts without a random start.

    Reference: arXiv 1706.06083; arXiv 1903.11626 (no random start, 40 steps).
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))
    if restarts > 1 and not random_start:
        raise InputError(
            "`restarts` above 1 needs `random_start`: without it every run is the same."
        )
    objective = losses.get(loss)

    def step(_: Any, x_adv: Any) -> Any:
        _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), x_adv)
        return into_ball_and_box(x_adv + step_size * steepest(gradient, norm), x, epsilon, norm)

    def one_run(run: Any) -> Any:
        start = drawn_start(x, epsilon, norm, backend.fold_in(key, run)) if random_start else x
        return backend.fori_loop(steps, step, start)

    if restarts == 1:
        return backend.stop_gradient(one_run(0))

    def judge(x_adv: Any) -> tuple[Any, Any]:
        z = logits(x_adv)
        return ops.cast(ops.argmax(z, axis=-1), "int32") != ops.cast(y, "int32"), objective(z, y)

    def better(run: Any, best: Any) -> Any:
        x_adv = one_run(run + 1)
        (wrong, value), (best_wrong, best_value) = judge(x_adv), judge(best)
        wins = (wrong & ~best_wrong) | ((wrong == best_wrong) & (value > best_value))
        return ops.where(per_image(wins, x), x_adv, best)

    return backend.stop_gradient(backend.fori_loop(restarts - 1, better, one_run(0)))
