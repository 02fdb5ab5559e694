"""The report: every claim of the paper, its number, ours, and the verdicts, with the figures; Markdown and CSV."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from robust_interpretability.benchmark.paper import claims, runs
from robust_interpretability.benchmark.paper.claims import NO, NONE, NOT_RUN, UNCLEAR, YES, written
from robust_interpretability.benchmark.paper.runs import Run
from robust_interpretability.benchmark.results import report as run_report
from robust_interpretability.metrics import statistics
from robust_interpretability.models.files import write

TITLES = {
    "correlations": "Correlations of ROAR and KAR (section 3.3)",
    "manifold order": "Order of the distances to the manifold (section 2.1)",
    "manifold peaks": "Peaks of the scaled distances (section 2.1)",
    "tilt": "Tilt of the boundary in the plane (section 2.2)",
    "accuracy": "Accuracies",
    "scores": "ROAR and KAR scores read off the figures (section 3.3)",
}

EXPLANATIONS = {
    "correlations": (
        "Intervals by Fisher's transform at 95 percent; a size is judged only where the interval"
        f" is no wider than {claims.WIDE_CORRELATION:g}."
    ),
    "manifold order": (
        "Mean scaled distance of the kept examples, from the standard network to the strongest;"
        " *falls by* is the whole fall. Direction is `yes` only where each single step falls beyond"
        " doubt (Welch's interval), `no` where one rises beyond doubt. The kept examples differ"
        " from network to network, so the note judges the steps on all test images as well, image"
        " by image."
    ),
    "manifold peaks": (
        f"The paper's numbers are read off its figures, to about {claims.READING:g}; bootstrap"
        " intervals. The scale of the distances is that of the manifold model, so sizes depend on"
        " its quality."
    ),
    "tilt": (
        "The angle is ours; the paper shows the boundaries as a picture. Differences are paired by"
        " seed."
    ),
    "accuracy": "Wilson's intervals over test images.",
    "scores": "Bootstrap intervals over retrainings.",
}

FIGURES = {
    "boundary_tilting": "Section 2.2: tilt of the boundary",
    "loss_gradients": "Section 2.1: gradients of the log-likelihood",
    "adversarial_examples": "Section 2.1: adversarial examples of every network",
    "manifold_xent": "Section 2.1: distance to the manifold, attack loss xent",
    "manifold_cw": "Section 2.1: distance to the manifold, attack loss cw",
    "roar_xent_strength": "Section 3.3: ROAR against attack strength, xent",
    "roar_cw_strength": "Section 3.3: ROAR against attack strength, cw",
    "roar_xent_accuracy": "Section 3.3: ROAR against test accuracy, xent",
    "roar_cw_accuracy": "Section 3.3: ROAR against test accuracy, cw",
    "kar_xent_strength": "Section 3.3: KAR against attack strength, xent",
    "kar_cw_strength": "Section 3.3: KAR against attack strength, cw",
    "kar_xent_accuracy": "Section 3.3: KAR against test accuracy, xent",
    "kar_cw_accuracy": "Section 3.3: KAR against test accuracy, cw",
    "manifold_excess_xent": (
        "Ours: distances of all images beside noise of the same norm, attack loss xent"
    ),
    "manifold_excess_cw": (
        "Ours: distances of all images beside noise of the same norm, attack loss cw"
    ),
    "curves_roar_xent": "Ours: ROAR curves, xent",
    "curves_roar_cw": "Ours: ROAR curves, cw",
    "curves_kar_xent": "Ours: KAR curves, xent",
    "curves_kar_cw": "Ours: KAR curves, cw",
    "manifold_projections": "Ours: reconstructions and samples of the manifold model",
}

COPIED = (
    "accuracy",
    "training",
    "scores",
    "correlations",
    "tilt",
    "retraining",
    "manifold_model",
    "remarks",
    "dataset",
)
"""Tables that go beside the report; the distances of single images stay with the run."""


LISTED = 3
"""Remarks of one kind beyond which they are folded."""


def _markdown(table: list[list[Any]], headers: list[str]) -> str:
    return tabulate(table, headers, tablefmt="github", disable_numparse=True)


def _environment(run: Run) -> dict[str, Any]:
    return json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))


def _runs_table(found: list[Run]) -> str:
    rows = []
    for run in found:
        about = _environment(run)
        where = (
            f"{about['backend']}, {', '.join(about['devices'])}, {about['processors']} processors"
        )
        minutes = sum(about.get("seconds_of_work", {}).values()) / 60
        measured = [m for m in ("manifold", "retraining", "tilt") if run.measures(m)]
        of_the_paper = {m: run.of_the_paper(m) for m in measured}
        paper = ", ".join(
            f"{own} of {theirs} ({m})" for m, (own, theirs) in of_the_paper.items() if theirs
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
    return _markdown(rows, headers)


def _verdicts(judged: pd.DataFrame) -> str:
    rows = []
    for group, title in TITLES.items():
        own = judged[judged["group"] == group]
        for what in ("direction", "size"):
            made = own[own[what] != NONE]
            if len(made):
                rows.append(
                    [
                        title,
                        what,
                        len(made),
                        *((made[what] == v).sum() for v in (YES, UNCLEAR, NO, NOT_RUN)),
                    ]
                )
    return _markdown(rows, ["claims", "judged by", "claims made", YES, UNCLEAR, NO, NOT_RUN])


def _manifold_models(found: list[Run]) -> str:
    rows = []
    for run in found:
        table, distances = run.table("manifold_model"), run.table("manifold")
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
            images = (
                distances[distances["norm"] == "none"]
                .groupby("image")[["noise_distance", "clean_distance"]]
                .mean()
            )
            farther = statistics.mean(
                (images["noise_distance"] - images["clean_distance"]).to_numpy()
            )
            share = (images["noise_distance"] > images["clean_distance"]).mean()
            cells += [written(farther, 2), f"{share:.1%}"]
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
    return _markdown(rows, headers)


def _remarks(found: list[Run]) -> Iterator[str]:
    for run in found:
        table = run.table("remarks")
        yield f"### {run.config.name}\n"
        if table.empty:
            yield "Nothing to remark.\n"
            continue
        for kind, part in table.groupby("kind", sort=False):
            lines = [f"`{r.network}`: {r.text}" if r.network else r.text for r in part.itertuples()]
            listed = "\n".join(f"- {line}" for line in lines)
            if len(lines) > LISTED:
                listed = f"<details><summary>all {len(lines)}</summary>\n\n{listed}\n\n</details>"
            yield f"**{kind}** ({len(lines)})\n\n{listed}\n"


def _elsewhere(found: list[Run], judged_run: Run | None) -> str:
    rows = []
    for run in found:
        if run is judged_run or not run.measures("retraining"):
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
        _markdown(rows, ["run", "score", "against", "norm", "loss", "networks", "linear", "rank"])
        if rows
        else ""
    )


def _figures(found: list[Run], drawn: dict[str, list[Path]], target: Path) -> Iterator[str]:
    for run in found:
        yield f"### {run.config.name}\n"
        names = {path.stem: path for path in drawn[run.config.name] if path.suffix == ".png"}
        for stem, title in FIGURES.items():
            if stem in names:
                where = names[stem].relative_to(target.parent).as_posix()
                vector = where.removesuffix(".png") + ".svg"
                yield (
                    f"**{title}** ([vector]({vector}))\n\n![{title}, {run.config.name}]({where})\n"
                )


def text(found: list[Run], judged: pd.DataFrame, drawn: dict[str, list[Path]], target: Path) -> str:
    """The report as Markdown."""
    command = (
        f"python run_benchmark.py paper --out {' '.join(r.folder.name for r in found)} --report"
        f" {target.name}"
    )
    cifar = runs.best(found, "cifar10", "retraining")
    own, all_of_them = (
        cifar.of_the_paper("retraining")
        if cifar
        else (0, len(runs.papers("cifar10", "retraining")))
    )
    parts = [
        "# The paper's claims beside our numbers\n",
        (
            "Kim, Seo and Jeon, *Bridging Adversarial Robustness and Gradient Interpretability*"
            " (2019, [arXiv 1903.11626](https://arxiv.org/abs/1903.11626)). Written"
            f" by\n\n```\n{command}\n```\n\n(folders by their names) from the runs below; the same"
            f" claims stand in `{target.stem}.csv`.\n"
        ),
        (
            f"The paper's trade-off rests on {all_of_them} CIFAR-10 networks; **{own} of these"
            f" {all_of_them} were trained exactly as there**. A verdict on a reduced run says what"
            " shows at that scale and no more.\n"
        ),
        "## What was run\n",
        _runs_table(found) + "\n",
        "## Verdicts, counted\n",
        (
            "*Direction*: `yes` where the 95 percent interval excludes zero on the paper's side,"
            " `no` where on the other, `unclear` where it includes zero. *Size*: `yes` where the"
            " paper's number lies in an interval narrow enough to mean something, `unclear` where"
            " it lies in a wide one, `no` where it lies outside.\n"
        ),
        _verdicts(judged) + "\n",
    ]
    for group, title in TITLES.items():
        table = judged[judged["group"] == group]
        rows = (
            table[["data", "claim", "paper", "ours", "direction", "size", "scale", "note"]]
            .to_numpy()
            .tolist()
        )
        headers = ["data", "claim", "paper", "ours", "direction", "size", "scale", "note"]
        parts += [f"## {title}\n", EXPLANATIONS[group] + "\n", _markdown(rows, headers) + "\n"]
    elsewhere = _elsewhere(found, cifar)
    if elsewhere:
        parts += ["## Not in the paper: the same correlations on other data\n", elsewhere + "\n"]
    parts += ["## The manifold models\n", _manifold_models(found) + "\n"]
    parts += ["## What must be known\n", *_remarks(found)]
    units = (
        "Radii in the figures are in pixel units unless they say otherwise; the paper's are twice"
        " as large.\n"
    )
    parts += ["## Figures\n", units, *_figures(found, drawn, target)]
    return "\n".join(parts)


def write_report(
    folders: list[Path], target: Path, notice: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Writes the report, its claims as CSV, and for each run a folder of figures and tables beside it.

    Args:
        folders: Folders of finished runs.
        target: The Markdown file.
        notice: Told what is being done.

    Returns:
        The report and the CSV.

    Raises:
        InputError: As `runs.read`.
    """
    found = runs.read(folders)
    drawn = {}
    for run in found:
        notice(f"drawing {run.config.name}")
        beside = target.parent / run.config.name
        drawn[run.config.name] = run_report.draw(run.folder, folder=beside)
        for name in COPIED:
            if name in run.tables:
                content = (run.folder / "results" / f"{name}.csv").read_bytes()
                write(beside / f"{name}.csv", content)
        for name in ("config.toml", "environment.json", "leaderboard/LEADERBOARD.md"):
            write(beside / Path(name).name, (run.folder / name).read_bytes())
    notice("judging the claims")
    judged = claims.judged(found)
    table = target.with_suffix(".csv")
    write(table, judged.to_csv(index=False, lineterminator="\n"))
    write(target, text(found, judged, drawn, target))
    return [target, table]
