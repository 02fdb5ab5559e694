"""Iterative attacks as a start and a step, so that images can enter and leave a batch at any step.

A state is a dictionary of tensors whose first axis is the images'. Every attack's state has

    x, y, key, radius   the image, its label, its key (`randomness`) and its radius
    run                 which of the attack's runs (a target, a restart) this is
    i                   steps done; stands still once the attack has succeeded
    success             whether an example within the radius is misclassified, and
    x_adv               that example
    finite              whether all logits so far were finite numbers

and what the attack needs besides. No image's rows depend on another's, so a state can be cut and
joined freely.
"""

from collections.abc import Callable
from typing import Protocol

from keras import ops

from pellucid.attacks.losses import misclassified
from pellucid.models import backend
from pellucid.models.types import Tensor

State = dict[str, Tensor]


class IterativeAttack(Protocol):
    """An attack as a start and a step; hashable.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Steps of one run.
    """

    @property
    def norm(self) -> str: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102

    def runs(self, classes: int) -> int:
        """How many runs an image gets if none succeeds."""

    def cost(self, i: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Gradients and forward passes of a run after `i` steps."""

    def value(self, state: State) -> Tensor:
        """How well a run did, `(n,)`: that of highest value is the best."""

    def start(self, logits: Callable[..., Tensor], state: State) -> State:
        """The state before the first step, from an `initial_state`."""

    def step(self, logits: Callable[..., Tensor], state: State) -> State:
        """The state after one more step."""


def initial_state(x: Tensor, y: Tensor, key: Tensor, radius: Tensor, run: Tensor) -> State:
    """What all attacks' states have in common, before the first step.

    Args:
        x: Images in [0, 1], `(n, ...)`.
        y: Labels, `(n,)`.
        key: Random keys, `(n,)` uint32.
        radius: Radii in pixel units, `(n,)`.
        run: Numbers of the runs, `(n,)` int32.
    """
    return {
        "x": x,
        "y": ops.cast(y, "int32"),
        "key": key,
        "radius": ops.cast(radius, "float32"),
        "run": run,
        "i": ops.zeros_like(run),
        "success": run < 0,
        "x_adv": x,
        "finite": run >= 0,
    }


def active(state: State, steps: int) -> Tensor:
    """Which images the attack still works on, `(n,)` bool."""
    return ops.logical_and(ops.logical_and(~state["success"], state["finite"]), state["i"] < steps)


def with_success(
    state: State,
    steps: int,
    point: Tensor,
    logits: Tensor,
    *,
    within: Tensor | None = None,
    store: bool = True,
) -> State:
    """The state with what the logits at a point show: success, and logits that are not finite.

    Args:
        state: The state.
        steps: Steps of a run.
        point: Points `(n, ...)` in the ball and the box.
        logits: Logits there, `(n, classes)`.
        within: For points that may lie outside the ball: whether they lie in it, `(n,)` bool.
        store: Whether a misclassified point becomes `x_adv`; an attack may see to that itself.
    """
    working = active(state, steps)
    finite = ops.all(ops.isfinite(logits), axis=-1)
    wrong = misclassified(logits, state["y"])
    success = working & finite & (wrong if within is None else wrong & within)

    after = state | {
        "success": state["success"] | success,
        "finite": state["finite"] & (finite | ~working),
    }
    if store:
        after["x_adv"] = backend.select(success, point, state["x_adv"])
    return after


def advance(
    attack: IterativeAttack, logits: Callable[..., Tensor], state: State, count: Tensor | int
) -> State:
    """The state after `count` more steps; rows that are done keep `x_adv`, `success` and `i`."""

    def one(_: Tensor, state: State) -> State:
        working = active(state, attack.steps)
        after = attack.step(logits, state)
        return after | {"i": state["i"] + ops.cast(working, "int32")}

    return backend.fori_loop(count, one, state)


def best_run(
    attack: IterativeAttack,
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    key: Tensor,
) -> State:
    """All runs of an attack on a batch, and the final state of each image's best.

    The best run is the first successful one, or else that of highest value.

    Args:
        attack: The attack.
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        key: The backend's random key.
    """
    classes = logits(x).shape[-1]
    radius = ops.cast(epsilon, "float32") + ops.zeros_like(x[:, *[0] * (len(x.shape) - 1)])
    keys = ops.cast(backend.uniform(key, ops.shape(radius)) * 2**24, "uint32")
    zeros = ops.cast(ops.zeros_like(radius), "int32")

    def one(run: Tensor | int) -> State:
        before = initial_state(x, y, keys, radius, zeros + ops.cast(run, "int32"))
        return advance(attack, logits, attack.start(logits, before), attack.steps)

    def better(run: Tensor, best: State) -> State:
        new = one(run + 1)
        stays = best["success"] | (attack.value(best) >= attack.value(new)) & ~new["success"]
        return {k: backend.select(stays, best[k], v) for k, v in new.items()}

    return backend.fori_loop(attack.runs(classes) - 1, better, one(0))
