"""Square Attack: random changes of square windows, kept where they lower the margin; no gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.autoattack import randomness, stepping
from robust_interpretability.attacks.autoattack.stepping import State
from robust_interpretability.attacks.projections import per_image
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError, unknown

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of changed pixels is halved."""
AXES = (1, 2)


def sides(steps: int, height: int, width: int, share: float, norm: str) -> np.ndarray:
    """The window's side at each query, `(steps,)`: sqrt(share h w), the share halved after each of `HALVINGS`.

    L2: odd, and at least 3, as far as the image allows.
    """
    halved = (np.arange(steps)[:, None] > np.array(HALVINGS)).sum(axis=1)
    side = np.maximum(np.rint(np.sqrt(share / 2.0**halved * height * width)), 1).astype(int)
    if norm == "l2":
        side = np.maximum(side, 3)
        side += 1 - side % 2
    return np.minimum(side, min(height, width))


def bump(side: int) -> np.ndarray:
    """The L2 attack's change of one window, `(side, side)` of norm 1: a positive and a negative bump.

    Each half falls off from its middle as sum_{k >= m} 1 / (k + 1)^2 with the largest coordinate
    distance m.
    """

    def half(rows: int) -> np.ndarray:
        middle = rows // 2, side // 2
        r, c = np.ogrid[:rows, :side]
        rings = np.cumsum(1.0 / np.arange(1, max(middle) + 2)[::-1] ** 2)[::-1]
        found = rings[np.maximum(abs(r - middle[0]), abs(c - middle[1]))]
        return found / np.linalg.norm(found) if rows else found

    whole = np.concatenate([half(side // 2), -half(side - side // 2)])
    return (whole / np.linalg.norm(whole)).astype(np.float32)


def _bumps(largest: int) -> np.ndarray:
    """`bump` of every side up to `largest`, as `(largest + 1, largest, largest)` with zeros behind each."""
    table = np.zeros((largest + 1, largest, largest), np.float32)
    for side in range(1, largest + 1):
        table[side, :side, :side] = bump(side)
    return table


def _length(change: Any, axes: tuple[int, ...]) -> Any:
    return ops.sqrt(ops.sum(ops.square(change), axis=axes, keepdims=True))


def _to_length(change: Any, length: Any, axes: tuple[int, ...]) -> Any:
    """The change scaled to a length; zero stays zero."""
    own = _length(change, axes)
    return change * (length / ops.where(own > 0, own, 1.0))


@dataclass(frozen=True)
class Square:
    """Square Attack as an iterative attack; a step is one query.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Queries of a run behind the first.
        restarts: Runs.
        share: The share of the pixels that the first windows cover.

    Reference: Andriushchenko et al., arXiv 1912.00049. The schedule is that for 10,000 queries
    whatever their number, as in AutoAttack. Unlike its code: every image draws its own windows;
    they reach the last row and column; with several channels a window's norm is spread over them as
    the paper says.
    """

    norm: str
    steps: int = 5000
    restarts: int = 1
    share: float = 0.8

    def runs(self, classes: int) -> int:
        """Restarts."""
        return self.restarts

    def cost(self, i: Any, classes: int) -> tuple[Any, Any]:
        """Gradients and forward passes of a run after `i` steps."""
        return 0, i + 1

    def value(self, state: State) -> Any:
        """The best margin, `(n,)`."""
        return state["margin"]

    def start(self, logits: Callable, state: State) -> State:
        """Vertical stripes (Linf) or a grid of bumps (L2); see `attacks.stepping`."""
        x = state["x"]
        if len(x.shape) != 4:
            raise InputError(
                "Square Attack needs images (n, height, width, channels). Received"
                f" {tuple(x.shape)}."
            )
        key = randomness.fold_in(state["key"], state["run"])
        _, height, width, channels = x.shape
        radius = per_image(state["radius"], x)
        if self.norm == "linf":
            point = x + radius * randomness.signs(key, (1, width, channels))
        else:
            side = max(min(height, width) // 5, 1)
            grid = np.tile(bump(side), (height // side, width // side))
            grid = np.pad(grid, [(0, height - grid.shape[0]), (0, width - grid.shape[1])])[
                None, :, :, None
            ]
            tiles = (-(-height // side), -(-width // side))
            sign = randomness.signs(key, (*tiles, channels))
            turned = randomness.signs(randomness.fold_in(key, 1), (*tiles, 1)) > 0
            sign, turned = (
                ops.repeat(ops.repeat(v, side, axis=1), side, axis=2)[:, :height, :width]
                for v in (sign, turned)
            )
            other = np.tile(bump(side).T, (height // side, width // side))
            other = np.pad(other, [(0, height - other.shape[0]), (0, width - other.shape[1])])[
                None, :, :, None
            ]
            point = x + _to_length(ops.where(turned, grid, other) * sign, radius, (1, 2, 3))
        point = ops.clip(point, 0.0, 1.0)
        z = logits(point)
        state = stepping.judged(state, self.steps, point, z, keep=False)
        draws = randomness.fold_in(key, 2)  # a step's number is folded into these
        return state | {"found": point, "margin": losses.margin(z, state["y"]), "draws": draws}

    def _window(self, drawn: Any, side: Any, height: int, width: int) -> tuple[Any, Any, Any]:
        """A window anywhere in the image, from two uniform draws: which pixels are in it, and its corner.

        Shapes `(n, h, w, 1)`, `(n, h)` and `(n, w)`: the corner as each row's and column's distance
        from it.
        """
        free = np.array([height + 1, width + 1], np.float32) - ops.cast(side, "float32")[:, None]
        corner = ops.cast(ops.floor(drawn * free), "int32")
        rows, columns = (
            np.arange(k, dtype=np.int32)[None] - corner[:, a, None]
            for a, k in enumerate((height, width))
        )
        last = side[:, None]
        inside = [(distance >= 0) & (distance < last) for distance in (rows, columns)]
        return inside[0][:, :, None, None] & inside[1][:, None, :, None], rows, columns

    def _proposal(self, state: State, side: Any) -> Any:
        x, best = state["x"], state["found"]
        _, height, width, channels = x.shape
        radius = per_image(state["radius"], x)
        drawn = randomness.uniform(randomness.fold_in(state["draws"], state["i"]), (5 + channels,))
        inside, rows, columns = self._window(drawn[:, :2], side, height, width)
        sign = ops.where(drawn[:, None, None, 5:] < 0.5, -1.0, 1.0)
        if self.norm == "linf":
            return ops.clip(ops.where(inside, x + radius * sign, best), 0.0, 1.0)
        change = best - x
        emptied, _, _ = self._window(drawn[:, 2:4], side, height, width)
        # what the two windows hold and what the radius leaves, spread over the channels, goes into
        # the first
        held = ops.sum(
            ops.where(inside | emptied, ops.square(change), 0.0), axis=AXES, keepdims=True
        )
        unused = ops.maximum(ops.square(radius) - ops.square(_length(change, (1, 2, 3))), 0.0)
        bumps = self._placed(drawn[:, 4] < 0.5, side, rows, columns) * sign
        new = ops.where(inside, bumps + _to_length(ops.where(inside, change, 0.0), 1.0, AXES), 0.0)
        new = _to_length(new, ops.sqrt(unused / channels + held), AXES)
        change = ops.where(inside, new, ops.where(emptied, 0.0, change))
        return ops.clip(x + _to_length(change, radius, (1, 2, 3)), 0.0, 1.0)

    def _placed(self, turned: Any, side: Any, rows: Any, columns: Any) -> Any:
        """Each image's bump in its window, upright or turned, `(n, h, w, 1)`; what lies outside means nothing."""
        largest = min(rows.shape[1], columns.shape[1])
        rows, columns = (ops.clip(distance, 0, largest - 1) for distance in (rows, columns))
        turned = turned[:, None]
        down, across = ops.where(turned, 1, largest), ops.where(turned, largest, 1)
        place = (rows * down + side[:, None] * (largest * largest))[:, :, None] + (
            columns * across
        )[:, None, :]
        return ops.take(_bumps(largest).ravel(), place)[..., None]

    def step(self, logits: Callable, state: State) -> State:
        """One query; see `attacks.stepping`."""
        _, height, width, _ = state["x"].shape
        table = sides(self.steps, height, width, self.share, self.norm).astype(np.int32)
        side = ops.take(table, ops.minimum(state["i"], self.steps - 1))
        proposal = self._proposal(state, side)
        z = logits(proposal)
        margin = losses.margin(z, state["y"])
        after = stepping.judged(state, self.steps, proposal, z, keep=False)
        better = ((margin > state["margin"]) | after["broken"]) & stepping.active(state, self.steps)
        return after | {
            "found": ops.where(per_image(better, proposal), proposal, state["found"]),
            "margin": ops.where(better, margin, state["margin"]),
        }


def square(
    logits: Callable,
    x: Any,
    y: Any,
    *,
    epsilon: Any,
    norm: str,
    steps: int = 5000,
    restarts: int = 1,
    key: Any,
) -> Any:
    """Square Attack on a batch: for each image the point of highest margin it meets.

    Args:
        logits: Function from pixels `(n, height, width, channels)` to `(n, classes)`; no gradients
            are taken.
        x: Images in [0, 1], `(n, height, width, channels)` float32.
        y: Labels `(n,)`, integers.
        epsilon: Radius in pixel units, a scalar or `(n,)`.
        norm: `"l2"` or `"linf"`.
        steps: Queries of a run.
        restarts: Runs.
        key: Random key.

    Returns:
        `(n, height, width, channels)`.

    Raises:
        InputError: `x` are no images; an unknown norm.

    Reference: Andriushchenko et al., arXiv 1912.00049.
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))
    attack = Square(norm, steps, restarts)
    state = stepping.whole(attack, logits(x).shape[-1], logits, x, y, epsilon=epsilon, key=key)
    return backend.stop_gradient(state["found"])
