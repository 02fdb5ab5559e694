"""Square Attack: random changes of square windows that stay if the margin rises; no gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from keras import ops

from pellucid.attacks import check_norm, losses
from pellucid.attacks.autoattack import randomness, stepping
from pellucid.attacks.autoattack.stepping import State
from pellucid.attacks.autoattack.windows import Windows
from pellucid.attacks.projections import per_image
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.types import Array, Tensor

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


def _of_channels(rows: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Sums over rows `(n, k, w c)` by channel, `(n, c)`."""
    return ops.sum(ops.reshape(ops.sum(rows, axis=1), (-1, *shape[1:])), axis=1)


def _spread(values: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Values of channels `(n, c)`, shaped to multiply rows: `(n, 1, w c)`."""
    return ops.tile(values, (1, shape[1]))[:, None]


def _inverse(length: Tensor) -> Tensor:
    """1 / length, and 0 where there is nothing to scale."""
    return ops.where(length > 0, 1.0 / length, 0.0)


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
            change = ops.where(turned, upright, across) * sign
            length = ops.sqrt(ops.sum(ops.square(change), axis=IMAGE, keepdims=True))
            point = x + change * (radius / ops.where(length > 0, length, 1.0))
        point = ops.clip(point, 0.0, 1.0)
        z = logits(point)
        state = stepping.with_success(state, self.steps, point, z, store=False)
        draws = randomness.fold_in(key, 2)  # a step's number is folded into these
        return state | {"x_adv": point, "margin": losses.margin(z, state["y"]), "draws": draws}

    def _proposal(self, state: State, side: Tensor) -> Tensor:
        """The best point with one window changed, which a query tries, `(n, h, w, c)`.

        L2: the norm that two windows hold, and what the radius leaves, goes into the first one, and
        the second one is emptied.
        """
        x, best = state["x"], state["x_adv"]
        shape = x.shape[1:]
        drawn = randomness.uniform(randomness.fold_in(state["draws"], state["i"]), (5 + shape[-1],))
        sign = ops.where(drawn[:, 5:] < 0.5, -1.0, 1.0)
        window = Windows.drawn(drawn[:, :2], side, shape)
        inside = window.covers(window, shape)
        clean, present = window.read(x), window.read(best)
        if self.norm == "linf":
            new = ops.clip(clean + _spread(state["radius"][:, None] * sign, shape), 0.0, 1.0)
            return window.written(best, backend.select(inside, new, present))

        emptied = Windows.drawn(drawn[:, 2:4], side, shape)
        in_emptied = emptied.covers(emptied, shape)
        clean_there, present_there = emptied.read(x), emptied.read(best)
        zero = ops.zeros_like(clean)
        change = backend.select(inside, present - clean, zero)
        in_emptied_alone = in_emptied & ~window.covers(emptied, shape)
        lost = backend.select(in_emptied_alone, present_there - clean_there, zero)

        # The squared norm of the window's new change, per channel: what the two windows hold, and
        # an equal share of what the radius leaves.
        held = _of_channels(ops.square(change), shape)
        # (After rounding this may be just below zero; so lengths do not drift beyond the radius.)
        unused = ops.square(state["radius"]) - ops.sum(ops.square(best - x), axis=IMAGE)
        goal = unused[:, None] / shape[-1] + held + _of_channels(ops.square(lost), shape)
        goal = ops.sqrt(ops.maximum(goal, 0.0))

        # Its direction: that of the present change plus a bump of norm 1 and random sign.
        bumps = self._placed(drawn[:, 4] < 0.5, window, shape)[..., None] * sign[:, None, None]
        bumps = ops.reshape(bumps, ops.shape(clean))
        new = bumps + change * _spread(_inverse(ops.sqrt(held)), shape)
        new = backend.select(inside, new, zero)
        length = ops.sqrt(_of_channels(ops.square(new), shape))
        new = ops.clip(clean + new * _spread(goal * _inverse(length), shape), 0.0, 1.0)

        around = backend.select(emptied.covers(window, shape), clean, present)
        proposal = emptied.written(best, backend.select(in_emptied, clean_there, present_there))
        return window.written(proposal, backend.select(inside, new, around))

    @staticmethod
    def _placed(turned: Tensor, window: Windows, shape: tuple[int, int, int]) -> Tensor:
        """Each image's bump in its window, upright or turned, `(n, k, w)`.

        Values outside the window are meaningless.
        """
        largest = min(shape[:2])
        rows, columns = (ops.clip(d, 0, largest - 1) for d in window.distances(shape[1]))
        turned = turned[:, None]
        down, across = ops.where(turned, 1, largest), ops.where(turned, largest, 1)
        place = (rows * down + window.side[:, None] * (largest * largest))[:, :, None] + (
            columns * across
        )[:, None, :]
        return backend.take(_bumps(largest).ravel(), place)

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
            "x_adv": backend.select(better, proposal, state["x_adv"]),
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
