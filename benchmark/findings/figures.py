"""The figures of the findings, at most five, each of which tells one thing."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pellucid.attacks import NORMS
from pellucid.benchmark.findings.runs import FinishedRun, Sources
from pellucid.benchmark.findings.scale import of
from pellucid.benchmark.findings.sentences import counted, listed, scale
from pellucid.benchmark.findings.standing import losses, standings
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import DOES_NOT, HALF, JUDGED, SURVIVES, UNCLEAR
from pellucid.benchmark.results.figures import agreement as agreements
from pellucid.benchmark.results.figures import style, trust
from pellucid.benchmark.results.figures.controls import LOOKS, looks
from pellucid.benchmark.units.orders import OWN
from pellucid.benchmark.units.outcomes import IMPUTED, MEAN, SPECIFIC, TITLES, Score
from pellucid.metrics import ATTRIBUTIONS, CONTROLS, FILLS, MODES, SHUFFLES

APART = 0.17
"""Of a row's height, how far a fill's mark lies from the middle."""
STRENGTH = "attack strength (radius / largest radius)"


VERDICTS = {SURVIVES: "survives", DOES_NOT: "does not survive", UNCLEAR: "cannot be told"}


class Series(NamedTuple):
    """A panel: the series' name, its rows of the table of verdicts, and the joined verdict."""

    title: str
    rows: pd.DataFrame
    outcome: str


def _series(runs: Sequence[FinishedRun], measure: str, attribution: str) -> list[Series]:
    """The series of all runs in which a score has verdicts, under either fill."""
    scores = [str(Score(measure, attribution, fill=fill)) for fill in FILLS]
    found = []
    for run in runs:
        table = run.table("verdicts")
        shown = losses(table)
        outcomes = {
            standing.series: standing.outcome
            for standing in standings(run)
            if (standing.measure, standing.attribution) == (measure, attribution)
        }
        rows = table[table["score"].isin(scores)]
        for (norm, loss), part in rows.groupby(["norm", "loss"], sort=False):
            title = names.series(run.label, str(norm), shown[loss])
            found.append(Series(title, part, outcomes[title]))
    return found


def _caption(runs: Sequence[FinishedRun]) -> str:
    """Scale, networks and seeds, once for the runs that have the same."""
    about: dict[str, list[str]] = {}
    for run in runs:
        networks = run.table("scores")["network"].nunique()
        facts = f"{scale(of(run.config))}, {networks} networks, {counted(run.config.seeds, 'seed')}"
        about.setdefault(facts, []).append(run.label)
    return "; ".join(f"{', '.join(shown)}: {facts}" for facts, shown in about.items())


