"""One claim of the paper, and how its number is compared with ours.

The package's docstring explains the outcomes.
"""

from dataclasses import dataclass

import numpy as np

from robust_interpretability.metrics.statistics import Estimate

YES = "yes"
UNCLEAR = "unclear"
NO = "no"
NOT_RUN = "not run"
NONE = "-"

NAN = float("nan")
UNDEFINED = Estimate(NAN, NAN, NAN, 0)


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


def direction(sign: float, low: float, high: float) -> str:
    """Whether an interval lies on the side of zero on which the paper's number lies."""
    if not (low > 0 or high < 0):  # includes zero, or is undefined
        return UNCLEAR
    return YES if (low > 0) == (sign > 0) else NO


def size(number: float, low: float, high: float, *, wide: float) -> str:
    """Whether the paper's number lies in an interval no wider than `wide`."""
    if np.isnan(low) or np.isnan(high):
        return UNCLEAR
    if not low <= number <= high:
        return NO
    return YES if high - low <= wide else UNCLEAR


def written(estimate: Estimate | tuple[float, float, float], digits: int = 3) -> str:
    """A value with its interval, as `0.912 [0.41, 0.99]`."""
    value, low, high = estimate[:3]
    if np.isnan(value):
        return "undefined"
    interval = "" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"
