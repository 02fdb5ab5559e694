"""How many groups of networks a score can tell apart."""

import itertools

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.results.controls import contributions_of
from robust_interpretability.benchmark.units.kind import Finished, Row
from robust_interpretability.benchmark.units.kinds import describe
from robust_interpretability.benchmark.units.retrain import Retraining
from robust_interpretability.metrics import comparisons, hierarchical
from robust_interpretability.models.types import Array

LEVEL = 0.05


def count(scores: Array, p: dict[tuple[int, int], float]) -> int:
    """The most networks of which every two neighbours in the order of scores differ significantly.

    Args:
        scores: `(networks,)`.
        p: Adjusted p-value of each pair `(i, j)`, i < j.
    """
    order = np.argsort(scores)
    last, groups = order[0], 1
    for network in order[1:]:
        if p[min(last, network), max(last, network)] <= LEVEL:
            last, groups = network, groups + 1
    return groups


def groups(finished: Finished) -> pd.DataFrame:
    """Columns: score, networks, seeds, pairs, different, groups.

    All pairs of networks are compared in the scores that are set against accuracy, paired by seed
    (`hierarchical.contrast`), at 5 percent by Holm's rule. With one seed a difference is between
    these very networks.
    """
    if finished.plan.config.section(Retraining) is None:
        return pd.DataFrame()
    found = contributions_of(finished)
    labels = [network.label for network in finished.plan.networks if found[network.label]]
    rows: list[Row] = []
    for score in found[labels[0]] if len(labels) > 1 else ():
        if not describe(str(score)) or not all(score in found[label] for label in labels):
            continue
        values = np.stack([found[label][score] for label in labels])
        pairs = list(itertools.combinations(range(len(labels)), 2))
        raw = []
        for first, second in pairs:
            weights = np.zeros(len(labels))
            weights[[first, second]] = 1.0, -1.0
            raw.append(hierarchical.parts(values, weights).p())
        adjusted = comparisons.holm(np.nan_to_num(np.array(raw), nan=1.0))
        of_pair = dict(zip(pairs, adjusted, strict=True))
        rows.append(
            {
                "score": str(score),
                "networks": len(labels),
                "seeds": values.shape[1],
                "pairs": len(pairs),
                "different": int((adjusted <= LEVEL).sum()),
                "groups": count(values.sum(axis=3).mean(axis=(1, 2, 3)), of_pair),
            }
        )
    return pd.DataFrame(rows)
