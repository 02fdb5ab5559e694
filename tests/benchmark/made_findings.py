"""Made-up finished runs for the findings: tables whose verdicts are known beforehand."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.benchmark.findings.runs import FinishedRun, Sources, labels
from pellucid.benchmark.findings.standing import required
from pellucid.benchmark.results.controls import JUDGED
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.map_measures import CONTROLLED
from pellucid.benchmark.units.outcomes import Score
from pellucid.metrics import FILLS, MODES

SURVIVES, DOES_NOT, UNCLEAR = "survives", "does not", "cannot be told"
NORMS = ("l2", "linf")
STRENGTHS = (0.25, 0.5, 1.0)
SCORES = ("roar_gradient", "kar_gradient")
OTHERS = tuple(
    f"{name}{end}"
    for name in (
        "specific_roar_gradient-within",
        "specific_kar_gradient-within",
        "diffroar_gradient",
    )
    for end in ("", "-imputed")
)

LARGEST = "blur_matched"
"""The control with the largest share."""

Decide = Callable[[str, str, str, str], tuple[str, float]]
"""From norm, mode, fill and control to the verdict and the rise of the score."""

NETWORKS = [
    {"network": "standard", "norm": "none", "epsilon": 0.0, "strength": 0.0, "loss": "none"}
] + [
    {"network": f"{n}-{s}-xent", "norm": n, "epsilon": s, "strength": s, "loss": "xent"}
    for n in NORMS
    for s in STRENGTHS
]


def always(verdict: str, rise: float = 0.08) -> Decide:
    """The same verdict of every control."""
    return lambda *_: (verdict, rise)


def cells() -> list[tuple[str, str, str, str]]:
    """Norm, mode, fill and control of every verdict that the protocol asks for."""
    return [
        (norm, mode, fill, control)
        for norm, mode, fill in itertools.product(NORMS, JUDGED, FILLS)
        for control in sorted(required(mode, fill))
    ]


def verdicts(decide: Decide, seeds: int = 3) -> pd.DataFrame:
    rows = []
    for norm, mode, fill, control in cells():
        verdict, rise = decide(norm, mode, fill, control)
        share = {SURVIVES: 0.1, DOES_NOT: 0.9}.get(verdict, 0.5)
        share += 0.01 * (control == LARGEST)
        row = {"norm": norm, "loss": "xent", "seeds": seeds}
        row |= {"score": str(Score(mode, "gradient", fill=fill)), "control": control}
        values = {"rise": rise, "control_rise": share * rise, "share": share}
        for name, value in values.items():
            half = 0.2 if name == "share" else 0.02
            row |= {name: value, f"{name}_low": value - half, f"{name}_high": value + half}
        rows.append(row | {"verdict": verdict})
    return pd.DataFrame(rows)


def scores(rng: np.random.Generator) -> pd.DataFrame:
    controls = [f"{m}_gradient-{c}" for m in MODES for c in ("mean", "shuffled_within")]
    rows = []
    for network in NETWORKS:
        values = {"train_accuracy": 0.99, "test_accuracy": 0.9 - 0.1 * network["strength"]}
        names = (*SCORES, *(f"{s}-imputed" for s in SCORES), *controls, *OTHERS)
        values |= {name: 0.1 * network["strength"] + 0.01 * rng.normal() for name in names}
        values["manifold_xent_excess_over_noise"] = 0.5 - network["strength"]
        rows += [
            network | {"score": k, "value": v, "low": v - 0.02, "high": v + 0.02, "n": 6}
            for k, v in values.items()
        ]
    return pd.DataFrame(rows)


def measures(rng: np.random.Generator, seeds: int) -> pd.DataFrame:
    """The Gini index goes up, total variation down, ROAD does neither."""
    slopes = {"gini": 1.0, "total_variation": -1.0, "road": 0.0}
    rows = []
    for network, seed in itertools.product(NETWORKS, range(seeds)):
        about = network | {"seed": seed, "attribution": "gradient", "images": 9, "finite": 9}
        for name, slope in slopes.items():
            mean = slope * network["strength"] + 0.01 * rng.normal()
            rows.append(about | {"measure": name, "mean": mean, "standard_deviation": 1.0})
    return pd.DataFrame(rows)


def measure_verdicts(verdict: str, measure: str = "gini") -> pd.DataFrame:
    """The same verdict of every control that says something about a measure, in both series."""
    return pd.DataFrame(
        {
            **{"norm": norm, "loss": "xent", "seeds": 3, "score": f"{measure}_gradient"},
            **{"control": control, "share": 0.9 if control == "shuffled" else 0.2},
            **{"rise": 1.0, "rise_low": 0.9, "rise_high": 1.1, "verdict": verdict},
        }
        for norm in NORMS
        for control in CONTROLLED[measure]
    )


def agreement() -> pd.DataFrame:
    pairs = {
        ("roar_gradient", "gini_gradient"): 0.95,
        ("roar_gradient", "kar_gradient"): 0.1,
        ("gini_gradient", "kar_gradient"): 0.2,
    }
    return pd.DataFrame(
        {"score": a, "other": b, "networks": 7, "spearman": r} for (a, b), r in pairs.items()
    )


def groups(seeds: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"score": s, "networks": 7, "seeds": seeds, "pairs": 21, "different": 9, "groups": g}
        for s, g in (("roar_gradient", 3), ("kar_gradient", 1), ("diffroar_gradient", 4))
    )


def tables(decide: Decide, seeds: int = 3, seed: int = 0) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    return {
        "verdicts": verdicts(decide, seeds),
        "scores": scores(rng),
        "measures": measures(rng, seeds),
        "agreement": agreement(),
        "groups": groups(seeds),
        "manifold_model": pd.DataFrame(
            {
                "measure": ["mean_squared_error", "pca_mean_squared_error", "variance"],
                "value": [0.01, 0.02, 0.1],
            }
        ),
    }


def run(
    preset: str, found: dict[str, pd.DataFrame], seeds: int = 3, label: str | None = None
) -> FinishedRun:
    config = configuration.resolve(preset, None, [f"seeds={seeds}"])
    folder = Path(f"docs/results/{preset}")
    shown = label or labels([(config.data.name, config.name)], [folder])[0]
    return FinishedRun(folder, config, found, shown, {"commit": "abc"})


def sources(*decide: Decide, seeds: int = 3) -> Sources:
    """A run for each rule, on CIFAR-10, MNIST and Fashion-MNIST."""
    presets = ("reduced-cifar10", "reduced-mnist", "reduced-fashion-mnist")
    made = [
        run(preset, tables(rule, seeds, number), seeds)
        for number, (preset, rule) in enumerate(zip(presets, decide, strict=False))
    ]
    return Sources(made, {})


def trust() -> pd.DataFrame:
    """Over networks ROAD follows both truths, infidelity, turned, runs against them, ROAR is mixed.

    Over networks and attributions none can be told.
    """
    rho = {
        "road": (0.8, 0.7),
        "infidelity": (-0.8, -0.7),
        "roar": (0.6, 0.1),
        "random": (0.0, 0.1),
        "strength": (0.65, 0.6),
    }
    rows = []
    for score, values in rho.items():
        better = {"infidelity": "lower", "random": "", "strength": ""}.get(score, "higher")
        for truth, value in zip(("precision", "mass_share"), values, strict=True):
            row = {"score": score, "better": better, "truth": truth, "networks": 9, "cells": 45}
            for over, half in (("networks", 0.3), ("networks and attributions", 0.9)):
                ends = {"low": value - half, "high": value + half}
                rows.append(row | {"over": over, "rho": value} | ends)
    return pd.DataFrame(rows)
