"""The claims about distances to the manifold: their order, and the peaks of their densities.

Networks are the replicates here, not images: over thousands of images any two networks differ
significantly, also two that are trained alike from two seeds.

The order is judged by the manifold model that reconstructs held-out images best among those that
are calibrated (`judge`); peaks are those of the VAE-GAN's encoder, which the paper's numbers are
of.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pellucid.attacks import LOSSES, NORM_TITLES, NORMS
from pellucid.benchmark.paper import claim as outcomes
from pellucid.benchmark.paper.claim import (
    NAN,
    NONE,
    UNCLEAR,
    UNDEFINED,
    Claim,
    scattered_as,
    size,
    written,
)
from pellucid.benchmark.paper.reference import PEAK_AXES, REFERENCE, peak_slack
from pellucid.benchmark.paper.runs import Run, best
from pellucid.benchmark.units.calibration import ENCODER, TITLES
from pellucid.metrics import densities, statistics
from pellucid.metrics.statistics import Estimate
from pellucid.models.types import Array

IMAGE_SETS = ("mnist", "fashion_mnist", "cifar10")
PANELS = tuple(itertools.product(NORMS, LOSSES))
"""Norm and training loss."""

COUNTED_LOSS = "xent"
"""The attack loss that speaks for a panel: the paper's first. The other is on the same networks."""

PEAK_MARGIN = 0.1
"""A difference of two peaks that does not matter, as a fraction of the figure's axis."""


class Judge(NamedTuple):
    """The manifold model that a run's distances are judged by.

    Attributes:
        manifold: A key of `TITLES`.
        may_decide: Whether it is calibrated, or no model of the run was.
        note: What a reader must know of the choice.
    """

    manifold: str
    may_decide: bool
    note: str


def judge(run: Run) -> Judge:
    """The model with the lowest error on held-out images among those that are calibrated.

    A model is calibrated where its rank correlation with true distances is at least `CALIBRATED`
    for every blur of the directions. A run without a calibration has the VAE-GAN's encoder; where
    no model is calibrated, none may decide.
    """
    from pellucid.metrics.known_manifolds import CALIBRATED

    table, distances = run.table("calibration"), run.table("distances")
    if table.empty:
        return Judge(ENCODER, True, f"by {TITLES[ENCODER]}, not calibrated")
    measured = {ENCODER, *(distances["manifold"] if len(distances) else ())}
    found = [
        (manifold, part["mean_squared_error"].iloc[0], part["spearman"].min(skipna=False))
        for manifold, part in table.groupby("manifold", sort=False)
        if manifold in measured
    ]
    listed = ", ".join(f"{TITLES[m]} {error:.4f} and {rho:.2f}" for m, error, rho in found)
    listed = f"error on held-out images and calibration: {listed}"
    calibrated = [(error, manifold) for manifold, error, rho in found if rho >= CALIBRATED]
    if not calibrated:
        return Judge(ENCODER, False, f"no manifold model is calibrated ({listed})")
    chosen = min(calibrated)[1]
    return Judge(chosen, True, f"judged by {TITLES[chosen]} ({listed})")


def _distances(run: Run, manifold: str) -> pd.DataFrame:
    """Distances of each network's examples by a manifold model."""
    rows = run.table("distances")
    return rows[rows["manifold"] == manifold] if len(rows) else rows


