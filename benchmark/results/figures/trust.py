"""The figure of trust: how far each score agrees with the truth."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.results.trust import CONTROLS, OVER
from pellucid.benchmark.units.map_measures import TITLES as MEASURES
from pellucid.benchmark.units.map_measures import TRUTHS

LOOKS: dict[str, style.Look] = dict(
    zip(
        TRUTHS,
        ((style.TEAL, "o"), (style.WINE, "s"), (style.OLIVE, "D")),
        strict=True,
    )
)
"""By truth."""
APART = 0.24
"""Between the truths of a score, where scores are 1 apart."""
LINE = 20
"""Characters of a line of a panel's title."""
BAND = "#F3F3F3"
"""Behind the controls."""


def _ordered(table: pd.DataFrame) -> list[str]:
    """Scores by their mean rho over cells, the best first; the controls last."""
    cells = table[table["over"] == OVER[0]].groupby("score", sort=False)["rho"].mean()
    scores = [name for name in cells.sort_values(ascending=False).index if name not in CONTROLS]
    return [*scores, *(name for name in CONTROLS if name in cells.index)]


def _title(table: pd.DataFrame, score: str) -> str:
    lower = (table.loc[table["score"] == score, "better"] == "lower").any()
    return names.bare(score) + (" (low)" if lower else "")


def trust(folder: Path, table: pd.DataFrame, caption: str) -> list[Path]:
    """Rho of every score with every truth: one panel for what cells are ranked over.

    Args:
        folder: Where the figure goes.
        table: `results.trust.trust`, or `join`.
        caption: What it says of the data; the rest is added.

    Returns:
        The files written.
    """
    scores = _ordered(table)
    place = {score: number for number, score in enumerate(scores)}
    caption += "; Spearman's rho with the truth, bars: 95 % intervals; grey: controls"
    height = 0.3 * len(scores) + 1.7
    with style.figure(1, len(OVER), 10, height, caption=caption, sharey=True) as (made, axes):
        for axis, over in zip(axes[0], OVER, strict=True):
            axis.axvline(0, color=style.GREY, lw=0.8)
            controls = [place[name] for name in CONTROLS if name in place]
            if controls:
                axis.axhspan(min(controls) - 0.5, max(controls) + 0.5, color=BAND, zorder=0)
            for number, (truth, (colour, marker)) in enumerate(LOOKS.items()):
                part = table[(table["truth"] == truth) & (table["over"] == over)]
                if part.empty:
                    continue
                rho = part["rho"].to_numpy(float)
                ends = np.abs(np.stack([rho - part["low"], part["high"] - rho]))
                axis.errorbar(
                    rho,
                    part["score"].map(place) + APART * (number - 1),
                    xerr=ends,
                    fmt=marker,
                    color=colour,
                    ms=3.5,
                    elinewidth=0.9,
                    label=MEASURES[truth],
                )
            axis.set_xlim(-1.05, 1.05)
            axis.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
            axis.set_xlabel("rho")
            axis.set_title(textwrap.fill(f"over {over}", LINE), loc="left")
        titles = [_title(table, score) for score in scores]
        style.name_rows(axes[0], titles, 8)
        axes[0, 0].set_ylim(len(scores) - 0.4, -0.6)
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return style.save(made, folder, "trust")
