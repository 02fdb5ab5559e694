"""The figures of distances to the manifold: densities, and excess over clean images and nulls."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pellucid.attacks import LOSSES, NORMS
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results import names
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.units.calibration import ENCODER, OPTIMISED, PCA
from pellucid.benchmark.units.manifold import Manifold
from pellucid.metrics import densities
from pellucid.models.types import Array

STRENGTH = "attack strength of training (radius / largest)"
LARGEST_SHOWN = 99.5
"""Percentile of the distances at which a panel ends."""
EXCESSES = (
    ("excess", "o-", "adversarial"),
    ("noise_excess", "x--", "noise, same norm"),
)
"""End of the score's name, line style and title."""
NULLS = (
    ("noise", style.OLIVE, "white noise"),
    ("phases", style.TEAL, "own change, random phases"),
    ("permuted", style.WINE, "another image's change"),
)
"""End of the score's name, colour and title."""
NORM_LINES = {"l2": "o-", "linf": "s--"}
"""Marker and line by the norm of training, where colours tell nulls apart."""
MANIFOLDS = {ENCODER: "VAE-GAN, encoder", OPTIMISED: "VAE-GAN, nearest code", PCA: "PCA"}
"""Titles of the manifold models."""


def _panel_distances(
    rows: pd.DataFrame, norm: str, loss: str
) -> Iterator[tuple[str, Array, style.Colour, str]]:
    """Name, distances, colour and line style: clean images, then the networks by radius."""
    standard = rows[rows["norm"] == "none"]
    yield "test images", standard["clean_distance"].to_numpy(), style.GREY, "--"
    adversarial = rows[(rows["norm"] == norm) & (rows["loss"] == loss)]
    colours = style.gradient_colours(adversarial["epsilon"].nunique(), norm)
    groups: list[tuple[str, pd.DataFrame, style.Colour]] = [("standard", standard, style.BLACK)]
    groups += [
        (style.network_name(norm, epsilon), part, colour)
        for (epsilon, part), colour in zip(adversarial.groupby("epsilon"), colours, strict=True)
    ]
    for name, part, colour in groups:
        yield name, part.loc[part["kept"], "adversarial_distance"].to_numpy(), colour, "-"


def _densities(axis: Axes, rows: pd.DataFrame, norm: str, loss: str) -> None:
    """The panel of a norm and training loss; a network with too few examples has no curve."""
    clean = rows.loc[rows["norm"] == "none", "clean_distance"].to_numpy()
    scaled = [
        (name, densities.scaled(values, clean), colour, dash)
        for name, values, colour, dash in _panel_distances(rows, norm, loss)
        if len(values)
    ]
    high = max(float(np.percentile(values, LARGEST_SHOWN)) for _, values, _, _ in scaled)
    grid = np.linspace(-0.1, high + 0.1, 400)
    for name, values, colour, dash in scaled:
        if len(values) < densities.SMALLEST or np.ptp(values) == 0:
            label = f"{name}: {len(values)} examples, too few"
            axis.plot([], [], dash, color=colour, label=label)
            continue
        label = f"{name} ({len(values):,})"
        axis.plot(grid, densities.density(values, grid), dash, color=colour, lw=1.4, label=label)
    trained = "" if loss == "none" else f", attacks on the {names.loss(loss)}"
    axis.set_title(f"trained against {style.NORM_NAMES[norm]}{trained}", loc="left")
    axis.set_xlabel("distance to the manifold, scaled to [0, 1] on test images")
    axis.set_ylabel("density")
    axis.legend(fontsize=7)


def manifold_distances(
    folder: Path, config: Config, rows: pd.DataFrame, attack_loss: str
) -> list[Path]:
    """Densities of scaled distances to the manifold: one panel per norm and training loss.

    Args:
        folder: Where the figure goes.
        config: The run's configuration.
        rows: Its table `manifold`.
        attack_loss: The loss of the attack that made the examples.

    Returns:
        The files written.

    Reference: arXiv 1903.11626, section 2.1.
    """
    rows = rows[rows["attack_loss"] == attack_loss]
    trained = set(zip(rows["norm"], rows["loss"], strict=True))
    panels = [panel for panel in itertools.product(NORMS, LOSSES) if panel in trained]
    panels = panels or [("none", "none")]
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    section = config.section(Manifold)
    radius = section.epsilon if section else 0
    caption = (
        style.caption(config, rows["network"].nunique())
        + f"; attacks on the {names.loss(attack_loss)}, L2 radius {radius:g} (pixel units); in"
        " brackets: how many adversarial examples, over all seeds"
    )
    size = (lines, columns, 4.2 * columns + 0.4, 3.0 * lines + 0.4)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        for axis, panel in zip(axes.flat, panels, strict=False):
            _densities(axis, rows, *panel)
        style.hide(axes, len(panels))
        return style.save(made, folder, f"manifold_{attack_loss}")


