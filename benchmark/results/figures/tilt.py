"""The figure of the two-dimensional toy: decision regions and the direction of the attack."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import pictures, style
from pellucid.benchmark.units.tilt import Tilt
from pellucid.models.types import Array

TiltArrays = dict[str, Array]
"""The arrays of a network's `tilt` unit."""

SHOWN = 600
"""Points of a class that are drawn."""
COLOURS = (style.GREEN, style.PURPLE)
"""Of the two classes."""
ATTACKED = (style.FOREST, style.WINE)
"""Of the classes' adversarial examples."""
MOST_COLUMNS = 4


def _paper_units(values: Array) -> Array:
    """Pixel units, [0, 1], as the paper's, [-1, 1]."""
    return 2 * values - 1


def _points(axis: Axes, points: Array, colour: str, label: str) -> None:
    axis.plot(
        *_paper_units(points[:SHOWN]).T,
        ".",
        ms=1.5,
        color=colour,
        alpha=0.5,
        label=label,
        rasterized=True,
    )


def _regions(axis: Axes, regions: Array) -> None:
    image = axis.imshow(
        regions,
        extent=(-1, 1, -1, 1),
        origin="lower",
        vmin=0,
        vmax=1,
        zorder=0,
        alpha=0.25,
        cmap=style.two_colours(*COLOURS),
        interpolation="nearest",
    )
    image.set_rasterized(True)


def _network(axis: Axes, arrays: TiltArrays, attacked: int) -> None:
    """A network's regions, the attacked class, and the arrow from its mean to the attacked mean."""
    _regions(axis, arrays["regions"])
    _points(axis, arrays["x_adv"], ATTACKED[attacked], f"class {attacked}, attacked")
    means = _paper_units(arrays["class_means"])
    axis.axline(means[0], means[1], color="#555555", ls="--", lw=0.8)
    start, end = (_paper_units(arrays[name].mean(0, dtype=np.float64)) for name in ("x", "x_adv"))
    axis.annotate(
        "",
        tuple(end),
        tuple(start),
        arrowprops={"arrowstyle": "-|>", "lw": 1.6, "shrinkA": 0, "shrinkB": 0},
    )


def _title(score: pd.Series) -> str:
    name = "standard"
    if score["norm"] != "none":
        name = f"adversarial, {style.network_name('l2', 2 * score['epsilon'])}"
    interval = "" if np.isnan(score["low"]) else f" [{score['low']:.1f}, {score['high']:.1f}]"
    return f"{name}\ntilt {score['value']:.1f}°{interval}"


def _caption(config: Config, attacked: int) -> str:
    section = config.section(Tilt)
    radius = section.epsilon if section else 0
    return (
        f"{names.data(config.data.name)}, {config.scale} scale, {config.model.name}; L2 attack of"
        f" radius {2 * radius:g} on class {attacked} (axes and radii in paper units, [-1, 1]);"
        " arrows from the class mean to the attacked mean; dashed: line through the class means;"
        f" drawn: seed 0; angles: mean of {config.seeds} seeds with 95 % interval"
    )


def boundary_tilting(
    folder: Path,
    config: Config,
    tables: dict[str, pd.DataFrame],
    networks: dict[str, TiltArrays],
) -> list[Path]:
    """The data, then one panel per network with its decision regions and the tilt of the attack.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        tables: Its tables: `scores`.
        networks: The arrays of each network's `tilt` unit, by the network's label.

    Returns:
        The files written.

    Reference: arXiv 1903.11626, section 2.2.
    """
    scores = tables["scores"].query("score == 'tilt'").set_index("network")
    section = config.section(Tilt)
    attacked = section.attacked_class if section else 1
    first = next(iter(networks.values()))
    classes = {attacked: first["x"], 1 - attacked: first["others"]}
    networks = dict(pictures.spread(list(networks.items()), pictures.MOST_PANELS - 1))
    panels = len(networks) + 1
    columns = min(MOST_COLUMNS, panels)
    lines = -(-panels // columns)
    size = (lines, columns, 2.6 * columns, 2.9 * lines + 0.5)
    caption = _caption(config, attacked)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        style.hide(axes, panels)
        for axis in list(axes.flat)[:panels]:
            for k in (0, 1):
                _points(axis, classes[k], COLOURS[k], f"class {k}")
            axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal")
            axis.grid(visible=False)
        axes.flat[0].set_title("data", loc="left")
        for axis, (label, arrays) in zip(list(axes.flat)[1:panels], networks.items(), strict=True):
            _network(axis, arrays, attacked)
            axis.set_title(_title(scores.loc[label]), loc="left")
        for line in axes:
            line[0].set_ylabel("second coordinate")
        for axis in axes[-1]:
            axis.set_xlabel("first coordinate")
        handles, labels = axes.flat[min(1, len(networks))].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=3, markerscale=6)
        return style.save(made, folder, "boundary_tilting")
