"""Images and attribution maps as panels of a figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pellucid.benchmark.results.figures import style
from pellucid.models.types import Array

MOST_PANELS = 8
"""Panels of a grid of pictures, beyond which they are too small to see."""
SIGNED = "RdBu_r"
"""The colours of maps with a sign: white is zero."""
UNSIGNED = "inferno"
"""The colours of maps of at least zero: black is zero."""


def image(axis: Axes, values: Array) -> None:
    """An image `(h, w, c)`, uint8 or in [0, 1]: in colour if it has three channels, else grey."""
    pixels = values / 255 if values.dtype == np.uint8 else values
    if pixels.shape[-1] == 3:
        axis.imshow(np.clip(pixels, 0, 1), interpolation="nearest")
    else:
        grey = pixels.mean(axis=-1)
        axis.imshow(grey, cmap="gray", vmin=0, vmax=1, interpolation="nearest")


def heat_map(axis: Axes, values: Array, *, signed: bool, zero: str, largest: float = 0.0) -> None:
    """An attribution map `(h, w)`, its largest absolute value as the end of the colours.

    Args:
        axis: Where it is drawn.
        values: The map.
        signed: Whether the colours have two ends.
        zero: What an empty panel says where the map is zero in every pixel.
        largest: The end of the colours, beyond which they stay the same; 0: the largest absolute
            value.
    """
    if not values.any():
        axis.imshow(np.ones((*values.shape, 3)), interpolation="nearest")
        axis.text(
            0.5,
            0.5,
            zero.replace(" ", "\n"),
            color="#555555",
            fontsize=8,
            ha="center",
            va="center",
            transform=axis.transAxes,
        )
        return
    end = largest or float(np.abs(values).max())
    low, colours = (-end, SIGNED) if signed else (0.0, UNSIGNED)
    axis.imshow(values, cmap=colours, vmin=low, vmax=end, interpolation="nearest")


def colour_bar(made: Figure, axes: Array, *, signed: bool, label: str) -> None:
    """One colour bar for maps whose colours end at values of their own."""
    colours = SIGNED if signed else UNSIGNED
    scale = ScalarMappable(Normalize(-1 if signed else 0, 1), colours)
    bar = made.colorbar(scale, ax=list(axes.flat), shrink=0.8, aspect=25, pad=0.02)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.set_ticks([-1, 0, 1] if signed else [0, 0.5, 1])
    bar.outline.set_visible(False)  # type: ignore[operator]


def without_scales(axes: Array) -> None:
    """Panels of pictures have a thin frame and no numbers: a pixel's place says nothing."""
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(visible=False)
        for spine in axis.spines.values():
            spine.set_visible(True)
            spine.set(color=style.GREY, linewidth=0.5)
