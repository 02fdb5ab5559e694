"""The paper's claims on made-up results: some hold, some do not, some cannot be decided."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robust_interpretability.benchmark.paper import claim, claims, runs
from robust_interpretability.benchmark.paper.claim import NO, NONE, NOT_RUN, UNCLEAR, YES
from robust_interpretability.benchmark.paper.reference import REFERENCE
from robust_interpretability.benchmark.units import configuration
from robust_interpretability.benchmark.units.plan import networks
from robust_interpretability.models.errors import InputError

NAN = float("nan")
RNG = np.random.default_rng(0)


def made_up(preset: str, *assignments: str, **tables: pd.DataFrame) -> runs.Run:
    return runs.Run(Path("nowhere"), configuration.resolve(preset, None, list(assignments)), tables)


def retrained(preset: str) -> pd.DataFrame:
    """As much of a retraining table as says which networks were measured."""
    measured = networks(configuration.resolve(preset, None, []))
    names = [n.label for n, what in measured.items() if "retraining" in what]
    return pd.DataFrame({"network": ["none", *names], "seed": [-1, *[0] * len(names)]})


def correlation(
    score: str, against: str, norm: str, loss: str, *, pearson: tuple, spearman: tuple
) -> dict:
    names = ("pearson", "pearson_low", "pearson_high", "spearman", "spearman_low", "spearman_high")
    about = {"score": score, "against": against, "norm": norm, "loss": loss, "n": 21}
    return about | dict(zip(names, (*pearson, *spearman), strict=True))


def distances(
    means: dict[tuple[str, float], float], *, spread: float = 0.2, kept: int = 200, n: int = 200
):
    """Manifold rows of L2-xent networks with these mean distances; clean ones: 0 to 10."""
    frames = []
    for (norm, epsilon), mean in means.items():
        frames.append(
            pd.DataFrame(
                {
                    "network": f"{norm}-{epsilon:g}",
                    "norm": norm,
                    "epsilon": epsilon,
                    "loss": "none" if norm == "none" else "xent",
                    "seed": 0,
                    "attack_loss": "xent",
                    "image": np.arange(n),
                    "kept": np.arange(n) < kept,
                    "clean_distance": np.linspace(0, 10, n),
                    "adversarial_distance": mean + spread * RNG.standard_normal(n),
                    "noise_distance": 9.0,
                    "change": 6.0,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def row(found: pd.DataFrame, group: str, **about: str) -> pd.Series:
    rows = found[found["group"] == group]
    for column, value in about.items():
        rows = rows[rows[column].str.startswith(value)]
    assert len(rows) == 1, rows
    return rows.iloc[0]


@pytest.mark.parametrize(
    ("sign", "low", "high", "outcome"),
    [
        (0.9, 0.1, 0.9, YES),
        (-0.9, 0.1, 0.9, NO),
        (0.9, -0.1, 0.9, UNCLEAR),
        (-0.2, -0.9, -0.1, YES),
        (0.2, -0.9, -0.1, NO),
        (0.2, NAN, NAN, UNCLEAR),
        (0.2, 0.0, 0.5, UNCLEAR),
    ],
)
def test_direction(sign, low, high, outcome):
    assert claim.direction(sign, low, high) == outcome


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.8, 0.97, YES),
        (0.2, 0.99, UNCLEAR),
        (0.96, 0.99, NO),
        (0.1, 0.5, NO),
        (NAN, NAN, UNCLEAR),
        (0.9, 1.0, YES),
    ],
)
def test_size(low, high, outcome):
    assert claim.size(0.9, low, high, wide=0.5) == outcome


def test_without_runs_nothing_is_compared():
    """The paper's claims, counted."""
    found = claims.compare([])
    assert found.groupby("group").size().to_dict() == {
        "correlations": 64,
        "manifold order": 24,
        "manifold peaks": 25,
        "tilt": 5,
        "accuracy": 3,
        "scores": 6,
    }
    assert set(found["direction"]) | set(found["size"]) == {NOT_RUN, NONE}
    assert (found["ours"] == "").all()
    assert (
        not ((found["direction"] == NONE) & (found["size"] == NONE))
        .loc[found["group"] != "tilt"]
        .any()
    )


def test_every_reference_correlation_becomes_one_claim():
    found = claims.compare([]).query("group == 'correlations'")
    tree = REFERENCE["correlations"]
    numbers = [
        f"{v:+.3f}"
        for m in tree.values()
        for a in m.values()
        for loss in a.values()
        for p in loss.values()
        for v in p
    ]
    assert sorted(found["paper"]) == sorted(numbers)
    assert found["claim"].is_unique


