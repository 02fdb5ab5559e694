"""Projected gradient descent on the negative loss, in the paper's form."""

from collections.abc import Callable

from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.projections import into_ball_and_box, per_image, steepest
from pellucid.attacks.starts import uniform_in_ball
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.types import Tensor

RELATIVE = 2.5
"""Length of all default steps together, in radii: from any start the ball can be crossed."""


def pgd(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    loss: str = "xent",
    steps: int = 40,
    step_size: Tensor | float | None = None,
    random_start: bool = False,
    restarts: int = 1,
    cw_label_zero: bool = False,
    xent_rounded: bool = False,
    direction_floor: float = 0.0,
    key: Tensor | None = None,
) -> Tensor:
    """x_{t+1} = clip(x + P(x_t + a * u(x_t) - x), 0, 1), a the step size, P the ball's projection.

    u is the steepest direction of the loss in the norm. With restarts, the result is the run that
    changes an image's prediction, and among several such runs the one of highest loss.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: A name in `losses.UNTARGETED`.
        steps: Number of gradient steps.
        step_size: Length of a step in pixel units, a scalar or `(n,)`; it may exceed the radius, as
            in the paper. None: 2.5 * epsilon / steps.
        random_start: Start from a random point of the ball instead of from `x`.
        restarts: Number of runs; more than one needs `random_start`.
        cw_label_zero: Whether in the loss `cw` the label counts among the other classes, with a
            logit of zero, as in the code of arXiv 1903.11626.
        xent_rounded: Whether the gradient of the loss `xent` is computed as in that code, which
            float32 rounds where the network is confident (`losses.rounded_xent`).
        direction_floor: What is added to the gradient's L2 norm before the gradient is divided by
            it, per pixel unit. That code adds 1e-8 on pixels in [-1, 1], which is 2e-8 here: where
            the network is confident, its steps are shorter.
        key: Random key, for `random_start`.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm or loss; several restarts without a random start; a floor
            below 0.

    Reference: arXiv 1706.06083; arXiv 1903.11626 (no random start, 40 steps).
    """
    check_norm(norm)
    if restarts > 1 and not random_start:
        raise InputError(
            "`restarts` above 1 needs `random_start`: without it every run is the same."
        )
    if direction_floor < 0:
        raise InputError(f"`direction_floor` must be at least 0. Received {direction_floor}.")
    objective = losses.get(loss, cw_label_zero=cw_label_zero, xent_rounded=xent_rounded)
    length = RELATIVE * epsilon / steps if step_size is None else step_size
    a = per_image(ops.cast(length, "float32"), x)

    def step(_: Tensor, x_adv: Tensor) -> Tensor:
        _, gradient = backend.value_and_gradient(lambda z: ops.sum(objective(logits(z), y)), x_adv)
        direction = steepest(gradient, norm, direction_floor)
        return into_ball_and_box(x_adv + a * direction, x, epsilon, norm)

    def one_run(run: Tensor | int) -> Tensor:
        start = x
        if random_start:
            start = uniform_in_ball(x, epsilon, norm, backend.fold_in(key, run))
        return backend.fori_loop(steps, step, start)

    def score(x_adv: Tensor) -> tuple[Tensor, Tensor]:
        z = logits(x_adv)
        return losses.misclassified(z, y), objective(z, y)

    def better(run: Tensor, best: Tensor) -> Tensor:
        x_adv = one_run(run + 1)
        (wrong, value), (best_wrong, best_value) = score(x_adv), score(best)
        wins = (wrong & ~best_wrong) | ((wrong == best_wrong) & (value > best_value))
        return backend.select(wins, x_adv, best)

    x_adv = one_run(0)
    if restarts > 1:
        x_adv = backend.fori_loop(restarts - 1, better, x_adv)
    return backend.stop_gradient(x_adv)
