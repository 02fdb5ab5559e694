"""ROAR and KAR: how well an attribution orders the pixels, by retraining without or with only the top ones.

ROAR removes the top p percent of each image's pixels, in training and in test images alike, and
trains a new network from scratch; KAR keeps only the top p percent. Both are compared with a random
order. Over the fractions 0, p_1, ..., p_k, 1 with the trapezoid rule,

    ROAR = area(random curve - attribution curve),    KAR = area(attribution curve - random curve),

so higher is better for both. At the end points the two curves meet: the accuracy of the same
training on untouched images where nothing is removed, and chance where everything is.

Reference: Hooker et al., arXiv 1806.10758; arXiv 1903.11626, section 3.2 (keeps the mean of three
repeats; here every repeat is kept).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robust_interpretability.models.errors import InputError, unknown


@dataclass(frozen=True)
class Curve:
    """Accuracies of retrained networks.

    Attributes:
        mode: `"roar"` or `"kar"`.
        fractions: `(k,)` increasing, in (0, 1): removed (ROAR) or kept (KAR).
        accuracy: `(repeats, k)` on masked test images.
    """

    mode: str
    fractions: np.ndarray
    accuracy: np.ndarray

    def __post_init__(self) -> None:
        if self.mode not in ("roar", "kar"):
            raise unknown("mode", self.mode, ("roar", "kar"))
        f = np.asarray(self.fractions)
        if not ((f > 0).all() and (f < 1).all() and (np.diff(f) > 0).all()):
            raise InputError(f"Fractions must increase within (0, 1). Received {f.tolist()}.")
        if np.ndim(self.accuracy) != 2 or np.shape(self.accuracy)[1] != len(f):
            raise InputError(
                f"`accuracy` must have shape (repeats, {len(f)}). Received"
                f" {np.shape(self.accuracy)}."
            )

    def with_ends(self, untouched: float, chance: float) -> tuple[np.ndarray, np.ndarray]:
        """The mean curve from 0 to 1: `(k + 2,)` fractions and accuracies.

        Args:
            untouched: Accuracy of the same retraining on untouched images.
            chance: 1 / number of classes.
        """
        first, last = (untouched, chance) if self.mode == "roar" else (chance, untouched)
        mean = np.mean(self.accuracy, axis=0)
        return np.concatenate([[0.0], self.fractions, [1.0]]), np.concatenate(
            [[first], mean, [last]]
        )


def roar(
    retrain: Callable[[float, int], float], *, fractions: Sequence[float], seeds: Sequence[int]
) -> Curve:
    """The ROAR curve, every repeat kept.

    Args:
        retrain: Given the fraction removed and a seed, trains a new network and returns its
            accuracy on the masked test set.
        fractions: Fractions of pixels to remove, in (0, 1).
        seeds: One for each repeat.
    """
    return Curve(
        "roar", np.asarray(fractions), np.array([[retrain(f, s) for f in fractions] for s in seeds])
    )


def kar(
    retrain: Callable[[float, int], float], *, fractions: Sequence[float], seeds: Sequence[int]
) -> Curve:
    """The KAR curve. As `roar`, with `retrain` given the fraction that is kept."""
    return Curve(
        "kar", np.asarray(fractions), np.array([[retrain(f, s) for f in fractions] for s in seeds])
    )


def score_weights(fractions: np.ndarray) -> np.ndarray:
    """Weights w with area = w . (difference of two curves), their end points equal; `(k,)`."""
    f = np.concatenate([[0.0], fractions, [1.0]])
    return (f[2:] - f[:-2]) / 2


def score(curve: Curve, baseline: Curve) -> float:
    """The ROAR or KAR score of a curve against the random baseline's.

    Raises:
        InputError: The curves differ in mode or fractions.
    """
    if curve.mode != baseline.mode or not np.array_equal(curve.fractions, baseline.fractions):
        raise InputError("A curve and its baseline must have the same mode and fractions.")
    difference = np.mean(curve.accuracy, axis=0) - np.mean(baseline.accuracy, axis=0)
    return float(
        score_weights(curve.fractions) @ (difference if curve.mode == "kar" else -difference)
    )
