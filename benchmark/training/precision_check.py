"""Whether networks trained in another type of computation than float32 are as accurate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from pellucid.metrics.statistics import mean, proportion
from pellucid.models.errors import InputError


class Adversary(Protocol):
    """An attack that networks are trained against."""

    @property
    def norm(self) -> str:
        """The attack's norm."""

    @property
    def epsilon(self) -> float:
        """Its radius."""


A = TypeVar("A", bound=Adversary)


@dataclass(frozen=True)
class Comparison(Generic[A]):
    """One network, trained in float32 and in another type from the same seeds.

    Attributes:
        attack: The adversary; None for standard training.
        hits: By type of computation: correctly classified test images, for each seed.
        agrees: Whether the accuracies agree (`agrees`).
    """

    attack: A | None
    hits: dict[str, list[int]]
    agrees: bool


def compare(
    hits: Callable[[A | None, str, int], int],
    attacks: Sequence[A | None],
    compute: str,
    seeds: int,
    examples: int,
) -> list[Comparison[A]]:
    """Compares networks trained in float32 and in another type from the same seeds.

    Args:
        hits: From `(attack, type of computation, number of the seed)` to the number of test images
            that a network trained so classifies correctly.
        attacks: The adversary of each network; None for standard training.
        compute: The other type.
        seeds: Number of trainings in each type.
        examples: Number of test images.

    Returns:
        One comparison per network.
    """
    comparisons = []
    for attack in attacks:
        expected, measured = (
            [hits(attack, computation, number) for number in range(seeds)]
            for computation in ("float32", compute)
        )
        both = {"float32": expected, compute: measured}
        comparisons.append(Comparison(attack, both, agrees(expected, measured, examples)))
    return comparisons


def agrees(expected: list[int], measured: list[int], examples: int) -> bool:
    """Whether the mean of the measured accuracies lies in the interval of the expected mean.

    Student's interval over seeds, widened where the seeds happen to be closer together than the
    number of test images allows (Wilson's).

    Args:
        expected: Correctly classified test images, for each seed.
        measured: Likewise.
        examples: Number of test images.
    """
    over_seeds = mean(np.asarray(expected) / examples)
    over_images = proportion(sum(expected), examples * len(expected))
    accuracy = float(np.mean(measured)) / examples
    low, high = min(over_seeds.low, over_images.low), max(over_seeds.high, over_images.high)
    return low <= accuracy <= high


def require(comparisons: Iterable[Comparison[A]], compute: str) -> None:
    """Refuses another type of computation where accuracies do not agree.

    Raises:
        InputError: The accuracies of a network do not agree.
    """
    for comparison in comparisons:
        if comparison.agrees:
            continue
        attack = comparison.attack
        network = "standard" if attack is None else f"{attack.norm} {attack.epsilon:g}"
        hits = "; ".join(
            f"{computation}: {', '.join(map(str, counts))}"
            for computation, counts in comparison.hits.items()
        )
        raise InputError(
            f"Networks trained in {compute} differ in accuracy from those trained in float32"
            f" ({network}; correctly classified test images, by seed: {hits}). Leave"
            " training.compute at float32."
        )
