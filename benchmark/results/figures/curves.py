"""The figures of ROAR and KAR curves: accuracy of retrained networks over fractions of pixels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.typing import LineStyleType as Dash

from pellucid.attacks import NORMS
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.units.outcomes import MEAN, NOBODY
from pellucid.benchmark.units.retrain import (
    curve,
    of_own_maps,
    of_random_order,
    untouched_accuracy,
)
from pellucid.metrics import ATTRIBUTIONS, CONTROLS, MODES, retraining
from pellucid.models.types import Array

MOST_NAMED = 8
"""Curves of a panel up to which the legend names all.

Beyond, it names the first two, the middle one and the last.
"""

NOT_IN_LEGEND = "_"
"""A name that Matplotlib leaves out of a legend."""

FREE = tuple(control.name for control in CONTROLS.values() if not control.of_network)
DASHES: tuple[Dash, ...] = ("-.", ":", (0, (5.0, 1.0, 1.0, 1.0, 1.0, 1.0)))
"""Of the lines of the controls that ask no network."""


def _named(count: int) -> set[int]:
    """Which of a panel's curves the legend names."""
    return set(range(count)) if count <= MOST_NAMED else {0, 1, count // 2, count - 1}


def _panel_curves(
    rows: pd.DataFrame, attribution: str, norm: str, loss: str
) -> Iterator[tuple[str, pd.DataFrame, style.Colour, Dash]]:
    """Name, rows, colour and line style: orders that ask no network, then networks by radius."""
    yield "random order", of_random_order(rows), style.GREY, "--"
    free = rows[(rows["network"] == NOBODY.label) & (rows["fill"] == MEAN)]
    for name, dash in zip(FREE, DASHES, strict=True):
        drawn = free[
            (free["attribution"] == name)
            | ((free["attribution"] == attribution) & (free["control"] == name))
        ]
        if len(drawn):
            yield CONTROLS[name].title, drawn, style.GREY, dash
    own = of_own_maps(rows)
    member = (own["attribution"] == attribution) & (
        (own["norm"] == "none") | ((own["norm"] == norm) & (own["loss"] == loss))
    )
    groups = list(own[member].groupby(["epsilon", "norm"]))
    colours = style.gradient_colours(len(groups) - 1, norm)
    named = _named(len(groups))
    for k, ((epsilon, group_norm), part) in enumerate(groups):
        colour = style.BLACK if group_norm == "none" else colours[k - 1]
        name = style.network_name(group_norm, epsilon) if k in named else NOT_IN_LEGEND
        yield name, part, colour, "-"


def _accuracies(part: pd.DataFrame) -> Array:
    """Accuracies of a curve, `(seeds * repeats, fractions)`."""
    return np.concatenate([curve(rows) for _, rows in part.groupby("seed")])


def _classes(tables: dict[str, pd.DataFrame]) -> int:
    """Number of classes of the data set."""
    return int(tables["dataset"].set_index("measure").loc["classes", "value"])


def _legend(axis: Axes, mode: str) -> None:
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles, labels, loc="lower left" if mode == "roar" else "lower right", fontsize=7)


def curves(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], mode: str, loss: str
) -> list[Path]:
    """ROAR or KAR curves: one panel per norm and attribution, each with the random order's curve.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        tables: Its tables: `retraining`, `scores` and `dataset`.
        mode: `"roar"` or `"kar"`.
        loss: The attack loss of the networks' training.

    Returns:
        The files written.
    """
    untouched, chance = untouched_accuracy(tables["retraining"]), 1 / _classes(tables)
    rows = tables["retraining"]
    rows = rows[rows["mode"].isin([mode])]
    attributions = [a for a in ATTRIBUTIONS if (rows["attribution"] == a).any()]
    norms = [n for n in NORMS if (rows["norm"] == n).any()] or ["none"]
    networks = tables["scores"]["network"].nunique()
    caption = style.retraining_caption(config, networks) + (
        "; bands: from the lowest repeat to the highest; ends of the curves: untouched images, and"
        " chance"
    )
    size = (len(attributions), len(norms), 3.6 * len(norms) + 1.4, 2.8 * len(attributions) + 0.6)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        for (i, j), axis in np.ndenumerate(axes):
            attribution, norm = attributions[i], norms[j]
            for name, part, colour, dash in _panel_curves(rows, attribution, norm, loss):
                accuracy = _accuracies(part)
                fractions = np.sort(part["fraction"].unique())
                x, y = retraining.Curve(mode, fractions, accuracy).with_ends(untouched, chance)
                axis.plot(x, y, ls=dash, color=colour, lw=1.3, label=name, marker=".", ms=4)
                axis.fill_between(
                    fractions, accuracy.min(0), accuracy.max(0), color=colour, alpha=0.15, lw=0
                )
            axis.set_title(style.series_name(norm, attribution), loc="left")
        for axis in axes[-1]:
            axis.set_xlabel(f"fraction of pixels {MODES[mode].top_pixels}")
        for axis in axes[:, 0]:
            axis.set_ylabel("accuracy of the retrained network")
        for axis in axes[0]:
            _legend(axis, mode)
        made.suptitle(f"{MODES[mode].title} curves{style.trained(loss)}", fontsize=10)
        return style.save(made, folder, f"curves_{mode}_{loss}")
