"""The fast adaptive boundary attack: onto the linearised boundary, close to the clean image."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.autoattack import randomness, stepping
from pellucid.attacks.autoattack.apgd import target_classes
from pellucid.attacks.autoattack.stepping import State
from pellucid.attacks.boundary import FAR, margin_towards, nearest_boundary
from pellucid.attacks.projections import axes_of, change_norm, per_image
from pellucid.attacks.starts import at_distance
from pellucid.models import backend
from pellucid.models.types import Tensor

ROUNDING = 1e-6
"""What Newton's method may leave of the rise, as a share."""

MOST_STEPS = 40
"""Steps of Newton's method."""

SHORTEST = 1e-8
"""A floor under the lengths of steps, in pixel units, whose quotient weighs them."""

BISECTIONS = 12
"""Halvings, at the end, of the way from the image to the adversarial example."""


def onto_hyperplane(x: Tensor, weights: Tensor, rise: Tensor, norm: str) -> Tensor:
    """The shortest change d with weights . d = rise and 0 <= x + d <= 1.

    If the box holds no such change, it is the one that comes nearest to the rise. With s the sign
    of the rise,

        d_i = s sign(w_i) min(t v_i, r_i),

    where r_i is the room that the box leaves to pixel i in this direction, and v_i is |w_i| for L2
    and 1 for Linf. The number t solves f(t) = sum_i |w_i| min(t v_i, r_i) = |rise|. f is concave
    and piecewise linear, so Newton's method from t = 0 comes from below, and is exact once it knows
    which pixels are at the wall.

    Args:
        x: Points in the box, `(n, ...)`.
        weights: Normals, `(n, ...)`.
        rise: By how much weights . x is to grow, `(n,)`.
        norm: `"l2"` or `"linf"`.

    Returns:
        `(n, ...)`.
    """
    axes = axes_of(x)
    # Weights and rise are divided by the largest weight, and turned so that the rise is positive.
    largest = ops.max(ops.abs(weights), axis=axes, keepdims=True)
    scale = ops.where(largest > 0, largest, ops.ones_like(largest))
    w = weights * per_image(ops.sign(rise), x) / scale
    goal = per_image(ops.abs(rise), x) / scale
    size = ops.abs(w)
    room = backend.select(w > 0, 1.0 - x, x)
    pace = size if norm == "l2" else 1.0
    steepness = size * pace
    zero = ops.zeros_like(x)

    def at(t: Tensor) -> tuple[Tensor, Tensor]:
        """|rise| - f(t), and f'(t): the sum over the pixels that are not at the wall."""
        way = t * pace
        reached = ops.sum(size * ops.minimum(way, room), axis=axes, keepdims=True)
        free = backend.select(way < room, steepness, zero)
        return goal - reached, ops.sum(free, axis=axes, keepdims=True)

    def newton(k: Tensor, t: Tensor, missing: Tensor, slope: Tensor) -> tuple[Tensor, ...]:
        # f' is 0 if all pixels are at the wall.
        rises = slope > 0
        change = ops.where(missing > 0, missing / ops.where(rises, slope, 1.0), 0.0)
        t = ops.minimum(t + change, FAR)
        missing, slope = at(t)
        return k + 1, t, ops.where((missing > ROUNDING * goal) & rises, missing, 0.0), slope

    def unfinished(k: Tensor, t: Tensor, missing: Tensor, slope: Tensor) -> Tensor:
        return (k < MOST_STEPS) & ops.any(missing > 0)

    none = ops.zeros_like(goal)
    start = (ops.zeros((), "int32"), none, goal, at(none)[1])
    _, t, _, _ = ops.while_loop(unfinished, newton, start)
    return ops.sign(w) * ops.minimum(t * pace, room)


