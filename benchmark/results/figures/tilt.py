"""The figure of the two-dimensional toy: decision regions, the attack on one class, its mean direction."""

from pathlib import Path

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.results.figures import style

Plane = dict[str, dict[str, np.ndarray]]
"""For each network's label, the arrays of its `tilt` unit."""

SHOWN = 600
"""Points of a class that are drawn."""


def _paper(values: np.ndarray) -> np.ndarray:
    """Pixel units as the paper's: [0, 1] to [-1, 1]."""
    return 2 * values - 1


def boundary_tilting(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], plane: Plane
) -> list[Path]:
    """The data, then for each network its regions, the attacked class and the arrow from class to attacked mean."""
    scores = tables["scores"].query("score == 'tilt'").set_index("network")
    attacked = config.tilt.attacked_class if config.tilt else 1
    radius = config.tilt.epsilon if config.tilt else 0
    first = next(iter(plane.values()))
    colours = (style.BLUE, style.ORANGE)
    caption = (
        f"{config.data.name}, {config.scale} scale, {config.model.name}; L2 attack of radius"
        f" {2 * radius:g} on class {attacked} (axes and radii in paper units, [-1, 1]); arrows from"
        " the class mean to the attacked mean; dashed: line through the class means; drawn: seed"
        f" 0; angles: mean of {config.seeds} seeds with 95 % interval"
    )
    columns = min(4, len(plane) + 1)
    lines = -(-(len(plane) + 1) // columns)
    size = (lines, columns, 2.6 * columns, 2.9 * lines + 0.5)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        own = {attacked: first["x"], 1 - attacked: first["others"]}
        for axis in list(axes.flat)[len(plane) + 1 :]:
            axis.set_visible(False)
        for number, axis in enumerate(list(axes.flat)[: len(plane) + 1]):
            for k in (0, 1):
                points = _paper(own[k][:SHOWN])
                axis.plot(
                    *points.T,
                    ".",
                    ms=1.5,
                    color=colours[k],
                    alpha=0.5,
                    label=f"class {k}",
                    rasterized=True,
                )
            axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
            axis.grid(visible=False)
            if number == 0:
                axis.set_title("data", loc="left")
                continue
            label, found = list(plane.items())[number - 1]
            regions = axis.imshow(
                found["regions"],
                extent=(-1, 1, -1, 1),
                origin="lower",
                vmin=0,
                vmax=1,
                zorder=0,
                alpha=0.25,
                cmap=style.two_colours(*colours),
                interpolation="nearest",
            )
            regions.set_rasterized(True)
            axis.plot(
                *_paper(found["x_adv"][:SHOWN]).T,
                ".",
                ms=1.5,
                color=style.VERMILION,
                alpha=0.5,
                label=f"class {attacked}, attacked",
                rasterized=True,
            )
            means = _paper(found["class_means"])
            axis.axline(means[0], means[1], color="#555555", ls="--", lw=0.8)
            start, end = (_paper(found[name].mean(0, dtype=np.float64)) for name in ("x", "x_adv"))
            axis.annotate(
                "",
                end,
                start,
                arrowprops={"arrowstyle": "-|>", "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
            )
            score = scores.loc[label]
            name = (
                "standard"
                if score["norm"] == "none"
                else f"adversarial, L2 {2 * score['epsilon']:g}"
            )
            interval = (
                "" if np.isnan(score["low"]) else f" [{score['low']:.1f}, {score['high']:.1f}]"
            )
            axis.set_title(f"{name}\ntilt {score['value']:.1f}°{interval}", loc="left")
        handles, labels = axes.flat[min(1, len(plane))].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=3, markerscale=6)
        return style.save(made, folder, "boundary_tilting")
