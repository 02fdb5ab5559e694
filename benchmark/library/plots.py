"""How results are drawn, in the style of the benchmark's figures."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.attacks import NORM_SYMBOLS
from pellucid.benchmark.library import retraining
from pellucid.benchmark.results.figures import controls, pictures, style
from pellucid.benchmark.units.orders import UNTOUCHED
from pellucid.metrics import MODES, statistics
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.library.evaluation import Evaluation
    from pellucid.benchmark.library.interpreting import Interpretability
    from pellucid.benchmark.library.robustness import RobustnessCurve
    from pellucid.benchmark.library.training import History

BARS = "bars: 95 % intervals"
TICKS_APART = 0.12
"""Between the numbers of two radii at least, in the widest, so that they do not overlap."""
NETWORK = re.compile(r"(?:.*/)?(?:standard|(l2|linf)-(\d+(?:\.\d+)?)(?:-.*)?)")
"""A name of `load_models` or `load_model`, with norm and radius."""


class Mark(NamedTuple):
    """A row of a plot of values with intervals.

    Attributes:
        label: The row's name.
        value: Its value.
        low: Lower end of the interval; None where there is none.
        high: Upper end.
        look: Colour and marker.
    """

    label: str
    value: float
    low: float | None
    high: float | None
    look: style.Look


def _half_widths(marks: Iterable[tuple[float, float | None, float | None]]) -> Array:
    """Distances from values to the ends of their intervals, `(2, n)`; 0 where there is none."""
    rows = [
        (0.0, 0.0) if low is None or high is None else (value - low, high - value)
        for value, low, high in marks
    ]
    return np.maximum(np.array(rows, float).T, 0)


def _forest(axis: Axes, marks: Sequence[Mark], *, digits: int = 2) -> None:
    """Values with intervals, one row each, the first on top; the value as a number beside it."""
    for place, mark in enumerate(marks):
        colour, marker = mark.look
        ends = _half_widths([(mark.value, mark.low, mark.high)])
        axis.errorbar(mark.value, place, xerr=ends, fmt=marker, color=colour, ms=5, lw=1.4)
        axis.annotate(
            f"{mark.value:.{digits}f}",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    axis.set_yticks(range(len(marks)), [mark.label for mark in marks])
    axis.set_ylim(len(marks) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")


def evaluation(result: "Evaluation") -> Figure:
    """Accuracy without an attack and under each."""
    colour = style.NORM_COLOURS[result.norm]
    marks = [
        Mark(
            "no attack" if row is result.clean else row.attack,
            row.accuracy,
            row.low,
            row.high,
            (style.BLACK, "D") if row is result.clean else (colour, "o"),
        )
        for row in (result.clean, result.pgd, result.autoattack, result.worst_case)
    ]
    caption = f"{result.clean.images} images, seed {result.seed}; {BARS}; " + "; ".join(
        ": ".join(note.split(": ")[:2]) for note in result.notes()
    )
    with style.figure(1, 1, 5.6, 2.5, caption=caption) as (made, axes):
        axis = axes[0, 0]
        _forest(axis, marks)
        axis.set_xlim(-0.02, 1.02)
        axis.set_xlabel("accuracy")
        title = f"attacks of {NORM_SYMBOLS[result.norm]} radius {result.epsilon:.4g} (pixel units)"
        axis.set_title(title, loc="left")
    return made


def history(result: "History") -> Figure:
    """Cross-entropy and accuracy by epoch."""
    epochs = [row.epoch for row in result.epochs]
    what = f"training against {result.attack}" if result.attack else "standard training"
    caption = f"{what}, seed {result.seed}: means over the batches of an epoch"
    accuracy = "accuracy on adversarial examples" if result.attack else "accuracy"
    panels = {
        "cross-entropy": [row.loss for row in result.epochs],
        accuracy: [row.accuracy for row in result.epochs],
    }
    with style.figure(1, 2, 7.2, 3.0, caption=caption) as (made, axes):
        for axis, (name, values) in zip(axes[0], panels.items(), strict=True):
            axis.plot(epochs, values, color=style.BLACK, marker=".", lw=1.4)
            axis.set_xlabel("epoch")
            axis.set_ylabel(name)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0, 0].set_ylim(bottom=0)
        axes[0, 1].set_ylim(-0.02, 1.02)
    return made


def _order_of(score: str, orders: Iterable[str]) -> str:
    """The attribution or control that a score is of; empty where it is of none."""
    of = score.split("_", 1)[-1].split("-over-", maxsplit=1)[0]
    return next((order for order in orders if of == order), "")


def _order_look(order: str) -> style.Look:
    """Of an attribution, of a control made of its maps, of another control, of no order."""
    of_map = controls.LOOKS.get(order.rpartition("-")[2])
    other = (style.GREY if order else style.BLACK, "D")
    return style.ATTRIBUTION_LOOKS.get(order) or of_map or other


def interpretability(result: "Interpretability") -> Figure:
    """The scores with their intervals, and below them a panel of curves per mode."""
    modes = list(dict.fromkeys(v.mode for v in result.retrained if v.mode != UNTOUCHED))
    orders = (*style.ATTRIBUTION_LOOKS, *(value.order for value in result.retrained))
    marks = [
        Mark(s.title, s.value, s.low, s.high, _order_look(_order_of(s.name, orders)))
        for s in result.scores
    ]
    caption = BARS
    if modes:
        repeats = 1 + max(value.repeat for value in result.retrained)
        of = "1 network" if repeats == 1 else f"{repeats} networks"
        caption += f", of curves over repeats; mean of {of} at each point"
    height, below = 0.22 * len(marks) + 1.0, 3.8 if modes else 0
    with style.figure(1, 1, 7.2, height + below, caption=caption) as (made, axes):
        axis = axes[0, 0]
        if modes:  # each row of panels has margins of its own: names of scores are long
            axis.remove()
            top, bottom = made.subfigures(2, 1, squeeze=False, height_ratios=(height, below))[:, 0]
            axis = top.subplots()
            curves = bottom.subplots(1, len(modes), squeeze=False)[0]
            for panel, mode in zip(curves, modes, strict=True):
                _curves(panel, result, mode)
            named = {
                name: handle
                for panel in curves
                for handle, name in zip(*panel.get_legend_handles_labels(), strict=True)
            }
            bottom.legend(
                named.values(), named.keys(), loc="outside lower center", ncols=2, fontsize=8
            )
        _forest(axis, marks, digits=3)
        low = min([0.0, *(mark.value if mark.low is None else mark.low for mark in marks)])
        axis.axvline(0, color=style.GREY, lw=0.8, zorder=0)
        axis.set_xlim(low - 0.02, 1.02)
        axis.set_xlabel("score, accuracy or share")
    return made


def _curves(axis: Axes, result: "Interpretability", mode: str) -> None:
    """Mean accuracy by share of pixels: one line per order."""
    from pellucid.benchmark.library.interpreting import order_title

    orders = list(dict.fromkeys(v.order for v in result.retrained if v.mode == mode))
    untouched = [v.accuracy for v in result.retrained if v.mode == UNTOUCHED]
    for number, order in enumerate(orders):
        curve = retraining.curve(result.retrained, mode, order)
        estimates = [statistics.mean(column) for column in np.transpose(curve.accuracy)]
        values = [e.value for e in estimates]
        ends = _half_widths(
            (e.value, *((None, None) if np.isnan(e.low) else (e.low, e.high))) for e in estimates
        )
        colour, marker = _order_look(order)
        axis.errorbar(
            curve.fractions + style.dodged(number, len(orders), 1),
            values,
            ends,
            color=colour,
            marker=marker,
            ls="-" if order in style.ATTRIBUTION_LOOKS else "--",
            ms=4,
            lw=1.3,
            elinewidth=0.8,
            label=order_title(order),
        )
    level = float(np.mean(untouched))
    axis.axhline(level, color=style.BLACK, ls=":", lw=1, label="untouched images")
    axis.set(xlim=(0, 1), ylim=(-0.02, 1.02))
    axis.set_title(MODES[mode].title, loc="left")
    axis.set_xlabel(f"share of pixels {MODES[mode].top_pixels}")
    axis.set_ylabel("accuracy of the retrained network")


def _looks(names: Sequence[str]) -> tuple[list[str], list[style.Look]]:
    """Names and looks of networks: the benchmark's where all are named as it names them.

    Others have none of the colours that mean a norm or the standard network.
    """
    found = [NETWORK.fullmatch(name) for name in names]
    known = [(m[1] or "none", float(m[2] or 0)) for m in found if m]
    if len(known) == len(names) == len(set(known)):
        return [style.network_name(*one) for one in known], style.network_looks(known)
    colours = (style.GREEN, style.PURPLE, style.OLIVE, style.INDIGO, style.TEAL, style.WINE)
    markers = ("D", "o", "s", "^", "v", "P", "X")
    return list(names), [
        (colours[i % len(colours)], markers[i % len(markers)]) for i in range(len(names))
    ]


def robustness(result: "RobustnessCurve") -> Figure:
    """Accuracy over the radius: one line per model."""
    names = list(dict.fromkeys(point.model for point in result.points))
    titles, looks = _looks(names)
    images = result.points[0].images
    caption = f"{result.attack}, {images} images, seed {result.seed}; {BARS}"
    if titles != names:
        caption += "; networks by norm and radius of their adversarial training"
    widest = max(point.epsilon for point in result.points)
    with style.figure(1, 1, 6.2, 3.6, caption=caption) as (made, axes):
        axis = axes[0, 0]
        for number, (name, title, (colour, marker)) in enumerate(
            zip(names, titles, looks, strict=True)
        ):
            points = [point for point in result.points if point.model == name]
            shift = style.dodged(number, len(names), widest)
            axis.errorbar(
                [point.epsilon + shift for point in points],
                [point.accuracy for point in points],
                _half_widths((point.accuracy, point.low, point.high) for point in points),
                color=colour,
                marker=marker,
                ms=4.5,
                lw=1.4,
                elinewidth=0.8,
                label=title,
            )
        radii = sorted({point.epsilon for point in result.points})
        closest = min((b - a for a, b in itertools.pairwise(radii)), default=widest)
        if closest >= TICKS_APART * widest:
            axis.set_xticks(radii, [f"{radius:g}" for radius in radii])
        axis.set_ylim(-0.02, 1.02)
        axis.set_xlabel(f"radius of the attack, {NORM_SYMBOLS[result.norm]} (pixel units)")
        axis.set_ylabel("accuracy")
        made.legend(loc="outside right upper", title="network")
    return made


def maps(x: Array, by_title: dict[str, Array], titles: Sequence[str] | None) -> Figure:
    """Images with their maps, one row per image; as many rows as there is room for.

    Args:
        x: Images `(n, h, w, c)`.
        by_title: Maps `(n, h, w)`, or images `(n, h, w, c)`.
        titles: Of the images.
    """
    columns = 1 + len(by_title)
    rows = min(len(x), max(1, pictures.MOST_PANELS // columns))
    attributions = [values for values in by_title.values() if values.ndim == 3]
    signed = any((values < 0).any() for values in attributions)
    left = f"the first {rows} of {len(x)} images; " if rows < len(x) else ""
    below = "below each map its largest absolute value, where the colours end"
    size = (rows, columns, 1.75 * columns + 1.3, 1.95 * rows + 0.6)
    caption = left + (below if attributions else "")
    with style.figure(*size, caption=caption.removesuffix("; ")) as (made, axes):
        pictures.without_scales(axes)
        for row, line in enumerate(axes):
            pictures.image(line[0], x[row])
            if titles is not None:
                line[0].set_ylabel(str(titles[row]))
            for axis, values in zip(line[1:], by_title.values(), strict=True):
                if values.ndim == 4:
                    pictures.image(axis, values[row])
                    continue
                pictures.heat_map(axis, values[row], signed=signed, zero="map is zero")
                axis.set_xlabel(f"{np.abs(values[row]).max():.2g}", fontsize=8)
        for axis, title in zip(axes[0], ("image", *by_title), strict=True):
            axis.set_title(title)
        if attributions:
            label = "share of the map's largest absolute value"
            pictures.colour_bar(made, axes, signed=signed, label=label)
    return made