@dataclass(frozen=True)
class Fab:
    """FAB as an iterative attack.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Steps of a run.
        restarts: Runs for each target: the first from the clean image, others from random points at
            half the radius, or at 0.5 if the radius is infinite.
        targets: How many of the classes ranked highest on the clean image are tried, one after the
            other; 0 for the untargeted attack, whose every step takes a gradient for each class.
        alpha_max: The largest weight of the way from the clean image.
        eta: The length of a step, as a multiple of the way to the hyperplane.
        beta: The share of the change that stays if the point is misclassified.
        early: Whether an image is done once it is misclassified within its radius; otherwise it
            gets all steps, for the smallest change.

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

    def cost(self, i: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Gradients and forward passes of a run after `i` steps."""
        return i * (1 if self.targets else classes), i + 1

    def value(self, state: State) -> Tensor:
        """Minus the norm of the smallest adversarial change, `(n,)`."""
        return -state["distance"]

    def start(self, logits: Callable[..., Tensor], state: State) -> State:
        """The clean image, or a random point at half the radius; see `attacks.stepping`."""
        x, z = state["x"], logits(state["x"])
        point = x
        if self.restarts > 1:
            first = state["run"] % self.restarts == 0
            key = randomness.fold_in(state["key"], state["run"])
            radius = ops.where(ops.isfinite(state["radius"]), state["radius"], 1.0)
            point = backend.select(first, x, at_distance(x, 0.5 * radius, self.norm, key))

        rank = state["run"] // self.restarts + 1
        state = state | {
            "target": target_classes(z, state["y"], rank),
            "point": point,
            "nearest": x,
            "distance": ops.where(losses.misclassified(z, state["y"]), 0.0, FAR),
        }
        return stepping.with_success(state, self.steps, x, z)

    def _boundary(self, logits: Callable[..., Tensor], state: State) -> tuple[Tensor, Tensor]:
        """The margin `(n,)` and its gradient, towards the target or the nearest class."""
        if self.targets:
            return margin_towards(logits, state["point"], state["y"], state["target"])
        return nearest_boundary(logits, state["point"], state["y"], self.norm)[1:]

    def step(self, logits: Callable[..., Tensor], state: State) -> State:
        """One step onto the linearised boundary, and back if it is crossed; see `stepping`."""
        x, point = state["x"], state["point"]

        # The boundary near the point p is the hyperplane margin + gradient . (z - p) = 0. `here`
        # leads to it from p, `clean` from the clean image, both on the shortest way in the box.
        margin, gradient = self._boundary(logits, state)
        here = onto_hyperplane(point, gradient, -margin, self.norm)
        inner = ops.sum(gradient * (x - point), axis=axes_of(x))
        clean = onto_hyperplane(x, gradient, -margin - inner, self.norm)

        # p' = (1 - alpha) (p + eta here) + alpha (x + eta clean): the farther p is from the
        # hyperplane, compared with x, the more the step is drawn towards x.
        lengths = [
            ops.maximum(change_norm(change, self.norm), SHORTEST) for change in (here, clean)
        ]
        alpha = per_image(ops.minimum(lengths[0] / (lengths[0] + lengths[1]), self.alpha_max), x)
        new = (point + self.eta * here) * (1.0 - alpha) + (x + self.eta * clean) * alpha
        new = ops.clip(new, 0.0, 1.0)

        z = logits(new)
        distance = change_norm(new - x, self.norm)
        crossed = losses.misclassified(z, state["y"])
        within = distance <= state["radius"] if self.early else distance < 0
        state = stepping.with_success(state, self.steps, new, z, within=within)

        # Behind the boundary, back towards the clean image: p' = x + beta (p' - x).
        nearer = crossed & (distance < state["distance"])
        return state | {
            "point": backend.select(crossed, x + self.beta * (new - x), new),
            "nearest": backend.select(nearer, new, state["nearest"]),
            "distance": ops.where(nearer, distance, state["distance"]),
        }


def fab(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    steps: int = 100,
    restarts: int = 1,
    targeted: bool = True,
    key: Tensor,
) -> Tensor:
    """x_{t+1} = (1 - a) (x_t + eta d_t) + a (x + eta d): steps to a small misclassified change.

    d_t and d are the shortest changes within the box that take x_t and the image x onto the
    decision boundary, linearised at x_t; a depends on their lengths. A misclassified x_{t+1} is
    moved towards x. The result is the nearest misclassified point, after bisection of its way from
    the image, and the image if that point lies beyond the radius or does not exist.

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
        key: Random key, for restarts.

    Returns:
        `(n, ...)`.

    Raises:
        InputError: An unknown norm.

    Reference: Croce, Hein, arXiv 1907.02044, 2003.01690.
    """
    check_norm(norm)
    attack = Fab(norm, steps, restarts, targets=9 if targeted else 0, early=False)
    state = stepping.best_run(attack, logits, x, y, epsilon=epsilon, key=key)

    def halve(_: Tensor, ends: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        right, wrong = ends
        middle = (right + wrong) / 2.0
        crossed = losses.misclassified(logits(middle), y)
        return backend.select(crossed, right, middle), backend.select(crossed, middle, wrong)

    _, nearest = backend.fori_loop(BISECTIONS, halve, (x, state["nearest"]))
    distance = ops.where(state["distance"] < FAR, change_norm(nearest - x, norm), FAR)
    radius = ops.cast(epsilon, "float32") + ops.zeros_like(distance)
    return backend.stop_gradient(backend.select(distance <= radius, nearest, x))
