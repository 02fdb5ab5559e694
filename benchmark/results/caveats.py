"""What a reader must know before believing a run's numbers: said in words, kept as a table, printed and reported."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.metrics import densities, statistics

CHANCE_MARGIN = 0.05
"""A network whose test accuracy is not this far above chance has not learned."""

REACHED = 0.99
"""An attack has reached its radius where the change is at least this share of it."""

Remark = tuple[str, str, str]
"""Kind, network (or empty), sentence."""


def _untrained(tables: dict[str, pd.DataFrame], classes: int) -> Iterator[Remark]:
    rows = tables["accuracy"]
    for row in rows[rows["measure"] == "test"].itertuples():
        if row.accuracy < 1 / classes + CHANCE_MARGIN:
            text = (
                f"did not learn: test accuracy {row.accuracy:.3f}, chance {1 / classes:.3f} (seed"
                f" {row.seed})"
            )
            yield "at chance", row.network, text


def _short_attacks(config: Config, tables: dict[str, pd.DataFrame]) -> Iterator[Remark]:
    if config.manifold:
        radius = config.manifold.epsilon
        for (network, loss), part in tables["manifold"].groupby(
            ["network", "attack_loss"], sort=False
        ):
            short = part["change"] < REACHED * radius
            if short.any():
                text = (
                    f"attack ({loss}) ends inside its radius {radius:g} on {short.sum()} of"
                    f" {len(part)} images; mean change {part['change'].mean():.2f}"
                )
                yield "radius not reached", network, text
    if config.tilt:
        for row in tables["tilt"].itertuples():
            if row.mean_change < REACHED * config.tilt.epsilon:
                text = (
                    f"attack of radius {config.tilt.epsilon:g} changes points by"
                    f" {row.mean_change:.3f} on average"
                )
                yield "radius not reached", row.network, f"{text} (seed {row.seed})"
    rows = tables["accuracy"]
    for row in rows[
        (rows["measure"] == config.evaluation.name)
        & (rows["change"] < REACHED * config.evaluation.epsilon)
    ].itertuples():
        text = (
            f"the evaluation's attack of radius {config.evaluation.epsilon:g} changes images by"
            f" {row.change:.3f} on average (seed {row.seed})"
        )
        yield "radius not reached", row.network, text


def _few_kept(tables: dict[str, pd.DataFrame]) -> Iterator[Remark]:
    if tables["manifold"].empty:
        return
    for (network, loss), part in tables["manifold"].groupby(["network", "attack_loss"], sort=False):
        if part["kept"].sum() < densities.SMALLEST:
            text = (
                f"attack ({loss}) changes the standard network's prediction on {part['kept'].sum()}"
                f" of {len(part)} images: no density is drawn below {densities.SMALLEST}"
            )
            yield "few examples", network, text


def _manifold_model(tables: dict[str, pd.DataFrame]) -> Iterator[Remark]:
    if tables["manifold_model"].empty:
        return
    found = tables["manifold_model"].set_index("measure")["value"]
    error, pca, variance = (
        found[k] for k in ("mean_squared_error", "pca_mean_squared_error", "variance")
    )
    if error >= pca:
        explained = 1 - error / variance
        text = (
            f"the manifold model's error on test images, {error:.4f}, is not below {pca:.4f}, that"
            f" of a PCA of as many components; it explains {explained:.0%} of the variance"
        )
        yield "manifold model", "", text
    rows = tables["manifold"]
    if len(rows):
        nearer = (
            rows[rows["norm"] == "none"]
            .groupby("image")[["noise_distance", "clean_distance"]]
            .mean()
        )
        farther = statistics.mean((nearer["noise_distance"] - nearer["clean_distance"]).to_numpy())
        if not farther.low > 0:
            text = (
                "test images are not shown to lie nearer to their projections than under noise:"
                f" difference {farther.value:.3f} [{farther.low:.3f}, {farther.high:.3f}]"
            )
            yield "manifold model", "", text


def _no_direction(tables: dict[str, pd.DataFrame]) -> Iterator[Remark]:
    for row in tables["tilt"].itertuples():
        if np.isnan(row.angle):
            yield (
                "no direction",
                row.network,
                f"the attack moves the class mean nowhere (seed {row.seed})",
            )


def build(config: Config, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns: kind, network, text; one row a remark, none where there is nothing to remark."""
    classes = int(tables["dataset"].set_index("measure").loc["classes", "value"])
    found = [
        *_untrained(tables, classes),
        *_short_attacks(config, tables),
        *_few_kept(tables),
        *_manifold_model(tables),
        *_no_direction(tables),
    ]
    return pd.DataFrame(found, columns=["kind", "network", "text"])
