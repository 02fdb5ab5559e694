"""How many groups of networks a score can tell apart."""

import itertools

import numpy as np
import pandas as pd

from pellucid.benchmark.results.controls import contributions_of
from pellucid.benchmark.units.kind import Finished, Row
from pellucid.benchmark.units.kinds import describe
from pellucid.benchmark.units.retrain import Retraining
from pellucid.metrics import hierarchical, pairwise

LEVEL = 0.05


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
        p = np.ones((len(labels), len(labels)))
        for first, second in pairs:
            weights = np.zeros(len(labels))
            weights[[first, second]] = 1.0, -1.0
            p[first, second] = hierarchical.parts(values, weights).p()
        differ = pairwise.told_apart(pairwise.by_p(p), LEVEL)
        rows.append(
            {
                "score": str(score),
                "networks": len(labels),
                "seeds": values.shape[1],
                "pairs": len(pairs),
                "different": int(differ.sum()) // 2,
                "groups": pairwise.groups(values.sum(axis=3).mean(axis=(1, 2, 3)), differ),
            }
        )
    return pd.DataFrame(rows)
