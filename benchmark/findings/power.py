"""How small a difference between two networks can be seen, and how many seeds would show more.

A series of m networks and S seeds has the rise sum_i w_i y_i with the half-width h. Its standard
error is h / t(.975, f), so that one network's is

    s = h / (t(.975, f) sqrt(sum_i w_i^2)),    f = (m - 1)(S - 1),

and that of a difference of two networks e = sqrt(2) s, in the mean square over the run's series.
Of M networks there are P = M (M - 1) / 2 pairs. By Holm's rule a difference is significant at level
a whatever the other pairs show if its p-value is at most a / P, that is, if it is at least

    D = t(1 - a / (2 P), (M - 1)(S - 1)) e.

*Seeds.* G groups, equally far apart over the spread R = max - min of the measured scores, have
steps of R / (G - 1). With S' seeds e becomes e sqrt(S / S'). Each step is seen with the chance
1 - (1 - b) / (G - 1), so that all are seen with the chance b at least, if

    R / (G - 1) >= (t(1 - a / (2 P), f') + t(1 - (1 - b) / (G - 1), f')) e sqrt(S / S'),
    f' = (M - 1)(S' - 1);

the smallest such S' is stated. It is enough (Bonferroni's bounds; simulated, four fifths of it are)
where the error is that of the trainings; the part from the test images does not shrink with seeds.
The measured spread holds noise too, so the true one is smaller and needs more.

*One seed.* The error is that of repeats of these very networks, with f = m k (R - 1) for k
fractions and R repeats, and 2 k (R - 1) for a pair. It says nothing of the scatter between base
networks, so that no number of seeds follows.
`tests/benchmark/test_findings_power.py` simulates both numbers.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from pellucid.benchmark.findings import trends
from pellucid.benchmark.findings.runs import FinishedRun, Sources
from pellucid.benchmark.findings.sentences import counted, listed
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import slope
from pellucid.benchmark.results.groups import LEVEL
from pellucid.benchmark.units.outcomes import Score
from pellucid.benchmark.units.retrain import Retraining
from pellucid.metrics import ATTRIBUTIONS, MODES
from pellucid.metrics.statistics import CONFIDENCE
from pellucid.models.types import Array

GROUPS = 5
"""Groups that a score should tell apart."""
POWER = 0.8
"""The chance with which all of their steps are to be seen."""
MOST_SEEDS = 1000
"""Beyond it no number of seeds is stated."""


class Error(NamedTuple):
    """The standard error of a difference of two networks, and the design behind it.

    Attributes:
        value: e.
        networks: M.
        seeds: S.
        retrainings: Of one network and seed: fractions times repeats less one of each.
    """

    value: float
    networks: int
    seeds: int
    retrainings: int

    @property
    def pairs(self) -> int:
        """Pairs of networks."""
        return self.networks * (self.networks - 1) // 2

    def freedom(self, networks: int) -> int:
        """Degrees of freedom of a contrast of so many networks."""
        if self.seeds > 1:
            return (networks - 1) * (self.seeds - 1)
        return max(networks * self.retrainings, 1)


def network_error(half_width: float, strength: Array, freedom: float) -> float:
    """The standard error of one network's score, from the half-width of a series' rise.

    Args:
        half_width: h.
        strength: Of the series' networks, `(m,)`.
        freedom: f.
    """
    weights = slope(np.asarray(strength, float))
    quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)
    return float(half_width / quantile / np.sqrt((weights**2).sum()))


def smallest_difference(error: Error) -> float:
    """D: a difference that is significant by Holm's rule, whatever the other pairs show."""
    freedom = error.freedom(error.networks if error.seeds > 1 else 2)
    return float(stats.t.isf(LEVEL / (2 * error.pairs), freedom) * error.value)


def seeds_needed(error: Error, spread: float, groups: int = GROUPS) -> int | None:
    """The smallest number of seeds by which so many groups are told apart.

    None where it is beyond `MOST_SEEDS`, and with one seed, from which it does not follow.

    Args:
        error: With the number of seeds that it comes from.
        spread: Of the scores of all networks.
        groups: How many, equally far apart.
    """
    if error.seeds < 2 or not spread > 0:
        return None
    seeds = np.arange(2, MOST_SEEDS + 1)
    freedom = (error.networks - 1) * (seeds - 1)
    beyond = stats.t.isf(LEVEL / (2 * error.pairs), freedom)
    seen = stats.t.isf((1 - POWER) / (groups - 1), freedom)
    steps = (beyond + seen) * error.value * np.sqrt(error.seeds / seeds)
    enough = seeds[spread / (groups - 1) >= steps]
    return int(enough[0]) if len(enough) else None


