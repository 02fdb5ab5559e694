"""The claims on CIFAR-10: correlations of ROAR and KAR, their scores, and test accuracies."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from pellucid.attacks import NORM_TITLES
from pellucid.benchmark.paper.claim import (
    NONE,
    Claim,
    correlation_size,
    direction,
    scattered_as,
    size,
    written,
)
from pellucid.benchmark.paper.reference import (
    AXES,
    REFERENCE,
    SERIES_NETWORKS,
    TEST_IMAGES,
)
from pellucid.benchmark.paper.runs import Run, best
from pellucid.metrics import comparisons, statistics
from pellucid.metrics.comparisons import Comparison

CORRELATION_MARGIN = 0.2
"""A difference of two correlations that does not matter.

About the smallest that 21 networks on either side can exclude: of 100 pairs of correlations of .95,
92 (linear) and 60 (rank) are found equal (`python -m tests.benchmark.test_claims`).
"""
ACCURACY_MARGIN = 0.05
"""The same for an accuracy."""
SCORE_MARGIN = 0.01
"""The same for a ROAR or KAR score: about a fifth of the rise from standard to strongest."""

COUNTED = ("strength", "rank")
"""The line that speaks for its series.

The paper's finding is an order, and the strength is set, not measured.
"""

SHORT = {"gx": "gradient_input", "g": "gradient"}
"""Attributions by their names in `reference.json`."""


def _row(run: Run, network: str, score: str) -> pd.Series | None:
    rows = run.table("scores")
    if rows.empty:
        return None
    matching = rows[(rows["network"] == network) & (rows["score"] == score)]
    return matching.iloc[0] if len(matching) else None


def _strongest(run: Run, norm: str, loss: str) -> str | None:
    rows = run.table("scores")
    if rows.empty:
        return None
    trained = rows[(rows["norm"] == norm) & (rows["loss"] == loss)]
    return trained.loc[trained["epsilon"].idxmax(), "network"] if len(trained) else None


def _described(between: Comparison) -> str:
    if np.isnan(between.p):
        return "too few to compare with the paper's"
    return f"differs by {written(between[:3], 2)}, p = {between.p:.2g}"


def correlations(runs: list[Run]) -> Iterator[Claim]:
    """The 64 correlations of ROAR and KAR with attack strength and test accuracy."""
    run = best(runs, "cifar10", "retraining")
    scale = run.scale("retraining") if run else ""
    axes = {"strength": "attack strength", "test_accuracy": "test accuracy"}
    tree = REFERENCE["correlations"]
    for mode, against, loss in itertools.product(tree, axes, ("xent", "cw")):
        for series, pair in tree[mode][against][loss].items():
            norm, short = series.split("_")
            rows = run.table("correlations") if run else pd.DataFrame()
            if len(rows):
                rows = rows[
                    (rows["score"] == f"{mode}_{SHORT[short]}")
                    & (rows["against"] == against)
                    & (rows["norm"] == norm)
                    & (rows["loss"] == loss)
                ]
            for kind, column, number in zip(
                ("linear", "rank"), ("pearson", "spearman"), pair, strict=True
            ):
                series_name = f"{loss}, {NORM_TITLES[norm]} {short.upper()}"
                claim = Claim(
                    "correlations",
                    "cifar10",
                    f"{mode.upper()} against {axes[against]}, {series_name}, {kind}",
                    f"{number:+.3f}",
                    part=mode.upper(),
                    series=f"{mode.upper()}, {series_name}",
                    counted=(against, kind) == COUNTED,
                )
                if run is None or rows.empty:
                    yield claim
                    continue
                row = rows.iloc[0]
                value, low, high = (
                    float(row[c]) for c in (column, f"{column}_low", f"{column}_high")
                )
                n = int(row["n"])
                between = comparisons.correlations(
                    value, n, number, SERIES_NETWORKS, rank=kind == "rank"
                )
                yield replace(
                    claim,
                    ours=written((value, low, high)),
                    value=value,
                    low=low,
                    high=high,
                    scale=scale,
                    direction=direction(number, low, high),
                    size=correlation_size(between, CORRELATION_MARGIN),
                    note=f"{n} networks; {_described(between)}",
                )


def _of_test_images(accuracy: float) -> tuple[float, float, float]:
    estimate = statistics.proportion(round(accuracy * TEST_IMAGES), TEST_IMAGES)
    return estimate.value, estimate.low, estimate.high


def accuracies(runs: list[Run]) -> Iterator[Claim]:
    """Test accuracy of the standard network, and of those of the strongest adversaries."""
    run = best(runs, "cifar10", "retraining")
    read_off = REFERENCE["approximate_scores_read_off_the_figures"]
    number = REFERENCE["standard_test_accuracy_cifar10"]
    basis = ("accuracy", "cifar10", "test accuracy, standard network", f"{number:.4f}")
    standard = _row(run, "standard", "test_accuracy") if run else None
    if run is None or standard is None:
        yield Claim(*basis, direction=NONE)
    else:
        estimate = standard["value"], standard["low"], standard["high"]
        yield Claim(
            *basis,
            written(estimate),
            *estimate,
            run.scale("retraining"),
            NONE,
            size(_of_test_images(number), estimate, margin=ACCURACY_MARGIN),
            f"{int(standard['n'])} {'base models' if run.config.seeds > 1 else 'test images'}",
        )
    for norm in ("l2", "linf"):
        number = read_off[f"test_accuracy_strongest_{norm}_xent"]
        basis = (
            "accuracy",
            "cifar10",
            f"test accuracy, strongest {NORM_TITLES[norm]} xent: below the standard network's",
            f"about {number:g}",
        )
        label = _strongest(run, norm, "xent") if run else None
        row = _row(run, label, "test_accuracy") if run and label else None
        if run is None or row is None or standard is None:
            yield Claim(*basis)
            continue
        low, high = standard["low"] - row["high"], standard["high"] - row["low"]
        estimate = row["value"], row["low"], row["high"]
        yield Claim(
            *basis,
            written(estimate),
            *estimate,
            run.scale("retraining"),
            direction(1, low, high),
            size(
                _of_test_images(number),
                estimate,
                margin=ACCURACY_MARGIN,
                slack=AXES["accuracy"].slack,
            ),
            label or "",
        )


def scores(runs: list[Run]) -> Iterator[Claim]:
    """ROAR and KAR scores that can be read off the paper's figures."""
    run = best(runs, "cifar10", "retraining")
    places = {
        "roar_g_standard": ("roar_gradient", None),
        "roar_gx_standard": ("roar_gradient_input", None),
        "roar_l2_gx_strongest_xent": ("roar_gradient_input", "l2"),
        "roar_l2_g_strongest_xent": ("roar_gradient", "l2"),
        "kar_g_standard": ("kar_gradient", None),
        "kar_gx_standard": ("kar_gradient_input", None),
    }
    for key, (score, norm) in places.items():
        number = REFERENCE["approximate_scores_read_off_the_figures"][key]
        mode, attribution = score.split("_", 1)
        short = {long: name.upper() for name, long in SHORT.items()}[attribution]
        who = "standard network" if norm is None else f"strongest {NORM_TITLES[norm]} xent"
        basis = ("scores", "cifar10", f"{mode.upper()} {short}, {who}", f"about {number:+g}")
        label = "standard" if norm is None else _strongest(run, norm, "xent") if run else None
        row = _row(run, label, score) if run and label else None
        if run is None or row is None:
            yield Claim(*basis)
            continue
        value, low, high = row["value"], row["low"], row["high"]
        yield Claim(
            *basis,
            written((value, low, high), 4),
            value,
            low,
            high,
            run.scale("retraining"),
            direction(number, low, high),
            size(
                scattered_as(number, (value, low, high)),
                (value, low, high),
                margin=SCORE_MARGIN,
                slack=AXES[mode].slack,
            ),
            f"{int(row['n'])} retrainings",
        )