def _by_seed(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per seed, a column per radius."""
    return rows.pivot(index="seed", columns="epsilon", values=column)


def _range(standard: pd.DataFrame) -> tuple[float, float]:
    """The ends of the clean images' distances, by the rows of the standard networks."""
    return standard["clean_low"].min(), standard["clean_high"].max()


def _trend(values: Array) -> str:
    if not len(values) or values.shape[1] < 2:
        return f"{UNCLEAR}, nothing to compare"
    outcome, trend = outcomes.order(values)
    return f"{outcome}, p = {trend.falling:.2g}"


def order(runs: list[Run]) -> Iterator[Claim]:
    """The stronger the training adversary, the nearer the examples lie to the manifold.

    Twelve panels (data set, norm and training loss) for each of two attack losses.
    """
    for data, attack_loss, (norm, loss) in itertools.product(IMAGE_SETS, LOSSES, PANELS):
        panel = f"panel {NORM_TITLES[norm]}-{loss}"
        claim = Claim(
            "manifold order",
            data,
            f"{panel}, attack {attack_loss}: nearer the stronger the adversary",
            "falls",
            size=NONE,
            series=f"{data}, {panel}",
            counted=attack_loss == COUNTED_LOSS,
        )
        run = best(runs, data, "manifold")
        judged_by = judge(run) if run else Judge(ENCODER, False, "")
        rows = _distances(run, judged_by.manifold) if run else pd.DataFrame()
        if len(rows):
            rows = rows[rows["attack_loss"] == attack_loss]
            rows = rows[
                (rows["norm"] == "none") | ((rows["norm"] == norm) & (rows["loss"] == loss))
            ]
        if run is None or rows.empty or (rows["norm"] == "none").all():
            yield claim
            continue

        counts = _by_seed(rows, "kept")
        means = _by_seed(rows, "kept_adversarial").where(counts >= densities.SMALLEST)
        complete = means.dropna().to_numpy()
        everything = _by_seed(rows, "adversarial").dropna().to_numpy()
        note = (
            f"{len(complete)} of {rows['seed'].nunique()} seeds: {_trend(complete)};"
            f" all images: {_trend(everything)};"
            f" kept: {', '.join(f'{n:.0f}' for n in counts.sum())}"
        )
        if len(complete) < rows["seed"].nunique():
            note += f"; a network with fewer than {densities.SMALLEST} kept examples has no mean"
        decides = judged_by.may_decide and len(complete)

        ends = _range(rows[rows["norm"] == "none"])
        scaled = densities.scaled(means.mean().to_numpy(), np.array(ends))
        fall = UNDEFINED
        if len(complete):
            fall = statistics.mean((complete[:, 0] - complete[:, -1]) / np.ptp(ends))
        yield replace(
            claim,
            ours=f"{' → '.join(written((mean, NAN, NAN)) for mean in scaled)};"
            f" falls by {written(fall)}",
            value=fall.value,
            low=fall.low,
            high=fall.high,
            scale=run.scale("manifold"),
            direction=outcomes.order(complete)[0] if decides else UNCLEAR,
            note=f"{note}; {judged_by.note}",
        )


def _peak(
    rows: pd.DataFrame, of: str, images: pd.Series, ends: tuple[float, float]
) -> tuple[Estimate, str] | None:
    """The place of a density's peak on the common scale, and what its interval is over.

    Over networks where there are several, one peak each; else over the images of the one.

    Args:
        rows: Of the networks.
        of: `"clean"` or `"kept"`.
        images: How many images each network's density is of.
        ends: The range of the clean images' distances.
    """
    names = [f"{of}_peak{part}" for part in ("", "_low", "_high")]
    if names[0] not in rows or not (there := rows[names[0]].notna()).any():
        return None
    places = densities.scaled(rows.loc[there, names].to_numpy(float), np.array(ends))
    if len(places) == 1:
        (place, low, high), n = places[0].tolist(), int(images[there].iloc[0])
        return Estimate(place, low, high, n), f"over {n} images of one network"
    found = statistics.mean(places[:, 0])
    return found, f"over {found.n} networks"


def _encoder_note(run: Run) -> str:
    """That the VAE-GAN's encoder was used, and its calibration."""
    table = run.table("calibration")
    rho = table.loc[table["manifold"] == ENCODER, "spearman"] if len(table) else table
    calibration = f"calibration {rho.min(skipna=False):.2f}" if len(rho) else "not calibrated"
    return f"by {TITLES[ENCODER]}, {calibration}"


def peaks(runs: list[Run]) -> Iterator[Claim]:
    """Where the densities peak, beside what can be read off the paper's figures.

    They are of the VAE-GAN's encoder, as the paper's.
    """
    for panel, peaks in REFERENCE["approximate_peaks_of_scaled_manifold_distance"].items():
        data, norm, loss = panel.rsplit("_", 2)
        run = best(runs, data, "manifold")
        for member, number in peaks.items():
            adversary = member not in ("test", "standard")
            who = f"{NORM_TITLES[norm]} {member} (paper units)" if adversary else member
            claim = Claim(
                "manifold peaks",
                data,
                f"panel {NORM_TITLES[norm]}-{loss}: peak of {who}",
                f"about {number:g}",
                direction=NONE,
            )
            rows = _distances(run, ENCODER) if run else pd.DataFrame()
            if len(rows):
                rows = rows[rows["attack_loss"] == "xent"]
            standard = rows[rows["norm"] == "none"] if len(rows) else rows
            network = standard
            if adversary and len(rows):
                # the paper's radii are twice ours
                exact = np.isclose(rows["epsilon"], float(member) / 2)
                network = rows[exact & (rows["norm"] == norm) & (rows["loss"] == loss)]
            if run is None or network.empty:
                yield claim
                continue

            ends = _range(standard)
            if member == "test":  # the same for every network
                first = standard.head(1)
                found = _peak(first, "clean", first["images"], ends)
            else:
                found = _peak(network, "kept", network["kept"], ends)
            claim = replace(claim, scale=run.scale("manifold"), size=UNCLEAR)
            if found is None:
                yield replace(claim, ours=f"{network['kept'].sum()} examples, too few")
                continue
            peak, over = found
            over = over if member != "test" else f"over {peak.n} images"
            yield replace(
                claim,
                ours=written(peak),
                value=peak.value,
                low=peak.low,
                high=peak.high,
                size=size(
                    scattered_as(number, peak[:3]),
                    peak[:3],
                    margin=PEAK_MARGIN * PEAK_AXES[data],
                    slack=peak_slack(data),
                ),
                note=f"{over}; {_encoder_note(run)}",
            )
