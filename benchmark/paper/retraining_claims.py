"""The claims on CIFAR-10: correlations of ROAR and KAR, their scores, and test accuracies."""

import itertools
from collections.abc import Iterator

import pandas as pd

from robust_interpretability.attacks import NORM_TITLES
from robust_interpretability.benchmark.paper.claim import NONE, Claim, direction, size, written
from robust_interpretability.benchmark.paper.reference import READING, REFERENCE
from robust_interpretability.benchmark.paper.runs import Run, best

WIDE_CORRELATION = 0.5
"""The width up to which an interval of a correlation is informative about its size."""
WIDE_ACCURACY = 0.1
"""The same for an accuracy."""
WIDE_SCORE = 0.05
"""The same for a ROAR or KAR score."""

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


def correlations(runs: list[Run]) -> Iterator[Claim]:
    """The 64 correlations of ROAR and KAR with attack strength and test accuracy."""
    run = best(runs, "cifar10", "retraining")
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
                name = (
                    f"{mode.upper()} against {axes[against]}, {loss}, {NORM_TITLES[norm]}"
                    f" {short.upper()}, {kind}"
                )
                basis = ("correlations", "cifar10", name, f"{number:+.3f}")
                if run is None or rows.empty:
                    yield Claim(*basis)
                    continue
                row = rows.iloc[0]
                value, low, high = (
                    float(row[c]) for c in (column, f"{column}_low", f"{column}_high")
                )
                yield Claim(
                    *basis,
                    written((value, low, high)),
                    value,
                    low,
                    high,
                    run.scale("retraining"),
                    direction(number, low, high),
                    size(number, low, high, wide=WIDE_CORRELATION),
                    f"{int(row['n'])} networks",
                )


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
            size(number, *estimate[1:], wide=WIDE_ACCURACY),
            f"{int(standard['n'])} test images",
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
        ends = row["low"] - READING, row["high"] + READING
        estimate = row["value"], row["low"], row["high"]
        yield Claim(
            *basis,
            written(estimate),
            *estimate,
            run.scale("retraining"),
            direction(1, low, high),
            size(number, *ends, wide=WIDE_ACCURACY),
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
            size(number, low, high, wide=WIDE_SCORE),
            f"{int(row['n'])} retrainings",
        )
