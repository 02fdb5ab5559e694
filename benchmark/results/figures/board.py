"""The board's trade-off figures, drawn from its entries alone: one per track and score."""

import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from pellucid.benchmark.results.figures import style
from pellucid.leaderboard import text
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.eligibility import HARDLY_LEARNED, left_out
from pellucid.leaderboard.entry import Entry, Score
from pellucid.leaderboard.scores import (
    ACCURACY,
    HIGHER,
    direction,
    interpretability,
    title,
)
from pellucid.leaderboard.text import printable
from pellucid.leaderboard.tradeoff import Standings, tables
from pellucid.models.errors import InputError

MAX_NAME = 30
"""Characters of a submission's name that a figure shows."""
MAX_TITLE = 60
"""Characters of a score's title that a figure shows."""
_FIGURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*_v\d+_[a-z0-9_-]+\.(png|svg)")


def _half_widths(score: Score) -> tuple[float, float]:
    low = score.value if score.low is None else score.low
    high = score.value if score.high is None else score.high
    return max(score.value - low, 0), max(high - score.value, 0)


def _points(
    axis: Axes, rows: list[Entry], score: str, *, label: str, marker: str, size: float, color: str
) -> None:
    """One marker per entry, with the intervals of accuracy and score."""
    x_error, y_error = (
        np.array([_half_widths(e.scores[name]) for e in rows]).T for name in (ACCURACY, score)
    )
    axis.errorbar(
        [e.value(ACCURACY) for e in rows],
        [e.value(score) for e in rows],
        xerr=x_error,
        yerr=y_error,
        linestyle="none",
        elinewidth=0.7,
        capsize=0,
        color=color,
        fmt=marker,
        markersize=size,
        label=label,
    )


def _line(axis: Axes, rows: list[Entry], drawn: list[Entry], score: str, found: Standings) -> None:
    """The reference line with its prediction band, over the accuracies of the entries drawn."""
    fitted = found.fit(rows, score)
    if fitted is None:
        return
    accuracies = np.array([e.value(ACCURACY) for e in drawn])
    x = np.linspace(accuracies.min(), accuracies.max(), 100)
    y, half = fitted.at(x), fitted.half_width(x)
    axis.fill_between(x, y - half, y + half, color=style.BLACK, alpha=0.07, linewidth=0)
    axis.plot(x, y, color=style.BLACK, linewidth=0.9, label="reference line")


def _figure(folder: Path, rows: list[Entry], score: str, found: Standings, name: str) -> list[Path]:
    track = rows[0].track
    unlearned = [name for name, why in left_out(rows).items() if why == HARDLY_LEARNED]
    scored = [e for e in rows if score in e.scores and e.id not in unlearned]
    references = [e for e in scored if e.role == "reference"]
    submissions = [e for e in scored if e.role == "submission"]
    baselines = [e for e in scored if e.role == "baseline"]
    caption = (
        f"{track.name}, protocol version {track.protocol_version}, {track.scale} scale:"
        f" {track.data.name}, {len(references)} reference networks, {len(submissions)} submissions;"
        " bars: 95 percent intervals; band: where a further network of the reference grid would"
        " fall; ringed: every other is worse beyond chance in the score or in accuracy"
    )
    if unlearned:
        names = ", ".join(text.name(e, MAX_NAME) for e in rows if e.id in unlearned)
        caption += f"; not drawn, as hardly learned: {names}"
    with style.figure(1, 1, 5.2, 3.9, caption=caption) as (made, axes):
        axis = axes[0, 0]
        _line(axis, rows, scored, score, found)
        if references:
            grey, label = style.GREY, "reference grid"
            _points(axis, references, score, label=label, marker="o", size=4, color=grey)
        if submissions:
            color, label = style.PURPLE, "submissions"
            _points(axis, submissions, score, label=label, marker="D", size=5, color=color)
        if baselines:
            _points(
                axis, baselines, score, label="baselines", marker="^", size=5, color=style.GREEN
            )
        for entry in [*baselines, *submissions]:
            axis.annotate(
                text.name(entry, MAX_NAME),
                (entry.value(ACCURACY), entry.value(score)),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=7,
                parse_math=False,
            )
        standings = found.of(rows, score)
        front = [(e.value(ACCURACY), e.value(score)) for e in scored if standings[e.id].pareto]
        axis.plot(
            *np.array(front).reshape(-1, 2).T,
            linestyle="none",
            marker="o",
            markersize=10,
            fillstyle="none",
            color=style.BLACK,
            markeredgewidth=0.9,
            label="Pareto" if front else None,
        )
        better = "higher" if direction(rows, score) == HIGHER else "lower"
        axis.set_xlabel("test accuracy")
        named = printable(title(rows, score), MAX_TITLE)
        axis.set_ylabel(f"{named} ({better} is better)", parse_math=False)
        axis.legend(loc="best")
        return style.save(made, folder, name)


def draw(root: Path) -> list[Path]:
    """Draws every interpretability score of every track against accuracy.

    The figures replace those of an earlier call in `figures/` in the board's folder.

    Args:
        root: The board's folder.

    Returns:
        The files written, PNG and SVG.

    Raises:
        InputError: The board has no entries, or an entry is invalid.
    """
    groups, found = tables(Board(root).entries()), Board(root).standings()
    if not groups:
        raise InputError(f"No leaderboard entries in {root}.")
    folder, drawn, taken = root / "figures", [], set()
    for rows in groups:
        track = rows[0].track
        stem = f"{track.name}_v{track.protocol_version}"
        stem = stem if stem not in taken else f"{stem}_{track.digest[:8]}"
        taken.add(stem)
        for score in interpretability(rows):
            drawn += _figure(folder, rows, score, found, f"{stem}_{score}")
    for path in folder.glob("*"):
        if path not in drawn and _FIGURE.fullmatch(path.name):
            path.unlink()  # of a track or score that is no longer on the board
    return drawn
