"""The outcomes behind an entry's scores: of each test image, and of each retraining."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from pellucid.benchmark.units import accuracy, retrain
from pellucid.benchmark.units.kind import Finished, Measured
from pellucid.benchmark.units.kinds import describe
from pellucid.benchmark.units.unit import Network
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.outcomes import Outcomes, Retrainings
from pellucid.models.types import Array


def outcomes_of(finished: Finished, network: Network, measured: Sequence[Measured]) -> Outcomes:
    """The outcomes behind the scores of a network.

    Args:
        finished: The plan, with its tables.
        network: Which network.
        measured: Its scores.
    """
    test, robust = (
        accuracy.of_images(finished, network.label, measure) for measure in ("test", "robust")
    )
    compared = {
        one.name: one.contributions
        for one in measured
        if one.contributions is not None and (about := describe(one.name)) and about.better
    }
    return Outcomes(
        test=outcomes.bits(np.stack(test)),
        robust=outcomes.bits(np.stack(robust)) if robust else None,
        retrainings=list(_retrainings(finished.tables["retraining"], network)),
        contributions={
            name: outcomes.numbers(_over_complete_images(values))
            for name, values in compared.items()
        },
        by_image={
            name: outcomes.numbers(values.sum(axis=2).mean(axis=(0, 1))[: outcomes.IMAGES])
            for name, values in compared.items()
            if values.shape[3] > 1
        },
    )


def _over_complete_images(values: Array) -> Array:
    """Means of `(seeds, repeats, fractions, images)` over images that have every value."""
    return values[..., np.isfinite(values).all(axis=(0, 1, 2))].mean(axis=3)


def _retrainings(rows: pd.DataFrame, network: Network) -> Iterator[Retrainings]:
    """Every order of a network, then the random order."""
    if rows.empty:
        return
    random = pd.concat([retrain.of_random_order(rows, fill) for fill in rows["fill"].unique()])
    found = pd.concat([rows[rows["network"] == network.label], random])
    by = ["attribution", "control", "fill", "mode"]
    for (attribution, control, fill, mode), part in found.groupby(by, sort=False):
        seeds = [retrain.curve(one) for _, one in part.groupby("seed")]
        yield Retrainings(
            attribution=attribution,
            control=control,
            fill=fill,
            mode=mode,
            fractions=np.sort(part["fraction"].unique()).tolist(),
            accuracy=outcomes.numbers(np.stack(seeds)),
        )
