"""Charts for pages without scripts: numbers as coordinates, for `charts.html.jinja` to draw."""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from pellucid.models.types import Array

WIDTH, HEIGHT = 360, 230
"""Of a chart, in CSS pixels."""
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 12, 38
"""Its margins."""


class Tick(NamedTuple):
    """A place on an axis and its label."""

    at: float
    label: str


class Axis(NamedTuple):
    """A linear scale from numbers to coordinates."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """The coordinate of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def along(self, values: Array) -> list[float]:
        """The coordinates of values `(n,)`."""
        share = (values - self.low) / (self.high - self.low)
        along: list[float] = np.round(self.start + share * (self.end - self.start), 1).tolist()
        return along

    def ticks(self, number: int) -> list[Tick]:
        """About so many round values inside the axis."""
        values = np.asarray(MaxNLocator(number).tick_values(self.low, self.high)).tolist()
        step = abs(values[1] - values[0]) if len(values) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        digits += round(step * 10**digits, 6) % 1 > 0
        inside = [v for v in values if self.low <= v <= self.high]
        return [Tick(self.at(v), f"{v:.{digits}f}".replace("-", "−")) for v in inside]


def axes(x: tuple[float, float], y: tuple[float, float]) -> tuple[Axis, Axis]:
    """The axes of a chart over two ranges."""
    return Axis(*x, LEFT, WIDTH - RIGHT), Axis(*y, HEIGHT - BOTTOM, TOP)


@cache
def of_shares() -> tuple[Axis, Axis, list[Tick], list[Tick]]:
    """The axes of a chart of a share over a share, and their ticks."""
    x, y = axes((0.0, 1.0), (0.0, 1.0))
    return x, y, x.ticks(5), y.ticks(5)


def around(values: Sequence[float]) -> tuple[float, float]:
    """A range that holds values, with some room."""
    low, high = min(values), max(values)
    margin = (high - low or abs(high) or 1.0) * 0.06
    return low - margin, high + margin


def path(x: Axis, y: Axis, points: Array) -> str:
    """A line through points `(n, 2)`, as an SVG path."""
    across, up = x.along(points[:, 0]), y.along(points[:, 1])
    return "M" + "L".join([f"{a} {b}" for a, b in zip(across, up, strict=True)])


def band(x: Axis, y: Axis, at: Array, low: Array, high: Array) -> str:
    """The area between two lines over the same places, each `(n,)`, as an SVG path."""
    there, back = np.stack([at, low], axis=1), np.stack([at, high], axis=1)[::-1]
    return path(x, y, np.concatenate([there, back])) + "Z"
