"""The trade-off of a reference grid: a score as a function of test accuracy, by least squares.

The grid has n networks, each trained from S seeds, at the accuracies a_i with the scores v_i:

    v_i = b_0 + b_1 (a_i - mean a) [+ b_2 (a_i - mean a)^2] + d_i,

a line, or a parabola where a line lacks fit and a parabola does not. The residual variance
m^2 = sum_i d_i^2 / (n - p), p coefficients, holds what differs from network to network and what is
left of the trainings' scatter in the mean of S seeds, s^2 / S. A fit *lacks fit* where m^2 exceeds
the latter beyond chance, F = m^2 / (s^2 / S) with n - p and f degrees of freedom, p < .05: accuracy
does not tell the score. Nothing is claimed of such a fit, nor of one that explains less than half
of the scores' variance or rests on fewer than three seeds.

A further network of the grid's kind, trained from r seeds, has a score about the fit with variance

    m^2 (1 + h) + s^2 max(1 / r - 1 / S, 0),   h = x' (X' X)^-1 x,

and is set against Student's t with n - p degrees of freedom. (Satterthwaite's are more, and fewer
intervals hold it: where m^2 comes out small by chance, they follow s^2.) What was chosen among two
fits, and many submissions beside one m^2, keep within 5 percent: `tests/leaderboard/test_fit.py`
simulates boards of twenty submissions.

Reference: Draper and Smith, Applied Regression Analysis, 1998, sections 1.5 and 3.1.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from pellucid.models.types import Array

FEWEST = 4
"""Networks that a line needs: with three, its interval has one degree of freedom."""
FEWEST_FOR_PARABOLA = 5
LEVEL = 0.05
"""From which p-value a line lacks fit."""
CONFIDENCE = 0.95
FEWEST_SEEDS = 3
"""Seeds of every network of the grid, without which no model is said to beat it."""
EXPLAINED = 0.5
"""Share of the scores' variance that a fit must explain, for the same."""


class Scatter(NamedTuple):
    """What trainings add to a score.

    Attributes:
        square: s^2, the variance of a score from one seed.
        freedom: f, its degrees of freedom.
        seeds: S, the seeds of every network of the grid.
    """

    square: float
    freedom: int
    seeds: int


class Fit(NamedTuple):
    """A line or a parabola, and what its prediction intervals need.

    Attributes:
        coefficients: b_0, b_1 and, of a parabola, b_2.
        centre: Mean accuracy.
        inverse: (X' X)^-1.
        square: m^2.
        freedom: n - p.
        scatter: That of trainings; None where it is not known.
        lack_of_fit: The p-value; NaN where it cannot be tested.
        n: Networks it is fitted to.
        least: The lowest of their accuracies.
        most: The highest.
        r_squared: Share of the scores' variance that it explains.
    """

    coefficients: Array
    centre: float
    inverse: Array
    square: float
    freedom: int
    scatter: Scatter | None
    lack_of_fit: float
    n: int
    least: float
    most: float
    r_squared: float

    @property
    def tells(self) -> bool:
        """Whether accuracy tells the score well enough to say that a model beats the trade-off."""
        seeds = self.scatter.seeds if self.scatter else 1
        return seeds >= FEWEST_SEEDS and self.lack_of_fit >= LEVEL and self.r_squared >= EXPLAINED

    @property
    def straight(self) -> bool:
        """Whether it is a line."""
        return len(self.coefficients) == 2

    def _rows(self, accuracy: Array) -> Array:
        powers = np.arange(len(self.coefficients))
        return (np.asarray(accuracy, float) - self.centre)[..., None] ** powers

    def at(self, accuracy: Array) -> Array:
        """The score at accuracies, of their shape."""
        return self._rows(accuracy) @ self.coefficients

    def _deviation(self, accuracy: Array, seeds: Array | int) -> Array:
        """The standard deviation of further networks about the fit."""
        rows = self._rows(accuracy)
        leverage = np.einsum("...i,ij,...j", rows, self.inverse, rows)
        variance = self.square * (1 + leverage)
        if self.scatter is not None:
            fewer = np.maximum(1 / np.asarray(seeds) - 1 / self.scatter.seeds, 0.0)
            variance = variance + self.scatter.square * fewer
        return np.sqrt(variance)

    def half_width(self, accuracy: Array, seeds: Array | int = 1) -> Array:
        """Half the 95 percent prediction interval of further networks at accuracies."""
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, self.freedom)
        return quantile * self._deviation(accuracy, seeds)

    def p(self, accuracy: Array, score: Array, seeds: Array, sign: int) -> Array:
        """The one-sided p-values that further networks are no better than the grid's."""
        deviation = self._deviation(accuracy, seeds)
        beyond = sign * (np.asarray(score) - self.at(accuracy))
        certain = np.where(beyond > 0, np.inf, -np.inf)
        t = np.divide(beyond, deviation, out=certain, where=deviation > 0)
        return stats.t.sf(t, self.freedom)


def _of_degree(x: Array, y: Array, degree: int, scatter: Scatter | None) -> Fit:
    centre = float(x.mean())
    design = (x - centre)[:, None] ** np.arange(degree + 1)
    inverse = np.linalg.pinv(design.T @ design)
    coefficients = inverse @ design.T @ y
    residual = float(((y - design @ coefficients) ** 2).sum())
    freedom, total = len(x) - degree - 1, float(((y - y.mean()) ** 2).sum())
    square = residual / freedom
    lack = math.nan
    if scatter is not None and scatter.square > 0:
        ratio = square / (scatter.square / scatter.seeds)
        lack = float(stats.f.sf(ratio, freedom, scatter.freedom))
    return Fit(
        coefficients=coefficients,
        centre=centre,
        inverse=inverse,
        square=square,
        freedom=freedom,
        scatter=scatter,
        lack_of_fit=lack,
        n=len(x),
        least=float(x.min()),
        most=float(x.max()),
        r_squared=1 - residual / total if total else math.nan,
    )


def fit(x: Array, y: Array, scatter: Scatter | None, *, degree: int | None = None) -> Fit | None:
    """Fits scores to accuracies.

    Args:
        x: Accuracies, `(n,)`.
        y: Scores, `(n,)`.
        scatter: That of trainings, where it is known.
        degree: 1 or 2; by default 1, or 2 where a line lacks fit and a parabola does not.

    Returns:
        The fit; None where there are too few points, or all are equally accurate.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < FEWEST or np.ptp(x) == 0:
        return None
    line = _of_degree(x, y, 1, scatter)
    enough = len(x) >= FEWEST_FOR_PARABOLA and len(np.unique(x)) > 2
    if not enough or degree == 1 or not (degree or line.lack_of_fit < LEVEL):
        return line
    parabola = _of_degree(x, y, 2, scatter)
    return parabola if degree or parabola.lack_of_fit >= LEVEL else line
