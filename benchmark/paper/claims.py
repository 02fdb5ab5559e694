"""Every claim of the paper, judged by the runs there are.

What the verdicts mean stands in the package's docstring.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.paper.runs import Run, best
from robust_interpretability.metrics import densities, statistics
from robust_interpretability.metrics.statistics import Estimate

YES, UNCLEAR, NO, NOT_RUN, NONE = "yes", "unclear", "no", "not run", "-"

REFERENCE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "reference.json").read_text(encoding="utf-8")
)

WIDE_CORRELATION = 0.5
"""An interval of a correlation wider than this says nothing about its size."""

READING = 0.01
"""How exactly a number can be read off one of the paper's figures."""

UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"), 0)

IMAGE_SETS = ("mnist", "fashion_mnist", "cifar10")
PANELS = tuple(itertools.product(("l2", "linf"), ("xent", "cw")))
NORMS = {"l2": "L2", "linf": "Linf"}
SHORT = {"gx": "gradient_input", "g": "gradient"}


@dataclass(frozen=True)
class Claim:
    """One claim with its verdicts.

    Attributes:
        group: Which of the report's tables it stands in.
        data: Data set.
        claim: What is compared, in words.
        paper: What the paper has, in words or digits.
        ours: What was measured, the same way.
        value, low, high: The number that is judged, with its interval; NaN where there is none.
        scale: At which scale, on how many networks.
        direction, size: The verdicts.
        note: What else must be known.
    """

    group: str
    data: str
    claim: str
    paper: str
    ours: str = ""
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    scale: str = ""
    direction: str = NOT_RUN
    size: str = NOT_RUN
    note: str = ""


def direction(sign: float, low: float, high: float) -> str:
    """Whether an interval lies on the side of zero on which the paper's number lies."""
    if not (low > 0 or high < 0):  # includes zero, or is none
        return UNCLEAR
    return YES if (low > 0) == (sign > 0) else NO


def size(number: float, low: float, high: float, *, wide: float) -> str:
    """Whether the paper's number lies in an interval no wider than `wide`."""
    if np.isnan(low) or np.isnan(high):
        return UNCLEAR
    if not low <= number <= high:
        return NO
    return YES if high - low <= wide else UNCLEAR


