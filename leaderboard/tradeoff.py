"""Does a model beat the trade-off? Advantages over the reference line, and Pareto fronts.

The reference grid's networks give a line by least squares, score = intercept + slope * test
accuracy. An entry's *advantage* is its score minus the line at the entry's accuracy, signed so that
higher is better. Its interval is the 95 percent prediction interval of the line (Student's t, n - 2
degrees of freedom): where a further network of the grid would fall. So an advantage whose interval
lies above zero exceeds the scatter of the grid. A network of the grid is left out of the line it is
compared with.

An entry may have no standing (`eligibility`); then no line is fitted to it either. Ranks are those
of `ranking`: by comparisons of the scores in pairs.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from robust_interpretability.leaderboard import ranking
from robust_interpretability.leaderboard.eligibility import left_out
from robust_interpretability.leaderboard.entry import Entry
from robust_interpretability.leaderboard.outcomes import Outcomes
from robust_interpretability.leaderboard.ranking import Ranks
from robust_interpretability.leaderboard.scores import ACCURACY, direction, interpretability
from robust_interpretability.models.types import Array

FEWEST = 4
"""Networks of the grid that a line needs: with three, the t interval has one degree of freedom."""
CONFIDENCE = 0.95


class Line(NamedTuple):
    """A least-squares line, with what its prediction interval needs.

    Attributes:
        slope: Score per unit of accuracy.
        intercept: Score at accuracy 0.
        n: Networks it is fitted to.
        scatter: Standard deviation of the residuals, n - 2 degrees of freedom.
        centre: Mean accuracy.
        spread: Sum of squared deviations of the accuracies.
        least: The lowest of their accuracies.
        most: The highest.
        r_squared: Share of the scores' variance that the line explains.
    """

    slope: float
    intercept: float
    n: int
    scatter: float
    centre: float
    spread: float
    least: float
    most: float
    r_squared: float

    def at(self, accuracy: float) -> float:
        """The line's score at an accuracy."""
        return self.intercept + self.slope * accuracy

    def half_width(self, accuracy: float) -> float:
        """Half the width of the prediction interval at an accuracy."""
        error = self.scatter * math.sqrt(
            1 + 1 / self.n + (accuracy - self.centre) ** 2 / self.spread
        )
        return float(stats.t.ppf(0.5 + CONFIDENCE / 2, self.n - 2)) * error


class Headline(NamedTuple):
    """How an entry stands against the trade-off in one score.

    Attributes:
        advantage: Score minus the line's, signed so that higher is better; NaN without a line.
        low: Lower end of its interval.
        high: Upper end.
        extrapolated: Whether the entry's accuracy lies outside that of the grid.
        ranks: The best and the worst rank that it may have; None where the entry lacks the score or
            a standing.
        pareto: Whether no entry of the table is at least as good in score and accuracy and better
            in one.
    """

    advantage: float
    low: float
    high: float
    extrapolated: bool
    ranks: tuple[int, int] | None
    pareto: bool

    @property
    def beats(self) -> bool:
        """Whether it beats the trade-off beyond the grid's scatter."""
        return self.low > 0


def line(entries: list[Entry], score: str, *, without: str = "") -> Line | None:
    """Fits the line to a table's reference networks.

    None where there are too few, or all are equally accurate.

    Args:
        entries: Entries of one table.
        score: The score.
        without: An entry's id that is left out.
    """
    unranked = left_out(entries)
    points = [
        (e.value(ACCURACY), e.value(score))
        for e in entries
        if e.role == "reference" and e.id != without and e.id not in unranked
    ]
    x, y = np.array([p for p in points if not any(map(math.isnan, p))], float).reshape(-1, 2).T
    if len(x) < FEWEST or np.ptp(x) == 0:
        return None
    centre, spread = float(x.mean()), float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - centre) * (y - y.mean())) / spread)
    intercept = float(y.mean()) - slope * centre
    residual = float(np.sum((y - intercept - slope * x) ** 2))
    total = float(np.sum((y - y.mean()) ** 2))
    scatter = math.sqrt(residual / (len(x) - 2))
    r_squared = 1 - residual / total if total else math.nan
    return Line(
        slope, intercept, len(x), scatter, centre, spread, float(x.min()), float(x.max()), r_squared
    )


