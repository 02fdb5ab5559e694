"""Which measures say the same thing: rank correlations of scores over networks."""

import itertools

import pandas as pd
from scipy import stats

from pellucid.benchmark.units import manifold, off_manifold, retrain
from pellucid.benchmark.units.map_measures import MEASURES, OF_NETWORK
from pellucid.benchmark.units.outcomes import DIFFROAR, IMPUTED, Score
from pellucid.metrics import ATTRIBUTIONS, MODES

LEAST = 4
"""Networks without which ranks say nothing."""
ALSO = ("test_accuracy", "robust_accuracy")
"""Accuracies that stand beside the measures."""
RETRAINED = tuple(
    str(score)
    for name in ATTRIBUTIONS
    for score in (
        *(Score(measure, name, fill=IMPUTED) for measure in (*MODES, DIFFROAR)),
        Score("leak", name),
    )
)
"""Scores of retraining that are compared beside those which are set against accuracy."""


def compared(scores: pd.DataFrame) -> list[str]:
    """The scores that are compared: measures of own maps, and two accuracies; no control."""
    names = list(dict.fromkeys(scores["score"]))
    of_maps = (*MEASURES, "log_ris", "log_ros")
    return [
        name
        for name in names
        if name in ALSO
        or retrain.KIND.describe(name)
        or name in RETRAINED
        or manifold.KIND.describe(name)
        or off_manifold.KIND.describe(name)
        or name in OF_NETWORK
        or name.startswith(of_maps)
    ]


def rank_agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns: score, other, networks, spearman; one row per pair of scores.

    NaN where a score does not vary. Scores rest on the same networks and, ROAR and KAR, on the same
    retrainings, so that high agreement is not evidence of each by the other.
    """
    wide = scores.pivot(index="network", columns="score", values="value")
    rows = []
    for first, second in itertools.combinations(compared(scores), 2):
        both = wide[[first, second]].dropna()
        if len(both) < LEAST:
            continue
        varies = (both.nunique() > 1).all()
        found = stats.spearmanr(both[first], both[second]).statistic if varies else float("nan")
        rows.append(
            {"score": first, "other": second, "networks": len(both), "spearman": float(found)}
        )
    return pd.DataFrame(rows)
