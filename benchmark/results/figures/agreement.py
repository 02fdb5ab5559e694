"""The figure of rank agreement: which measures say the same thing about networks."""

import textwrap
from collections.abc import Sequence
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


def _matrix(table: pd.DataFrame) -> pd.DataFrame:
    """The correlations of all pairs, as a symmetric matrix; NaN where one is not known."""
    mirrored = table.rename(columns={"score": "other", "other": "score"})
    pairs = pd.concat([table, mirrored], ignore_index=True)
    return pairs.pivot(index="score", columns="other", values="spearman")


def _draw(folder: Path, rho: pd.DataFrame, certain: pd.DataFrame, caption: str) -> list[Path]:
    """A matrix of correlations; coloured where `certain`, empty where not known."""
    known = rho.notna()
    matrix = rho.fillna(0.0)
    for name in matrix.index:
        matrix.loc[name, name], certain.loc[name, name], known.loc[name, name] = 1.0, True, True
    matrix = _ordered(matrix)
    certain, known = (t.loc[matrix.index, matrix.index].to_numpy(bool) for t in (certain, known))
    shown = np.where(certain & known, matrix.to_numpy(), 0.0)
    size = len(matrix)
    side = 0.36 * size + 2.6
    with style.figure(1, 1, side + 0.8, side, caption=caption) as (made, axes):
        axis = axes[0, 0]
        drawn = axis.imshow(shown, cmap="RdBu", vmin=-1, vmax=1)
        for (i, j), value in np.ndenumerate(matrix.to_numpy()):
            if not known[i, j]:
                continue
            faint = style.GREY if shown[i, j] == 0 else style.BLACK
            colour = "white" if abs(shown[i, j]) > DARK else faint
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
    caption = style.caption(config, networks) + (
        "; Spearman's correlation over networks, coloured where its 95 % interval excludes 0 (not"
        " corrected for the number of pairs); empty: a score that does not vary; scores rest on the"
        " same networks and retrainings"
    )
    rho = _matrix(table)
    return _draw(folder, rho, rho.map(lambda value: _excludes_0(value, networks)), caption)


def joined(folder: Path, tables: Sequence[pd.DataFrame], caption: str) -> list[Path]:
    """The mean correlations of several runs, of the scores that all of them have.

    A pair has a colour where Student's 95 percent interval over runs excludes 0.

    Args:
        folder: Where the figure goes.
        tables: `agreement.rank_agreement` of each run, two or more.
        caption: Which runs.

    Returns:
        The files written; none where the runs have no two scores in common.
    """
    every = [_matrix(table) for table in tables]
    common = [n for n in every[0].index if all(n in matrix.index for matrix in every)]
    if len(common) < 2:
        return []
    values = np.stack([matrix.loc[common, common].to_numpy(float) for matrix in every])
    estimates = [
        [statistics.mean(values[:, i, j]) for j in range(len(common))] for i in range(len(common))
    ]
    rho = pd.DataFrame([[e.value for e in row] for row in estimates], common, common)
    certain = pd.DataFrame(
        [[e.low > 0 or e.high < 0 for e in row] for row in estimates], common, common
    )
    caption += (
        "; mean of Spearman's correlations, each over the networks of a run, coloured where its"
        " 95 % interval over runs excludes 0 (not corrected for the number of pairs); empty: not"
        " known in every run"
    )
    return _draw(folder, rho, certain, caption)
