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

from dataclasses import dataclass

import numpy as np

from pellucid.metrics import MODES, hierarchical
from pellucid.metrics.statistics import Estimate
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Array


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


def score(mode: str, fractions: Array, own: Array, baseline: Array) -> Estimate:
    """The ROAR or KAR score of an order against a baseline's.

    Trainings are compared in pairs: those at the same place in both arrays start from the same
    weights and see the images in the same order.

    Args:
        mode: A key of `MODES`.
        fractions: `(k,)` as in `Curve`.
        own: Which test images each network classifies correctly, `(seeds, repeats, k, images)`, 0
            or 1. A seed is that of the base network; its repeats share the order.
        baseline: The same of the random order, each of whose trainings has an order of its own.

    Returns:
        The score with its interval (`hierarchical.mean`).

    Raises:
        InputError: An unknown mode, or shapes that differ.
    """
    return hierarchical.mean(area(mode, fractions, own, baseline))


def area(mode: str, fractions: Array, own: Array, baseline: Array | float) -> Array:
    """What each test image adds to a score; arguments as for `score`, a number for a level curve.

    Returns:
        `(seeds, repeats, k, images)` float32: summed over fractions and then averaged, the score.

    Raises:
        InputError: As `score`.
    """
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    shape = np.shape(own)
    if len(shape) != 4 or shape[2] != len(fractions) or np.shape(baseline) not in (shape, ()):
        raise InputError(
            f"Outcomes must have shape (seeds, repeats, {len(fractions)}, images), those of the"
            f" baseline the same. Received {shape} and {np.shape(baseline)}."
        )
    sign = -1 if MODES[mode].top_pixels == "removed" else 1
    weights = (sign * score_weights(np.asarray(fractions))).astype(np.float32)
    return (np.asarray(own, np.float32) - np.asarray(baseline, np.float32)) * weights[:, None]


def symmetric(fractions: Array) -> bool:
    """Whether 1 - p is among the fractions with every p, as DiffROAR needs."""
    fractions = np.asarray(fractions)
    return np.allclose(fractions, 1 - fractions[::-1])


def diff_roar(fractions: Array, kept: Array, removed: Array) -> Array:
    """DiffROAR: the area between keeping the top pixels and keeping as many of the bottom ones.

    What ROAR leaves when it removes the top 1 - p are the bottom p.

    Args:
        fractions: `(k,)` as in `Curve`, symmetric about one half.
        kept: Outcomes of KAR, `(seeds, repeats, k, images)`.
        removed: Those of ROAR.

    Returns:
        As `area`.

    Raises:
        InputError: As `area`, or the fractions are not symmetric.

    Reference: Shah, Jain and Netrapalli, arXiv 2102.12781.
    """
    if not symmetric(fractions):
        raise InputError(
            "DiffROAR needs 1 - p among the fractions with every p. Received"
            f" {np.asarray(fractions).tolist()}."
        )
    return area("kar", fractions, kept, np.asarray(removed)[:, :, ::-1])


def leak(fractions: Array, masks: Array, classes: int) -> Array:
    """What masks alone tell of the class: the area between their curve and chance.

    Args:
        fractions: `(k,)` as in `Curve`.
        masks: Outcomes of networks that see the masks of KAR alone, `(seeds, repeats, k, images)`.
        classes: Number of classes.

    Returns:
        As `area`.
    """
    return area("kar", fractions, masks, 1.0 / classes)


def net_kar(fractions: Array, kept: Array, random: Array, masks: Array) -> Array:
    """KAR beyond what masks alone tell: the baseline is the higher curve at each fraction.

    Args:
        fractions: `(k,)` as in `Curve`.
        kept: Outcomes of KAR, `(seeds, repeats, k, images)`.
        random: Those of the random order.
        masks: Those on the masks alone.

    Returns:
        As `area`.
    """
    masks_tell_more = masks.mean(axis=(0, 1, 3)) > random.mean(axis=(0, 1, 3))
    return area("kar", fractions, kept, np.where(masks_tell_more[:, None], masks, random))
