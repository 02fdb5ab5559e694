"""The tables of the report, as Markdown."""

import itertools
import json
from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from pellucid.benchmark.config.names import ENVIRONMENT
from pellucid.benchmark.paper.claim import NO, NONE, NOT_RUN, UNCLEAR, YES, written
from pellucid.benchmark.paper.runs import Run
from pellucid.benchmark.units.calibration import ENCODER
from pellucid.models.types import Json


def markdown(rows: Sequence[Sequence[object]], headers: list[str]) -> str:
    """A table in GitHub's Markdown."""
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def _environment(run: Run) -> Json:
    return json.loads((run.folder / ENVIRONMENT).read_text(encoding="utf-8"))


def runs_table(described: list[Run]) -> str:
    """What was run: one row per run."""
    rows = []
    for run in described:
        about = _environment(run)
        where = (
            f"{about['backend']}, {', '.join(about['devices'])}, {about['processors']} processors"
        )
        minutes = sum(about.get("seconds_of_work", {}).values()) / 60
        measured = [m for m in ("manifold", "retraining", "tilt") if run.measures(m)]
        of_the_paper = {m: run.of_the_paper(m) for m in measured}
        paper = ", ".join(
            f"{here} of {there} ({m})" for m, (here, there) in of_the_paper.items() if there
        )
        networks = run.table("scores")["network"].nunique()
        rows.append(
            [
                run.config.name,
                run.config.data.name,
                run.config.scale,
                run.config.model.name,
                networks,
                run.config.seeds,
                paper,
                where,
                f"{minutes:.0f}",
            ]
        )
    headers = [
        "run",
        "data",
        "scale",
        "model",
        "networks",
        "base-model seeds",
        "networks exactly as the paper's",
        "on",
        "minutes of work, all threads added",
    ]
    return markdown(rows, headers)


def counts(compared: pd.DataFrame, titles: dict[str, str]) -> str:
    """How many series have each outcome.

    A series counts once, by the claim that speaks for it; a claim that stands alone is a series.

    Args:
        compared: The claims, as `claims.compare` gives them.
        titles: Titles of the groups of claims.
    """
    outcomes = (YES, UNCLEAR, NO, NOT_RUN)
    rows = []
    for (group, title), what in itertools.product(titles.items(), ("direction", "size")):
        made = compared[(compared["group"] == group) & (compared[what] != NONE)]
        for part, lines in made.groupby("part", sort=False):
            counted = lines[lines["counted"]]
            together = lines[lines["series"] != ""].groupby("series")[what]
            alike = str((together.nunique() == 1).sum()) if len(together) else ""
            numbers = ((counted[what] == outcome).sum() for outcome in outcomes)
            name = f"{title}: {part}" if part else title
            rows.append([name, what, len(lines), len(counted), *numbers, alike])
    headers = ["claims", "compared by", "lines", "series", *outcomes, "series whose lines agree"]
    return markdown(rows, headers)


def manifold_models(described: list[Run]) -> str:
    """How well each run's manifold model reconstructs test images."""
    rows = []
    for run in described:
        table, distances = run.table("manifold_model"), run.table("distances")
        if table.empty:
            continue
        value = table.set_index("measure")["value"]
        error, pca, variance = (
            value[k] for k in ("mean_squared_error", "pca_mean_squared_error", "variance")
        )
        cells = [
            run.config.name,
            f"{error:.4f}",
            f"{pca:.4f}",
            "yes" if error < pca else "no",
            f"{1 - error / variance:.1%}",
        ]
        if len(distances):
            standard = distances[(distances["norm"] == "none") & (distances["manifold"] == ENCODER)]
            scores = run.table("scores").query("norm == 'none'").set_index("score")
            loss = standard["attack_loss"].iloc[0]
            excess = scores.loc[f"manifold_{loss}_noise_excess", ["value", "low", "high"]]
            cells += [written(tuple(excess), 2), f"{standard['farther_under_noise'].mean():.1%}"]
        rows.append(cells)
    headers = [
        "run",
        "mean squared error",
        "of a PCA as large",
        "below it",
        "variance explained",
        "distance under noise minus clean (paper units)",
        "images farther under noise",
    ]
    return markdown(rows, headers)


def other_correlations(described: list[Run], compared: Run | None) -> str:
    """Correlations of the runs with which no claim is compared; empty where there are none."""
    rows = []
    for run in described:
        if run is compared or not run.measures("retraining"):
            continue
        table = run.table("correlations")
        table = table[table["score"].str.startswith(("roar_", "kar_"))]
        for r in table.itertuples():
            cells = [
                written((r.pearson, r.pearson_low, r.pearson_high), 2),
                written((r.spearman, r.spearman_low, r.spearman_high), 2),
            ]
            rows.append(
                [
                    run.config.name,
                    r.score.replace("_", " "),
                    r.against.replace("_", " "),
                    r.norm,
                    r.loss,
                    r.n,
                    *cells,
                ]
            )
    return (
        markdown(rows, ["run", "score", "against", "norm", "loss", "networks", "linear", "rank"])
        if rows
        else ""
    )
