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
) -> None:
    """Points with their intervals, the fitted line and the correlations in the legend."""
    colour, marker = look
    x, y = part[against].to_numpy(float), part[score].to_numpy(float)
    errors = np.abs(np.stack([y - part[f"{score} low"], part[f"{score} high"] - y]))
    if len(fit) and np.isfinite(fit["pearson"].iloc[0]):
        r = fit.iloc[0]
        label += f"  r = {r['pearson']:+.2f}, ρ = {r['spearman']:+.2f}"
        ends = np.array([x.min(), x.max()])
        axis.plot(ends, r["intercept"] + r["slope"] * ends, color=colour, lw=1.2, alpha=0.8)
    axis.errorbar(
        x,
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
    return correlations[
        (correlations["score"] == score)
        & (correlations["against"] == against)
        & (correlations["norm"] == norm)
        & (correlations["loss"] == loss)
    ]


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
    correlations = tables["correlations"]
    wide = _one_row_per_network(tables["scores"])
    caption = style.retraining_caption(config, len(wide)) + "; bars: 95 % intervals"
    with style.figure(1, 1, 5.6, 4.2, caption=caption) as (made, axes):
        axis = axes[0, 0]
        for (norm, attribution), look in style.looks().items():
            score = f"{mode}_{attribution}"
            if score not in wide or not (wide["norm"] == norm).any():
                continue
            _series(
                axis,
                _of_series(wide, score, norm, loss),
                score,
                against,
                fit=_fit(correlations, score, against, norm, loss),
                look=look,
                label=style.series_name(norm, attribution),
            )
        axis.axhline(0, color=style.GREY, lw=0.8, zorder=0)
        across, up = _limits(wide, mode, against)
        axis.set(xlim=across, ylim=up)
        axis.set_xlabel(AGAINST[against])
        axis.set_ylabel(f"{MODES[mode].title} score")
        title = (
            f"{MODES[mode].title} against {AGAINST[against].split(' (')[0]}, training attack"
            f" loss {loss}"
        )
        made.legend(
            *axis.get_legend_handles_labels(), title=title, loc="outside upper center", ncols=2
        )
        end = "accuracy" if against == ACCURACY else "strength"
        return style.save(made, folder, f"{mode}_{loss}_{end}")
