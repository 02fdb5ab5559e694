"""The report on the paper's claims, as Markdown with figures and tables beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from pellucid.attacks import LOSSES
from pellucid.benchmark.paper import claims, runs, tables
from pellucid.benchmark.paper.manifold_claims import PEAK_MARGIN
from pellucid.benchmark.paper.reference import (
    AXES,
    PEAK_AXES,
    SERIES_NETWORKS,
    TEST_IMAGES,
    peak_slack,
)
from pellucid.benchmark.paper.retraining_claims import (
    ACCURACY_MARGIN,
    CORRELATION_MARGIN,
    SCORE_MARGIN,
)
from pellucid.benchmark.paper.runs import Run
from pellucid.benchmark.results import names
from pellucid.benchmark.results.publish import publish
from pellucid.models.files import write

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
        "Eight series (two norms, two training losses, two attributions) on four sets of networks,"
        " which share the standard network; each is scored by ROAR and by KAR, set against strength"
        " and accuracy, in value and in rank. The rank correlation with attack strength speaks for"
        " its series. Intervals by Fisher's transform. *Differs by*: ours minus the paper's, which"
        f" rests on {SERIES_NETWORKS} networks, with the interval of that difference and the"
        f" p-value of Fisher's test; a difference within {CORRELATION_MARGIN:g} counts as none."
    ),
    "manifold order": (
        "Mean scaled distance of the kept examples, from the standard network to the strongest."
        " Networks are the replicates, one number each, not images. Direction is `yes` where Page's"
        " test over seeds finds a fall (p of a fall at most .025) and no step rises; `no` where it"
        " finds a rise, or one step rises significantly (paired t over seeds, Holm). One seed of"
        " four networks cannot be significant; one of five is where it falls throughout. The kept"
        " examples differ from network to network, so the note has the same test on all test"
        " images. *Falls by* is the total fall, its interval over seeds. The attack with xent"
        " speaks for its panel. Distances are those of the manifold model that the note names: the"
        " one with the lowest error on held-out images among those that are calibrated."
    ),
    "manifold peaks": (
        "The paper's numbers are read off its figures, whose two panels of a data set show the same"
        " two densities (standard, test) in different places: "
        + ", ".join(f"{peak_slack(data):.2g} apart on {data}" for data in PEAK_AXES)
        + " (Fashion-MNIST: as MNIST). That is their slack. The note says what an interval is"
        " over: with one network it is a bootstrap over its images, which says where the peak of"
        " this network lies, not of another from another seed; with several, Student's over"
        " networks. The paper's peak is taken to scatter as ours. A difference within"
        f" {PEAK_MARGIN:g} of the figure's axis counts as none. The scale of the distances is that"
        " of the manifold model, so sizes depend on its quality."
    ),
    "tilt": (
        "The angle is ours; the paper shows the boundaries as a picture. Differences are paired by"
        " seed."
    ),
    "accuracy": (
        "Wilson's intervals over test images, Student's over base models where several; the paper's"
        f" are Wilson's over {TEST_IMAGES:,} images. Readings have a slack of"
        f" {AXES['accuracy'].slack:.2g}."
        f" A difference within {ACCURACY_MARGIN:g} counts as none."
    ),
    "scores": (
        "Bootstrap intervals over retrainings, and over base models where several; with one, the"
        " scatter between base models is not in them. The paper's scores are taken to scatter as"
        f" ours; readings have a slack of {AXES['roar'].slack:.2g} (ROAR) and"
        f" {AXES['kar'].slack:.2g} (KAR). A difference within {SCORE_MARGIN:g} counts as"
        " none."
    ),
}

_FIGURES = {
    "boundary_tilting": "Section 2.2: tilt of the boundary",
    "loss_gradients": "Section 2.1: gradients of the log-likelihood",
    "adversarial_examples": "Section 2.1: adversarial examples",
    "manifold_{}": "Section 2.1: distance to the manifold, {}",
    "roar_{}_strength": "Section 3.3: ROAR against attack strength, {}",
    "roar_{}_accuracy": "Section 3.3: ROAR against test accuracy, {}",
    "kar_{}_strength": "Section 3.3: KAR against attack strength, {}",
    "kar_{}_accuracy": "Section 3.3: KAR against test accuracy, {}",
    "manifold_excess_{}": "Ours: distances of all images beside noise of the same norm, {}",
    "manifold_nulls_{}": "Ours: distances beside nulls by three manifold models, {}",
    "curves_roar_{}": "Ours: ROAR curves, {}",
    "curves_kar_{}": "Ours: KAR curves, {}",
    "manifold_projections": "Ours: reconstructions by the manifold model",
    "manifold_samples": "Ours: samples of the manifold model's prior",
}
FIGURES = {
    stem.format(loss): title.format(names.loss(loss))
    for stem, title in _FIGURES.items()
    for loss in (LOSSES if "{}" in stem else ("",))
}
"""Titles of the figures that the report shows, in order; `{}` is the loss of the attack."""

MOST_UNFOLDED = 3
"""Caveats of one kind, beyond which their list is folded."""


def _caveats(described: list[Run]) -> Iterator[str]:
    for run in described:
        table = run.table("remarks").astype(object).fillna("")  # CSV has no empty text
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


def _figures(described: list[Run], target: Path) -> Iterator[str]:
    for run in described:
        name = run.config.name
        yield f"### {name}\n"
        for stem, title in FIGURES.items():
            if (target.parent / name / f"{stem}.png").exists():
                yield f"**{title}**\n\n![{title}, {name}]({name}/{stem}.png)\n"


def _title(described: list[Run], target: Path) -> list[str]:
    folders = " ".join(run.folder.name for run in described)
    command = f"python run_benchmark.py paper {folders} --report {target.name}"
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
            " `no` where on the other, `unclear` where it includes zero. *Size*: `yes` where the 95"
            " percent interval of our difference from the paper's number lies within a margin, `no`"
            " where it does not and the two differ significantly, `unclear` where neither; the"
            " margins stand with the tables. Lines that show one measurement in several ways are"
            " one series, which counts once, by the line marked *counted*.\n"
        ),
        tables.counts(compared, TITLES) + "\n",
    ]
    for group, title in TITLES.items():
        columns = ["data", "claim", "paper", "ours", "direction", "size", "scale", "note"]
        in_group = compared[compared["group"] == group]
        if not in_group["counted"].all():
            columns.insert(2, "counted")
            in_group = in_group.assign(counted=in_group["counted"].map({True: "yes", False: ""}))
        rows = in_group[columns].to_numpy().tolist()
        parts += [
            f"## {title}\n",
            EXPLANATIONS[group] + "\n",
            tables.markdown(rows, columns) + "\n",
        ]
    return parts


def text(described: list[Run], compared: pd.DataFrame, target: Path) -> str:
    """The report as Markdown.

    Args:
        described: The runs.
        compared: The claims, as `claims.compare` gives them.
        target: The file that the report is written to; each run's figures are beside it, in a
            folder of the run's name.
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
    parts += ["## Figures\n", units, *_figures(described, target)]
    return "\n".join(parts)


def write_report(
    folders: list[Path], target: Path, notice: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Writes the report, and beside it the claims as CSV and a folder per run.

    A run's folder holds its figures and tables, as `publish` writes them.

    Args:
        folders: Folders of finished runs, or of their published tables.
        target: The Markdown file.
        notice: Receives a line about each step.

    Returns:
        The report and the CSV.

    Raises:
        InputError: As `runs.read`.
    """
    described = runs.read(folders)
    for run in described:
        beside = target.parent / run.config.name
        if run.folder.resolve() != beside.resolve():
            publish(run.folder, beside)
    notice("comparing the claims")
    compared = claims.compare(described)
    table = target.with_suffix(".csv")
    write(table, compared.to_csv(index=False, lineterminator="\n"))
    write(target, text(described, compared, target))
    return [target, table]
