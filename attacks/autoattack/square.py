"""Square Attack: random changes of square windows that stay if the margin rises; no gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from robust_interpretability.attacks import check_norm, losses
from robust_interpretability.attacks.autoattack import randomness, stepping
from robust_interpretability.attacks.autoattack.stepping import State
from robust_interpretability.attacks.projections import per_image
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.types import Array, Tensor

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of changed pixels is halved."""

SPACE = (1, 2)
"""Axes of a channel: rows and columns."""

IMAGE = (1, 2, 3)
"""Axes of an image."""


def sides(steps: int, height: int, width: int, share: float, norm: str) -> Array:
    """The window's side at each query, in pixels, `(steps,)`.

    It is sqrt(share h w), and the share is halved after each of `HALVINGS`. L2: odd, and at least
    3, as far as the image allows.
    """
    halved = (np.arange(steps)[:, None] > np.array(HALVINGS)).sum(axis=1)
    side = np.maximum(np.rint(np.sqrt(share / 2.0**halved * height * width)), 1).astype(int)
    if norm == "l2":
        side = np.maximum(side, 3)
        side += 1 - side % 2
    return np.minimum(side, min(height, width))


def bump(side: int) -> Array:
    """The L2 attack's change of one window, `(side, side)` of norm 1: two bumps of opposite sign.

    Each half falls off from its middle as sum_{k >= m} 1 / (k + 1)^2 with the largest coordinate
    distance m.
    """

    def half(rows: int) -> Array:
        middle = rows // 2, side // 2
        r, c = np.ogrid[:rows, :side]
        rings = np.cumsum(1.0 / np.arange(1, max(middle) + 2)[::-1] ** 2)[::-1]
        falling = rings[np.maximum(abs(r - middle[0]), abs(c - middle[1]))]
        return falling / np.linalg.norm(falling) if rows else falling

    both = np.concatenate([half(side // 2), -half(side - side // 2)])
    return (both / np.linalg.norm(both)).astype(np.float32)


def _bumps(largest: int) -> Array:
    """`bump` of every side, padded with zeros, `(largest + 1, largest, largest)`."""
    table = np.zeros((largest + 1, largest, largest), np.float32)
    for side in range(1, largest + 1):
        table[side, :side, :side] = bump(side)
    return table


def _tiled(tile: Array, height: int, width: int) -> Array:
    """Copies of a square tile over an image, `(1, height, width, 1)`; zeros where none fits."""
    side = len(tile)
    grid = np.tile(tile, (height // side, width // side))
    grid = np.pad(grid, [(0, height - grid.shape[0]), (0, width - grid.shape[1])])
    return grid[None, :, :, None]


def _length(change: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The Euclidean norm over some axes, which stay with length 1."""
    return ops.sqrt(ops.sum(ops.square(change), axis=axes, keepdims=True))


def _to_length(change: Tensor, length: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The change scaled to a length; zero stays zero."""
    present = _length(change, axes)
    return change * (length / ops.where(present > 0, present, 1.0))


@dataclass(frozen=True)
class Square:
    """Square Attack as an iterative attack; a step is one query.

    Attributes:
        norm: `"l2"` or `"linf"`.
        steps: Queries of a run after the first.
        restarts: Runs.
        share: The share of the pixels that the first windows cover.

    The schedule is that for 10,000 queries whatever their number, as in AutoAttack. Unlike in its
    code, windows are drawn per image and reach the last row and column, and with several channels
    a window's norm is spread over them as the paper says.

    Reference: Andriushchenko et al., arXiv 1912.00049.
    """

    norm: str
    steps: int = 5000
    restarts: int = 1
    share: float = 0.8

    def runs(self, classes: int) -> int:
        """Restarts."""
        return self.restarts

    def cost(self, i: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Gradients and forward passes of a run after `i` steps."""
        return 0, i + 1

    def value(self, state: State) -> Tensor:
        """The best margin, `(n,)`."""
        return state["margin"]

    def start(self, logits: Callable[..., Tensor], state: State) -> State:
        """Vertical stripes (Linf) or a grid of bumps (L2); see `stepping`."""
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
            tiles = (-(-height // side), -(-width // side))
            sign = randomness.signs(key, (*tiles, channels))
            turned = randomness.signs(randomness.fold_in(key, 1), (*tiles, 1)) > 0
            sign, turned = (
                ops.repeat(ops.repeat(v, side, axis=1), side, axis=2)[:, :height, :width]
                for v in (sign, turned)
            )
            upright, across = (_tiled(tile, height, width) for tile in (bump(side), bump(side).T))
            point = x + _to_length(ops.where(turned, upright, across) * sign, radius, IMAGE)
        point = ops.clip(point, 0.0, 1.0)
        z = logits(point)
        state = stepping.with_success(state, self.steps, point, z, store=False)
        draws = randomness.fold_in(key, 2)  # a step's number is folded into these
        return state | {"x_adv": point, "margin": losses.margin(z, state["y"]), "draws": draws}

    def _window(
        self, drawn: Tensor, side: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A window anywhere in the image, from two uniform draws per image, `(n, 2)`.

        Returns:
            Which pixels are in it, `(n, h, w, 1)`, and the distance of each row and column from its
            corner, `(n, h)` and `(n, w)`.
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

    def _proposal(self, state: State, side: Tensor) -> Tensor:
        """The change of one window that a query tries, added to the best point, `(n, h, w, c)`.

        L2: the norm that two windows hold, and what the radius leaves, goes into the first one, and
        the second one is emptied.
        """
        x, best = state["x"], state["x_adv"]
        _, height, width, channels = x.shape
        radius = per_image(state["radius"], x)
        drawn = randomness.uniform(randomness.fold_in(state["draws"], state["i"]), (5 + channels,))
        inside, rows, columns = self._window(drawn[:, :2], side, height, width)
        sign = ops.where(drawn[:, None, None, 5:] < 0.5, -1.0, 1.0)
        if self.norm == "linf":
            return ops.clip(ops.where(inside, x + radius * sign, best), 0.0, 1.0)
        change = best - x
        emptied, _, _ = self._window(drawn[:, 2:4], side, height, width)

        # The squared norm of a window's new change, per channel: what the two windows hold, and an
        # equal share of what the radius leaves.
        held = ops.sum(
            ops.where(inside | emptied, ops.square(change), 0.0), axis=SPACE, keepdims=True
        )
        unused = ops.maximum(ops.square(radius) - ops.square(_length(change, IMAGE)), 0.0)

        # Its direction: that of the present change plus a bump of norm 1 and random sign.
        bumps = self._placed(drawn[:, 4] < 0.5, side, rows, columns) * sign
        new = ops.where(inside, bumps + _to_length(ops.where(inside, change, 0.0), 1.0, SPACE), 0.0)
        new = _to_length(new, ops.sqrt(unused / channels + held), SPACE)

        change = ops.where(inside, new, ops.where(emptied, 0.0, change))
        return ops.clip(x + _to_length(change, radius, IMAGE), 0.0, 1.0)

    def _placed(self, turned: Tensor, side: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Each image's bump in its window, upright or turned, `(n, h, w, 1)`.

        Values outside the window are meaningless.
        """
        largest = min(rows.shape[1], columns.shape[1])
        rows, columns = (ops.clip(distance, 0, largest - 1) for distance in (rows, columns))
        turned = turned[:, None]
        down, across = ops.where(turned, 1, largest), ops.where(turned, largest, 1)
        place = (rows * down + side[:, None] * (largest * largest))[:, :, None] + (
            columns * across
        )[:, None, :]
        return ops.take(_bumps(largest).ravel(), place)[..., None]

    def step(self, logits: Callable[..., Tensor], state: State) -> State:
        """One query; see `stepping`."""
        _, height, width, _ = state["x"].shape
        table = sides(self.steps, height, width, self.share, self.norm).astype(np.int32)
        side = ops.take(table, ops.minimum(state["i"], self.steps - 1))
        proposal = self._proposal(state, side)
        z = logits(proposal)
        margin = losses.margin(z, state["y"])
        after = stepping.with_success(state, self.steps, proposal, z, store=False)
        better = (margin > state["margin"]) | after["success"]
        better = better & stepping.active(state, self.steps)
        return after | {
            "x_adv": ops.where(per_image(better, proposal), proposal, state["x_adv"]),
            "margin": ops.where(better, margin, state["margin"]),
        }


def square(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    *,
    epsilon: Tensor | float,
    norm: str,
    steps: int = 5000,
    restarts: int = 1,
    key: Tensor,
) -> Tensor:
    """x_{k+1} = x_k with one window changed at random, if max_{j != y} z_j - z_y rises, else x_k.

    It stops at the first misclassified point; else the result is the point of highest margin.

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
        InputError: `x` does not have the shape of images; an unknown norm.

    Reference: Andriushchenko et al., arXiv 1912.00049.
    """
    check_norm(norm)
    attack = Square(norm, steps, restarts)
    state = stepping.best_run(attack, logits, x, y, epsilon=epsilon, key=key)
    return backend.stop_gradient(state["x_adv"])
