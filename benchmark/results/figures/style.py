"""How figures look and how they are saved: the same everywhere, legible in print, colours safe for the colour-blind."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.models.files import write

# Okabe and Ito's palette
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
)

ATTRIBUTION_NAMES = {"gradient": "G", "gradient_input": "GX"}
NORM_NAMES = {"l2": "L2", "linf": "L∞", "none": "standard"}
SERIES = {
    ("l2", "gradient_input"): (BLUE, "o"),
    ("linf", "gradient_input"): (VERMILION, "s"),
    ("l2", "gradient"): (SKY, "^"),
    ("linf", "gradient"): (ORANGE, "D"),
}

_RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "robust-interpretability-benchmark",
    "savefig.dpi": 160,
}


def caption(config: Config, networks: int) -> str:
    """What every figure says of itself: data, scale, model, numbers of networks and base-model seeds."""
    seeds = f"{config.seeds} base-model seed" + ("s" if config.seeds > 1 else "")
    return (
        f"{config.data.name}, {config.scale} scale, {config.model.name}, {networks} networks,"
        f" {seeds}"
    )


def network_name(norm: str, epsilon: float, loss: str | None = None) -> str:
    """A network's name in a figure, as `L2 0.8`."""
    if norm == "none":
        return "standard"
    return f"{NORM_NAMES[norm]} {epsilon:g}" + (f" {loss}" if loss else "")


@contextmanager
def figure(
    rows: int, columns: int, width: float, height: float, *, caption: str = "", **options: Any
) -> Iterator:
    """A figure in the project's style with its axes as a 2-D array; closed at the end.

    Sizes in inches.
    """
    with mpl.rc_context(_RC):
        made, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
        if caption:
            lines = textwrap.fill(
                caption, int(width * 17)
            )  # about 17 characters of this size to the inch
            made.supxlabel(lines, fontsize=7, color="#555555", ha="center")
        try:
            yield made, axes
        finally:
            plt.close(made)


def save(made: Figure, folder: Path, name: str) -> list[Path]:
    """Writes `<name>.png` and `<name>.svg`, the same bytes from the same figure."""
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        made.savefig(buffer, format=kind, metadata=metadata)
        paths.append(folder / f"{name}.{kind}")
        write(paths[-1], buffer.getvalue())
    return paths


def two_colours(first: str, second: str) -> mpl.colors.Colormap:
    """A colour map of two colours."""
    return mpl.colors.ListedColormap([first, second])


def gradient_colours(count: int, norm: str) -> list:
    """Colours for networks of rising strength, light to dark, blue for L2 and red for Linf."""
    colours = mpl.colormaps["Blues" if norm == "l2" else "Oranges"]
    return [colours(0.35 + 0.6 * (i + 1) / max(count, 1)) for i in range(count)]
