"""The claims about distances to the manifold: their order, and the peaks of their densities."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from robust_interpretability.attacks import LOSSES, NORM_TITLES, NORMS
from robust_interpretability.benchmark.paper.claim import (
    NO,
    NONE,
    UNCLEAR,
    UNDEFINED,
    YES,
    Claim,
    direction,
    size,
    written,
)
from robust_interpretability.benchmark.paper.reference import READING, REFERENCE
from robust_interpretability.benchmark.paper.runs import Run, best
from robust_interpretability.metrics import densities, statistics
from robust_interpretability.metrics.statistics import Estimate
from robust_interpretability.models.types import Array

IMAGE_SETS = ("mnist", "fashion_mnist", "cifar10")
PANELS = tuple(itertools.product(NORMS, LOSSES))
"""Norm and training loss."""

WIDE_PEAK = 0.1
"""The width up to which an interval of a peak is informative about its place."""


def _steps(groups: list[Array], *, paired: bool) -> list[Estimate]:
    """How much nearer to the manifold each group lies than the one before it."""
    if paired:
        return [statistics.mean(a - b) for a, b in itertools.pairwise(groups)]
    return [statistics.difference(a, b) for a, b in itertools.pairwise(groups)]


def _order(steps: list[Estimate]) -> str:
    """`yes` where every step is significantly a fall, `no` where one is significantly a rise."""
    outcomes = {direction(1, step.low, step.high) for step in steps}
    return NO if NO in outcomes else YES if outcomes == {YES} else UNCLEAR


def order(runs: list[Run]) -> Iterator[Claim]:
    """The stronger the training adversary, the nearer the examples lie to the manifold.

    Twelve panels (data set, norm and training loss) for each of two attack losses.
    """
    for data, attack_loss, (norm, loss) in itertools.product(IMAGE_SETS, LOSSES, PANELS):
        panel = f"panel {NORM_TITLES[norm]}-{loss}, attack {attack_loss}"
        name = f"{panel}: nearer with every step of strength"
        basis = ("manifold order", data, name, "falls")
        run = best(runs, data, "manifold")
        rows = run.table("manifold") if run else pd.DataFrame()
        if len(rows):
            rows = rows[rows["attack_loss"] == attack_loss]
            rows = rows[
                (rows["norm"] == "none") | ((rows["norm"] == norm) & (rows["loss"] == loss))
            ]
        if run is None or rows.empty or (rows["norm"] == "none").all():
            yield Claim(*basis, size=NONE)
            continue
        clean = rows.loc[rows["norm"] == "none", "clean_distance"].to_numpy()
        parts = [part for _, part in rows.groupby("epsilon")]
        kept = [part.loc[part["kept"], "adversarial_distance"].to_numpy() for part in parts]
        all_images = [
            part.groupby("image")["adversarial_distance"].mean().to_numpy() for part in parts
        ]
        pairs = _order(_steps(all_images, paired=True))
        note = f"all images, paired: {pairs}; kept: {', '.join(str(len(k)) for k in kept)}"
        enough = [k for k in kept if len(k) >= densities.SMALLEST]
        if len(enough) < len(kept):
            note += (
                f"; a network with fewer than {densities.SMALLEST} kept examples is not compared"
            )
        means = [
            densities.scaled(k, clean).mean() if len(k) >= densities.SMALLEST else np.nan
            for k in kept
        ]
        low, high = clean.min(), clean.max()
        order = _order(_steps(enough, paired=False)) if len(enough) == len(kept) else UNCLEAR
        fall = statistics.difference(enough[0], enough[-1]) if len(enough) > 1 else UNDEFINED
        value, under, over = (v / (high - low) for v in fall[:3])
        ours = " → ".join(f"{m:.3f}" for m in means) + f"; falls by {written((value, under, over))}"
        yield Claim(*basis, ours, value, under, over, run.scale("manifold"), order, NONE, note)


def peaks(runs: list[Run]) -> Iterator[Claim]:
    """Where the densities peak, beside what can be read off the paper's figures."""
    for panel, peaks in REFERENCE["approximate_peaks_of_scaled_manifold_distance"].items():
        data, norm, loss = panel.rsplit("_", 2)
        run = best(runs, data, "manifold")
        for member, number in peaks.items():
            adversary = member not in ("test", "standard")
            who = f"{NORM_TITLES[norm]} {member} (paper units)" if adversary else member
            basis = (
                "manifold peaks",
                data,
                f"panel {NORM_TITLES[norm]}-{loss}: peak of {who}",
                f"about {number:g}",
            )
            rows = run.table("manifold") if run else pd.DataFrame()
            if len(rows):
                rows = rows[rows["attack_loss"] == "xent"]
            standard = rows[rows["norm"] == "none"] if len(rows) else rows
            network = standard
            if adversary and len(rows):
                # the paper's radii are twice ours
                exact = np.isclose(rows["epsilon"], float(member) / 2)
                network = rows[exact & (rows["norm"] == norm) & (rows["loss"] == loss)]
            if run is None or network.empty:
                yield Claim(*basis, direction=NONE)
                continue
            clean = standard["clean_distance"].to_numpy()
            values = (
                clean
                if member == "test"
                else network.loc[network["kept"], "adversarial_distance"].to_numpy()
            )
            if len(values) < densities.SMALLEST:
                yield Claim(
                    *basis,
                    scale=run.scale("manifold"),
                    direction=NONE,
                    size=UNCLEAR,
                    ours=f"{len(values)} examples, too few",
                )
                continue
            peak = densities.peak(densities.scaled(values, clean))
            yield Claim(
                *basis,
                written(peak),
                *peak[:3],
                run.scale("manifold"),
                NONE,
                size(number, peak.low - READING, peak.high + READING, wide=WIDE_PEAK),
                f"{peak.n} examples",
            )