def test_correlations_hold_fail_and_cannot_be_told():
    """The paper: ROAR against strength, xent, L2 GX: linear .949, rank .946; KAR, L2 G: -.529."""
    rows = pd.DataFrame(
        [
            correlation(
                "roar_gradient_input",
                "strength",
                "l2",
                "xent",
                pearson=(0.93, 0.83, 0.97),
                spearman=(0.5, 0.1, 0.8),
            ),
            correlation(
                "kar_gradient",
                "strength",
                "l2",
                "xent",
                pearson=(0.6, 0.2, 0.8),
                spearman=(-0.3, -0.7, 0.2),
            ),
        ]
    )
    found = claims.compare(
        [made_up("paper-cifar10", retraining=retrained("paper-cifar10"), correlations=rows)]
    )
    outcomes = {
        "ROAR against attack strength, xent, L2 GX, linear": (YES, YES),
        "ROAR against attack strength, xent, L2 GX, rank": (YES, NO),  # 0.946 lies above 0.8
        "KAR against attack strength, xent, L2 G, linear": (NO, NO),
        "KAR against attack strength, xent, L2 G, rank": (
            UNCLEAR,
            UNCLEAR,
        ),  # -0.462 lies in an interval 0.9 wide
        "KAR against test accuracy, cw, Linf G, rank": (NOT_RUN, NOT_RUN),
    }
    for name, outcome in outcomes.items():
        compared = row(found, "correlations", claim=name)
        assert (compared["direction"], compared["size"]) == outcome, name
    assert (
        row(found, "correlations", claim="ROAR against attack strength, xent, L2 GX, linear")[
            "scale"
        ]
        == "paper, 81 of 81 networks"
    )
    assert (found.query("group == 'correlations'")["direction"] == NOT_RUN).sum() == 60


ORDERED = {("none", 0.0): 8.0, ("l2", 0.5): 7.0, ("l2", 1.0): 6.0, ("l2", 2.0): 5.0}
PANEL = {"data": "mnist", "claim": "panel L2-xent, attack xent"}


@pytest.mark.parametrize(
    ("means", "options", "outcome", "paired"),
    [
        (ORDERED, {}, YES, "paired: yes"),
        (ORDERED | {("l2", 2.0): 6.5}, {}, NO, "paired: no"),
        (ORDERED | {("l2", 2.0): 5.99}, {"spread": 3}, UNCLEAR, "paired: unclear"),
        (ORDERED, {"kept": 29}, UNCLEAR, "fewer than 30 kept"),
    ],
)
def test_order_of_the_distances(means, options, outcome, paired):
    run = made_up("paper-mnist", manifold=distances(means, **options))
    compared = row(claims.compare([run]), "manifold order", **PANEL)
    assert compared["direction"] == outcome
    assert compared["size"] == NONE
    assert paired in compared["note"]


def test_distances_are_scaled_by_the_clean_ones_and_other_panels_are_not_run():
    found = claims.compare([made_up("paper-mnist", manifold=distances(ORDERED, spread=0.001))])
    compared = row(found, "manifold order", **PANEL)
    assert compared["ours"].startswith("0.800 → 0.700 → 0.600 → 0.500; falls by 0.300")
    assert (
        row(found, "manifold order", data="mnist", claim="panel Linf-cw, attack cw")["direction"]
        == NOT_RUN
    )


def test_peaks_beside_what_is_read_off_the_paper():
    """Paper radius 2 is 1 here; the paper's peak is at about 0.5."""
    means = {("none", 0.0): 6.3, ("l2", 1.0): 9.0}
    found = claims.compare([made_up("paper-mnist", manifold=distances(means, n=1000, kept=1000))])
    assert (
        row(found, "manifold peaks", data="mnist", claim="panel L2-xent: peak of standard")["size"]
        == YES
    )
    assert (
        row(found, "manifold peaks", data="mnist", claim="panel L2-xent: peak of L2 2")["size"]
        == NO
    )
    assert (
        row(found, "manifold peaks", data="mnist", claim="panel L2-xent: peak of L2 4")["size"]
        == NOT_RUN
    )


