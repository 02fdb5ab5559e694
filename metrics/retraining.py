"""ROAR and KAR: scores of an order of the pixels, by retraining without or with the top pixels.

ROAR removes the top p percent of each image's pixels, in training and in test images alike, and
trains a new network from scratch; KAR keeps only the top p percent. Both are compared with a random
order. Over the fractions 0, p_1, ..., p_k, 1 with the trapezoid rule,

    ROAR = area(random curve - attribution curve),    KAR = area(attribution curve - random curve),

so higher is better for both. At the end points the two curves meet: the accuracy of the same
training on untouched images where nothing is removed, and chance where everything is.

Reference: Hooker et al., arXiv 1806.10758; arXiv 1903.11626, section 3.2 (which reports the mean of
three repeats; here every repeat is stored).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robust_interpretability.metrics import MODES, statistics
from robust_interpretability.metrics.statistics import Estimate
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.types import Array


@dataclass(frozen=True)
class Curve:
    """Accuracies of retrained networks.

    Attributes:
        mode: A key of `MODES`.
        fractions: `(k,)` increasing, in (0, 1): removed (ROAR) or kept (KAR).
        accuracy: `(repeats, k)` on masked test images.

    Raises:
        InputError: An unknown mode, fractions that do not increase within (0, 1), or an accuracy of
            another shape.
    """

    mode: str
    fractions: Array
    accuracy: Array

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        f = np.asarray(self.fractions)
        if not ((f > 0).all() and (f < 1).all() and (np.diff(f) > 0).all()):
            raise InputError(f"Fractions must increase within (0, 1). Received {f.tolist()}.")
        if np.ndim(self.accuracy) != 2 or np.shape(self.accuracy)[1] != len(f):
            raise InputError(
                f"`accuracy` must have shape (repeats, {len(f)}). Received"
                f" {np.shape(self.accuracy)}."
            )

    def with_ends(self, untouched: float, chance: float) -> tuple[Array, Array]:
        """The mean curve from 0 to 1.

        Args:
            untouched: Accuracy of the same retraining on untouched images.
            chance: 1 / number of classes.

        Returns:
            Fractions and accuracies, both `(k + 2,)`.
        """
        removed = MODES[self.mode].top_pixels == "removed"
        first, last = (untouched, chance) if removed else (chance, untouched)
        mean = np.mean(self.accuracy, axis=0)
        return (
            np.concatenate([[0.0], self.fractions, [1.0]]),
            np.concatenate([[first], mean, [last]]),
        )


def score_weights(fractions: Array) -> Array:
    """Weights w with area = w . (difference of two curves), their end points equal; `(k,)`."""
    f = np.concatenate([[0.0], fractions, [1.0]])
    return (f[2:] - f[:-2]) / 2


def score(curves: Sequence[Curve], baseline: Curve) -> Estimate:
    """The ROAR or KAR score of an attribution against the random order's.

    Args:
        curves: The attribution's curve for each base-model seed.
        baseline: The random order's curve.

    Returns:
        The score with a bootstrap interval (`statistics.area_difference`).

    Raises:
        InputError: The curves differ in mode or fractions.
    """
    for curve in curves:
        same = np.array_equal(curve.fractions, baseline.fractions)
        if curve.mode != baseline.mode or not same:
            raise InputError("A curve and its baseline must have the same mode and fractions.")
    return statistics.area_difference(
        [curve.accuracy for curve in curves],
        baseline.accuracy,
        score_weights(baseline.fractions),
        sign=-1 if MODES[baseline.mode].top_pixels == "removed" else 1,
    )