def written(estimate: Estimate | tuple[float, float, float], digits: int = 3) -> str:
    """A value with its interval, as `0.912 [0.41, 0.99]`."""
    value, low, high = estimate[:3]
    if np.isnan(value):
        return "undefined"
    interval = "" if np.isnan(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


def _row(run: Run, network: str, score: str) -> pd.Series | None:
    rows = run.table("scores")
    if rows.empty:
        return None
    found = rows[(rows["network"] == network) & (rows["score"] == score)]
    return found.iloc[0] if len(found) else None


def _strongest(run: Run, norm: str, loss: str) -> str | None:
    rows = run.table("scores")
    if rows.empty:
        return None
    mine = rows[(rows["norm"] == norm) & (rows["loss"] == loss)]
    return mine.loc[mine["epsilon"].idxmax(), "network"] if len(mine) else None


def correlations(runs: list[Run]) -> Iterator[Claim]:
    """The 64 correlations of ROAR and KAR with attack strength and test accuracy."""
    run = best(runs, "cifar10", "retraining")
    axes = {"strength": "attack strength", "test_accuracy": "test accuracy"}
    tree = REFERENCE["correlations"]
    for mode, against, loss in itertools.product(tree, axes, ("xent", "cw")):
        for series, pair in tree[mode][against][loss].items():
            norm, short = series.split("_")
            found = None
            rows = run.table("correlations") if run else pd.DataFrame()
            if len(rows):
                found = rows[
                    (rows["score"] == f"{mode}_{SHORT[short]}")
                    & (rows["against"] == against)
                    & (rows["norm"] == norm)
                    & (rows["loss"] == loss)
                ]
            for kind, column, number in zip(
                ("linear", "rank"), ("pearson", "spearman"), pair, strict=True
            ):
                name = (
                    f"{mode.upper()} against {axes[against]}, {loss}, {NORMS[norm]}"
                    f" {short.upper()}, {kind}"
                )
                basis = ("correlations", "cifar10", name, f"{number:+.3f}")
                if run is None or found is None or found.empty:
                    yield Claim(*basis)
                    continue
                row = found.iloc[0]
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


def _steps(groups: list[np.ndarray], *, paired: bool) -> list[Estimate]:
    """How much nearer each group lies than the one before it."""
    if paired:
        return [statistics.mean(a - b) for a, b in itertools.pairwise(groups)]
    return [statistics.difference(a, b) for a, b in itertools.pairwise(groups)]


def _order(steps: list[Estimate]) -> str:
    """`yes` where every step is a fall, `no` where one is a rise, beyond doubt each."""
    found = [direction(1, step.low, step.high) for step in steps]
    return NO if NO in found else YES if found and set(found) == {YES} else UNCLEAR


def manifold_order(runs: list[Run]) -> Iterator[Claim]:
    """The stronger the training adversary, the nearer the examples: 12 panels for each of two attack losses."""
    for data, attack_loss, (norm, loss) in itertools.product(IMAGE_SETS, ("xent", "cw"), PANELS):
        name = (
            f"panel {NORMS[norm]}-{loss}, attack {attack_loss}: nearer with every step of strength"
        )
        basis = ("manifold order", data, name, "falls")
        run = best(runs, data, "manifold")
        rows = run.table("manifold") if run else pd.DataFrame()
        if len(rows):
            rows = rows[rows["attack_loss"] == attack_loss]
            rows = rows[
                (rows["norm"] == "none") | ((rows["norm"] == norm) & (rows["loss"] == loss))
            ]
        if run is None or rows.empty or (rows["norm"] == "none").all():
            yield Claim(*basis, size=NONE)
            continue
        clean = rows.loc[rows["norm"] == "none", "clean_distance"].to_numpy()
        parts = [part for _, part in rows.groupby("epsilon")]
        kept = [part.loc[part["kept"], "adversarial_distance"].to_numpy() for part in parts]
        everything = [
            part.groupby("image")["adversarial_distance"].mean().to_numpy() for part in parts
        ]
        pairs = _order(_steps(everything, paired=True))
        note = f"all images, paired: {pairs}; kept: {', '.join(str(len(k)) for k in kept)}"
        enough = [k for k in kept if len(k) >= densities.SMALLEST]
        if len(enough) < len(kept):
            note += f"; a network with fewer than {densities.SMALLEST} kept examples is not judged"
        means = [
            densities.scaled(k, clean).mean() if len(k) >= densities.SMALLEST else np.nan
            for k in kept
        ]
        low, high = clean.min(), clean.max()
        verdict = _order(_steps(enough, paired=False)) if len(enough) == len(kept) else UNCLEAR
        fall = statistics.difference(enough[0], enough[-1]) if len(enough) > 1 else UNDEFINED
        value, under, over = (v / (high - low) for v in fall[:3])
        ours = " → ".join(f"{m:.3f}" for m in means) + f"; falls by {written((value, under, over))}"
        yield Claim(*basis, ours, value, under, over, run.scale("manifold"), verdict, NONE, note)


def manifold_peaks(runs: list[Run]) -> Iterator[Claim]:
    """Where the densities peak, beside what can be read off the paper's figures."""
    for panel, peaks in REFERENCE["approximate_peaks_of_scaled_manifold_distance"].items():
        data, norm, loss = panel.rsplit("_", 2)
        run = best(runs, data, "manifold")
        for member, number in peaks.items():
            adversary = member not in ("test", "standard")
            who = f"{NORMS[norm]} {member} (paper units)" if adversary else member
            basis = (
                "manifold peaks",
                data,
                f"panel {NORMS[norm]}-{loss}: peak of {who}",
                f"about {number:g}",
            )
            rows = run.table("manifold") if run else pd.DataFrame()
            if len(rows):
                rows = rows[rows["attack_loss"] == "xent"]
            standard = rows[rows["norm"] == "none"] if len(rows) else rows
            own = standard
            if adversary and len(rows):
                exact = np.isclose(
                    rows["epsilon"], float(member) / 2
                )  # paper units are twice pixel units
                own = rows[exact & (rows["norm"] == norm) & (rows["loss"] == loss)]
            if run is None or own.empty:
                yield Claim(*basis, direction=NONE)
                continue
            clean = standard["clean_distance"].to_numpy()
            values = (
                clean
                if member == "test"
                else own.loc[own["kept"], "adversarial_distance"].to_numpy()
            )
            if len(values) < densities.SMALLEST:
                yield Claim(
                    *basis,
                    scale=run.scale("manifold"),
                    direction=NONE,
                    size=UNCLEAR,
                    ours=f"{len(values)} examples, too few",
                )
                continue
            found = densities.peak(densities.scaled(values, clean))
            verdict = size(number, found.low - READING, found.high + READING, wide=0.1)
            yield Claim(
                *basis,
                written(found),
                *found[:3],
                run.scale("manifold"),
                NONE,
                verdict,
                f"{found.n} examples",
            )


def tilt(runs: list[Run]) -> Iterator[Claim]:
    """Adversarial training removes the tilt of the boundary, the stronger the more."""
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
        found = statistics.mean(groups[number].to_numpy())
        yield Claim(
            *basis, written(found, 1), *found[:3], run.scale("tilt"), NONE, NONE, f"{found.n} seeds"
        )
    for (i, first), (j, second) in itertools.pairwise(enumerate(names)):
        basis = ("tilt", "gaussians", f"{first} is tilted more than {second}, by degrees", "more")
        if run is None or len(groups) != len(names):
            yield Claim(*basis, size=NONE)
            continue
        found = statistics.mean((groups[i] - groups[j]).to_numpy())
        yield Claim(
            *basis,
            written(found, 1),
            *found[:3],
            run.scale("tilt"),
            direction(1, found.low, found.high),
            NONE,
            f"{found.n} seeds, paired",
        )


def accuracies(runs: list[Run]) -> Iterator[Claim]:
    """Test accuracy of the standard network and its price under the strongest adversaries."""
    run = best(runs, "cifar10", "retraining")
    read_off = REFERENCE["approximate_scores_read_off_the_figures"]
    number = REFERENCE["standard_test_accuracy_cifar10"]
    basis = ("accuracy", "cifar10", "test accuracy, standard network", f"{number:.4f}")
    standard = _row(run, "standard", "test_accuracy") if run else None
    if run is None or standard is None:
        yield Claim(*basis, direction=NONE)
    else:
        found = standard["value"], standard["low"], standard["high"]
        yield Claim(
            *basis,
            written(found),
            *found,
            run.scale("retraining"),
            NONE,
            size(number, *found[1:], wide=0.1),
            f"{int(standard['n'])} test images",
        )
    for norm in ("l2", "linf"):
        number = read_off[f"test_accuracy_strongest_{norm}_xent"]
        basis = (
            "accuracy",
            "cifar10",
            f"test accuracy, strongest {NORMS[norm]} xent: below the standard network's",
            f"about {number:g}",
        )
        label = _strongest(run, norm, "xent") if run else None
        row = _row(run, label, "test_accuracy") if run and label else None
        if run is None or row is None or standard is None:
            yield Claim(*basis)
            continue
        low, high = standard["low"] - row["high"], standard["high"] - row["low"]
        ends = row["low"] - READING, row["high"] + READING
        found = row["value"], row["low"], row["high"]
        yield Claim(
            *basis,
            written(found),
            *found,
            run.scale("retraining"),
            direction(1, low, high),
            size(number, *ends, wide=0.1),
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
        who = "standard network" if norm is None else f"strongest {NORMS[norm]} xent"
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
            size(number, low, high, wide=0.05),
            f"{int(row['n'])} retrainings",
        )


GROUPS = (correlations, manifold_order, manifold_peaks, tilt, accuracies, scores)


def judged(runs: list[Run]) -> pd.DataFrame:
    """All claims, one row each; the columns are `Claim`'s attributes."""
    return pd.DataFrame(asdict(claim) for group in GROUPS for claim in group(runs))