def pareto_front(points: Array) -> Array:
    """The points that no other point dominates.

    One dominates another that is at least as good in every measure and better in one.

    Args:
        points: `(n, measures)`, higher is better. A point with NaN is never on the front.

    Returns:
        `(n,)` booleans.
    """
    points = np.asarray(points, float)
    as_good = np.all(points[None] >= points[:, None], axis=-1)
    better = np.any(points[None] > points[:, None], axis=-1)
    return ~np.any(as_good & better, axis=1) & ~np.any(np.isnan(points), axis=1)


def _against_line(
    entries: list[Entry], entry: Entry, score: str, sign: int
) -> tuple[float, float, float, bool]:
    """Advantage, its interval, and whether the line is extrapolated."""
    fitted = line(entries, score, without=entry.id if entry.role == "reference" else "")
    accuracy, value = entry.value(ACCURACY), entry.value(score)
    if fitted is None or math.isnan(accuracy) or math.isnan(value):
        return math.nan, math.nan, math.nan, False
    advantage, half = sign * (value - fitted.at(accuracy)), fitted.half_width(accuracy)
    extrapolated = not fitted.least <= accuracy <= fitted.most
    return advantage, advantage - half, advantage + half, extrapolated


def headlines(
    entries: list[Entry], score: str, ranks: Mapping[str, tuple[int, int]]
) -> dict[str, Headline]:
    """How each entry of a table stands in a score, by id.

    Args:
        entries: Entries of one table.
        score: One of the table's `scores.interpretability`.
        ranks: By id, the ranks of those that have any.
    """
    sign = direction(entries, score)
    unranked, nothing = left_out(entries), (math.nan, math.nan, math.nan, False)
    points = [
        [math.nan, math.nan] if e.id in unranked else [e.value(ACCURACY), sign * e.value(score)]
        for e in entries
    ]
    fronts = pareto_front(np.array(points))
    return {
        e.id: Headline(
            *(nothing if e.id in unranked else _against_line(entries, e, score, sign)),
            ranks=ranks.get(e.id),
            pareto=bool(front),
        )
        for e, front in zip(entries, fronts, strict=True)
    }


class Standings:
    """How entries stand in the scores of their tables, each worked out once.

    Args:
        outcomes: By the entry's `place`, the outcomes of those that state any.
    """

    def __init__(self, outcomes: Mapping[str, Outcomes] | None = None) -> None:
        self.outcomes = outcomes or {}
        self._ranks: dict[tuple[str, ...], Ranks] = {}
        self._headlines: dict[tuple[str, ...], dict[str, Headline]] = {}

    def ranks(self, rows: list[Entry], score: str) -> Ranks:
        """The ranks of a table's entries in a score."""
        key = (score, *(entry.digest for entry in rows))
        if key not in self._ranks:
            self._ranks[key] = ranking.ranks(rows, self.outcomes, score)
        return self._ranks[key]

    def of(self, rows: list[Entry], score: str) -> dict[str, Headline]:
        """How each entry of a table stands in a score, by id."""
        key = (score, *(entry.digest for entry in rows))
        if key not in self._headlines:
            self._headlines[key] = headlines(rows, score, self.ranks(rows, score).of)
        return self._headlines[key]


def lead(entries: list[Entry]) -> str:
    """The score a table is ordered by.

    The first interpretability score that every entry has; test accuracy where there is none.
    """
    scores = interpretability(entries)
    return next((s for s in scores if all(s in e.scores for e in entries)), ACCURACY)


def compared(entries: list[Entry]) -> list[str]:
    """The interpretability scores of a table, the leading one first."""
    leading = lead(entries)
    return sorted(interpretability(entries), key=lambda s: s != leading)


def ordered(entries: list[Entry]) -> list[Entry]:
    """Sorts entries of one table by the leading score; those without a standing come last.

    Ties go by accuracy and id.
    """
    score = lead(entries)
    sign, unranked = direction(entries, score) or 1, left_out(entries)

    def key(entry: Entry) -> tuple[bool, float, float, str]:
        values = -sign * entry.value(score), -entry.value(ACCURACY)
        return (entry.id in unranked, *values, entry.id)

    return sorted(entries, key=key)


def tables(entries: list[Entry]) -> list[list[Entry]]:
    """Groups comparable entries, each group in order.

    Entries are comparable where every field of their tracks is the same, protocol version included.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.track.model_dump_json(), []).append(entry)
    order = sorted(
        groups, key=lambda k: (groups[k][0].track.name, -groups[k][0].track.protocol_version, k)
    )
    return [ordered(groups[key]) for key in order]
