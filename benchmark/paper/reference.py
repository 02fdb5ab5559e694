"""The paper's numbers, from `reference.json`, and how exactly they are known.

A number read off a figure is known to half the size of what it is read from (a marker, a line) and
half its last digit; `AXES` has the axes, as the paper's published plotting code sets them. Peaks
of densities are known less well than that: the paper draws each panel with its own random
projections and scales it by the extremes among them, so the standard network and the test images,
which stand in both panels of a data set, have two peaks each. `peak_slack` is the largest
difference between two readings of one density.
"""

import json
from pathlib import Path
from typing import NamedTuple

from pellucid.models.types import Json

REFERENCE: Json = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))

SERIES_NETWORKS = 21
"""Networks behind each of the paper's correlations: 20 radii and the standard network.

Every printed rank correlation is 1 - 6 D / (n^3 - n) with an even D for n = 21, and for no n beside
it.
"""

TEST_IMAGES = 10_000
"""CIFAR-10's test images, behind the paper's accuracies."""


class Axis(NamedTuple):
    """An axis of one of the paper's figures from which numbers were read.

    Attributes:
        length: Its length in units of the data.
        points: Its length on the page, in points.
        mark: The size of a marker on the page, in points.
        digit: The unit of the last digit that was read.
    """

    length: float
    points: float
    mark: float
    digit: float

    @property
    def slack(self) -> float:
        """How far a reading may lie from what was drawn."""
        return self.length * self.mark / self.points / 2 + self.digit / 2


WIDTH, HEIGHT = 0.775 * 6 * 72, 0.77 * 4 * 72
"""Points of the axes in a figure of 6 by 4 inches with Matplotlib's default margins."""

AXES = {
    "roar": Axis(length=0.085 - 0.005, points=HEIGHT, mark=6, digit=0.001),
    "kar": Axis(length=0.025 + 0.04, points=HEIGHT, mark=6, digit=0.001),
    # from .01 below the lowest accuracy, about .60, to .01 above the highest, about .74
    "accuracy": Axis(length=0.16, points=WIDTH, mark=6, digit=0.01),
}
"""Scores stand on vertical axes, test accuracies on the horizontal one of the trade-off."""

PEAK_AXES = {"mnist": 1.0, "fashion_mnist": 1.0, "cifar10": 0.2}
"""Lengths of the densities' horizontal axes, in ranges of the clean images' distances."""

_PEAKS: dict[str, dict[str, float]] = REFERENCE["approximate_peaks_of_scaled_manifold_distance"]
_ALIKE = {"fashion_mnist": "mnist"}
"""One panel was read for Fashion-MNIST; its axis and its manifold model's layers are MNIST's."""


def peak_slack(data: str) -> float:
    """How far a peak that was read may lie from where other random projections put it.

    Args:
        data: A key of `PEAK_AXES`.
    """
    data = _ALIKE.get(data, data)
    first, second = (peaks for panel, peaks in _PEAKS.items() if panel.startswith(data))
    return max(abs(first[density] - second[density]) for density in first.keys() & second.keys())