def _retrainings(run: FinishedRun) -> int:
    section = run.config.section(Retraining)
    return len(section.fractions) * (section.repeats - 1) if section else 0


def error(run: FinishedRun, score: str) -> Error | None:
    """The error of a score's differences in a run; None where no rise with an interval is known."""
    scores = run.table("scores")
    rows = scores[scores["score"] == score]
    networks = rows["network"].nunique()
    squares = []
    seeds = 1
    for trend in trends.of_scores(run):
        half = (trend.high - trend.low) / 2
        if trend.score != score or math.isnan(half):
            continue
        member = (rows["norm"] == "none") | (rows["norm"] == trend.norm)
        if trend.loss:
            member &= (rows["norm"] == "none") | (rows["loss"] == trend.loss)
        strength, seeds = rows.loc[member, "strength"].to_numpy(), trend.seeds
        freedom = Error(0.0, networks, seeds, _retrainings(run)).freedom(len(strength))
        squares.append(2 * network_error(half, strength, freedom) ** 2)
    if not squares:
        return None
    return Error(float(np.sqrt(np.mean(squares))), networks, seeds, _retrainings(run))


def _hours(run: FinishedRun) -> float:
    """Hours of one seed on the machine that made a run; NaN where that is not known."""
    seconds = run.environment.get("seconds_of_work")
    if not isinstance(seconds, dict):
        return math.nan
    at_once = int(run.environment.get("processors") or 1)
    return sum(seconds.values()) / at_once / run.config.seeds / 3600


def _row(run: FinishedRun, score: str, groups: int, networks: int) -> list[str] | None:
    of_score = error(run, score)
    if of_score is None or of_score.networks < 2:
        return None
    scores = run.table("scores")
    values = scores.loc[scores["score"] == score, "value"]
    spread = float(values.max() - values.min())
    needed = seeds_needed(of_score, spread)
    hours = needed * _hours(run) if needed else math.nan
    beyond = "one seed: unknown" if of_score.seeds < 2 else f"more than {MOST_SEEDS}"
    return [
        run.label,
        names.score(score),
        f"{groups} (of {networks})",
        f"{smallest_difference(of_score):.3f}",
        f"{spread:.3f}",
        str(needed) if needed else beyond,
        "-" if math.isnan(hours) else f"{hours:,.0f}",
    ]


class _Lines(NamedTuple):
    """What the tables of groups say.

    Attributes:
        rows: Of the leading scores.
        counts: Groups of every score, its title and its run.
    """

    rows: list[list[str]]
    counts: list[tuple[int, str, str]]


def _lines(sources: Sources) -> _Lines:
    rows, counts = [], []
    main = [str(Score(mode, attribution)) for attribution in ATTRIBUTIONS for mode in MODES]
    for run in sources.having("groups"):
        for line in run.table("groups").itertuples():
            counts.append((int(line.groups), names.score(str(line.score)), run.label))
            if line.score in main:
                row = _row(run, str(line.score), int(line.groups), int(line.networks))
                rows += [row] if row else []
    return _Lines(rows, counts)


def differences(sources: Sources) -> str | None:
    """The table of groups and of what it would take to tell more apart; None without one."""
    rows = _lines(sources).rows
    if not rows:
        return None
    headers = [
        "run",
        "score",
        "groups of networks",
        "smallest difference seen",
        "spread",
        f"seeds for {GROUPS} groups",
        "hours",
    ]
    text = (
        "*Smallest difference seen*: significant"
        " whatever the other pairs show; *spread*: from the lowest network to the highest, noise"
        f" included; *seeds*: enough to tell {GROUPS} groups over that spread apart with a chance"
        f" of {100 * POWER:.0f} percent (`benchmark/findings/power.py`); *hours*: what so many"
        " seeds would take at the pace of the run, on the machine that made it."
    )
    return f"{text}\n\n{markdown(rows, headers)}"


def power(sources: Sources) -> str | None:
    """How many groups of networks scores tell apart; None where that is not known."""
    counts = _lines(sources).counts
    if not counts:
        return None
    most, least = (way(groups for groups, _, _ in counts) for way in (max, min))
    best = [f"{title} on {label}" for groups, title, label in counts if groups == most]
    shown = f"{least} to {most} groups" if least < most else counted(most, "group")
    named = f", most by {listed(best)}" if least < most and len(best) <= 3 else ""
    return (
        "Groups of networks are told apart where neighbours in the order of a score differ at 5"
        f" percent, after Holm's correction over all pairs. Scores tell {shown} apart{named}."
    )
