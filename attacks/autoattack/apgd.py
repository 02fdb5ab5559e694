"""Auto-PGD: projected gradient ascent with momentum and a step that halves itself where it stops gaining."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.autoattack import randomness, stepping
from robust_interpretability.attacks.autoattack.stepping import State
from robust_interpretability.attacks.projections import (
    into_ball_and_box,
    l2_norm,
    per_image,
    steepest,
)
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError

MOMENTUM, FIRST, SHORTER, SHORTEST = 0.75, 0.22, 0.03, 0.06


def checkpoints(steps: int) -> list[int]:
    """The steps after which an image's step size is looked at.

    The first comes after 22 percent of the steps; every interval is 3 percentage points shorter
    than the one before, down to 6.

    Args:
        steps: Steps of a run.

    Returns:
        Rising step numbers, at most `steps`.
    """
    length, shorter, shortest = (max(int(share * steps), 1) for share in (FIRST, SHORTER, SHORTEST))
    found = [length]
    while found[-1] + (length := max(length - shorter, shortest)) <= steps:
        found.append(found[-1] + length)
    return found


def target_classes(logits: Any, y: Any, rank: Any) -> Any:
    """The class ranked `rank`-th among the others by the logits (1: the highest), `(n,)` int32."""
    others = ops.where(ops.one_hot(y, logits.shape[-1], dtype="float32") > 0, -float("inf"), logits)
    _, order = ops.top_k(others, logits.shape[-1] - 1)
    place = ops.one_hot(rank - 1, logits.shape[-1] - 1, dtype="int32")
    return ops.sum(ops.cast(order, "int32") * place, axis=-1)


def random_start(state: State, norm: str, share: float = 1.0) -> Any:
    """A point at `share` of the radius from `x` in a random direction (Linf: the largest change has that size)."""
    x, key = state["x"], randomness.fold_in(state["key"], state["run"])
    if norm == "l2":
        drawn = randomness.normal(key, x.shape[1:])
        size = l2_norm(drawn)
    else:
        drawn = 2.0 * randomness.uniform(key, x.shape[1:]) - 1.0
        size = ops.max(ops.abs(drawn), axis=tuple(range(1, len(x.shape))), keepdims=True)
    return ops.clip(x + share * per_image(state["radius"], x) * drawn / size, 0.0, 1.0)


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
            random. With more than one an image gets all steps: what one average calls broken, the
            next may not, so of the points found misclassified the one of highest loss is kept.
        rho: The share of steps that must raise the loss for the step size to stay.

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
        return self.restarts * (
            min(self.targets, classes - 1) if self.loss in losses.TARGETED else 1
        )

    def cost(self, i: Any, classes: int) -> tuple[Any, Any]:
        """Gradients and forward passes of a run after `i` steps."""
        return (i + 1) * self.transformations, int(self.loss in losses.TARGETED)

    def value(self, state: State) -> Any:
        """The highest loss met, `(n,)`."""
        return state["best_value"]

    def _evaluated(
        self, logits: Callable, state: State, point: Any, step: Any
    ) -> tuple[Any, Any, Any]:
        """Loss `(n,)`, its gradient and the logits at a point; averages over the transformations."""
        if self.loss in losses.TARGETED:
            loss = functools.partial(
                losses.TARGETED[self.loss], y=state["y"], target=state["target"]
            )
        else:
            loss = functools.partial(losses.get(self.loss), y=state["y"])

        def one(draw: Any) -> tuple[Any, Any, Any]:
            def total(x: Any) -> tuple[Any, tuple[Any, Any]]:
                z = logits(x) if self.transformations == 1 else logits(x, draw)
                each = loss(z)
                return ops.sum(each), (each, z)

            _, (each, z), gradient = backend.value_aux_and_gradient(total, point)
            return each, gradient, z

        found = one(step * self.transformations)
        if self.transformations > 1:
            summed = backend.fori_loop(
                self.transformations - 1,
                lambda k, sums: tuple(map(ops.add, sums, one(step * self.transformations + k + 1))),
                found,
            )
            found = tuple(part / self.transformations for part in summed)
        return found

    def _judged(self, state: State, point: Any, value: Any, z: Any, last: Any) -> State:
        """`stepping.judged`; with averages nobody is broken before the `last` step, `(n,)` bool."""
        if self.transformations == 1:
            return stepping.judged(state, self.steps, point, z)
        seen = stepping.judged(state, self.steps, point, z, keep=False)
        better = seen["broken"] & ~state["broken"] & (value > state["found_value"])
        found_value = ops.where(better, value, state["found_value"])
        found = stepping.chosen(better, point, state["found"])
        broken = state["broken"] | (last & (found_value > -float("inf")))
        return seen | {"found": found, "found_value": found_value, "broken": broken}

    def start(self, logits: Callable, state: State) -> State:
        """A random point on the ball's surface, clipped to the box; see `attacks.stepping`."""
        if self.loss in losses.TARGETED:
            state = state | {
                "target": target_classes(
                    logits(state["x"]), state["y"], state["run"] // self.restarts + 1
                )
            }
        point = random_start(state, self.norm)
        value, gradient, z = self._evaluated(logits, state, point, 0)
        zeros = ops.zeros_like(value)
        if self.transformations > 1:
            state = state | {"found_value": zeros - float("inf")}
        state = self._judged(state, point, value, z, last=zeros > 0)
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

    def step(self, logits: Callable, state: State) -> State:
        """One step, and what a checkpoint asks for; see `attacks.stepping`."""
        x, point, radius, i = (state[k] for k in ("x", "point", "radius", "i"))
        ahead = point + per_image(state["size"], x) * steepest(state["gradient"], self.norm)
        ahead = into_ball_and_box(ahead, x, radius, self.norm)
        pull = per_image(ops.where(i > 0, MOMENTUM, 1.0), x)
        new = point + pull * (ahead - point) + (1.0 - pull) * (point - state["before"])
        new = into_ball_and_box(new, x, radius, self.norm)
        value, gradient, z = self._evaluated(logits, state, new, ops.max(i) + 1)
        state = self._judged(state, new, value, z, last=i + 1 >= self.steps)

        gained = value > state["best_value"]
        wide = per_image(gained, x)
        best_point = ops.where(wide, new, state["best_point"])
        best_gradient = ops.where(wide, gradient, state["best_gradient"])
        best_value = ops.where(gained, value, state["best_value"])
        rises = state["rises"] + ops.cast(value > state["value"], "float32")

        marks = checkpoints(self.steps)
        lengths = np.zeros(self.steps + 1, np.float32)
        lengths[marks] = np.diff([0, *marks])
        length = ops.take(lengths, ops.minimum(i + 1, self.steps))
        now = length > 0
        stuck = ~state["halved"] & (best_value <= state["checked_value"])
        halve = now & ((rises < self.rho * length) | stuck)
        return state | {
            "point": stepping.chosen(halve, best_point, new),
            "before": point,
            "gradient": stepping.chosen(halve, best_gradient, gradient),
            "value": ops.where(halve, best_value, value),
            "best_point": best_point,
            "best_gradient": best_gradient,
            "best_value": best_value,
            "size": ops.where(halve, state["size"] / 2.0, state["size"]),
            "rises": ops.where(now, 0.0, rises),
            "checked_value": ops.where(now, best_value, state["checked_value"]),
            "halved": ops.where(now, halve, state["halved"]),
        }


def apgd(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    loss: str = "xent",
    steps: int = 100,
    restarts: int = 1,
    key: Any,
) -> Any:
    """Auto-PGD on a batch: for each image an example that is misclassified, else the one of highest loss.

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
    attack = Apgd(norm, loss, steps, restarts)
    state = stepping.whole(attack, logits(x).shape[-1], logits, x, y, epsilon=epsilon, key=key)
    return backend.stop_gradient(
        ops.where(per_image(state["broken"], x), state["found"], state["best_point"])
    )
