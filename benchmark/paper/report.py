"""The report on the paper's claims, as Markdown with figures and tables beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from robust_interpretability.benchmark.paper import claims, runs, tables
from robust_interpretability.benchmark.paper.reference import READING
from robust_interpretability.benchmark.paper.retraining_claims import WIDE_CORRELATION
from robust_interpretability.benchmark.paper.runs import Run
from robust_interpretability.benchmark.results import report as run_report
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
        "Intervals by Fisher's transform at 95 percent; a size is compared only where the interval"
        f" is no wider than {WIDE_CORRELATION:g}."
    ),
    "manifold order": (
        "Mean scaled distance of the kept examples, from the standard network to the strongest;"
        " *falls by* is the total fall. Direction is `yes` only where each single step falls"
        " significantly (Welch's interval), `no` where one rises significantly. The kept examples"
        " differ from network to network, so the note compares the steps on all test images as"
        " well, image by image."
    ),
    "manifold peaks": (
        f"The paper's numbers are read off its figures, to about {READING:g}; bootstrap"
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
"""Tables that are copied beside the report; those of single images are not."""

MOST_UNFOLDED = 3
"""Caveats of one kind, beyond which their list is folded."""


def _caveats(described: list[Run]) -> Iterator[str]:
    for run in described:
        table = run.table("remarks")
        yield f"### {run.config.name}\n"
        if table.empty:
            yield "None.\n"
            continue
        for kind, part in table.groupby("kind", sort=False):
            lines = [f"`{r.network}`: {r.text}" if r.network else r.text for r in part.itertuples()]
            listed = "\n".join(f"- {line}" for line in lines)
            if len(lines) > MOST_UNFOLDED:
                listed = f"<details><summary>all {len(lines)}</summary>\n\n{listed}\n\n</details>"
            yield f"**{kind}** ({len(lines)})\n\n{listed}\n"


def _figures(described: list[Run], drawn: dict[str, list[Path]], target: Path) -> Iterator[str]:
    for run in described:
        yield f"### {run.config.name}\n"
        names = {path.stem: path for path in drawn[run.config.name] if path.suffix == ".png"}
        for stem, title in FIGURES.items():
            if stem in names:
                where = names[stem].relative_to(target.parent).as_posix()
                vector = where.removesuffix(".png") + ".svg"
                yield (
                    f"**{title}** ([vector]({vector}))\n\n![{title}, {run.config.name}]({where})\n"
                )


def _title(described: list[Run], target: Path) -> list[str]:
    folders = " ".join(run.folder.name for run in described)
    command = f"python run_benchmark.py paper --out {folders} --report {target.name}"
    cifar = runs.best(described, "cifar10", "retraining")
    if cifar:
        here, of_paper = cifar.of_the_paper("retraining")
    else:
        here, of_paper = 0, len(runs.papers("cifar10", "retraining"))
    return [
        "# The paper's claims beside our numbers\n",
        (
            "Kim, Seo and Jeon, *Bridging Adversarial Robustness and Gradient Interpretability*"
            " (2019, [arXiv 1903.11626](https://arxiv.org/abs/1903.11626)). Written"
            f" by\n\n```\n{command}\n```\n\n(folders by their names) from the runs below; the same"
            f" claims are in `{target.stem}.csv`.\n"
        ),
        (
            f"The paper's trade-off rests on {of_paper} CIFAR-10 networks; **{here} of these"
            f" {of_paper} were trained exactly as in the paper**. A result of a reduced run holds"
            " at that scale only.\n"
        ),
    ]


def _outcomes(compared: pd.DataFrame) -> list[str]:
    parts = [
        "## Outcomes, counted\n",
        (
            "*Direction*: `yes` where the 95 percent interval excludes zero on the paper's side,"
            " `no` where on the other, `unclear` where it includes zero. *Size*: `yes` where the"
            " paper's number lies in an interval that is narrow enough to be informative,"
            " `unclear` where it lies in a wide one, `no` where it lies outside.\n"
        ),
        tables.counts(compared, TITLES) + "\n",
    ]
    columns = ["data", "claim", "paper", "ours", "direction", "size", "scale", "note"]
    for group, title in TITLES.items():
        rows = compared.loc[compared["group"] == group, columns].to_numpy().tolist()
        parts += [
            f"## {title}\n",
            EXPLANATIONS[group] + "\n",
            tables.markdown(rows, columns) + "\n",
        ]
    return parts


def text(
    described: list[Run], compared: pd.DataFrame, drawn: dict[str, list[Path]], target: Path
) -> str:
    """The report as Markdown.

    Args:
        described: The runs.
        compared: The claims, as `claims.compare` gives them.
        drawn: Paths of the figures, by the run's name.
        target: The file that the report is written to.
    """
    parts = [*_title(described, target), "## What was run\n", tables.runs_table(described) + "\n"]
    parts += _outcomes(compared)
    others = tables.other_correlations(described, runs.best(described, "cifar10", "retraining"))
    if others:
        parts += ["## Not in the paper: the same correlations on other data\n", others + "\n"]
    parts += ["## The manifold models\n", tables.manifold_models(described) + "\n"]
    parts += ["## Caveats\n", *_caveats(described)]
    units = (
        "Radii in the figures are in pixel units unless they say otherwise; the paper's are twice"
        " as large.\n"
    )
    parts += ["## Figures\n", units, *_figures(described, drawn, target)]
    return "\n".join(parts)


def _copy_results(run: Run, folder: Path) -> list[Path]:
    """Draws a run's figures into a folder and copies its tables there; returns the figures."""
    drawn = run_report.draw(run.folder, folder=folder)
    for name in COPIED:
        if name in run.tables:
            write(folder / f"{name}.csv", (run.folder / "results" / f"{name}.csv").read_bytes())
    for name in ("config.toml", "environment.json", "leaderboard/LEADERBOARD.md"):
        write(folder / Path(name).name, (run.folder / name).read_bytes())
    return drawn


def write_report(
    folders: list[Path], target: Path, notice: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Writes the report, and beside it the claims as CSV and a folder per run.

    A run's folder holds its figures and tables.

    Args:
        folders: Folders of finished runs.
        target: The Markdown file.
        notice: Receives a line about each step.

    Returns:
        The report and the CSV.

    Raises:
        InputError: As `runs.read`.
    """
    described = runs.read(folders)
    drawn = {}
    for run in described:
        notice(f"drawing {run.config.name}")
        drawn[run.config.name] = _copy_results(run, target.parent / run.config.name)
    notice("comparing the claims")
    compared = claims.compare(described)
    table = target.with_suffix(".csv")
    write(table, compared.to_csv(index=False, lineterminator="\n"))
    write(target, text(described, compared, drawn, target))
    return [target, table]
