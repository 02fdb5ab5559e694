"""The paragraphs on measures without retraining, and on which scores rank networks alike."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial import distance

from pellucid.benchmark.findings import trends
from pellucid.benchmark.findings.runs import FinishedRun, Sources
from pellucid.benchmark.findings.sentences import listed, of
from pellucid.benchmark.findings.trends import DOWN, UP
from pellucid.benchmark.results import names
from pellucid.metrics.statistics import CONFIDENCE

ALIKE = 0.9
"""The rank correlation, in size, from which two scores are said to rank networks alike."""


def measures(sources: Sources) -> str | None:
    """Which measures go up or down with attack strength; None where no run has them."""
    runs = sources.having("measures")
    found = [trend for run in runs for trend in trends.of_measures(run)]
    if not found:
        return None
    single = [run.label for run in runs if run.config.seeds == 1]
    known = [trend for trend in found if trend.seeds > 1]
    parts = []
    if known:
        by_name: dict[str, list[str]] = {}
        for trend in known:
            by_name.setdefault(trend.score, []).append(trend.direction)
        moving: list[str] = []
        still: list[str] = []
        for name, directions in by_name.items():
            ways = [
                f"{way} in {of(count, len(directions))}"
                for way in (UP, DOWN)
                if (count := directions.count(way))
            ]
            title = names.score(name)
            if ways:
                moving.append(f"{title} goes {' and '.join(ways)} series")
            else:
                still.append(title)
        if moving:
            parts.append(f"With attack strength, {'; '.join(moving)}.")
        if still:
            parts.append(f"Not shown to go either way: {listed(still)}.")
        chance = (1 - CONFIDENCE) * len(known)
        parts.append(
            f"This is by intervals over seeds, not corrected for their number (of {len(known)},"
            f" {chance:.1f} would exclude 0 where nothing changed), and before any control."
        )
    alone = [
        f"{names.score(trend.score)} on {trend.series}"
        for trend in found
        if trend.seeds == 1 and trend.label not in single
    ]
    if alone:
        parts.append(f"Without an interval, as one seed alone is complete: {listed(alone)}.")
    if single:
        parts.append(
            f"One seed ({listed(single)}) has no interval over seeds, so nothing is said of it."
        )
    return " ".join(parts)


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
