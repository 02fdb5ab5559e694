"""The paragraph on which scores follow a truth that is known."""

from collections.abc import Iterator

import pandas as pd

from robust_interpretability.benchmark.findings import names
from robust_interpretability.benchmark.findings.runs import Sources
from robust_interpretability.benchmark.findings.sentences import listed
from robust_interpretability.benchmark.results.trust import CONTROLS, OVER, STRENGTH

ABOVE, BELOW, UNKNOWN = "above 0", "below 0", "cannot be told"
PARTLY = "above 0 by some truths alone"
MOST_NAMED = 3
"""Scores of which it cannot be told, beyond which they are counted."""


def agreement(rows: pd.DataFrame) -> str:
    """Whether a score agrees with the truth by every row, against it by every row, or neither.

    Where it agrees by some rows and runs against none, it does in part.
    """
    above, below = rows["low"] > 0, rows["high"] < 0
    if above.all() or below.all():
        return ABOVE if above.all() else BELOW
    return PARTLY if above.any() and not below.any() else UNKNOWN


def _found(table: pd.DataFrame) -> dict[str, list[str]]:
    """Scores by their agreement with all truths, each with the range of its rho."""
    found: dict[str, list[str]] = {ABOVE: [], PARTLY: [], BELOW: [], UNKNOWN: []}
    for score, rows in table.groupby("score", sort=False):
        if score in CONTROLS or rows["rho"].isna().all():
            continue
        low, high = rows["rho"].min(), rows["rho"].max()
        between = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
        if (rows["better"] == "lower").any():
            between = f"less is better; {between}"
        way = agreement(rows)
        if way == PARTLY:
            between = f"{(rows['low'] > 0).sum()} of {len(rows)}; {between}"
        found[way].append(f"{names.bare(str(score))} ({between})")
    return found


def _sentences(over: str, table: pd.DataFrame) -> Iterator[str]:
    found = _found(table)
    parts = [
        f"rho is {way} for {listed(found[way])}" for way in (ABOVE, PARTLY, BELOW) if found[way]
    ]
    unknown = found[UNKNOWN]
    if unknown:
        few = len(unknown) <= MOST_NAMED
        of = listed(unknown) if few else f"{len(unknown)} scores"
        parts.append(f"whether rho differs from 0 {UNKNOWN} for {of}")
    if parts:
        yield f"Over {over}, {'; '.join(parts)}."
    strength = table[table["score"] == STRENGTH]
    if over == OVER[1] and len(strength) and agreement(strength) == ABOVE:
        low, high = strength["rho"].min(), strength["rho"].max()
        yield (
            f"The truth itself follows attack strength there, with a rho of {low:.2f} to"
            f" {high:.2f}: maps of networks trained at larger radii are nearer to it. So a score"
            " that does no more than follow strength looks right."
        )


def _one(name: str, table: pd.DataFrame) -> str:
    truths = listed([names.score(str(truth)) for truth in table["truth"].unique()])
    over = [o for o in (*OVER, *table["over"].unique()) if o in set(table["over"])]
    parts = [
        sentence
        for each in dict.fromkeys(over)
        for sentence in _sentences(str(each), table[table["over"] == each])
    ]
    return f"{name}: the truth is {truths}. {' '.join(parts)}"


def trust(sources: Sources) -> str | None:
    """By Spearman's rho with the truth; None where no run knows it."""
    if not sources.trust:
        return None
    read = (
        "Where the pixels that tell the classes apart are known, a score that says how right a map"
        " is has a rank correlation with the truth above 0, by its interval and by every truth."
        " Where less is better, the score is taken with the opposite sign."
    )
    return "\n\n".join([read, *(_one(name, table) for name, table in sources.trust.items())])
