"""Comparisons of correlations, of estimates, and of orders over networks.

*Two correlations* of independent samples, by Fisher's transform z = atanh(r):

    z = (atanh r_1 - atanh r_2) / sqrt(v_1 + v_2),    v = 1 / (n - 3)              (Pearson)
                                                      v = (1 + r^2 / 2) / (n - 3)  (Spearman)

*The difference of two estimates* d = r_1 - r_2 from their own intervals [l, u] (Zou 2007):

    from d - sqrt((r_1 - l_1)^2 + (u_2 - r_2)^2) to d + sqrt((u_1 - r_1)^2 + (r_2 - l_2)^2)

*An order* of k networks, each trained from several seeds, by Page's trend test: with R_sj the rank
of network j among the networks of seed s,

    L = sum over s and j of j R_sj,

set against all k! orders within each seed, so one seed of five networks can be significant and one
of four cannot. A single *step* of the order is tested by Student's paired t over seeds, and the
steps together by Holm's rule.

References: Fisher 1921; Bonett and Wright 2000; Zou 2007; Page 1963; Holm 1979.
"""

import itertools
import math
from functools import reduce
from typing import NamedTuple

import numpy as np
from scipy import stats

from pellucid.metrics.statistics import CONFIDENCE
from pellucid.models.errors import InputError
from pellucid.models.types import Array

MOST_ORDERS = 5040
"""So many orders of one seed's networks are enumerated (seven networks); beyond, they are drawn."""

DRAWS = 20_000
"""Random orders where they are too many to enumerate."""

QUANTILE = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
"""Standard errors on either side of an interval."""

NAN = float("nan")


class Difference(NamedTuple):
    """A difference with its 95 percent interval; NaN where the data do not allow one."""

    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The difference of two correlations with its 95 percent interval, and a two-sided p-value.

    All but the value are NaN where either correlation rests on fewer than four pairs.
    """

    value: float
    low: float
    high: float
    p: float


class Trend(NamedTuple):
    """Page's statistic, and the one-sided p-values of a rise and of a fall."""

    statistic: float
    rising: float
    falling: float


def difference(first: tuple[float, float, float], second: tuple[float, float, float]) -> Difference:
    """The first minus the second of two independent estimates, with an interval from their own.

    Args:
        first: Value, lower and upper end of its 95 percent interval.
        second: The same.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    value = a - b
    return Difference(
        value, value - math.hypot(a - a_low, b_high - b), value + math.hypot(a_high - a, b - b_low)
    )


def _transformed(r: float, n: int, *, rank: bool) -> tuple[float, float]:
    """Fisher's z and its variance.

    A perfect order counts as half a swap of neighbours off, as in `statistics.correlation`.
    """
    if rank:
        most = 1 - 6 / (n**3 - n)
        r = min(max(r, -most), most)
    return math.atanh(r), (1 + r**2 / 2 if rank else 1.0) / (n - 3)


def _interval(r: float, n: int, *, rank: bool) -> tuple[float, float, float]:
    """A correlation with its 95 percent interval; for a perfect order, up to the order itself."""
    z, variance = _transformed(r, n, rank=rank)
    half = QUANTILE * math.sqrt(variance)
    return r, min(math.tanh(z - half), r), max(math.tanh(z + half), r)


def correlations(
    first: float, n_first: int, second: float, n_second: int, *, rank: bool
) -> Comparison:
    """The first minus the second of two independent samples' correlations, and a test of it.

    Args:
        first: A correlation.
        n_first: The number of pairs that it rests on.
        second: Another one.
        n_second: The number of its pairs.
        rank: Spearman's correlations; else Pearson's.

    Returns:
        The comparison. A perfect linear correlation has no sampling error by Fisher's transform
        and is not compared.

    Raises:
        InputError: A value lies outside [-1, 1].
    """
    for r in (first, second):
        if abs(r) > 1:
            raise InputError(f"A correlation lies between -1 and 1. Received {r}.")
    missing = math.isnan(first) or math.isnan(second)
    perfect = not rank and max(abs(first), abs(second)) == 1
    if missing or perfect or min(n_first, n_second) < 4:
        return Comparison(first - second, NAN, NAN, NAN)
    z_first, variance_first = _transformed(first, n_first, rank=rank)
    z_second, variance_second = _transformed(second, n_second, rank=rank)
    z = (z_first - z_second) / math.sqrt(variance_first + variance_second)
    interval = difference(
        _interval(first, n_first, rank=rank), _interval(second, n_second, rank=rank)
    )
    return Comparison(*interval, math.erfc(abs(z) / math.sqrt(2)))


def _checked(values: Array) -> Array:
    values = np.asarray(values, float)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise InputError(
            f"An order needs one row or more of two or more values. Received shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise InputError("An order is of finite values.")
    return values


def page(values: Array) -> Trend:
    """Page's test for a trend along the columns; rows are replicates.

    Exact up to seven columns, given the ties that there are; beyond, from `DRAWS` random orders
    with a fixed seed, the observed one counted among them.

    Args:
        values: `(seeds, k)`, the networks in the order in question.

    Raises:
        InputError: Fewer than two columns, no row, or a value that is not finite.
    """
    values = _checked(values)
    k = values.shape[1]
    ranks = np.rint(2 * stats.rankdata(values, axis=1)).astype(int)  # whole numbers, also with ties
    places = np.arange(1, k + 1)
    observed = int((ranks @ places).sum())
    if math.factorial(k) <= MOST_ORDERS:
        orders = np.array(list(itertools.permutations(range(k))))
        of_seeds = (np.bincount(row[orders] @ places) / len(orders) for row in ranks)
        chances = reduce(np.convolve, of_seeds)
        rising, falling = chances[observed:].sum(), chances[: observed + 1].sum()
    else:
        rng = np.random.default_rng(0)
        drawn = np.zeros(DRAWS, int)
        for row in ranks:
            drawn += rng.permuted(np.broadcast_to(row, (DRAWS, k)), axis=1) @ places
        rising = (1 + (drawn >= observed).sum()) / (1 + DRAWS)
        falling = (1 + (drawn <= observed).sum()) / (1 + DRAWS)
    return Trend(observed / 2, min(float(rising), 1.0), min(float(falling), 1.0))


def holm(p: Array) -> Array:
    """P-values adjusted by Holm's rule: one at or below a level a is a mistake with chance a.

    p_(i) becomes the largest of (m - j + 1) p_(j) over j up to i, at most 1.

    Args:
        p: `(m,)`.
    """
    p = np.asarray(p, float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order])
    return np.minimum(adjusted, 1.0)


def rises(values: Array) -> Array:
    """One-sided p-values that a column lies above the one before, over rows, by Holm's rule.

    Student's paired t. With one row no step can be tested, and a step that is the same in every
    row shows no scatter to test against: these have 1.

    Args:
        values: `(seeds, k)`.

    Returns:
        `(k - 1,)`.

    Raises:
        InputError: As `page`.
    """
    steps = np.diff(_checked(values), axis=1)
    seeds, count = steps.shape
    if seeds < 2:
        return np.ones(count)
    error = steps.std(axis=0, ddof=1) / np.sqrt(seeds)
    scatter = np.ptp(steps, axis=0) > 0
    t = np.divide(steps.mean(axis=0), error, out=np.zeros(count), where=scatter)
    return holm(np.where(scatter, stats.t.sf(t, seeds - 1), 1.0))
