"""The fast adaptive boundary attack: steps onto the linearised decision boundary, close to the clean image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.autoattack import stepping
from robust_interpretability.attacks.autoattack.apgd import random_start, target_classes
from robust_interpretability.attacks.autoattack.stepping import State
from robust_interpretability.attacks.projections import l2_norm, per_image
from robust_interpretability.models import backend
from robust_interpretability.models.errors import unknown

FAR = 1e10
ROUNDING = 1e-6
"""Share of a distance that counts as reached."""
MOST_STEPS = 40
BISECTIONS = 12


def change_norm(change: Any, norm: str) -> Any:
    """The norm of each change, `(n,)`."""
    if norm == "l2":
        return ops.reshape(l2_norm(change), (-1,))
    return ops.max(ops.abs(change), axis=tuple(range(1, len(change.shape))))


def onto_hyperplane(x: Any, weights: Any, rise: Any, norm: str) -> Any:
    """The shortest change d with weights . d = rise and 0 <= x + d <= 1; where the box holds none, the nearest to it.

    With s = sign(rise), d_i = s sign(w_i) min(t v_i, r_i), where r_i is the room that the box
    leaves, v_i = |w_i| for L2 and 1 for Linf. s w . d is a concave, piecewise linear function of t,
    so Newton's method from t = 0 comes from below, and is exact once it knows which pixels are at
    the wall.

    Args:
        x: Points in the box, `(n, ...)`.
        weights: Normals, `(n, ...)`.
        rise: How much weights . x shall grow, `(n,)`.
        norm: `"l2"` or `"linf"`.

    Returns:
        `(n, ...)`.
    """
    axes = tuple(range(1, len(x.shape)))
    largest = ops.max(ops.abs(weights), axis=axes, keepdims=True)
    scale = ops.where(largest > 0, largest, ops.ones_like(largest))
    w = weights * per_image(ops.sign(rise), x) / scale
    goal = per_image(ops.abs(rise), x) / scale
    size = ops.abs(w)
    room = ops.where(w > 0, 1.0 - x, ops.where(w < 0, x, 0.0))
    pace = size if norm == "l2" else ops.ones_like(size)

    def short(t: Any) -> Any:
        return goal - ops.sum(size * ops.minimum(t * pace, room), axis=axes, keepdims=True)

    def newton(k: Any, t: Any, missing: Any) -> tuple[Any, Any, Any]:
        slope = ops.sum(ops.where(t * pace < room, size * pace, 0.0), axis=axes, keepdims=True)
        # no slope: every pixel is at the wall
        t = ops.minimum(
            t + ops.where(missing > 0, missing / ops.where(slope > 0, slope, 1.0), 0.0), FAR
        )
        missing = short(t)
        return k + 1, t, ops.where((missing > ROUNDING * goal) & (slope > 0), missing, 0.0)

    def on(k: Any, t: Any, missing: Any) -> Any:
        return (k < MOST_STEPS) & ops.any(missing > 0)

    _, t, _ = ops.while_loop(on, newton, (ops.zeros((), "int32"), ops.zeros_like(goal), goal))
    return ops.sign(w) * ops.minimum(t * pace, room)


def _towards(logits: Callable, point: Any, y: Any, target: Any) -> tuple[Any, Any]:
    """z_target - z_y at a point, `(n,)`, and its gradient there."""

    def total(x: Any) -> tuple[Any, Any]:
        each = losses.margin_targeted(logits(x), y, target)
        return ops.sum(each), each

    _, each, gradient = backend.value_aux_and_gradient(total, point)
    return each, gradient


def nearest_boundary(logits: Callable, point: Any, y: Any, norm: str) -> tuple[Any, Any, Any]:
    """The class whose linearised boundary is nearest to a point: |z_k - z_y| over the dual norm of its gradient.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        point: Points `(n, ...)`.
        y: The class to leave, `(n,)` integers.
        norm: `"l2"` or `"linf"`: of the distance.

    Returns:
        The distance `(n,)`, the margin z_k - z_y `(n,)` and its gradient `(n, ...)`.
    """
    axes = tuple(range(1, len(point.shape)))

    def nearer(k: Any, best: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        target = ops.zeros_like(y) + ops.cast(k, y.dtype)
        each, gradient = _towards(logits, point, y, target)
        length = (
            change_norm(gradient, "l2") if norm == "l2" else ops.sum(ops.abs(gradient), axis=axes)
        )
        far = ops.where(
            (length > 0) & (target != y), ops.abs(each) / ops.where(length > 0, length, 1.0), FAR
        )
        wins = far < best[0]
        return (
            ops.where(wins, far, best[0]),
            ops.where(wins, each, best[1]),
            ops.where(per_image(wins, point), gradient, best[2]),
        )

    zeros = 0.0 * change_norm(point, norm)
    return backend.fori_loop(
        logits(point).shape[-1], nearer, (zeros + FAR, zeros, ops.zeros_like(point))
    )


@dataclass(frozen=True)
class Fab:
    """FAB as an iterative attack.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Steps of a run.
        restarts: Runs for each target: the first from the clean image, others from random points at
            half the radius; without a radius (infinite), at 0.5.
        targets: How many of the classes ranked highest on the clean image are tried, one after the
            other; 0 for the untargeted attack, whose every step takes a gradient for each class.
        alpha_max: The largest weight of the way from the clean image.
        eta: How far beyond the hyperplane a step goes.
        beta: What is left of the change where the point is misclassified.
        early: Whether an image is done once it is broken within its radius; otherwise it gets all
            steps, for the smallest change.

    Reference: Croce, Hein, arXiv 1907.02044; targeted as in arXiv 2003.01690, without its final
    search.
    """

    norm: str
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    early: bool = True

    def runs(self, classes: int) -> int:
        """Restarts, for each of at most `classes - 1` targets."""
        return self.restarts * max(min(self.targets, classes - 1), 1)

    def cost(self, i: Any, classes: int) -> tuple[Any, Any]:
        """Gradients and forward passes of a run after `i` steps."""
        return i * (1 if self.targets else classes), i + 1

    def value(self, state: State) -> Any:
        """Minus the norm of the smallest change found, `(n,)`."""
        return -state["distance"]

    def start(self, logits: Callable, state: State) -> State:
        """The clean image, or a random point at half the radius; see `attacks.stepping`."""
        x, zeros = state["x"], ops.zeros_like(state["radius"])
        first = per_image(state["run"] % self.restarts == 0, x)
        near = state | {"radius": ops.where(ops.isfinite(state["radius"]), state["radius"], 1.0)}
        point = (
            x
            if self.restarts == 1
            else ops.where(first, x, random_start(near, self.norm, share=0.5))
        )
        z = logits(x)
        rank = state["run"] // self.restarts + 1
        state = state | {
            "target": target_classes(z, state["y"], rank),
            "point": point,
            "nearest": x,
            "distance": zeros + FAR,
        }
        clean = ops.cast(ops.argmax(z, axis=-1), "int32") != state["y"]
        state = stepping.judged(state, self.steps, x, z)
        return state | {"distance": ops.where(clean, 0.0, state["distance"])}

    def _boundary(self, logits: Callable, state: State) -> tuple[Any, Any]:
        """The margin `(n,)` and its gradient at the point: towards the target, or of the class that is nearest."""
        if self.targets:
            return _towards(logits, state["point"], state["y"], state["target"])
        return nearest_boundary(logits, state["point"], state["y"], self.norm)[1:]

    def step(self, logits: Callable, state: State) -> State:
        """One step onto the linearised boundary, and back where it is crossed; see `attacks.stepping`."""
        x, point = state["x"], state["point"]
        margin, gradient = self._boundary(logits, state)
        here = onto_hyperplane(point, gradient, -margin, self.norm)
        inner = ops.sum(gradient * (x - point), axis=tuple(range(1, len(x.shape))))
        clean = onto_hyperplane(x, gradient, -margin - inner, self.norm)
        lengths = [ops.maximum(change_norm(change, self.norm), 1e-8) for change in (here, clean)]
        alpha = per_image(ops.minimum(lengths[0] / (lengths[0] + lengths[1]), self.alpha_max), x)
        new = (point + self.eta * here) * (1.0 - alpha) + (x + self.eta * clean) * alpha
        new = ops.clip(new, 0.0, 1.0)
        z = logits(new)
        distance = change_norm(new - x, self.norm)
        crossed = ops.cast(ops.argmax(z, axis=-1), "int32") != state["y"]
        within = distance <= state["radius"] if self.early else distance < 0
        state = stepping.judged(state, self.steps, new, z, within=within)
        nearer = crossed & (distance < state["distance"])
        return state | {
            "point": ops.where(per_image(crossed, x), x + self.beta * (new - x), new),
            "nearest": stepping.chosen(nearer, new, state["nearest"]),
            "distance": ops.where(nearer, distance, state["distance"]),
        }


def fab(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    steps: int = 100,
    restarts: int = 1,
    targeted: bool = True,
    key: Any = None,
) -> Any:
    """The smallest change that FAB finds for each image; the image itself where it finds none within the radius.

    At the end the boundary is bisected between the image and the point found.

    Args:
        logits: Function from pixels `(n, ...)` to `(n, classes)`.
        x: Images in [0, 1], `(n, ...)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`; may be infinite.
        norm: `"l2"` or `"linf"`.
        steps: Steps of a run.
        restarts: Runs; targeted, for each target.
        targeted: Whether the nine classes ranked highest on the clean image are tried one after the
            other (FAB-T), or each step goes to the class whose boundary is nearest.
        key: Random key; needed for restarts.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.

    Reference: Croce, Hein, arXiv 1907.02044, 2003.01690.
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))
    attack = Fab(norm, steps, restarts, targets=9 if targeted else 0, early=False)
    state = stepping.whole(
        attack,
        logits(x).shape[-1],
        logits,
        x,
        y,
        epsilon=epsilon,
        key=backend.key(0) if key is None else key,
    )

    def halve(_: Any, ends: tuple[Any, Any]) -> tuple[Any, Any]:
        right, wrong = ends
        middle = (right + wrong) / 2.0
        crossed = per_image(
            ops.cast(ops.argmax(logits(middle), axis=-1), "int32") != ops.cast(y, "int32"), x
        )
        return ops.where(crossed, right, middle), ops.where(crossed, middle, wrong)

    _, nearest = backend.fori_loop(BISECTIONS, halve, (x, state["nearest"]))
    distance = ops.where(state["distance"] < FAR, change_norm(nearest - x, norm), FAR)
    radius = ops.cast(epsilon, "float32") + ops.zeros_like(distance)
    return backend.stop_gradient(ops.where(per_image(distance <= radius, x), nearest, x))
