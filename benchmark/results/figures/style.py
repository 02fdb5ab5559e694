"""How figures look and are saved: legible in print, in colours safe for colour blindness."""

import io
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.attacks import NORM_SYMBOLS, NORMS
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.units.retrain import Retraining
from pellucid.metrics import ATTRIBUTIONS
from pellucid.models.files import write
from pellucid.models.types import Array

# Okabe and Ito's palette
BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"

# of Tol's muted palette
WINE = "#882255"
OLIVE = "#999933"
INDIGO = "#332288"
TEAL = "#44AA99"
MAGENTA = "#AA4499"
FOREST = "#117733"

GREY = "#888888"

NORM_NAMES = NORM_SYMBOLS | {"none": "standard"}

Colour = str | tuple[float, float, float, float]
"""A name or red, green, blue and opacity."""

Look = tuple[Colour, str]
"""A colour and a marker."""

FIXED_LOOKS: dict[tuple[str, str], Look] = {
    ("l2", "gradient_input"): (BLUE, "o"),
    ("linf", "gradient_input"): (VERMILION, "s"),
    ("l2", "gradient"): (SKY, "^"),
    ("linf", "gradient"): (ORANGE, "D"),
}
"""Looks of the series of the paper's attributions, by norm and attribution.

In every figure blue is L2, red to orange is Linf, black is the standard network and grey what asks
no trained network; nothing else has these colours.
"""

NORM_COLOURS = {"none": BLACK, "l2": BLUE, "linf": VERMILION}
APART = 0.009
"""Between the points of two series at one place, in lengths of the axis."""
WIDEST = 0.08
"""Between the first series and the last at one place."""
SHIFTED = "; series are shifted sideways a little, so that no point covers another"
"""What a caption says where points are `dodged` along an axis of measured values."""

FEWEST = 5
"""Networks below which nothing is said of a correlation."""

NORM_MARKERS = {"none": "D", "l2": "o", "linf": "s"}
"""Looks of networks by the norm of their training, where a figure shows one score."""

MORE_COLOURS = (GREEN, PURPLE, OLIVE)
MORE_MARKERS = ("v", "P", "X", "<", ">", "*", "h")

CHARACTERS_PER_INCH = 17
"""Of a caption, roughly."""
COLUMN = 2.1
"""Inches that a column of a legend takes at least."""

_RC: mpl.RcParams | dict = {
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
    "svg.hashsalt": "pellucid",
    "savefig.dpi": 160,
}


ATTRIBUTION_LOOKS: dict[str, Look] = dict(
    zip(
        ATTRIBUTIONS,
        itertools.cycle(
            (
                (GREEN, "^"),
                (PURPLE, "o"),
                (WINE, "v"),
                (OLIVE, "P"),
                (INDIGO, "X"),
                (TEAL, "<"),
                (MAGENTA, ">"),
            )
        ),
        strict=False,
    )
)
"""Looks of attributions where a figure shows one network: no colour of a norm among them."""


def looks() -> dict[tuple[str, str], Look]:
    """Colour and marker of every series, by norm and attribution.

    The paper's attributions always look the same; the others take the remaining colours and
    markers, in the order of the registry.
    """
    others = [
        (norm, attribution)
        for attribution in ATTRIBUTIONS
        for norm in NORMS
        if (norm, attribution) not in FIXED_LOOKS
    ]
    more = zip(itertools.cycle(MORE_COLOURS), itertools.cycle(MORE_MARKERS), strict=False)
    return FIXED_LOOKS | dict(zip(others, more, strict=False))


def series_name(norm: str, attribution: str) -> str:
    """A series' name in a legend or over a panel, as `L2, Gradient x Input`."""
    return f"{NORM_NAMES[norm]}, {ATTRIBUTIONS[attribution].title}"


def network_name(norm: str, epsilon: float, loss: str | None = None) -> str:
    """A network's name in a figure, as `L2 0.8`; with the training loss where it is given."""
    if norm == "none":
        return "standard"
    return f"{NORM_NAMES[norm]} {epsilon:g}" + (f", {names.loss(loss)}" if loss else "")


def legend(made: Figure, axes: Array, columns: int, title: str = "") -> None:
    """One legend for all panels above them, each name once; in fewer columns where it is narrow."""
    found: dict[str, Artist] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    made.legend(
        list(found.values()),
        list(found),
        loc="outside upper center",
        ncols=max(1, min(columns, int(made.get_figwidth() / COLUMN))),
        title=title or None,
    )


