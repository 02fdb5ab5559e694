"""The trade-off figures: ROAR and KAR scores against test accuracy or attack strength."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results.figures import style
from pellucid.metrics import ATTRIBUTIONS, MODES

ACCURACY = "test_accuracy"
AGAINST = {
    ACCURACY: "test accuracy",
    "strength": "attack strength (radius / largest radius)",
}
"""Labels of the horizontal axis, by column of the scores."""
ENDS = ("low", "high")


def _one_row_per_network(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns: each score, its interval as `<score> low` and `<score> high`, and the network's."""
    wide = scores.pivot(index="network", columns="score", values="value")
    for end in ENDS:
        interval = scores.pivot(index="network", columns="score", values=end)
        wide = wide.join(interval.add_suffix(f" {end}"))
    networks = scores.drop_duplicates("network").set_index("network")
    return wide.join(networks[["norm", "loss", "strength"]])


def _limits(
    wide: pd.DataFrame, mode: str, against: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis limits that hold every series of a mode, whatever the training loss.

    So the figures of the training losses have the same axes.
    """
    names = [f"{mode}_{a}" for a in ATTRIBUTIONS if f"{mode}_{a}" in wide]
    measured = wide[wide[names].notna().any(axis=1)]
    limits = []
    for values in (
        measured[against].to_numpy(float),
        measured[[*names, *(f"{n} {e}" for n in names for e in ENDS)]],
    ):
        low, high = np.nanmin(values), np.nanmax(values)
        margin = 0.06 * (high - low) or 0.01
        limits.append((float(low - margin), float(high + margin)))
    return limits[0], limits[1]


def _series(
    axis: Axes,
    part: pd.DataFrame,
    score: str,
    against: str,
    *,
    fit: pd.DataFrame,
    look: style.Look,
    label: str,
    shift: float,
) -> None:
    """The points of trained networks, and what is known of the correlation.

    From `style.FEWEST` points on the legend has the correlations with their intervals, and a line
    is fitted where the interval of Pearson's excludes 0.
    """
    if known(fit):
        r = fit.iloc[0]
        label += f": r = {_interval(r, 'pearson')}, ρ = {_interval(r, 'spearman')}"
        if r["pearson_low"] > 0 or r["pearson_high"] < 0:
            ends = np.array([part[against].min(), part[against].max()])
            axis.plot(ends, r["intercept"] + r["slope"] * ends, color=look[0], lw=1.2, alpha=0.8)
    _points(axis, part[part["norm"] != "none"], score, against, look, label, shift)


def _points(
    axis: Axes,
    part: pd.DataFrame,
    score: str,
    against: str,
    look: style.Look,
    label: str,
    shift: float,
) -> None:
    """Scores with their intervals."""
    colour, marker = look
    y = part[score].to_numpy(float)
    errors = np.abs(np.stack([y - part[f"{score} low"], part[f"{score} high"] - y]))
    axis.errorbar(
        part[against] + shift,
        y,
        errors,
        fmt=marker,
        color=colour,
        ms=5,
        lw=0.8,
        alpha=0.9,
        mec="white",
        mew=0.5,
        label=label,
    )


def _fit(
    correlations: pd.DataFrame, score: str, against: str, norm: str, loss: str
) -> pd.DataFrame:
    """The row of a series' correlation and fitted line; empty where there is none."""
    if correlations.empty:
        return correlations
    return correlations[
        (correlations["score"] == score)
        & (correlations["against"] == against)
        & (correlations["norm"] == norm)
        & (correlations["loss"] == loss)
    ]


def known(fit: pd.DataFrame) -> bool:
    """Whether a series has enough points, which vary, for its correlation to be shown."""
    if fit.empty:
        return False
    row = fit.iloc[0]
    return bool(row["n"] >= style.FEWEST and np.isfinite(row["pearson"]))


def _interval(row: pd.Series, name: str) -> str:
    return f"{row[name]:+.2f} [{row[f'{name}_low']:+.2f}, {row[f'{name}_high']:+.2f}]"


def _of_series(wide: pd.DataFrame, score: str, norm: str, loss: str) -> pd.DataFrame:
    """The networks of a norm and training loss that have a score, with the standard network."""
    trained = (wide["norm"] == norm) & (wide["loss"] == loss)
    return wide[((wide["norm"] == "none") | trained) & wide[score].notna()]


def tradeoff(
    folder: Path,
    config: Config,
    tables: dict[str, pd.DataFrame],
    mode: str,
    loss: str,
    against: str,
) -> list[Path]:
    """A score against test accuracy or attack strength: one series per norm and attribution.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        tables: Its tables: `scores` and `correlations`.
        mode: `"roar"` or `"kar"`.
        loss: The attack loss of the networks' training.
        against: A key of `AGAINST`.

    Returns:
        The files written.
    """
    correlations = tables.get("correlations", pd.DataFrame())  # none where no network has learned
    wide = _one_row_per_network(tables["scores"])
    attributions = [name for name in ATTRIBUTIONS if f"{mode}_{name}" in wide]
    drawn = [
        (norm, attribution, look)
        for (norm, attribution), look in style.looks().items()
        if f"{mode}_{attribution}" in wide
        and ((wide["norm"] == norm) & (wide["loss"] == loss)).any()
    ]
    fits = [_fit(correlations, f"{mode}_{a}", against, norm, loss) for norm, a, _ in drawn]
    caption = style.retraining_caption(config, len(wide)) + "; bars: 95 % intervals"
    if any(known(fit) for fit in fits):
        caption += (
            "; r, ρ: Pearson's and Spearman's correlation over networks that are not at chance,"
            " with 95 % intervals; a line is fitted where that of r excludes 0"
        )
    if not all(known(fit) for fit in fits):
        caption += f"; no correlation is given for series of fewer than {style.FEWEST} networks"
    if against == ACCURACY:
        caption += style.SHIFTED
    across, up = _limits(wide, mode, against)
    count, width = len(attributions) + len(drawn), across[1] - across[0]
    with style.figure(1, 1, 5.8, 4.4, caption=caption) as (made, axes):
        axis = axes[0, 0]
        for number, name in enumerate(attributions):
            score, marker = f"{mode}_{name}", style.looks()["l2", name][1]
            _points(
                axis,
                wide[(wide["norm"] == "none") & wide[score].notna()],
                score,
                against,
                (style.BLACK, marker),
                style.series_name("none", name),
                style.dodged(number, count, width),
            )
        for number, ((norm, attribution, look), fit) in enumerate(
            zip(drawn, fits, strict=True), len(attributions)
        ):
            score = f"{mode}_{attribution}"
            _series(
                axis,
                _of_series(wide, score, norm, loss),
                score,
                against,
                fit=fit,
                look=look,
                label=style.series_name(norm, attribution),
                shift=style.dodged(number, count, width),
            )
        axis.axhline(0, color=style.GREY, lw=0.8, zorder=0)
        axis.set(xlim=across, ylim=up)
        axis.set_xlabel(AGAINST[against])
        axis.set_ylabel(f"{MODES[mode].title} score")
        title = (
            f"{MODES[mode].title} against {AGAINST[against].split(' (')[0]}{style.trained(loss)}"
        )
        style.legend(made, axes, 1 if any(known(fit) for fit in fits) else 2, title=title)
        end = "accuracy" if against == ACCURACY else "strength"
        return style.save(made, folder, f"{mode}_{loss}_{end}")
