"""The paragraphs on measures without retraining, and on which scores rank networks alike."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial import distance

from pellucid.benchmark.findings import trends
from pellucid.benchmark.findings.runs import VERDICTS, FinishedRun, Sources
from pellucid.benchmark.findings.sentences import listed, of
from pellucid.benchmark.findings.standing import losses
from pellucid.benchmark.findings.trends import DOWN, UP, Trend
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import DOES_NOT, SURVIVES, UNCLEAR
from pellucid.benchmark.units.map_measures import CONTROLLED, LOWER, TITLES
from pellucid.metrics import CONTROLS
from pellucid.metrics.statistics import CONFIDENCE

ALIKE = 0.9
"""The rank correlation, in size, from which two scores are said to rank networks alike."""
NOTHING = "-"


class Judged(NamedTuple):
    """A measure in one series.

    Attributes:
        trend: Where it goes with attack strength.
        verdicts: By control; empty where none was measured.
        shares: The share of its change that each control explains.
    """

    trend: Trend
    verdicts: dict[str, str]
    shares: dict[str, float]

    @property
    def improves(self) -> bool:
        """Whether it goes the way that is read as better."""
        return self.trend.direction == (DOWN if _measure(self.trend.score) in LOWER else UP)

    @property
    def outcome(self) -> str:
        """The joined verdict."""
        found = set(self.verdicts.values())
        if DOES_NOT in found:
            return DOES_NOT
        complete = set(CONTROLLED[_controlled(self.trend.score)]) <= self.verdicts.keys()
        return SURVIVES if complete and found == {SURVIVES} else UNCLEAR


def _measure(score: str) -> str:
    """The measure of a score, as `max_sensitivity` of `max_sensitivity_gradient`."""
    return next(name for name in TITLES if score == name or score.startswith(f"{name}_"))


def _controlled(score: str) -> str:
    """The measure by the name under which it is selected."""
    measure = _measure(score)
    return "relative_stability" if measure.startswith("log_r") else measure


def judged(run: FinishedRun) -> Iterator[Judged]:
    """The measures of a run in every series, with their verdicts."""
    table = run.table(VERDICTS)
    for trend in trends.of_measures(run):
        rows = table[(table["score"] == trend.score) & (table["norm"] == trend.norm)]
        shown = losses(table)
        rows = rows[rows["loss"].map(shown) == trend.loss]
        verdicts = dict(zip(rows["control"], rows["verdict"], strict=True))
        yield Judged(trend, verdicts, dict(zip(rows["control"], rows["share"], strict=True)))


def _row(score: str, found: Sequence[Judged]) -> list[str]:
    """A measure over all series: where it goes, and what becomes of its improvements."""
    directions = [one.trend.direction for one in found]
    better = [one for one in found if one.improves]
    outcomes = Counter(one.outcome for one in better)
    largest = Counter(
        max(shares, key=lambda control: shares[control])
        for one in better
        if (shares := {c: share for c, share in one.shares.items() if math.isfinite(share)})
    )
    explained = NOTHING
    if largest:
        control, times = largest.most_common(1)[0]
        explained = f"{CONTROLS[control].title} ({of(times, len(better))})"
    counts = (str(outcomes[outcome]) for outcome in (SURVIVES, DOES_NOT, UNCLEAR))
    return [
        names.score(score),
        "lower" if _measure(score) in LOWER else "higher",
        f"{directions.count(UP)}, {directions.count(DOWN)} of {len(found)}",
        " / ".join(counts) if better else NOTHING,
        explained,
    ]


def measures(sources: Sources) -> str | None:
    """Where measures go with attack strength, and after controls; None where no run has them."""
    runs = sources.having("measures")
    found = [one for run in runs for one in judged(run)]
    if not found:
        return None
    single = [run.label for run in runs if run.config.seeds == 1]
    known = [one for one in found if one.trend.seeds > 1]
    parts = []
    if known:
        by_name: dict[str, list[Judged]] = {}
        for one in known:
            by_name.setdefault(one.trend.score, []).append(one)
        chance = (1 - CONFIDENCE) * len(known)
        survived = sum(one.improves and one.outcome == SURVIVES for one in known)
        parts.append(
            f"Of {sum(one.improves for one in known)} changes for the better with attack strength"
            f" {survived or 'none'} {'survives' if survived < 2 else 'survive'} every control that"
            " says something about the measure, by the rule above (`docs/protocol.md`). Directions"
            f" are by intervals over seeds, not corrected for their number (of {len(known)},"
            f" {chance:.1f} would exclude 0 where nothing changed)."
        )
    alone = [
        f"{names.score(one.trend.score)} on {one.trend.series}"
        for one in found
        if one.trend.seeds == 1 and one.trend.label not in single
    ]
    if alone:
        parts.append(f"Without an interval, as one seed alone is complete: {listed(alone)}.")
    if single:
        parts.append(
            f"One seed ({listed(single)}) has no interval over seeds, so nothing is said of it."
        )
    text = " ".join(parts)
    if not known:
        return text
    headers = [
        "measure",
        "better",
        "series that go up, down",
        "of those for the better: survive / do not / cannot be told",
        "control with the largest share, most often",
    ]
    rows = [_row(name, some) for name, some in by_name.items()]
    return f"{text}\n\n{markdown(rows, headers)}"


def _table(run: FinishedRun) -> pd.DataFrame:
    """Signed rank correlations of a run's scores, as a symmetric matrix.

    NaN where a pair was not measured on as many networks as others.
    """
    table = run.table("agreement")
    every = table["networks"] == table["networks"].max()
    table = table.assign(spearman=table["spearman"].where(every))
    mirrored = table.rename(columns={"score": "other", "other": "score"})
    both = pd.concat([table, mirrored], ignore_index=True)
    return both.pivot(index="score", columns="other", values="spearman")


def alike(runs: list[FinishedRun]) -> Iterator[list[str]]:
    """Groups of scores of which every two rank the networks alike in every run.

    Complete linkage on 1 - the smallest |rho| of the runs; 1 where its sign is not the same in all,
    or where it is not known.
    """
    tables = [_table(run) for run in runs]
    found = set.intersection(*(set(table.index) for table in tables))
    scores = [name for name in tables[0].index if name in found]
    if len(scores) < 2:
        return
    rho = np.stack([table.loc[scores, scores].to_numpy(float) for table in tables])
    same = (np.sign(rho) == np.sign(rho[0])).all(axis=0)
    size = np.where(same, np.nan_to_num(np.abs(rho)).min(axis=0), 0.0)
    apart = 1 - size
    np.fill_diagonal(apart, 0.0)
    tree = hierarchy.linkage(distance.squareform(apart, checks=False), "complete")
    # a tie with the limit counts as alike
    groups = hierarchy.fcluster(tree, 1 - ALIKE + 1e-9, "distance")
    for group in dict.fromkeys(groups):
        members = [name for name, of_group in zip(scores, groups, strict=True) if of_group == group]
        if len(members) > 1:
            yield members


def agreement(sources: Sources) -> str | None:
    """Which scores say the same of networks; None where no run compares them."""
    runs = sources.having("agreement")
    if not runs:
        return None
    numbers = sorted({int(run.table("agreement")["networks"].max()) for run in runs})
    networks = " or ".join(str(number) for number in numbers)
    groups = [f"({', '.join(names.score(name) for name in members)})" for members in alike(runs)]
    every = " in every run" if len(runs) > 1 else ""
    if not groups:
        return (
            f"No two scores rank the {networks} networks alike (|rho| of {ALIKE:g} or more){every}."
        )
    return (
        f"These rank the {networks} networks alike, or in reverse, with |rho| of {ALIKE:g} or more"
        f" between every two{every}: {', '.join(groups)}. They rest on the same networks, so that"
        " one is no evidence of the other."
    )