def test_tilt_is_compared_seed_by_seed():
    """Standard and weak differ by 30 in every seed; weak and strong by 1, -1, ... degrees."""
    seeds = np.arange(10)
    angles = {
        0.0: 40 + 5.0 * seeds,
        0.125: 10 + 5.0 * seeds + 0.1 * (seeds % 2),
        0.25: 10 + 5.0 * seeds - (-1.0) ** seeds,
    }
    rows = pd.concat(
        pd.DataFrame({"network": str(e), "epsilon": e, "seed": seeds, "angle": a})
        for e, a in angles.items()
    )
    found = claims.compare([made_up("paper-toy", tilt=rows.sample(frac=1, random_state=0))])
    first = row(found, "tilt", claim="standard is tilted more than weak")
    assert first["value"] == pytest.approx(29.95)
    assert first["direction"] == YES
    assert row(found, "tilt", claim="weak is tilted more than strong")["direction"] == UNCLEAR
    assert row(found, "tilt", claim="tilt of the standard")["value"] == pytest.approx(62.5)


def score(network: str, norm: str, epsilon: float, name: str, value: float, half: float) -> dict:
    return {
        "network": network,
        "norm": norm,
        "epsilon": epsilon,
        "loss": "none" if norm == "none" else "xent",
        "score": name,
        "value": value,
        "low": value - half,
        "high": value + half,
        "n": 6,
    }


def test_accuracies_and_scores():
    """The paper: standard .7366; strongest L2 about .62, Linf about .6; ROAR G, standard .019."""
    table = pd.DataFrame(
        [
            score("standard", "none", 0, "test_accuracy", 0.735, 0.01),
            score("standard", "none", 0, "roar_gradient", 0.05, 0.01),
            score("l2-0.4", "l2", 0.4, "test_accuracy", 0.9, 0.01),
            score("l2-0.8", "l2", 0.8, "test_accuracy", 0.5, 0.01),
            score("linf-0.02", "linf", 0.02, "test_accuracy", 0.6, 0.01),
            score("l2-0.8", "l2", 0.8, "roar_gradient_input", 0.01, 0.02),
        ]
    )
    found = claims.compare(
        [made_up("paper-cifar10", retraining=retrained("paper-cifar10"), scores=table)]
    )

    def outcomes(group: str, name: str) -> tuple[str, str]:
        compared = row(found, group, claim=name)
        return compared["direction"], compared["size"]

    assert outcomes("accuracy", "test accuracy, standard") == (NONE, YES)
    assert outcomes("accuracy", "test accuracy, strongest L2") == (YES, NO)
    assert outcomes("accuracy", "test accuracy, strongest Linf") == (YES, YES)
    assert outcomes("scores", "ROAR G, standard") == (YES, NO)
    assert outcomes("scores", "ROAR GX, strongest L2") == (UNCLEAR, NO)
    assert outcomes("scores", "KAR G, standard") == (NOT_RUN, NOT_RUN)


def test_only_networks_trained_as_the_paper_s_count_as_such():
    table = retrained("paper-cifar10")
    assert made_up("paper-cifar10", retraining=table).of_the_paper("retraining") == (81, 81)
    fewer = made_up(
        "paper-cifar10",
        "grid.0.epsilons=[0.04, 0.2, 0.8]",
        "grid.1.epsilons=[0.02]",
        retraining=table,
    )
    assert fewer.of_the_paper("retraining") == (1 + 2 * 4, 81)
    assert fewer.scale("retraining") == "paper, 9 of 81 networks"
    assert made_up("paper-cifar10", "training.epochs=19", retraining=table).of_the_paper(
        "retraining"
    ) == (0, 81)
    assert made_up("paper-cifar10", "vae_gan.epochs=1", retraining=table).of_the_paper(
        "retraining"
    ) == (81, 81)
    assert made_up("paper-cifar10", "vae_gan.epochs=1", manifold=table).of_the_paper(
        "manifold"
    ) == (0, 13)
    assert made_up("quick", retraining=table).of_the_paper("retraining") == (0, 0)
    fashion = made_up("reduced-fashion-mnist", retraining=table)
    assert fashion.of_the_paper("retraining") == (0, 0)  # ROAR and KAR are on CIFAR-10 alone


def test_the_run_with_most_of_the_paper_s_networks_is_compared():
    reduced = made_up("reduced-cifar10", retraining=retrained("reduced-cifar10"))
    few = made_up("paper-cifar10", "grid.0.epsilons=[0.04]", retraining=retrained("paper-cifar10"))
    assert runs.best([reduced, few], "cifar10", "retraining") is few
    assert runs.best([reduced], "cifar10", "retraining") is reduced
    assert runs.best([reduced], "cifar10", "manifold") is None
    assert runs.best([reduced], "mnist", "retraining") is None


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="No finished run"):
        runs.read([tmp_path])
