"""Where adversarial examples and gradients lie beside the image manifold: text and table."""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from pellucid.benchmark.findings.runs import FinishedRun, Sources
from pellucid.benchmark.findings.sentences import listed, of
from pellucid.benchmark.findings.standing import losses
from pellucid.benchmark.findings.trends import DOWN, UP, direction
from pellucid.benchmark.paper.manifold_claims import Judge, judge
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.units.calibration import ENCODER
from pellucid.benchmark.units.manifold import Manifold
from pellucid.metrics import comparisons

TANGENTS = {
    "tangent_fraction_decoder_over_phases": "tangent fraction over random phases",
    "off_manifold_ratio_decoder": "change under normal / tangent noise",
}
"""Scores of gradients and the manifold's tangent spaces."""
WAYS = {UP: "rises", DOWN: "falls"}


class Change(NamedTuple):
    """A score of the standard network and of a series' strongest.

    Attributes:
        series: The series' name in the text.
        title: Of the score.
        standard: Of the standard network.
        strongest: Of the one trained at the largest radius.
        direction: Of the difference, the two intervals taken as independent.
    """

    series: str
    title: str
    standard: float
    strongest: float
    direction: str


def _numbers(row: pd.Series) -> tuple[float, float, float]:
    return float(row["value"]), float(row["low"]), float(row["high"])


def _excess(loss: str, manifold: str, null: str) -> str:
    """A score's name; that of the encoder over noise is `manifold`'s where it stands alone."""
    return f"manifold_{loss}_{manifold}_excess_over_{null}"


def judged_by(run: FinishedRun) -> Judge:
    """The manifold model that decides, by the rule for the paper's claims.

    It may be any whose distances are among the run's scores.
    """
    scored = set(run.table("scores")["score"])
    section = run.config.section(Manifold)
    loss = section.losses[0] if section else ""
    models = [m for m in names.MANIFOLDS if _excess(loss, m, "noise") in scored]
    measured = {"distances": pd.DataFrame({"manifold": models})}
    return judge(replace(run, tables=run.tables | measured))


def _worse(run: FinishedRun) -> str:
    """That an uncalibrated model reconstructs no better than a PCA; empty where it does."""
    table = run.table("manifold_model")
    if table.empty or calibrated(Sources([run], {})):
        return ""
    value = table.set_index("measure")["value"]
    error, pca = float(value["mean_squared_error"]), float(value["pca_mean_squared_error"])
    if error < pca:
        return ""
    return f", and no better than a PCA as large (error {error:.4f} against {pca:.4f})"


def _columns(run: FinishedRun, manifold: str) -> dict[str, str]:
    """Scores of a run that are shown, and their titles."""
    scored = set(run.table("scores")["score"])
    section = run.config.section(Manifold)
    loss = section.losses[0] if section else ""
    alone = f"manifold_{loss}_excess_over_noise"
    found = {}
    for null, title in names.NULLS.items():
        score = _excess(loss, manifold, null)
        if score not in scored and (manifold, null) == (ENCODER, "noise"):
            score = alone
        found[score] = f"excess over {title}"
    return {score: title for score, title in (found | TANGENTS).items() if score in scored}


def changes(run: FinishedRun) -> Iterator[Change]:
    """What a run's scores do from the standard network to the strongest of each series."""
    scores = run.table("scores")
    shown = losses(scores)
    for score, title in _columns(run, judged_by(run).manifold).items():
        rows = scores[scores["score"] == score]
        standard = _numbers(rows[rows["norm"] == "none"].iloc[0])
        trained = rows[rows["norm"] != "none"]
        for (norm, loss), series in trained.groupby(["norm", "loss"], sort=False):
            strongest = _numbers(series.sort_values("strength").iloc[-1])
            between = comparisons.difference(strongest, standard)
            yield Change(
                names.series(run.label, str(norm), shown[loss]),
                title,
                standard[0],
                strongest[0],
                direction(between.low, between.high),
            )


def _table(found: list[Change]) -> str:
    """One row per series, one column per score."""
    titles = list(dict.fromkeys(change.title for change in found))
    rows = {series: ["-"] * len(titles) for series in (change.series for change in found)}
    for change in found:
        way = WAYS.get(change.direction, "cannot be told")
        cell = f"{change.standard:.2f} → {change.strongest:.2f}, {way}"
        rows[change.series][titles.index(change.title)] = cell
    return markdown([[series, *cells] for series, cells in rows.items()], ["series", *titles])


def _runs(sources: Sources) -> list[FinishedRun]:
    """Those that measured distances."""
    return [run for run in sources.runs if _columns(run, judged_by(run).manifold)]


def manifold(sources: Sources) -> str | None:
    """Which way distances go from the standard network to the strongest, in how many series."""
    if not (runs := _runs(sources)):
        return None
    ways: dict[str, list[str]] = {}
    for change in (change for run in runs for change in changes(run)):
        ways.setdefault(change.title, []).append(WAYS.get(change.direction, ""))
    told = []
    for title, found in ways.items():
        there = [
            f"{way} in {of(count, len(found))}"
            for way in WAYS.values()
            if (count := found.count(way))
        ]
        series = f"{' and '.join(there)} series" if there else "is not shown to go either way"
        told.append(f"{title} {series}")
    text = (
        "How much farther from the manifold adversarial examples lie than images changed as much by"
        " what does not know them, and how they lie to its tangent spaces. From the standard"
        " network to the strongest, by the two networks' intervals, taken as independent (about"
        f" these very networks): {'; '.join(told)}."
    )
    if undecided := [run.label for run in runs if not judged_by(run).may_decide]:
        text += f" Nothing is concluded for {listed(undecided)}: its model is not good enough."
    return text


def distances(sources: Sources) -> str | None:
    """The same distances as a table, and which model of the manifold they are to."""
    if not (runs := _runs(sources)):
        return None
    found = [change for run in runs for change in changes(run)]
    notes: dict[str, list[str]] = {}
    for run in runs:
        by = judged_by(run)
        notes.setdefault(f"{by.note}{_worse(run)}", []).append(run.label)
    models = "; ".join(f"{listed(labels)}: {note}" for note, labels in notes.items())
    return (
        "From the standard network to the strongest, in the paper's units."
        f"\n\n{_table(found)}\n\nThe model of the manifold: {models}."
    )


def calibrated(sources: Sources) -> bool:
    """Whether some run knows if its distances are right."""
    return bool(sources.having("calibration"))


def off_manifold(sources: Sources) -> bool:
    """Whether some run has scores of tangent spaces."""
    return any(set(run.table("scores")["score"]) & TANGENTS.keys() for run in sources.runs)
