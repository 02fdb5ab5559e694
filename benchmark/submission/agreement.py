"""Whether the scores that authors report are those that were measured.

Accuracy on the unmodified test images follows from the file alone, so it must agree within two
images. Every other score must lie within the measured 95 percent interval: attacks and trainings
on another machine or backend round differently. Both bounds are widened by the half of the third
decimal, to which scores are printed; a score without an interval must agree to three decimals.
"""

from typing import NamedTuple

from pellucid.leaderboard.entry import Entry, Score
from pellucid.leaderboard.scores import ACCURACY
from pellucid.models.errors import InputError, unknown

IMAGES = 2
"""By how many test images accuracy may differ."""
ROUNDING = 0.5e-3 + 1e-9
"""What rounding to three decimals may add."""


class Difference(NamedTuple):
    """A reported score that was not measured.

    Attributes:
        name: The score.
        reported: What its authors report.
        measured: The value measured; None where the model has no such score.
    """

    name: str
    reported: float
    measured: float | None


def _bounds(name: str, score: Score) -> tuple[float, float]:
    """Between which values a reported score agrees with the measured one."""
    low = high = score.value
    if name == ACCURACY:
        low, high = low - IMAGES / score.n, high + IMAGES / score.n
    elif score.low is not None and score.high is not None:
        low, high = score.low, score.high
    return low - ROUNDING, high + ROUNDING


def check_names(reported: dict[str, float], known: set[str]) -> None:
    """Refuses reported scores that no entry of the track has.

    Args:
        reported: By name.
        known: The names of the track's scores.

    Raises:
        InputError: A name is unknown; the closest match is named.
    """
    wrong = [name for name in reported if name not in known]
    if wrong:
        first = unknown("score", wrong[0], known)
        more = f" ({len(wrong) - 1} more are unknown.)" if len(wrong) > 1 else ""
        raise InputError(f"[reported]: {first}{more}")


def differences(reported: dict[str, float], entry: Entry) -> list[Difference]:
    """The reported scores that differ from the measured ones.

    Args:
        reported: By name.
        entry: What was measured.
    """
    found = []
    for name, value in reported.items():
        score = entry.scores.get(name)
        if score is None:
            found.append(Difference(name, value, None))
            continue
        low, high = _bounds(name, score)
        if not low <= value <= high:
            found.append(Difference(name, value, score.value))
    return found
