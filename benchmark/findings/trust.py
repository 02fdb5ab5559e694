"""Which scores follow a truth that is known."""

import pandas as pd

from pellucid.benchmark.findings.runs import Sources
from pellucid.benchmark.findings.sentences import listed, of
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.results.trust import CONTROLS, OVER, STRENGTH

LOWER = " (less is better)"
ALL_CELLS = f"{OVER[0]} at once"
"""How the text names the first of `OVER`."""


def _cell(rows: pd.DataFrame) -> str:
    """The range of rho over truths, and by how many its interval lies above 0, or below."""
    low, high = rows["rho"].min(), rows["rho"].max()
    if pd.isna(low):
        return "-"
    between = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
    ways = {"above 0": int((rows["low"] > 0).sum()), "below": int((rows["high"] < 0).sum())}
    told = [f"{way} by {of(count, len(rows))}" for way, count in ways.items() if count]
    return f"{between}, {listed(told)}" if told else between


def _table(table: pd.DataFrame, columns: list[str]) -> str:
    """One row per score, controls last; one column per what rho is over."""
    order = list(dict.fromkeys(table["score"]))
    rows = []
    for score in sorted(order, key=lambda name: name in CONTROLS):
        of_score = table[table["score"] == score]
        lower = (of_score["better"] == "lower").any()
        cells = [_cell(of_score[of_score["over"] == over]) for over in columns]
        rows.append([names.bare(str(score)) + (LOWER if lower else ""), *cells])
    return markdown(rows, ["score", *(f"over {over}" for over in columns)])


def _agreeing(table: pd.DataFrame, over: str) -> list[str]:
    """The scores that agree with every truth."""
    rows = table[(table["over"] == over) & ~table["score"].isin(CONTROLS)]
    above = rows.groupby("score", sort=False)["low"].min() > 0
    return [names.bare(str(score)) for score in above.index[above]]


def _opposed(table: pd.DataFrame, columns: list[str]) -> str:
    """Which scores are opposed to every truth, and over what; empty where none is."""
    told = []
    for over in columns:
        rows = table[(table["over"] == over) & ~table["score"].isin(CONTROLS)]
        below = rows.groupby("score", sort=False)["high"].max() < 0
        if found := [names.bare(str(score)) for score in below.index[below]]:
            told.append(f"{listed(found)} over {_named(over)}")
    return f" Opposed to every truth, with rho below 0: {'; '.join(told)}." if told else ""


def _named(over: str) -> str:
    return ALL_CELLS if over == OVER[0] else over


def _agree(table: pd.DataFrame, columns: list[str]) -> str:
    """Which scores agree with every truth, and over what."""
    agreeing = {over: _agreeing(table, over) for over in columns}
    ways: dict[str, list[str]] = {}
    for over, found in agreeing.items():
        ways.setdefault(listed(found) if found else "", []).append(over)
    told = []
    for scores, overs in ways.items():
        over = ", and ".join(f"over {_named(what)}" for what in overs)
        verb = "agree" if scores and len(agreeing[overs[0]]) > 1 else "agrees"
        told.append(f"{scores or 'No score'} {verb} with every truth {over}.")
    return " ".join(told) if any(agreeing.values()) else "No score agrees with every truth."


def _strength(table: pd.DataFrame) -> str:
    """That attack strength itself agrees with every truth; empty where it does not."""
    rows = table[(table["score"] == STRENGTH) & (table["over"] == OVER[1])]
    if rows.empty or not (rows["low"] > 0).all():
        return ""
    return (
        " Attack strength itself agrees with the truth over networks, by rho of"
        f" {rows['rho'].min():.2f} to {rows['rho'].max():.2f}: maps of networks trained at larger"
        " radii are nearer to it. So a score that does no more than follow strength looks right."
    )


def _over(table: pd.DataFrame) -> list[str]:
    """What correlations are over."""
    return [over for over in OVER if over in set(table["over"])]


def _one(name: str, table: pd.DataFrame) -> str:
    truths = listed([names.score(str(truth)) for truth in table["truth"].unique()])
    over = _over(table)
    told = f"{_agree(table, over)}{_opposed(table, over)}{_strength(table)}"
    return f"{name}: the truth is {truths}. {told}"


def trust(sources: Sources) -> str | None:
    """By Spearman's rho with the truth; None where no run knows it."""
    if not sources.trust:
        return None
    read = (
        "Where the pixels that tell the classes apart are known, a score that says how right a map"
        " is has a rank correlation rho with the truth above 0, by its interval."
    )
    return "\n\n".join([read, *(_one(name, table) for name, table in sources.trust.items())])


def correlations(sources: Sources) -> str | None:
    """The table of every rho; None where no run knows the truth."""
    if not sources.trust:
        return None
    read = (
        "Cells have the range of Spearman's rho over truths, and by how many of them it differs"
        " from 0. Where less is better, the score is taken with the opposite sign."
    )
    tables = [f"{name}:\n\n{_table(table, _over(table))}" for name, table in sources.trust.items()]
    return "\n\n".join([read, *tables])
