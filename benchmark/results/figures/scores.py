"""The figures drawn from tables: trade-off scatters, ROAR and KAR curves, manifold distances."""

from pathlib import Path

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.results.figures import style
from robust_interpretability.benchmark.results.tables import curve, untouched_accuracy
from robust_interpretability.benchmark.units.plan import BASELINE
from robust_interpretability.metrics import densities, retraining

AGAINST = {
    "test_accuracy": "test accuracy",
    "strength": "attack strength (radius / largest radius)",
}
ENDS = ("low", "high")
MANY = 8
"""Curves in a panel beyond which only the first, the middle and the last stand in the legend."""

MODE_NAMES = {"roar": "ROAR", "kar": "KAR"}


def _repeats(config: Config) -> str:
    if not config.retraining:
        return ""
    control = " on the masks alone" if config.retraining.content == "mask" else ""
    return f", {config.retraining.repeats} retrainings a point{control}"


def _limits(
    wide: pd.DataFrame, mode: str, against: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Axis limits that hold every series of a mode, whatever the training loss: figures side by side share them."""
    names = [f"{mode}_{a}" for a in style.ATTRIBUTION_NAMES if f"{mode}_{a}" in wide]
    measured = wide[wide[names].notna().any(axis=1)]
    ends = []
    for values in (
        measured[against].to_numpy(float),
        measured[[*names, *(f"{n} {e}" for n in names for e in ENDS)]],
    ):
        low, high = np.nanmin(values), np.nanmax(values)
        margin = 0.06 * (high - low) or 0.01
        ends.append((float(low - margin), float(high + margin)))
    return ends[0], ends[1]


def tradeoff(
    folder: Path,
    config: Config,
    tables: dict[str, pd.DataFrame],
    mode: str,
    loss: str,
    against: str,
) -> list[Path]:
    """A score against test accuracy or attack strength: four series with intervals, lines and correlations."""
    scores, correlations = tables["scores"], tables["correlations"]
    wide = scores.pivot(index="network", columns="score", values="value")
    meta = scores.drop_duplicates("network").set_index("network")[["norm", "loss", "strength"]]
    for end in ENDS:
        wide = wide.join(
            scores.pivot(index="network", columns="score", values=end).add_suffix(f" {end}")
        )
    wide = wide.join(meta)
    caption = (
        style.caption(config, len(wide)) + _repeats(config) + "; bars: 95 % bootstrap intervals"
    )
    with style.figure(1, 1, 5.6, 4.2, caption=caption) as (made, axes):
        axis = axes[0, 0]
        for (norm, attribution), (colour, marker) in style.SERIES.items():
            name = f"{mode}_{attribution}"
            member = (wide["norm"] == "none") | ((wide["norm"] == norm) & (wide["loss"] == loss))
            if name not in wide or not (wide["norm"] == norm).any():
                continue
            part = wide[member & wide[name].notna()]
            x, y = part[against].to_numpy(float), part[name].to_numpy(float)
            errors = np.abs(np.stack([y - part[f"{name} low"], part[f"{name} high"] - y]))
            row = correlations[
                (correlations["score"] == name)
                & (correlations["against"] == against)
                & (correlations["norm"] == norm)
                & (correlations["loss"] == loss)
            ]
            label = f"{style.NORM_NAMES[norm]} {style.ATTRIBUTION_NAMES[attribution]}"
            if len(row) and np.isfinite(row["pearson"].iloc[0]):
                r = row.iloc[0]
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
        axis.axhline(0, color="#888888", lw=0.8, zorder=0)
        across, up = _limits(wide, mode, against)
        axis.set(xlim=across, ylim=up)
        axis.set_xlabel(AGAINST[against])
        axis.set_ylabel(f"{MODE_NAMES[mode]} score")
        title = (
            f"{MODE_NAMES[mode]} against {AGAINST[against].split(' (')[0]}, training attack loss"
            f" {loss}"
        )
        made.legend(
            *axis.get_legend_handles_labels(), title=title, loc="outside upper center", ncols=2
        )
        return style.save(
            made,
            folder,
            f"{mode}_{loss}_{'accuracy' if against == 'test_accuracy' else 'strength'}",
        )


def curves(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], mode: str, loss: str
) -> list[Path]:
    """ROAR or KAR curves: a panel for each norm and attribution, the random order among them, spread of the repeats."""
    rows = tables["retraining"]
    rows = rows[rows["mode"].isin([mode])]
    chance = 1 / int(config_classes(tables))
    untouched = untouched_accuracy(tables["retraining"])
    attributions = [a for a in style.ATTRIBUTION_NAMES if (rows["attribution"] == a).any()]
    norms = [n for n in ("l2", "linf") if (rows["norm"] == n).any()] or ["none"]
    caption = (
        style.caption(config, tables["scores"]["network"].nunique())
        + _repeats(config)
        + "; bands: all repeats"
    )
    size = (len(attributions), len(norms), 3.6 * len(norms) + 1.2, 2.7 * len(attributions) + 0.5)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        for i, attribution in enumerate(attributions):
            for j, norm in enumerate(norms):
                axis = axes[i, j]
                member = (rows["attribution"] == attribution) & (
                    (rows["norm"] == "none") | ((rows["norm"] == norm) & (rows["loss"] == loss))
                )
                groups = [(name, part) for name, part in rows[member].groupby(["epsilon", "norm"])]
                colours = style.gradient_colours(len(groups) - 1, norm)
                drawn = [("random", rows[rows["attribution"] == BASELINE], "#888888", "--")]
                named = (
                    {0, 1, len(groups) // 2, len(groups) - 1}
                    if len(groups) > MANY
                    else set(range(len(groups)))
                )
                for k, ((epsilon, own), part) in enumerate(groups):
                    colour = style.BLACK if own == "none" else colours[k - 1]
                    name = (
                        style.network_name(own, epsilon) if k in named else "_"
                    )  # which keeps it out of the legend
                    drawn.append((name, part, colour, "-"))
                for name, part, colour, dash in drawn:
                    accuracy = np.concatenate([curve(one) for _, one in part.groupby("seed")])
                    fractions = np.sort(part["fraction"].unique())
                    x, y = retraining.Curve(mode, fractions, accuracy).with_ends(untouched, chance)
                    axis.plot(x, y, dash, color=colour, lw=1.3, label=name, marker=".", ms=4)
                    axis.fill_between(
                        fractions, accuracy.min(0), accuracy.max(0), color=colour, alpha=0.15, lw=0
                    )
                axis.set_title(
                    f"{style.NORM_NAMES[norm]}, {style.ATTRIBUTION_NAMES[attribution]}", loc="left"
                )
                if i == len(attributions) - 1:
                    axis.set_xlabel(f"fraction of pixels {'removed' if mode == 'roar' else 'kept'}")
                if j == 0:
                    axis.set_ylabel("accuracy of the retrained network")
        for j in range(len(norms)):
            handles, labels = axes[0, j].get_legend_handles_labels()
            axes[0, j].legend(
                handles, labels, loc="lower left" if mode == "roar" else "lower right", fontsize=7
            )
        made.suptitle(f"{MODE_NAMES[mode]} curves, training attack loss {loss}", fontsize=10)
        return style.save(made, folder, f"curves_{mode}_{loss}")


def config_classes(tables: dict[str, pd.DataFrame]) -> int:
    """Number of classes, kept with the tables."""
    return int(tables["dataset"].set_index("measure").loc["classes", "value"])


def manifold_distances(
    folder: Path, config: Config, rows: pd.DataFrame, attack_loss: str
) -> list[Path]:
    """Densities of scaled distances to the manifold, a panel for each norm and training loss, as in the paper."""
    rows = rows[rows["attack_loss"] == attack_loss]
    panels = [
        (n, p)
        for n in ("l2", "linf")
        for p in ("xent", "cw")
        if ((rows["norm"] == n) & (rows["loss"] == p)).any()
    ]
    panels = panels or [("none", "none")]
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    kept = config.manifold.epsilon if config.manifold else 0
    caption = (
        style.caption(config, rows["network"].nunique())
        + f"; adversarial examples: L2 radius {kept:g} (pixel units), loss {attack_loss}"
    )
    standard = rows[rows["norm"] == "none"]
    clean = standard["clean_distance"].to_numpy()
    with style.figure(
        lines,
        columns,
        4.2 * columns + 0.4,
        3.0 * lines + 0.4,
        caption=caption,
        sharex=True,
        sharey=True,
    ) as (made, axes):
        for axis, (norm, loss) in zip(axes.flat, panels, strict=False):
            own = rows[(rows["norm"] == norm) & (rows["loss"] == loss)]
            groups = [("standard", standard, style.VERMILION)]
            colours = style.gradient_colours(own["epsilon"].nunique(), "l2")
            groups += [
                (style.network_name(norm, e), part, c)
                for (e, part), c in zip(own.groupby("epsilon"), colours, strict=True)
            ]
            drawn = [("test data", clean, style.BLACK, "--")]
            drawn += [
                (name, part.loc[part["kept"], "adversarial_distance"].to_numpy(), c, "-")
                for name, part, c in groups
            ]
            scaled = [
                (name, densities.scaled(values, clean), c, dash)
                for name, values, c, dash in drawn
                if len(values)
            ]
            high = max(float(np.percentile(values, 99.5)) for _, values, _, _ in scaled)
            grid = np.linspace(-0.1, high + 0.1, 400)
            for name, values, colour, dash in scaled:
                if len(values) < densities.SMALLEST or np.ptp(values) == 0:
                    axis.plot(
                        [], [], dash, color=colour, label=f"{name}: {len(values)} examples, too few"
                    )
                    continue
                axis.plot(
                    grid,
                    densities.density(values, grid),
                    dash,
                    color=colour,
                    lw=1.4,
                    label=f"{name} (n = {len(values)})",
                )
            axis.set_title(f"{style.NORM_NAMES[norm]}, {loss}", loc="left")
            axis.set_xlabel("scaled distance to the manifold")
            axis.set_ylabel("density")
            axis.legend(fontsize=7)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        return style.save(made, folder, f"manifold_{attack_loss}")


def manifold_excess(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], attack_loss: str
) -> list[Path]:
    """How much farther from the manifold adversarial examples lie than their images; noise of the same norm beside."""
    scores = tables["scores"]
    losses = sorted(set(scores["loss"]) - {"none"}) or ["none"]
    caption = (
        style.caption(config, scores["network"].nunique()) + "; 95 % intervals over test images"
    )
    width = 4.4 * len(losses)
    with style.figure(1, len(losses), width, 3.4, caption=caption, sharey=True) as (made, axes):
        for axis, loss in zip(axes[0], losses, strict=True):
            for norm, colour in (("l2", style.BLUE), ("linf", style.VERMILION)):
                member = (scores["norm"] == "none") | (
                    (scores["norm"] == norm) & (scores["loss"] == loss)
                )
                for kind, mark, title in (
                    ("excess", "o-", "adversarial"),
                    ("noise_excess", "x--", "noise, same norm"),
                ):
                    name = f"manifold_{attack_loss}_{kind}"
                    part = scores[member & (scores["score"] == name)].sort_values("strength")
                    if len(part) < 2:
                        continue
                    errors = np.abs(
                        np.stack([part["value"] - part["low"], part["high"] - part["value"]])
                    )
                    axis.errorbar(
                        part["strength"],
                        part["value"],
                        errors,
                        fmt=mark,
                        color=colour,
                        ms=4,
                        lw=1,
                        label=f"{style.NORM_NAMES[norm]}, {title}",
                    )
            axis.set_xlabel("attack strength of training")
            axis.set_title(f"training attack loss {loss}", loc="left")
            axis.axhline(0, color="#888888", lw=0.8, zorder=0)
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        axes[0, 0].set_ylabel("d(x') - d(x), paper units")
        return style.save(made, folder, f"manifold_excess_{attack_loss}")
