"""Does a model beat the trade-off? Advantages over the reference line, ranks and Pareto fronts.

The reference grid's networks give a line by least squares, score = intercept + slope * test
accuracy. An entry's *advantage* is its score minus the line at the entry's accuracy, signed so that
higher is better. Its interval is the 95 percent prediction interval of the line (Student's t, n - 2
degrees of freedom): where a further network of the grid would fall. So an advantage whose interval
lies above zero exceeds the scatter of the grid. A network of the grid is left out of the line it is
compared with.

An entry with a flag that forbids it (`Entry.ranked`) has no standing, and no line is fitted to it.

Ranks: one plus the number of entries whose interval lies entirely above. Entries of equal rank
cannot be distinguished; overlap is not transitive, so some of different ranks cannot either.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from robust_interpretability.leaderboard.entry import Entry
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
        rank: From 1; shared where intervals overlap. 0 where the entry lacks the score or is not
            ranked.
        pareto: Whether no entry of the table is at least as good in score and accuracy and better
            in one.
    """

    advantage: float
    low: float
    high: float
    extrapolated: bool
    rank: int
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
    points = [
        (e.value(ACCURACY), e.value(score))
        for e in entries
        if e.role == "reference" and e.id != without and e.ranked
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


def _score_interval(entry: Entry, score: str, sign: int) -> tuple[float, float]:
    stated = entry.scores[score]
    if stated.low is None or stated.high is None:
        return sign * stated.value, sign * stated.value
    low, high = sorted((sign * stated.low, sign * stated.high))
    return low, high


def headlines(entries: list[Entry], score: str) -> dict[str, Headline]:
    """How each entry of a table stands in a score, by id.

    Ranks go by the advantage; without a line, by the score's interval.

    Args:
        entries: Entries of one table.
        score: One of the table's `scores.interpretability`.
    """
    sign = direction(entries, score)
    ranked = [e for e in entries if e.ranked]
    points = [
        [e.value(ACCURACY), sign * e.value(score)] if e.ranked else [math.nan, math.nan]
        for e in entries
    ]
    fronts = pareto_front(np.array(points))
    nothing = (math.nan, math.nan, math.nan, False)
    against = {
        e.id: _against_line(entries, e, score, sign) if e.ranked else nothing for e in entries
    }
    scored = [e for e in ranked if score in e.scores]
    lined = bool(scored) and not any(math.isnan(against[e.id][0]) for e in scored)
    ends = {e.id: against[e.id][1:3] if lined else _score_interval(e, score, sign) for e in scored}
    ranks = {
        name: 1 + sum(other[0] > high for other in ends.values())
        for name, (_, high) in ends.items()
    }
    return {
        e.id: Headline(*against[e.id], rank=ranks.get(e.id, 0), pareto=bool(front))
        for e, front in zip(entries, fronts, strict=True)
    }


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
    """Sorts entries of one table by rank in the leading score.

    Ties go by advantage, score, accuracy and id; entries that are not ranked come last.
    """
    score = lead(entries)
    if score == ACCURACY:
        return sorted(entries, key=lambda e: (not e.ranked, -e.value(ACCURACY), e.id))
    standings, sign = headlines(entries, score), direction(entries, score)

    def key(entry: Entry) -> tuple[bool, int, float, float, float, str]:
        standing = standings[entry.id]
        advantage = 0.0 if math.isnan(standing.advantage) else standing.advantage
        values = -advantage, -sign * entry.value(score), -entry.value(ACCURACY)
        return (not entry.ranked, standing.rank, *values, entry.id)

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
