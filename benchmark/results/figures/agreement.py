"""The figure of rank agreement: which measures say the same thing about networks."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.cluster import hierarchy
from scipy.spatial import distance

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style

DARK = 0.6
"""The correlation beyond which a number is printed in white."""


def _ordered(matrix: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns so that scores which agree stand together."""
    distances = 1 - np.abs(matrix.to_numpy())
    tree = hierarchy.linkage(distance.squareform(distances, checks=False), "average")
    leaves = [matrix.index[i] for i in hierarchy.leaves_list(tree)]
    return matrix.loc[leaves, leaves]


def rank_agreement(folder: Path, config: Config, table: pd.DataFrame) -> list[Path]:
    """Spearman's correlations of all pairs of scores, as a matrix.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        table: `agreement.rank_agreement`.

    Returns:
        The files written.
    """
    mirrored = table.rename(columns={"score": "other", "other": "score"})
    pairs = pd.concat([table, mirrored], ignore_index=True)
    matrix = pairs.pivot(index="score", columns="other", values="spearman").fillna(0.0)
    for name in matrix.index:
        matrix.loc[name, name] = 1.0
    matrix = _ordered(matrix)
    size = len(matrix)
    caption = style.caption(config, int(table["networks"].max()))
    caption += "; Spearman's correlation over networks; scores that do not vary have 0"
    side = 0.36 * size + 3.6
    with style.figure(1, 1, side, side, caption=caption) as (made, axes):
        axis = axes[0, 0]
        axis.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
        for (i, j), value in np.ndenumerate(matrix.to_numpy()):
            colour = "white" if abs(value) > DARK else style.BLACK
            axis.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=6, color=colour)
        labels = [names.score(name) for name in matrix.index]
        axis.set_xticks(range(size), labels, rotation=90, fontsize=7)
        axis.set_yticks(range(size), labels, fontsize=7)
        axis.grid(visible=False)
        made.suptitle("Which measures rank networks alike", fontsize=10)
        return style.save(made, folder, "rank_agreement")