def _mark(
    axis: Axes, place: float, row: pd.Series, column: str, fill: str, look: style.Look
) -> None:
    """A rise with its interval; hollow where pixels were imputed."""
    colour, marker = look
    value, low, high = (float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    axis.errorbar(
        value,
        place + (APART if fill == IMPUTED else -APART),
        xerr=np.abs([[value - low], [high - value]]),
        fmt=marker,
        color=colour,
        markerfacecolor="white" if fill == IMPUTED else colour,
        ms=5,
        lw=1.3,
    )


def _forest(axis: Axes, series: Series, scores: dict[str, str], controls: Sequence[str]) -> None:
    """The score's rise on top, each control's below, and half of the score's as a line."""
    for fill, score in scores.items():
        rows = series.rows[series.rows["score"] == score]
        if rows.empty:
            continue
        of_controls = looks(str(rows["norm"].iloc[0]))
        _mark(axis, 0, rows.iloc[0], "rise", fill, of_controls[OWN])
        for place, control in enumerate(controls, start=1):
            part = rows[rows["control"] == control]
            if len(part):
                _mark(axis, place, part.iloc[0], "control_rise", fill, of_controls[control])
        half = HALF * float(rows["rise"].iloc[0])
        if rows["rise_low"].iloc[0] > 0:
            dashes = ":" if fill == IMPUTED else "--"
            axis.axvline(half, color=style.GREY, lw=1, ls=dashes)
    axis.axvline(0, color=style.BLACK, lw=0.8)
    axis.set_title(series.title, loc="left", weight="bold")
    axis.set_title(VERDICTS[series.outcome], loc="right")
    axis.grid(visible=False, axis="y")
    axis.locator_params(axis="x", nbins=5)


def rises(folder: Path, runs: Sequence[FinishedRun], measure: str, attribution: str) -> list[Path]:
    """The rise of a score beside that of every control, for each series: a forest plot.

    Args:
        folder: Where the figure goes.
        runs: The runs.
        measure: One of `JUDGED`.
        attribution: A key of `ATTRIBUTIONS`.

    Returns:
        The files written; none where no run has verdicts on the score.
    """
    found = _series(runs, measure, attribution)
    if not found:
        return []
    scores = {fill: str(Score(measure, attribution, fill=fill)) for fill in FILLS}
    there = set(pd.concat([series.rows for series in found])["control"])
    controls = [name for name in LOOKS if name in there]
    columns = 1 if len(found) == 1 else 2
    rows = -(-len(found) // columns)
    height = 0.21 * (len(controls) + 1) + 0.45
    caption = _caption(runs) + "; bars: 95 % intervals"
    size = (rows, columns, 7.6 if columns == 1 else 10, height * rows + 1.3)
    with style.figure(*size, caption=caption, sharey=True) as (made, axes):
        for axis, series in zip(axes.flat, found, strict=False):
            _forest(axis, series, scores, controls)
        style.hide(axes, len(found))
        titles = [f"own map: {TITLES[measure]}", *(CONTROLS[name].title for name in controls)]
        for line in axes:
            style.name_rows(line, titles)
        axes[0, 0].set_ylim(len(titles) - 0.5, -0.5)
        for axis in axes[-1]:
            axis.set_xlabel("rise from strength 0 to strength 1")
        mean, imputed = names.FILL_TITLES[MEAN], names.FILL_TITLES[IMPUTED]
        keys = [
            Line2D([], [], color=style.BLACK, marker="o", lw=1.3, label=mean),
            Line2D([], [], color=style.BLACK, marker="o", lw=1.3, mfc="white", label=imputed),
            Line2D([], [], color=style.GREY, lw=1, ls="--", label="half of the own map's rise"),
            Line2D([], [], color=style.GREY, lw=1, ls=":", label="the same, imputed"),
        ]
        made.legend(handles=keys, loc="outside upper center", ncols=4)
        return style.save(made, folder, f"findings_{measure}")


def _line(
    axis: Axes,
    rows: pd.DataFrame,
    look: style.Look,
    label: str,
    *,
    hollow: bool = False,
    shift: float = 0.0,
) -> None:
    """A score over attack strength with intervals; dashed with hollow marks where it is imputed."""
    rows = rows.sort_values("strength")
    values = rows["value"].to_numpy(float)
    errors = np.abs(np.stack([values - rows["low"], rows["high"] - values]))
    colour, marker = look
    axis.errorbar(
        rows["strength"] + shift,
        values,
        errors,
        color=colour,
        marker=marker,
        markerfacecolor="white" if hollow else colour,
        ls="--" if hollow else "-",
        ms=4.5,
        lw=1.3,
        elinewidth=0.8,
        label=label,
    )


def _members(scores: pd.DataFrame, norm: str) -> pd.DataFrame:
    """The networks of a norm with the standard network; of the first training loss."""
    of_norm = scores["norm"] == norm
    first = scores.loc[of_norm, "loss"].iloc[:1]
    return scores[(scores["norm"] == "none") | (of_norm & scores["loss"].isin(first))]


def _specific(axis: Axes, scores: pd.DataFrame, chosen: dict[str, str]) -> None:
    """The lines of one panel: a norm and a fill each; `chosen` has the score's name by fill."""
    for place, (norm, fill) in enumerate(itertools.product(NORMS, FILLS)):
        rows = _members(scores, norm)
        rows = rows[rows["score"] == chosen[fill]]
        if (rows["norm"] == norm).any():
            look = (style.NORM_COLOURS[norm], style.NORM_MARKERS[norm])
            label = f"{style.NORM_NAMES[norm]}, {names.FILL_TITLES[fill]}"
            shift = style.dodged(place, len(NORMS) * len(FILLS), 1)
            _line(axis, rows, look, label, hollow=fill == IMPUTED, shift=shift)


def specific(folder: Path, runs: Sequence[FinishedRun], attribution: str) -> list[Path]:
    """What own maps score above another map of the class, against attack strength.

    Arguments and result as for `rises`.
    """
    measures = [SPECIFIC + mode for mode in MODES]
    shuffle = SHUFFLES[-1]
    chosen = {
        (measure, fill): str(Score(measure, attribution, shuffle, fill))
        for measure in measures
        for fill in FILLS
    }
    having = [r for r in runs if r.table("scores")["score"].isin(chosen.values()).any()]
    if not having:
        return []
    caption = _caption(having) + "; bars: 95 % intervals"
    with style.figure(2, len(having), 7.6, 5.0, caption=caption, sharex=True) as (made, axes):
        for (i, j), axis in np.ndenumerate(axes):
            axis.axhline(0, color=style.BLACK, lw=0.8)
            axis.sharey(axes[i, 0])
            _specific(axis, having[j].table("scores"), {f: chosen[measures[i], f] for f in FILLS})
            axis.set_title(having[j].label if i == 0 else "", loc="left", weight="bold")
        for axis, mode in zip(axes[:, 0], MODES.values(), strict=True):
            axis.set_ylabel(f"specific {mode.title}")
        for axis in axes[-1]:
            axis.set_xlabel(STRENGTH if len(having) < 3 else "attack strength")
        style.legend(made, axes, 4)
        return style.save(made, folder, "findings_specific")


def agreement(folder: Path, sources: Sources) -> tuple[list[Path], str]:
    """The figure of which scores rank networks alike in every run, and what it tells.

    No files where fewer than two runs compare scores.
    """
    runs = sources.having("agreement")
    if len(runs) < 2:
        return [], ""
    found = agreements.joined(folder, [run.table("agreement") for run in runs], _caption(runs))
    return found, f"Rank correlations of scores, mean over {listed([run.label for run in runs])}"


def drawings(folder: Path, sources: Sources) -> Iterator[tuple[list[Path], str]]:
    """Each figure in turn, drawn when it is asked for, and what it tells.

    The first is that of ROAR's rises.
    """
    runs = sources.runs
    controlled = set(pd.concat([run.table("verdicts") for run in runs])["score"])
    attribution = next(
        a
        for a, m, f in itertools.product(ATTRIBUTIONS, MODES, FILLS)
        if str(Score(m, a, fill=f)) in controlled
    )
    title = ATTRIBUTIONS[attribution].title
    for measure in JUDGED:
        yield (
            rises(folder, runs, measure, attribution),
            (
                f"The rise of {TITLES[measure]} ({title}) with attack strength beside the rise of"
                " every control; a control whose interval lies right of the line rises by more"
                " than half"
            ),
        )
    yield (
        specific(folder, runs, attribution),
        f"What own maps ({title}) score above another map of the same class, by attack strength",
    )
    for name, table in list(sources.trust.items())[:1]:
        caption = f"{name}; (low): less is better"
        told = "How far scores agree with a truth that is known"
        yield trust.trust(folder, table, caption), told
