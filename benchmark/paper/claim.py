"""One claim of the paper, and how its number is compared with ours.

The package's docstring explains the outcomes.
"""

from dataclasses import dataclass

import numpy as np

from pellucid.metrics import comparisons
from pellucid.metrics.comparisons import Comparison
from pellucid.metrics.statistics import CONFIDENCE, Estimate
from pellucid.models.types import Array

YES = "yes"
UNCLEAR = "unclear"
NO = "no"
NOT_RUN = "not run"
NONE = "-"

NAN = float("nan")
UNDEFINED = Estimate(NAN, NAN, NAN, 0)

LEVEL = (1 - CONFIDENCE) / 2
"""The level of a one-sided test, as on either side of a 95 percent interval."""


@dataclass(frozen=True)
class Claim:
    """One claim with its outcomes.

    Attributes:
        group: The report's table that it belongs to.
        data: Data set.
        claim: What is compared, in words.
        paper: What the paper reports, in words or digits.
        ours: What was measured, in the same form.
        value: The number that is compared; NaN where there is none.
        low: The lower end of its interval.
        high: The upper end.
        scale: The scale of the run, and how many networks it measures.
        direction: Whether the paper's direction is found.
        size: Whether the paper's size is found.
        note: What else a reader must know.
        part: The part of the group that is counted by itself; empty where the group is one.
        series: What the claims share that are one measurement seen in several ways; empty where a
            claim stands alone.
        counted: Whether its outcomes count for its series.
    """

    group: str
    data: str
    claim: str
    paper: str
    ours: str = ""
    value: float = NAN
    low: float = NAN
    high: float = NAN
    scale: str = ""
    direction: str = NOT_RUN
    size: str = NOT_RUN
    note: str = ""
    part: str = ""
    series: str = ""
    counted: bool = True


def direction(sign: float, low: float, high: float) -> str:
    """Whether an interval lies on the side of zero on which the paper's number lies."""
    if not (low > 0 or high < 0):  # includes zero, or is undefined
        return UNCLEAR
    return YES if (low > 0) == (sign > 0) else NO


def correlation_size(difference: Comparison, margin: float) -> str:
    """Whether two correlations are equal within a margin, or differ.

    `yes` where the interval of their difference lies within the margin, `no` where not and the test
    between them is significant.
    """
    if -margin < difference.low and difference.high < margin:
        return YES
    return NO if difference.p < 1 - CONFIDENCE else UNCLEAR


def size(
    paper: tuple[float, float, float],
    ours: tuple[float, float, float],
    *,
    margin: float,
    slack: float = 0.0,
) -> str:
    """Whether our number is the paper's within a margin, or differs.

    `yes` where the interval of their difference, widened by the slack, lies within the margin, `no`
    where not and it excludes zero.

    Args:
        paper: The paper's number with its interval.
        ours: Ours.
        margin: The difference that does not matter.
        slack: How exactly the paper's number is known.
    """
    between = comparisons.difference(ours, paper)
    low, high = between.low - slack, between.high + slack
    if -margin < low and high < margin:
        return YES
    return NO if low > 0 or high < 0 else UNCLEAR


def scattered_as(number: float, ours: tuple[float, float, float]) -> tuple[float, float, float]:
    """A number of the paper whose interval is not printed, with one as wide as ours."""
    value, low, high = ours
    return number, number - (value - low), number + (high - value)


def order(values: Array) -> tuple[str, comparisons.Trend]:
    """Whether the columns fall from first to last, over rows as replicates.

    `no` where Page's test finds a rise, or a paired t test over rows a step upwards (by Holm's
    rule); `yes` where not and Page's test finds a fall. Where the columns do not differ, each
    happens with a chance of at most 2.5 (`yes`) and 5 percent (`no`).

    Args:
        values: `(seeds, k)`.

    Returns:
        The outcome, and the trend that it rests on.
    """
    trend = comparisons.page(values)
    if trend.rising <= LEVEL or comparisons.rises(values).min() <= LEVEL:
        return NO, trend
    return (YES if trend.falling <= LEVEL else UNCLEAR), trend


def written(estimate: Estimate | tuple[float, float, float], digits: int = 3) -> str:
    """A value with its interval, as `0.912 [0.41, 0.99]`."""
    value, low, high = estimate[:3]
    if np.isnan(value):
        return "undefined"
    interval = "" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"