def _series(scores: pd.DataFrame, score: str, norm: str, loss: str) -> pd.DataFrame:
    """A score of the standard network and of those of a norm and training loss, by strength."""
    trained = (scores["norm"] == norm) & (scores["loss"] == loss)
    member = (scores["norm"] == "none") | trained
    return scores[member & (scores["score"] == score)].sort_values("strength")


def _draw(axis: Axes, part: pd.DataFrame, line: str, colour: str, label: str, shift: float) -> None:
    """A series with its intervals; nothing where there is a single network."""
    if len(part) < 2:
        return
    below, above = part["value"] - part["low"], part["high"] - part["value"]
    axis.errorbar(
        part["strength"] + shift,
        part["value"],
        np.abs(np.stack([below, above])),
        fmt=line,
        color=colour,
        ms=4,
        lw=1,
        label=label,
    )


def _excesses(axis: Axes, scores: pd.DataFrame, loss: str, attack_loss: str) -> None:
    """The panel of a training loss: two series per norm, over the strength of training."""
    series = list(itertools.product(NORMS, EXCESSES))
    for number, (norm, (kind, mark, title)) in enumerate(series):
        part = _series(scores, f"manifold_{attack_loss}_{kind}", norm, loss)
        shift = style.dodged(number, len(series), 1)
        label = f"trained against {style.NORM_NAMES[norm]}: {title}"
        _draw(axis, part, mark, style.NORM_COLOURS[norm], label, shift)
    axis.set_xlabel(STRENGTH)
    axis.set_title(
        f"trained against attacks on the {names.loss(loss)}" if loss != "none" else "", loc="left"
    )
    axis.axhline(0, color=style.GREY, lw=0.8, zorder=0)


def manifold_excess(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], attack_loss: str
) -> list[Path]:
    """How much farther from the manifold adversarial examples lie than their images.

    Noise of the same norm is drawn beside them. Where the run measured it, a second figure has the
    excess over images that the nulls change.

    Args:
        folder: Where the figures go.
        config: The run's configuration.
        tables: Its tables: `scores`.
        attack_loss: The loss of the attack that made the examples.

    Returns:
        The files written.
    """
    scores = tables["scores"]
    losses = sorted(set(scores["loss"]) - {"none"}) or ["none"]
    networks = scores["network"].nunique()
    caption = (
        f"{style.caption(config, networks)}; attacks on the {names.loss(attack_loss)}; d: distance"
        " to the manifold, x: test image, x': adversarial example, or noise as large; bars: 95 %"
        " intervals"
    )
    size = (1, len(losses), max(5.4, 4.4 * len(losses)), 3.6)
    with style.figure(*size, caption=caption, sharey=True) as (made, axes):
        for axis, loss in zip(axes[0], losses, strict=True):
            _excesses(axis, scores, loss, attack_loss)
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        axes[0, 0].set_ylabel("d(x') - d(x), pixels in [-1, 1]")
        drawn = style.save(made, folder, f"manifold_excess_{attack_loss}")
    if f"manifold_{attack_loss}_{PCA}_excess" in set(scores["score"]) and losses != ["none"]:
        drawn += _excess_over_nulls(folder, config, scores, losses, attack_loss)
    return drawn


def _excess_over_nulls(
    folder: Path, config: Config, scores: pd.DataFrame, losses: list[str], attack_loss: str
) -> list[Path]:
    """How much farther adversarial examples lie than images changed as much by each null.

    A panel for each manifold model and training loss. Where a series lies at zero, the link of the
    change to the image, or to what the null leaves, adds nothing.
    """
    networks = scores["network"].nunique()
    caption = (
        f"{style.caption(config, networks)}; attacks on the {names.loss(attack_loss)}; d: distance"
        " to the manifold, x': adversarial example, x0: the image changed as much by the null that"
        " the legend names; bars: 95 % intervals over test images, and over seeds if there are"
        " several"
    )
    size = (len(losses), len(MANIFOLDS), 3.3 * len(MANIFOLDS), 2.9 * len(losses) + 0.8)
    with style.figure(*size, caption=caption, sharex=True, sharey=True) as (made, axes):
        for row, loss in zip(axes, losses, strict=True):
            for axis, (manifold, title) in zip(row, MANIFOLDS.items(), strict=True):
                series = list(itertools.product(NULLS, NORMS))
                for number, ((null, colour, name), norm) in enumerate(series):
                    score = f"manifold_{attack_loss}_{manifold}_excess_over_{null}"
                    label = f"trained against {style.NORM_NAMES[norm]}: over {name}"
                    part = _series(scores, score, norm, loss)
                    shift = style.dodged(number, len(series), 1)
                    _draw(axis, part, NORM_LINES[norm], colour, label, shift)
                axis.axhline(0, color=style.GREY, lw=0.8, zorder=0)
                trained = "" if len(losses) == 1 else style.trained(loss)
                axis.set_title(title + trained, loc="left")
            row[0].set_ylabel("d(x') - d(x0), pixels in [-1, 1]")
        for axis in axes[-1]:
            axis.set_xlabel(STRENGTH)
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
        return style.save(made, folder, f"manifold_nulls_{attack_loss}")
