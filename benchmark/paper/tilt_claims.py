"""The claims about the tilt of the decision boundary in the plane."""

import itertools
from collections.abc import Iterator

import pandas as pd

from pellucid.benchmark.paper.claim import NONE, Claim, direction, written
from pellucid.benchmark.paper.runs import Run, best
from pellucid.metrics import statistics


def tilt(runs: list[Run]) -> Iterator[Claim]:
    """Adversarial training reduces the tilt of the boundary, stronger training more so."""
    run = best(runs, "gaussians", "tilt")
    rows = run.table("tilt") if run else pd.DataFrame()
    groups = (
        [part.set_index("seed")["angle"].sort_index() for _, part in rows.groupby("epsilon")]
        if len(rows)
        else []
    )
    names = ["standard", "weak", "strong"]
    for number, name in enumerate(names):
        basis = (
            "tilt",
            "gaussians",
            f"tilt of the {name} network, degrees",
            "a picture, no number",
        )
        if run is None or len(groups) != len(names):
            yield Claim(*basis, direction=NONE, size=NONE)
            continue
        estimate = statistics.mean(groups[number].to_numpy())
        yield Claim(
            *basis,
            written(estimate, 1),
            *estimate[:3],
            run.scale("tilt"),
            NONE,
            NONE,
            f"{estimate.n} seeds",
        )
    for (i, first), (j, second) in itertools.pairwise(enumerate(names)):
        basis = ("tilt", "gaussians", f"{first} is tilted more than {second}, by degrees", "more")
        if run is None or len(groups) != len(names):
            yield Claim(*basis, size=NONE)
            continue
        estimate = statistics.mean((groups[i] - groups[j]).to_numpy())
        yield Claim(
            *basis,
            written(estimate, 1),
            *estimate[:3],
            run.scale("tilt"),
            direction(1, estimate.low, estimate.high),
            NONE,
            f"{estimate.n} seeds, paired",
        )
