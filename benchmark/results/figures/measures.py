"""The figure of a measure that has no figure of its own: its score against test accuracy."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.units.kind import Description

ACCURACY = "test_accuracy"
LINE = 34
"""Characters of a line beside the vertical axis."""


def measure(
    folder: Path,
    config: Config,
    tables: dict[str, pd.DataFrame],
    score: str,
    about: Description,
) -> list[Path]:
    """A score of every network, with intervals, against test accuracy and attack strength.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        tables: Its tables; `scores` is used.
        score: The score's name.
        about: Its title, and which way is better.

    Returns:
        The files written.
    """
    scores = tables["scores"]
    rows = scores[scores["score"] == score].set_index("network")
    accuracy = scores[scores["score"] == ACCURACY].set_index("network")["value"]
    rows = rows.assign(**{ACCURACY: accuracy})
    caption = f"{style.caption(config, len(rows))}; bars: 95 % intervals{style.SHIFTED}"
    axes_of = {ACCURACY: "test accuracy", "strength": "attack strength (radius / largest radius)"}
    with style.figure(1, 2, 7.2, 3.2, caption=caption, sharey=True) as (made, axes):
        for axis, (column, label) in zip(axes[0], axes_of.items(), strict=True):
            width = float(np.ptp(rows[column].dropna())) or 1.0
            for number, norm in enumerate(("none", *style.NORMS)):
                part = rows[rows["norm"] == norm]
                if part.empty:
                    continue
                low, high = part["value"] - part["low"], part["high"] - part["value"]
                axis.errorbar(
                    part[column] + style.dodged(number, 1 + len(style.NORMS), 2 * width),
                    part["value"],
                    np.abs(np.stack([low, high])),
                    fmt=style.NORM_MARKERS[norm],
                    color=style.NORM_COLOURS[norm],
                    ms=5,
                    lw=0.8,
                    label="standard"
                    if norm == "none"
                    else f"trained against {style.NORM_NAMES[norm]}",
                )
            axis.set_xlabel(label)
        title = textwrap.fill(names.score(score, about.title), LINE)
        axes[0, 0].set_ylabel(f"{title}\n({about.better} is better)")
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return style.save(made, folder, f"score_{score}")
