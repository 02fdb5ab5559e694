"""What a reader must know before believing a run's numbers: in words, stored as a table."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.units.accuracy import Evaluation
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.tilt import Tilt
from pellucid.metrics import densities, statistics

CHANCE_MARGIN = 0.05
"""A network whose test accuracy is not this far above chance has not learned."""
FITTED = 0.98
"""A standard network that classifies fewer of its training images correctly has not fitted."""
REACHED = 0.99
"""An attack has reached its radius where the change is at least this share of it."""

ADVICE = {
    "at chance": (
        "This matters: no other score of such a network means anything. Train it longer"
        " (training.epochs), or against a smaller radius."
    ),
    "not fitted": (
        "This matters for ROAR and KAR: raise training.epochs until the training images are"
        " fitted, and compare."
    ),
    "radius not reached": (
        "This hardly matters where the mean change is within a few percent of the radius: noise is"
        " as long as the change itself. Elsewhere the attack is weaker than stated: raise its steps"
        " or step_size."
    ),
    "few examples": (
        "This hardly matters: one curve of a figure is missing, and the manifold excess is taken"
        " over all images. A larger data.test_limit would draw it."
    ),
    "manifold model": (
        "This matters for distances from the manifold, which are no better than its model: train"
        " that longer (vae_gan.epochs), or give it more components (vae_gan.latent)."
    ),
    "no direction": (
        "This matters for the tilt alone, which has no value there: raise tilt.epsilon or"
        " tilt.steps."
    ),
}
"""For each kind of caveat: whether it matters, and what to do."""

Tables = dict[str, pd.DataFrame]


class Caveat(NamedTuple):
    """A sentence about one network, or about none in particular (empty)."""

    kind: str
    network: str
    text: str


def _untrained(tables: Tables, classes: int) -> Iterator[Caveat]:
    rows = tables["accuracy"]
    for row in rows[rows["measure"] == "test"].itertuples():
        if row.accuracy < 1 / classes + CHANCE_MARGIN:
            text = (
                f"did not learn: test accuracy {row.accuracy:.3f}, chance {1 / classes:.3f} (seed"
                f" {row.seed})"
            )
            yield Caveat("at chance", row.network, text)


def _not_fitted(tables: Tables) -> Iterator[Caveat]:
    rows = tables["accuracy"]
    rows = rows[(rows["measure"] == "train") & (rows["norm"] == "none")]
    if len(rows) and rows["accuracy"].mean() < FITTED:
        text = (
            f"classifies {rows['accuracy'].mean():.3f} of its training images correctly: maps of"
            " networks that have not fitted tell more of the class by their shape (`leak`), so ROAR"
            " and KAR may change with longer training"
        )
        yield Caveat("not fitted", "standard", text)


def _short_attacks(config: Config, tables: Tables) -> Iterator[Caveat]:
    kind = "radius not reached"
    if manifold := config.section(Manifold):
        rows = tables["manifold"]
        for (network, loss), part in rows.groupby(["network", "attack_loss"], sort=False):
            short = part["change"] < REACHED * manifold.epsilon
            if short.any():
                text = (
                    f"attack ({loss}) ends inside its radius {manifold.epsilon:g} on"
                    f" {short.sum()} of {len(part)} images; mean change {part['change'].mean():.2f}"
                )
                yield Caveat(kind, network, text)
    if tilt := config.section(Tilt):
        for row in tables["tilt"].itertuples():
            if row.mean_change < REACHED * tilt.epsilon:
                text = (
                    f"attack of radius {tilt.epsilon:g} changes points by {row.mean_change:.3f} on"
                    f" average (seed {row.seed})"
                )
                yield Caveat(kind, row.network, text)
    paper = config.required(Evaluation)
    rows = tables["accuracy"]
    short = (rows["measure"] == paper.name) & (rows["change"] < REACHED * paper.epsilon)
    for row in rows[short].itertuples():
        text = (
            f"the evaluation's attack of radius {paper.epsilon:g} changes images by"
            f" {row.change:.3f} on average (seed {row.seed})"
        )
        yield Caveat(kind, row.network, text)


def _few_kept(tables: Tables) -> Iterator[Caveat]:
    if tables["manifold"].empty:
        return
    rows = tables["manifold"]
    for (network, loss), part in rows.groupby(["network", "attack_loss"], sort=False):
        kept = part["kept"].sum()
        if kept < densities.SMALLEST:
            text = (
                f"attack ({loss}) changes the standard network's prediction on {kept} of"
                f" {len(part)} images: no density is drawn below {densities.SMALLEST}"
            )
            yield Caveat("few examples", network, text)


def _manifold_model(tables: Tables) -> Iterator[Caveat]:
    if tables["manifold_model"].empty:
        return
    found = tables["manifold_model"].set_index("measure")["value"]
    error, pca = found["mean_squared_error"], found["pca_mean_squared_error"]
    if error >= pca:
        text = (
            f"the manifold model's error on test images, {error:.4f}, is not below {pca:.4f}, that"
            " of a PCA of as many components; it explains"
            f" {1 - error / found['variance']:.0%} of the variance"
        )
        yield Caveat("manifold model", "", text)
    rows = tables["manifold"]
    if len(rows):
        standard = rows[rows["norm"] == "none"]
        images = standard.groupby("image")[["noise_distance", "clean_distance"]].mean()
        farther = (images["noise_distance"] - images["clean_distance"]).to_numpy()
        difference = statistics.mean(farther)
        if not difference.low > 0:
            text = (
                "test images are not shown to lie nearer to their projections than under noise:"
                f" difference {difference.value:.3f} [{difference.low:.3f}, {difference.high:.3f}]"
            )
            yield Caveat("manifold model", "", text)


def _no_direction(tables: Tables) -> Iterator[Caveat]:
    for row in tables["tilt"].itertuples():
        if np.isnan(row.angle):
            text = f"the attack moves the class mean nowhere (seed {row.seed})"
            yield Caveat("no direction", row.network, text)


def build(config: Config, tables: Tables) -> pd.DataFrame:
    """Columns: kind, network, text; one row per caveat."""
    classes = int(tables["dataset"].set_index("measure").loc["classes", "value"])
    found = [
        *_untrained(tables, classes),
        *_not_fitted(tables),
        *_short_attacks(config, tables),
        *_few_kept(tables),
        *_manifold_model(tables),
        *_no_direction(tables),
    ]
    return pd.DataFrame(found, columns=list(Caveat._fields))
