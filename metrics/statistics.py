"""Estimates with intervals, and correlations. Every interval is at 95 percent.

Scores that rest on several networks, repeats and images have theirs from `hierarchical`.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from pellucid.models.errors import InputError
from pellucid.models.types import Array

CONFIDENCE = 0.95


class Estimate(NamedTuple):
    """A value with its interval; the ends are NaN where the data do not allow an interval."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Estimate:
    """A proportion with Wilson's interval."""
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), int(n))


def mean(values: Array) -> Estimate:
    """The mean of independent values with Student's interval."""
    values = np.asarray(values, float)
    n, centre = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(centre, float("nan"), float("nan"), n)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(centre, centre - half, centre + half, n)


def difference(first: Array, second: Array) -> Estimate:
    """mean(first) - mean(second) of two independent samples with Welch's interval.

    n is the size of the smaller sample.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    value, n = float(first.mean() - second.mean()), min(len(first), len(second))
    if n < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return Estimate(value, float("nan"), float("nan"), n)
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(CONFIDENCE)
    return Estimate(value, float(interval.low), float(interval.high), n)


class Correlation(NamedTuple):
    """Pearson's (linear) and Spearman's (rank) correlation with intervals, and the fitted line.

    The line is the least-squares one.
    """

    n: int
    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    slope: float
    intercept: float


def _fisher(r: float, standard_error: float) -> tuple[float, float]:
    if not abs(r) < 1:
        return r, r
    half = stats.norm.ppf(0.5 + CONFIDENCE / 2) * standard_error
    return float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))


def spearman_interval(rho: float, n: int) -> tuple[float, float]:
    """Bonett and Wright's interval of a rank correlation of n pairs, four at least.

    For a perfect order it has no width; it is then taken as if half a swap of neighbours were
    missing.
    """
    most = 1 - 6 / (n**3 - n)
    inside = float(np.clip(rho, -most, most))
    low, high = _fisher(inside, float(np.sqrt((1 + inside**2 / 2) / (n - 3))))
    return (-1.0 if rho < -most else low), (1.0 if rho > most else high)


def correlation(x: Array, y: Array) -> Correlation:
    """Correlations of paired values.

    Intervals by Fisher's transform, with standard error 1 / sqrt(n - 3) for Pearson and sqrt((1 +
    r^2 / 2) / (n - 3)) for Spearman (Bonett and Wright 2000; a perfect order is taken as if half a
    swap of neighbours were missing, since few pairs easily come in perfect order by chance); NaN
    below four pairs. Every value is NaN where a variable does not vary, and for two pairs, which
    always lie on a line.

    Args:
        x: `(n,)`.
        y: `(n,)`.

    Raises:
        InputError: There are fewer than two pairs, or the lengths differ.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise InputError(
            f"`x` and `y` must be two or more pairs. Received shapes {x.shape} and {y.shape}."
        )
    n, nan = len(x), float("nan")
    if n < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(n, *[nan] * 8)
    line = stats.linregress(x, y)
    pearson, spearman = float(line.rvalue), float(stats.spearmanr(x, y).statistic)
    ends = [(nan, nan), (nan, nan)]
    if n > 3:
        ends = [_fisher(pearson, 1 / np.sqrt(n - 3)), spearman_interval(spearman, n)]
    return Correlation(
        n, pearson, *ends[0], spearman, *ends[1], float(line.slope), float(line.intercept)
    )
