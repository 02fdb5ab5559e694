"""Whether networks trained in another type of computation than float32 are as accurate."""

from collections.abc import Callable
from typing import Any

import numpy as np

from robust_interpretability.metrics.statistics import mean, proportion
from robust_interpretability.models.errors import InputError

Hits = Callable[[dict[str, Any] | None, str, int], int]
"""`(attack, type of computation, number of the seed) -> test images right` after training so."""


def compare(
    train: Hits, attacks: list[dict[str, Any] | None], compute: str, seeds: int, examples: int
) -> list[dict]:
    """Trains the same networks in float32 and in another type, from the same seeds.

    Args:
        train: Trains one and counts.
        attacks: The adversary of each network; None for standard training.
        compute: The other type.
        seeds: How many of each.
        examples: Test images.

    Returns:
        For each network its `attack`, its `hits` in both types, and whether it `agrees`.
    """
    rows = []
    for attack in attacks:
        expected, found = (
            [train(attack, kind, number) for number in range(seeds)]
            for kind in ("float32", compute)
        )
        hits = {"float32": expected, compute: found}
        rows.append({"attack": attack, "hits": hits, "agrees": agrees(expected, found, examples)})
    return rows


def agrees(expected: list[int], found: list[int], examples: int) -> bool:
    """Whether the mean of the accuracies found lies in the interval of the mean of those expected.

    Student's interval over seeds, widened where seeds happen to be closer together than test images
    allow (Wilson's).
    """
    over_seeds = mean(np.asarray(expected) / examples)
    over_images = proportion(sum(expected), examples * len(expected))
    own = float(np.mean(found)) / examples
    return min(over_seeds.low, over_images.low) <= own <= max(over_seeds.high, over_images.high)


def require(rows: list[dict], compute: str) -> None:
    """Refuses another type of computation where accuracies do not agree.

    Raises:
        InputError: Those of a network do not.
    """
    for row in rows:
        if not row["agrees"]:
            attack = row["attack"]
            what = "standard" if attack is None else f"{attack['norm']} {attack['epsilon']:g}"
            hits = "; ".join(
                f"{kind}: {', '.join(map(str, found))}" for kind, found in row["hits"].items()
            )
            raise InputError(
                f"Networks trained in {compute} have other accuracies than in float32 ({what}; test"
                f" images right, by seed: {hits}). Leave training.compute at float32."
            )
