"""Auto-PGD: projected gradient ascent with momentum, whose step is halved when it stops gaining."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.autoattack import randomness, stepping
from pellucid.attacks.autoattack.stepping import State
from pellucid.attacks.projections import into_ball_and_box, per_image, steepest
from pellucid.attacks.starts import at_distance
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.types import Tensor

LOSSES = (*losses.UNTARGETED, *losses.TARGETED)
"""The losses that `apgd` takes."""

MOMENTUM = 0.75
"""Weight of the gradient step; the rest goes to the last change."""

FIRST = 0.22
"""The first checkpoint, as a share of all steps."""

SHORTER = 0.03
"""By how much each interval is shorter than the one before, as a share of all steps."""

SHORTEST = 0.06
"""The shortest interval, as a share of all steps."""


def checkpoints(steps: int) -> list[int]:
    """The steps after which an image's step size may be halved.

    p_1 = 0.22 and p_{j+1} = p_j + max(p_j - p_{j-1} - 0.03, 0.06), as shares of all steps: the
    first interval is 22 percent of the steps long, and every interval is 3 percentage points
    shorter than the one before, down to 6. Each length is rounded down, and at least one step.

    Args:
        steps: Steps of a run.

    Returns:
        Rising step numbers, at most `steps`.
    """
    length, shorter, shortest = (max(int(share * steps), 1) for share in (FIRST, SHORTER, SHORTEST))
    marks = [length]
    while marks[-1] + (length := max(length - shorter, shortest)) <= steps:
        marks.append(marks[-1] + length)
    return marks


def target_classes(logits: Tensor, y: Tensor, rank: Tensor) -> Tensor:
    """The class ranked `rank`-th among the others by the logits (1: the highest), `(n,)` int32."""
    others = ops.where(ops.one_hot(y, logits.shape[-1], dtype="float32") > 0, -float("inf"), logits)
    _, order = ops.top_k(others, logits.shape[-1] - 1)
    place = ops.one_hot(rank - 1, logits.shape[-1] - 1, dtype="int32")
    return ops.sum(ops.cast(order, "int32") * place, axis=-1)


@dataclass(frozen=True)
class Apgd:
    """Auto-PGD as an iterative attack.

    Attributes:
        norm: `"l2"` or `"linf"`.
        loss: `"xent"`, `"cw"`, `"margin"`, `"dlr"`, or towards targets `"dlr-targeted"`,
            `"margin-targeted"`.
        steps: Steps of a run.
        restarts: Random starts, for each target.
        targets: How many of the classes ranked highest on the clean image are tried, one after the
            other.
        transformations: Gradients that are averaged at each point, for a model that draws at
            random. With more than one an image gets all steps: what one average misclassifies, the
            next may not, so the result is the misclassified point of highest loss.
        rho: The share of an interval's steps that must raise the loss for the step size to stay.

    Reference: Croce, Hein, arXiv 2003.01690, algorithm 1.
    """

    norm: str
    loss: str = "xent"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    transformations: int = 1
    rho: float = 0.75

    def runs(self, classes: int) -> int:
        """Restarts, for each of at most `classes - 1` targets."""
        targets = min(self.targets, classes - 1) if self.loss in losses.TARGETED else 1
        return self.restarts * targets

    def cost(self, i: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Gradients and forward passes of a run after `i` steps."""
        return (i + 1) * self.transformations, int(self.loss in losses.TARGETED)

    def value(self, state: State) -> Tensor:
        """The highest loss so far, `(n,)`."""
        return state["best_value"]

    def _evaluated(
        self, logits: Callable[..., Tensor], state: State, point: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss `(n,)`, its gradient and the logits at a point, averaged over transformations."""
        if self.loss in losses.TARGETED:
            targeted = losses.TARGETED[self.loss]
            loss = functools.partial(targeted, y=state["y"], target=state["target"])
        else:
            loss = functools.partial(losses.get(self.loss), y=state["y"])

        def one(draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            def total(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
                z = logits(x) if self.transformations == 1 else logits(x, draw)
                values = loss(z)
                return ops.sum(values), (values, z)

            _, (values, z), gradient = backend.value_aux_and_gradient(total, point)
            return values, gradient, z

        first = step * self.transformations
        if self.transformations == 1:
            return one(first)
        sums = backend.fori_loop(
            self.transformations - 1,
            lambda k, sums: tuple(map(ops.add, sums, one(first + k + 1))),
            one(first),
        )
        loss_mean, gradient_mean, z_mean = (part / self.transformations for part in sums)
        return loss_mean, gradient_mean, z_mean

    def _with_success(
        self, state: State, point: Tensor, value: Tensor, z: Tensor, last: Tensor
    ) -> State:
        """`stepping.with_success`; averages succeed at the `last` step only, `(n,)` bool."""
        if self.transformations == 1:
            return stepping.with_success(state, self.steps, point, z)
        here = stepping.with_success(state, self.steps, point, z, store=False)
        better = here["success"] & ~state["success"] & (value > state["x_adv_value"])
        x_adv_value = ops.where(better, value, state["x_adv_value"])
        return here | {
            "x_adv": backend.select(better, point, state["x_adv"]),
            "x_adv_value": x_adv_value,
            "success": state["success"] | (last & (x_adv_value > -float("inf"))),
        }

    def start(self, logits: Callable[..., Tensor], state: State) -> State:
        """A random point on the ball's surface, clipped to the box; see `stepping`."""
        if self.loss in losses.TARGETED:
            rank = state["run"] // self.restarts + 1
            targets = target_classes(logits(state["x"]), state["y"], rank)
            state = state | {"target": targets}
        key = randomness.fold_in(state["key"], state["run"])
        point = at_distance(state["x"], state["radius"], self.norm, key)
        value, gradient, z = self._evaluated(logits, state, point, 0)
        zeros = ops.zeros_like(value)
        if self.transformations > 1:
            state = state | {"x_adv_value": zeros - float("inf")}
        state = self._with_success(state, point, value, z, last=zeros > 0)
        return state | {
            "point": point,
            "before": point,
            "gradient": gradient,
            "value": value,
            "best_point": point,
            "best_gradient": gradient,
            "best_value": value,
            "size": 2.0 * state["radius"],
            "rises": zeros,
            "checked_value": value,
            "halved": zeros > 0,
        }

    def step(self, logits: Callable[..., Tensor], state: State) -> State:
        """One step, and what a checkpoint asks for; see `stepping`."""
        x, point, radius, i = (state[k] for k in ("x", "point", "radius", "i"))

        # z = P(x_t + size * u), then x_{t+1} = P(x_t + a (z - x_t) + (1 - a) (x_t - x_{t-1})),
        # with u the steepest direction and a = 0.75, but 1 at the first step.
        ahead = point + per_image(state["size"], x) * steepest(state["gradient"], self.norm)
        ahead = into_ball_and_box(ahead, x, radius, self.norm)
        pull = per_image(ops.where(i > 0, MOMENTUM, 1.0), x)
        new = point + pull * (ahead - point) + (1.0 - pull) * (point - state["before"])
        new = into_ball_and_box(new, x, radius, self.norm)
        value, gradient, z = self._evaluated(logits, state, new, ops.max(i) + 1)
        state = self._with_success(state, new, value, z, last=i + 1 >= self.steps)

        gained = value > state["best_value"]
        best_point = backend.select(gained, new, state["best_point"])
        best_gradient = backend.select(gained, gradient, state["best_gradient"])
        best_value = ops.where(gained, value, state["best_value"])
        rises = state["rises"] + ops.cast(value > state["value"], "float32")

        # The length of the interval that ends with this step, 0 if none does: images that share a
        # batch may be at different steps.
        marks = checkpoints(self.steps)
        lengths = np.zeros(self.steps + 1, np.float32)
        lengths[marks] = np.diff([0, *marks])
        length = ops.take(lengths, ops.minimum(i + 1, self.steps))
        at_checkpoint = length > 0

        # At a checkpoint the step size is halved, and the search returns to the best point, if
        #   1. fewer than the share rho of the interval's steps have raised the loss, or
        #   2. the size was not halved at the last checkpoint, and the highest loss is the same.
        stuck = ~state["halved"] & (best_value <= state["checked_value"])
        halve = at_checkpoint & ((rises < self.rho * length) | stuck)
        return state | {
            "point": backend.select(halve, best_point, new),
            "before": point,
            "gradient": backend.select(halve, best_gradient, gradient),
            "value": ops.where(halve, best_value, value),
            "best_point": best_point,
            "best_gradient": best_gradient,
            "best_value": best_value,
            "size": ops.where(halve, state["size"] / 2.0, state["size"]),
            "rises": ops.where(at_checkpoint, 0.0, rises),
            "checked_value": ops.where(at_checkpoint, best_value, state["checked_value"]),
            "halved": ops.where(at_checkpoint, halve, state["halved"]),
        }


def apgd(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    loss: str = "xent",
    steps: int = 100,
    restarts: int = 1,
    key: Tensor,
) -> Tensor:
    """x_{t+1} = P(x_t + a (P(x_t + s_t u(x_t)) - x_t) + (1 - a) (x_t - x_{t-1})), a = 0.75.

    u is the steepest direction of the loss in the norm, P the projection into ball and box, and s_t
    the step size, 2 epsilon at first and halved at some `checkpoints`. The result is the first
    misclassified point, or else the one of highest loss.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        loss: `"xent"`, `"cw"`, `"margin"`, `"dlr"`, or towards the nine classes ranked highest on
            the clean image `"dlr-targeted"`, `"margin-targeted"`.
        steps: Steps of a run.
        restarts: Runs; with targets, runs towards each.
        key: Random key.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: Too few classes for the loss; an unknown norm or loss.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    if restarts < 1 or steps < 1:
        raise InputError(
            f"`restarts` and `steps` must be at least 1. Received {restarts} and {steps}."
        )
    check_norm(norm)
    attack = Apgd(norm, loss, steps, restarts)
    state = stepping.best_run(attack, logits, x, y, epsilon=epsilon, key=key)
    x_adv = backend.select(state["success"], state["x_adv"], state["best_point"])
    return backend.stop_gradient(x_adv)
