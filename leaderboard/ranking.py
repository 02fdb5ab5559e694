"""The order of entries and the Pareto front of accuracy and interpretability."""

import math

import numpy as np

from leaderboard.entry import Entry

INTERPRETABILITY = ("roar_gradient_input", "roar_gradient", "kar_gradient_input", "kar_gradient")
"""Scores that say how interpretable a network's gradients are, higher is better; the first leads the table."""


def value(entry: Entry, score: str) -> float:
    """An entry's value of a score, NaN where it has none."""
    return entry.scores[score].value if score in entry.scores else math.nan


def pareto_front(points: np.ndarray) -> np.ndarray:
    """Which points no other point beats: at least as good in every measure and better in one.

    Args:
        points: `(n, measures)`, higher is better. A point with NaN is never on the front.

    Returns:
        `(n,)` booleans.
    """
    points = np.asarray(points, float)
    as_good = np.all(points[None] >= points[:, None], axis=-1)
    better = np.any(points[None] > points[:, None], axis=-1)
    return ~np.any(as_good & better, axis=1) & ~np.any(np.isnan(points), axis=1)


def on_front(entries: list[Entry], score: str) -> list[bool]:
    """For each entry, whether it is Pareto-optimal in test accuracy and a score."""
    points = np.array([[value(e, "test_accuracy"), value(e, score)] for e in entries])
    return pareto_front(points).tolist()


def ordered(entries: list[Entry]) -> list[Entry]:
    """Entries by the first interpretability score they all have, best first; ties by accuracy, then by id."""
    lead = next((s for s in INTERPRETABILITY if all(s in e.scores for e in entries)), "test_accuracy")
    return sorted(entries, key=lambda e: (-value(e, lead), -value(e, "test_accuracy"), e.id))
