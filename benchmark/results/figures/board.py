"""The board's trade-off figures, drawn from its entries alone: one a track and score."""

from pathlib import Path
from typing import Any

import numpy as np

from robust_interpretability.benchmark.results.figures import style
from robust_interpretability.leaderboard.board import Board
from robust_interpretability.leaderboard.entry import Entry, Score
from robust_interpretability.leaderboard.render import TITLES, measured
from robust_interpretability.leaderboard.tradeoff import (
    ACCURACY,
    HIGHER,
    INTERPRETABILITY,
    headlines,
    line,
    tables,
)
from robust_interpretability.models.errors import InputError

LABELLED = 30
"""Characters of a submission's name that a figure shows."""
SUFFIXES = (".png", ".svg")


def _ends(score: Score) -> tuple[float, float]:
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return max(score.value - low, 0), max(high - score.value, 0)


def _points(axis: Any, rows: list[Entry], score: str, **look: Any) -> None:
    x = [e.value(ACCURACY) for e in rows]
    y = [e.value(score) for e in rows]
    errors = [np.array([_ends(e.scores[name]) for e in rows]).T for name in (ACCURACY, score)]
    axis.errorbar(
        x, y, xerr=errors[0], yerr=errors[1], linestyle="none", elinewidth=0.7, capsize=0, **look
    )


def _figure(folder: Path, rows: list[Entry], score: str, name: str) -> list[Path]:
    track = rows[0].track
    own = [e for e in rows if score in e.scores]
    references = [e for e in own if e.role == "reference"]
    submissions = [e for e in own if e.role == "submission"]
    caption = (
        f"{track.name}, protocol version {track.protocol_version}, {track.scale} scale:"
        f" {track.data.name}, {len(references)} reference networks, {len(submissions)} submissions;"
        " bars: 95 percent intervals; band: where a further network of the reference grid would"
        " fall; ringed: Pareto-optimal"
    )
    with style.figure(1, 1, 5.2, 3.9, caption=caption) as (made, axes):
        axis = axes[0, 0]
        fitted = line(own, score)
        accuracies = np.array([e.value(ACCURACY) for e in own])
        if fitted is not None:
            x = np.linspace(accuracies.min(), accuracies.max(), 100)
            y, half = np.array([[fitted.at(v), fitted.half_width(v)] for v in x]).T
            axis.fill_between(x, y - half, y + half, color=style.BLACK, alpha=0.07, linewidth=0)
            axis.plot(x, y, color=style.BLACK, linewidth=0.9, label="reference line")
        if references:
            _points(
                axis,
                references,
                score,
                color="#777777",
                fmt="o",
                markersize=4,
                label="reference grid",
            )
        if submissions:
            _points(
                axis,
                submissions,
                score,
                color=style.VERMILION,
                fmt="D",
                markersize=5,
                label="submissions",
            )
        for entry in submissions:
            text = "".join(c if c.isprintable() else " " for c in entry.card.name)
            text = text if len(text) <= LABELLED else f"{text[: LABELLED - 1]}…"
            axis.annotate(
                text,
                (entry.value(ACCURACY), entry.value(score)),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=7,
                parse_math=False,
            )
        found = headlines(rows, score)
        front = [(e.value(ACCURACY), e.value(score)) for e in own if found[e.id].pareto]
        axis.plot(
            *zip(*sorted(front), strict=True),
            linestyle="none",
            marker="o",
            markersize=10,
            fillstyle="none",
            color=style.BLUE,
            markeredgewidth=0.9,
            label="Pareto-optimal",
        )
        better = "higher" if INTERPRETABILITY[score] == HIGHER else "lower"
        axis.set_xlabel("test accuracy")
        axis.set_ylabel(f"{TITLES[score]} ({better} is better)")
        axis.legend(loc="best")
        return style.save(made, folder, name)


def draw(root: Path) -> list[Path]:
    """Draws accuracy against every interpretability score of every track to `figures/` in the board's folder.

    Args:
        root: The board's folder.

    Returns:
        The files written, PNG and SVG.

    Raises:
        InputError: The board has no entries, or one is not whole.
    """
    groups = tables(Board(root).entries())
    if not groups:
        raise InputError(f"No leaderboard entries in {root}.")
    folder, drawn, taken = root / "figures", [], set()
    for rows in groups:
        track = rows[0].track
        stem = f"{track.name}_v{track.protocol_version}"
        stem = stem if stem not in taken else f"{stem}_{track.digest[:8]}"
        taken.add(stem)
        for score in measured(rows):
            drawn += _figure(folder, rows, score, f"{stem}_{score}")
    for path in folder.glob("*"):
        if (
            path not in drawn
            and path.suffix in SUFFIXES
            and path.stem.endswith(tuple(INTERPRETABILITY))
        ):
            path.unlink()  # of a track or score that is no longer there
    return drawn
