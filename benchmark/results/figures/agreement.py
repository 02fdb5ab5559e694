"""The figure of rank agreement: which measures say the same thing about networks."""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial import distance

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style
from pellucid.metrics import statistics

DARK = 0.6
"""The correlation beyond which a number is printed in white."""
LINE = 36
"""Characters of a line of a score's name."""


def _ordered(matrix: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns so that scores which agree stand together."""
    distances = 1 - np.abs(matrix.to_numpy())
    tree = hierarchy.linkage(distance.squareform(distances, checks=False), "average")
    leaves = [matrix.index[i] for i in hierarchy.leaves_list(tree)]
    return matrix.loc[leaves, leaves]


def _excludes_0(rho: float, networks: int) -> bool:
    """Whether the interval of a correlation excludes 0."""
    low, high = statistics.spearman_interval(rho, networks)
    return low > 0 or high < 0


def rank_agreement(folder: Path, config: Config, table: pd.DataFrame) -> list[Path]:
    """Spearman's correlations of all pairs of scores, as a matrix.

    A pair has a colour where the 95 percent interval of its correlation excludes 0.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        table: `agreement.rank_agreement`.

    Returns:
        The files written; none for fewer than `style.FEWEST` networks.
    """
    networks = int(table["networks"].max())
    if networks < style.FEWEST:
        return []
    mirrored = table.rename(columns={"score": "other", "other": "score"})
    pairs = pd.concat([table, mirrored], ignore_index=True)
    matrix = pairs.pivot(index="score", columns="other", values="spearman")
    unknown = pairs.loc[pairs["spearman"].isna(), ["score", "other"]]
    still = set(unknown.itertuples(index=False, name=None))
    matrix = matrix.fillna(0.0)
    for name in matrix.index:
        matrix.loc[name, name] = 1.0
    matrix = _ordered(matrix)
    size = len(matrix)
    caption = style.caption(config, networks) + (
        "; Spearman's correlation over networks, coloured where its 95 % interval excludes 0 (not"
        " corrected for the number of pairs); empty: a score that does not vary; scores rest on the"
        " same networks and retrainings"
    )
    shown = matrix.map(lambda rho: rho if _excludes_0(rho, networks) else 0.0)
    side = 0.36 * size + 2.6
    with style.figure(1, 1, side + 0.8, side, caption=caption) as (made, axes):
        axis = axes[0, 0]
        drawn = axis.imshow(shown, cmap="RdBu", vmin=-1, vmax=1)
        for (i, j), value in np.ndenumerate(matrix.to_numpy()):
            one, other = matrix.index[i], matrix.index[j]
            if (one, other) in still:
                continue
            faint = style.GREY if shown.iloc[i, j] == 0 else style.BLACK
            colour = "white" if abs(shown.iloc[i, j]) > DARK else faint
            text = f"{value:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")
            axis.text(j, i, text, ha="center", va="center", fontsize=6.5, color=colour)
        labels = [textwrap.fill(names.score(name), LINE) for name in matrix.index]
        axis.set_xticks(range(size), labels, rotation=90, fontsize=7)
        axis.set_yticks(range(size), labels, fontsize=7)
        axis.grid(visible=False)
        bar = made.colorbar(drawn, ax=axis, shrink=0.5, aspect=30, pad=0.02)
        bar.set_label("Spearman's correlation", fontsize=8)
        made.suptitle("Which measures rank networks alike", fontsize=10)
        return style.save(made, folder, "rank_agreement")
