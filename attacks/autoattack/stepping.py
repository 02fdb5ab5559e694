"""Iterative attacks as a start and a step, so that images can enter and leave a batch at any step.

A state is a dictionary of tensors whose first axis is the images'. Every attack's state has

    x, y, key, radius   the image, its label, its key (`attacks.randomness`) and its radius
    run                 which of the attack's runs (a target, a restart) this is
    i                   steps done; stands still once the image is broken
    broken              whether an example within the radius is misclassified, and
    found               that example
    finite              whether all logits so far were finite numbers

and what the attack needs besides. No image's rows depend on another's, so a state can be cut and
joined freely.
"""

from collections.abc import Callable
from typing import Any, Protocol

from keras import ops

from robust_interpretability.attacks.projections import per_image
from robust_interpretability.models import backend

State = dict[str, Any]


class Steps(Protocol):
    """An iterative attack; hashable.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Steps of one run.
    """

    @property
    def norm(self) -> str: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102

    def runs(self, classes: int) -> int:
        """How many runs an image gets that is not broken before."""

    def cost(self, i: Any, classes: int) -> tuple[Any, Any]:
        """Gradients and forward passes of a run after `i` steps."""

    def value(self, state: State) -> Any:
        """How well a run did, `(n,)`: the run of highest value is kept."""

    def start(self, logits: Callable, state: State) -> State:
        """The state before the first step, from one with `x, y, key, radius, run` and what `begin` adds."""

    def step(self, logits: Callable, state: State) -> State:
        """The state after one more step."""


def given(x: Any, y: Any, key: Any, radius: Any, run: Any) -> State:
    """The part of a state that an attack is given; shapes `(n, ...)` and `(n,)`."""
    return {
        "x": x,
        "y": ops.cast(y, "int32"),
        "key": key,
        "radius": ops.cast(radius, "float32"),
        "run": run,
        "i": ops.zeros_like(run),
        "broken": run < 0,
        "found": x,
        "finite": run >= 0,
    }


def chosen(which: Any, new: Any, old: Any) -> Any:
    """`new` for some of the images, `(n,)` bool, and `old` for the others; quick where there is none."""
    return ops.cond(ops.any(which), lambda: ops.where(per_image(which, new), new, old), lambda: old)


def active(state: State, steps: int) -> Any:
    """Which images the attack still works on, `(n,)` bool."""
    return ops.logical_and(ops.logical_and(~state["broken"], state["finite"]), state["i"] < steps)


def judged(
    state: State, steps: int, point: Any, logits: Any, within: Any = None, keep: bool = True
) -> State:
    """The state with what the logits at a point show: who is broken there, and whose logits are no numbers.

    Args:
        state: The state.
        steps: Steps of a run.
        point: Points `(n, ...)` in the ball and the box.
        logits: Logits there, `(n, classes)`.
        within: Where a point need not lie in the ball, whether it does, `(n,)` bool.
        keep: Whether to write the point down where it breaks an image; an attack may do so itself.
    """
    working = active(state, steps)
    finite = ops.all(ops.isfinite(logits), axis=-1)
    wrong = ops.cast(ops.argmax(logits, axis=-1), "int32") != state["y"]
    broken = working & finite & (wrong if within is None else wrong & within)
    found = {"found": chosen(broken, point, state["found"])} if keep else {}
    return (
        state
        | found
        | {
            "broken": state["broken"] | broken,
            "finite": state["finite"] & (finite | ~working),
        }
    )


def advance(attack: Steps, logits: Callable, state: State, count: Any) -> State:
    """The state after `count` more steps (an integer or a scalar tensor); what images done before found stays."""

    def one(_: Any, state: State) -> State:
        working = active(state, attack.steps)
        after = attack.step(logits, state)
        return after | {"i": state["i"] + ops.cast(working, "int32")}

    return backend.fori_loop(count, one, state)


def whole(
    attack: Steps, classes: int, logits: Callable, x: Any, y: Any, *, epsilon: Any, key: Any
) -> State:
    """All runs of an attack on a batch; the state of each image's best, a broken one or that of highest value."""
    radius = ops.cast(epsilon, "float32") + ops.zeros_like(x[:, *[0] * (len(x.shape) - 1)])
    keys = ops.cast(backend.uniform(key, ops.shape(radius)) * 2**24, "uint32")
    zeros = ops.cast(ops.zeros_like(radius), "int32")

    def one(run: Any) -> State:
        state = attack.start(logits, given(x, y, keys, radius, zeros + ops.cast(run, "int32")))
        return advance(attack, logits, state, attack.steps)

    def better(run: Any, best: State) -> State:
        new = one(run + 1)
        keep = best["broken"] | (attack.value(best) >= attack.value(new)) & ~new["broken"]
        return {k: ops.where(per_image(keep, v), best[k], v) for k, v in new.items()}

    return backend.fori_loop(attack.runs(classes) - 1, better, one(0))
