"""Which entries of a table differ in a score, by comparisons in pairs, and the ranks that follow.

- *Accuracies*: McNemar's exact test on the same images; where an entry is the mean of several
  networks, Student's paired t over images.
- *Scores by retraining*: a two-way layout of entries and base-model seeds, whose retrainings share
  weights, order and random baseline (`pairwise.differences`). With one seed each that leaves no
  degrees of freedom: then there is a layout of entries and repeats for every fraction of pixels,
  and the variances of the fractions add up, with Satterthwaite's degrees of freedom.
- *Scores by image*, as distances to the manifold: Student's paired t over images.
- Entries without outcomes, of earlier versions: by their intervals, as independent estimates.

Which pairs differ is told by Holm's rule over all pairs of the table. An entry's rank is a range:
one more than the entries that are significantly better, up to all less those that are worse.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from pellucid.leaderboard.eligibility import left_out
from pellucid.leaderboard.entry import Entry, place
from pellucid.leaderboard.outcomes import Numbers, Outcomes
from pellucid.leaderboard.scores import ACCURACY, ROBUST_ACCURACY, direction
from pellucid.metrics import pairwise
from pellucid.metrics.pairwise import Differences, Tested
from pellucid.models.types import Array

LEVEL = 0.05
"""At which two entries differ, by Holm's rule."""


class Ranks(NamedTuple):
    """The ranks of a table's entries in a score.

    Attributes:
        of: By entry's id, the best and the worst rank that it may have.
        groups: The most entries of which every two neighbours in the order of the score differ.
        ids: The entries that have a rank.
        differ: Which pairs of them can be told apart, `(n, n)` bool.
        better: In which of these the first is the better one.
    """

    of: dict[str, tuple[int, int]]
    groups: int
    ids: list[str]
    differ: Array
    better: Array

    def alike(self, name: str) -> int:
        """How many others cannot be told apart from an entry."""
        return int((~self.differ[self.ids.index(name)]).sum()) - 1


def _by_intervals(entries: list[Entry], score: str) -> Tested:
    """Compares independent estimates, by their 95 percent intervals."""
    value, half = np.full((2, len(entries)), np.nan)
    for number, entry in enumerate(entries):
        stated = entry.scores[score]
        value[number] = stated.value
        if stated.low is not None and stated.high is not None:
            half[number] = (stated.high - stated.low) / 2
    error = half / stats.norm.ppf(0.975)
    both = np.hypot(error[:, None], error)
    z = np.abs(value[:, None] - value) / np.where(both > 0, both, np.nan)
    return Tested(z, lambda level: stats.norm.isf(level / 2))


def _of_images(rows: list[Array]) -> Tested:
    """Compares accuracies, by which images each network of each entry gets right."""
    if all(len(of_entry) == 1 for of_entry in rows):
        return pairwise.mcnemar(np.concatenate(rows))
    if len({len(of_entry) for of_entry in rows}) == 1:  # in how many seeds each image is right
        return pairwise.over_images(np.stack([of_entry.sum(axis=0) for of_entry in rows]))
    return pairwise.over_images(np.stack([of_entry.mean(axis=0) for of_entry in rows]))


def _by_trainings(found: list[Array]) -> Tested:
    """Compares scores by retraining, `(seeds, repeats, fractions)` each."""
    seeds = max(len(values) for values in found)
    cells = np.full((len(found), seeds, *found[0].shape[1:3]), np.nan)
    for number, values in enumerate(found):
        cells[number, : len(values)] = values
    by_seed = pairwise.differences(cells.sum(axis=3).mean(axis=2))
    if by_seed.freedom > 0:
        return by_seed.tested
    by_repeat = cells.transpose(3, 0, 1, 2).reshape(cells.shape[3], len(found), -1)
    of = [pairwise.differences(values) for values in by_repeat]
    if not of[0].freedom:
        return by_seed.tested
    value = np.sum([one.value for one in of], axis=0)
    squares = np.array([one.error**2 for one in of])
    variance = np.where(squares.sum(axis=0) > 0, squares.sum(axis=0), np.nan)
    freedom = variance**2 / (squares**2 / of[0].freedom).sum(axis=0)
    return Differences(value, np.sqrt(variance), freedom).tested


def _arrays(found: list[Numbers | None]) -> list[Array]:
    """The arrays, if all are there and fit each other; their first axis may differ."""
    arrays = [one.array().astype(float) for one in found if one]
    rows = [values.shape[1:] or values.shape for values in arrays]
    return arrays if len(arrays) == len(found) and len(set(rows)) == 1 else []


def _by_outcomes(
    entries: list[Entry], outcomes: Mapping[str, Outcomes], score: str
) -> Tested | None:
    """By the outcomes; None where an entry has none that serve."""
    behind = [outcomes.get(place(entry)) for entry in entries]
    if score in (ACCURACY, ROBUST_ACCURACY):
        bits = [b and (b.test if score == ACCURACY else b.robust) for b in behind]
        rows = [found.array() for found in bits if found]
        if len(rows) < len(entries) or len({row.shape[1] for row in rows}) > 1:
            return None
        return _of_images(rows)
    by_image = _arrays([b.by_image.get(score) if b else None for b in behind])
    if by_image:
        means = np.stack(by_image)
        common = means[:, np.isfinite(means).all(axis=0)]
        return pairwise.over_images(common) if common.shape[1] > 1 else None
    trained = _arrays([b.contributions.get(score) if b else None for b in behind])
    return _by_trainings(trained) if trained else None


def compared(entries: list[Entry], outcomes: Mapping[str, Outcomes], score: str) -> Tested:
    """All pairs of entries in a score.

    Args:
        entries: Entries of one table that have the score.
        outcomes: By the entry's `place`, as far as there are any.
        score: The score.
    """
    found = _by_outcomes(entries, outcomes, score)
    return _by_intervals(entries, score) if found is None else found


def ranks(entries: list[Entry], outcomes: Mapping[str, Outcomes], score: str) -> Ranks:
    """Ranks in a score of those entries of a table that have a standing, and the score.

    Args:
        entries: Entries of one table.
        outcomes: By the entry's `place`, as far as there are any.
        score: The score; accuracies are better higher.
    """
    unranked = left_out(entries)
    rated = [e for e in entries if e.id not in unranked and score in e.scores]
    if not rated:
        return Ranks({}, 0, [], *np.zeros((2, 0, 0), bool))
    sign = direction(entries, score) or 1
    values = sign * np.array([entry.value(score) for entry in rated])
    differ = pairwise.told_apart(compared(rated, outcomes, score), LEVEL)
    better = differ & (values[:, None] > values)
    found = pairwise.ranks(better).tolist()
    ids = [entry.id for entry in rated]
    of = {name: (low, high) for name, (low, high) in zip(ids, found, strict=True)}
    return Ranks(of, pairwise.groups(values, differ), ids, differ, better)
