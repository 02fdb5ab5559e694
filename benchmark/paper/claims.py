"""Every claim of the paper, compared with the runs there are."""

from dataclasses import asdict

import pandas as pd

from pellucid.benchmark.paper import (
    manifold_claims,
    retraining_claims,
    tilt_claims,
)
from pellucid.benchmark.paper.runs import Run

GROUPS = (
    retraining_claims.correlations,
    manifold_claims.order,
    manifold_claims.peaks,
    tilt_claims.tilt,
    retraining_claims.accuracies,
    retraining_claims.scores,
)


def compare(runs: list[Run]) -> pd.DataFrame:
    """All claims, one row per claim; the columns are `Claim`'s attributes."""
    return pd.DataFrame(asdict(claim) for group in GROUPS for claim in group(runs))