def name_rows(axes: Sequence[Axes], titles: Sequence[str], size: float = 9) -> None:
    """Names the rows that panels side by side share: left of the first and right of the last."""
    for number, axis in enumerate(axes):
        last = 0 < number == len(axes) - 1
        axis.set_yticks(range(len(titles)), titles, fontsize=size)
        axis.tick_params(labelleft=number == 0, labelright=last)


def hide(axes: Array, used: int) -> None:
    """Hides the panels of a grid after the first `used`."""
    for axis in list(axes.flat)[used:]:
        axis.set_visible(False)


def trained(loss: str) -> str:
    """The end of a title: which adversary the networks were trained against."""
    return "" if loss == "none" else f"; trained against attacks on the {names.loss(loss)}"


def dodged(number: int, count: int, width: float) -> float:
    """How far the points of a series are moved along an axis, so that none lies on another.

    Args:
        number: The series' place, from 0.
        count: How many series there are.
        width: The length of the axis.
    """
    return min(APART, WIDEST / count) * width * (number - (count - 1) / 2)


def caption(config: Config, networks: int) -> str:
    """What every caption states: data, scale, model, numbers of networks and base-model seeds."""
    seeds = f"{config.seeds} base-model seed" + ("s" if config.seeds > 1 else "")
    return (
        f"{names.data(config.data.name)}, {config.scale} scale, {config.model.name},"
        f" {networks} networks,"
        f" {seeds}"
    )


def retraining_caption(config: Config, networks: int) -> str:
    """The caption of a figure of ROAR or KAR: as `caption`, with the number of retrainings."""
    text = caption(config, networks)
    section = config.section(Retraining)
    if section is None:
        return text
    plural = "" if section.repeats == 1 else "s"
    return f"{text}, {section.repeats} retraining{plural} per point and seed"


class ShownFigure(Figure):
    """A figure that a notebook shows although pyplot does not know of it."""

    def _repr_png_(self) -> bytes:
        return encoded(self, "png")


def encoded(made: Figure, kind: str) -> bytes:
    """A figure as PNG or SVG, the same bytes from the same figure."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = io.BytesIO()
    with mpl.rc_context(_RC):
        made.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def figure(
    rows: int,
    columns: int,
    width: float,
    height: float,
    *,
    caption: str = "",
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[tuple[Figure, Array]]:
    """A figure in the project's style, with its axes as a 2-D array.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        width: Width in inches.
        height: Height in inches.
        caption: The text under the panels.
        sharex: Whether all panels share their horizontal axis.
        sharey: Whether all panels share their vertical axis.
    """
    with mpl.rc_context(_RC):
        made = ShownFigure(figsize=(width, height))
        axes = made.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
        for axis in axes.flat:
            axis.tick_params(labelbottom=True, labelleft=True)  # also where an axis is shared
        if caption:
            lines = textwrap.fill(caption, int(width * CHARACTERS_PER_INCH))
            made.supxlabel(lines, fontsize=7, color="#555555", ha="center")
        yield made, axes


def save(made: Figure, folder: Path, name: str) -> list[Path]:
    """Writes `<name>.png` and `<name>.svg`, the same bytes from the same figure."""
    paths = []
    for kind in ("png", "svg"):
        paths.append(folder / f"{name}.{kind}")
        write(paths[-1], encoded(made, kind))
    return paths


def two_colours(first: str, second: str) -> mpl.colors.Colormap:
    """A colour map of two colours."""
    return mpl.colors.ListedColormap([first, second])


def network_looks(networks: Sequence[tuple[str, float]]) -> list[Look]:
    """Colours and markers of networks: the norm's hue, light to dark by the radius of training.

    Args:
        networks: Norm (`"none"`, `"l2"` or `"linf"`) and radius of each.
    """
    found = []
    for norm, radius in networks:
        colour: Colour = NORM_COLOURS[norm]
        if norm != "none":
            radii = sorted({r for other, r in networks if other == norm})
            colour = mpl.colors.to_hex(gradient_colours(len(radii), norm)[radii.index(radius)])
        found.append((colour, NORM_MARKERS[norm]))
    return found


def gradient_colours(count: int, norm: str) -> list[tuple[float, float, float, float]]:
    """Colours for networks of rising strength, light to dark: blue for L2, orange for Linf."""
    colours = mpl.colormaps["Blues" if norm == "l2" else "Oranges"]
    return [colours(0.35 + 0.6 * (i + 1) / max(count, 1)) for i in range(count)]
