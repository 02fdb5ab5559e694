"""The paper's claims on made-up results: some hold, some do not, some cannot be decided."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pellucid.benchmark.paper import (
    claim,
    claims,
    manifold_claims,
    reference,
    report,
    runs,
    tables,
)
from pellucid.benchmark.paper.claim import NO, NONE, NOT_RUN, UNCLEAR, YES
from pellucid.benchmark.paper.reference import REFERENCE
from pellucid.benchmark.paper.retraining_claims import (
    CORRELATION_MARGIN,
    SHORT,
    correlations,
)
from pellucid.benchmark.results.distances import of_networks
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.plan import networks
from pellucid.metrics import comparisons, densities, statistics
from pellucid.models.errors import InputError
from tests.conftest import ROOT
from tests.metrics.test_comparisons import at_most, samples

NAN = float("nan")
RNG = np.random.default_rng(0)


def made_up(preset: str, *assignments: str, **tables: pd.DataFrame) -> runs.Run:
    by_image = (tables.get(name, pd.DataFrame()) for name in ("manifold", "off_manifold"))
    config = configuration.resolve(preset, None, list(assignments))
    return runs.Run(Path("nowhere"), config, tables | {"distances": of_networks(*by_image)})


def published(*assignments: str, **tables: pd.DataFrame) -> runs.Run:
    """A run of paper-cifar10 as the published code trains."""
    compat = ("compat=2019", "manifold.sample_posterior=true")
    return made_up("paper-cifar10", *compat, *assignments, **tables)


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
    means: dict[tuple[str, float], float],
    *,
    spread: float = 0.2,
    kept: int = 200,
    n: int = 200,
    seeds: int = 1,
    scatter: float = 0.0,
    losses: tuple[str, ...] = ("xent",),
) -> pd.DataFrame:
    """Manifold rows of networks with these mean distances; clean ones: 0 to 10.

    Images differ by `spread`, networks besides by `scatter`, both standard deviations.
    """
    frames = []
    for (norm, epsilon), mean in means.items():
        for loss, seed in itertools.product(("none",) if norm == "none" else losses, range(seeds)):
            centre = mean + scatter * RNG.standard_normal()
            frames.append(
                pd.DataFrame(
                    {
                        "network": f"{norm}-{epsilon:g}-{loss}",
                        "norm": norm,
                        "epsilon": epsilon,
                        "loss": loss,
                        "seed": seed,
                        "attack_loss": "xent",
                        "image": np.arange(n),
                        "kept": np.arange(n) < kept,
                        "clean_distance": np.linspace(0, 10, n),
                        "adversarial_distance": centre + spread * RNG.standard_normal(n),
                        "noise_distance": 9.0,
                        "change": 6.0,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The claims about the order of these distances on MNIST."""
    return pd.DataFrame(manifold_claims.order([made_up("paper-mnist", manifold=table)]))


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
    ("ours", "slack", "outcome"),
    [
        ((0.5, 0.48, 0.52), 0, YES),  # 0 +- .036, as the paper's is +-.03
        ((0.51, 0.49, 0.53), 0, YES),
        ((0.51, 0.49, 0.53), 0.06, UNCLEAR),  # .01 +- (.036 + .06)
        ((0.56, 0.54, 0.58), 0, NO),  # .06 +- .036
        ((0.54, 0.54, 0.54), 0, YES),  # .04 +- .03 is significant, and within .08
        ((0.7, 0.68, 0.72), 0, NO),
        ((0.7, 0.68, 0.72), 0.17, UNCLEAR),
        ((0.3, 0.28, 0.32), 0, NO),
        ((0.7, 0.4, 0.99), 0, UNCLEAR),
        ((0.5, 0.2, 0.8), 0, UNCLEAR),
        ((0.5, NAN, NAN), 0, UNCLEAR),
    ],
)
def test_size(ours, slack, outcome):
    """The paper: .5 [.47, .53]; a difference within .08 does not matter."""
    paper = (0.5, 0.47, 0.53)
    assert claim.size(paper, ours, margin=0.08, slack=slack) == outcome


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


def test_the_paper_s_rank_correlations_are_of_21_networks():
    """1 - 6 D / (n^3 - n), D the sum of squared differences of ranks, an even number."""
    tree = REFERENCE["correlations"]
    printed = [
        pair[1]
        for mode, against, loss in itertools.product(tree, tree["roar"], ("xent", "cw"))
        for pair in tree[mode][against][loss].values()
    ]

    def possible(rho: float, n: int) -> bool:
        unit = 12 / (n**3 - n)
        return round(1 - round((1 - rho) / unit) * unit, 4) == rho

    shares = {n: np.mean([possible(rho, n) for rho in printed]) for n in (19, 20, 21, 22, 23)}
    assert shares[reference.SERIES_NETWORKS] == 1
    assert all(share < 0.2 for n, share in shares.items() if n != reference.SERIES_NETWORKS)
    series = [n for n in runs.papers("cifar10", "retraining") if (n.norm, n.loss) == ("l2", "cw")]
    assert len(series) + 1 == reference.SERIES_NETWORKS


def test_slack_of_readings():
    """Half a marker of 6 points, and half a digit: ROAR .08 * 3 / 221.76 + .0005."""
    slack = {name: axis.slack for name, axis in reference.AXES.items()}
    assert slack == pytest.approx(
        {"roar": 0.001582, "kar": 0.001379, "accuracy": 0.006434}, abs=1e-6
    )
    peaks = {data: reference.peak_slack(data) for data in reference.PEAK_AXES}
    assert peaks == pytest.approx({"mnist": 0.02, "fashion_mnist": 0.02, "cifar10": 0.014})


def test_readings_stand_on_the_axes():
    read = REFERENCE["approximate_scores_read_off_the_figures"]
    for name, low, high in (("roar", 0.005, 0.085), ("kar", -0.04, 0.025)):
        assert reference.AXES[name].length == pytest.approx(high - low)
        assert all(low < value < high for key, value in read.items() if key.startswith(name))
    for panel, peaks in REFERENCE["approximate_peaks_of_scaled_manifold_distance"].items():
        assert max(peaks.values()) < reference.PEAK_AXES[panel.rsplit("_", 2)[0]]


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
    found = claims.compare([published(retraining=retrained("paper-cifar10"), correlations=rows)])
    outcomes = {
        "ROAR against attack strength, xent, L2 GX, linear": (YES, YES),
        "ROAR against attack strength, xent, L2 GX, rank": (YES, NO),  # .5 and .946, p = .0004
        "KAR against attack strength, xent, L2 G, linear": (NO, NO),
        "KAR against attack strength, xent, L2 G, rank": (UNCLEAR, UNCLEAR),  # -.3 and -.462
        "KAR against test accuracy, cw, Linf G, rank": (NOT_RUN, NOT_RUN),
    }
    for name, outcome in outcomes.items():
        compared = row(found, "correlations", claim=name)
        assert (compared["direction"], compared["size"]) == outcome, name
    linear = row(found, "correlations", claim="ROAR against attack strength, xent, L2 GX, linear")
    assert linear["scale"] == "paper, 81 of 81 networks"
    assert linear["note"].startswith("21 networks; differs by -0.02 [-")
    assert (found.query("group == 'correlations'")["direction"] == NOT_RUN).sum() == 60


def test_few_networks_are_not_found_equal():
    """.976 [.67, .998] of five networks holds the paper's .949, and .7 as well."""
    few = correlation(
        "roar_gradient_input",
        "strength",
        "l2",
        "xent",
        pearson=(0.976, 0.672, 0.998),
        spearman=(1.0, 0.161, 1.0),
    )
    run = made_up(
        "paper-cifar10",
        retraining=retrained("paper-cifar10"),
        correlations=pd.DataFrame([few | {"n": 5}]),
    )
    found = claims.compare([run])
    for kind in ("linear", "rank"):
        name = f"ROAR against attack strength, xent, L2 GX, {kind}"
        assert row(found, "correlations", claim=name)["size"] == UNCLEAR


def test_correlations_are_compared_as_of_their_own_networks_and_kind():
    """Nine networks beside the paper's 21; the paper: linear .9488, rank .9455."""
    ours = correlation(
        "roar_gradient_input",
        "strength",
        "l2",
        "xent",
        pearson=(0.7, 0.1, 0.9),
        spearman=(0.5, -0.3, 0.9),
    )
    run = made_up(
        "paper-cifar10",
        retraining=retrained("paper-cifar10"),
        correlations=pd.DataFrame([ours | {"n": 9}]),
    )
    found = pd.DataFrame(correlations([run]))
    linear = (np.arctanh(0.7) - np.arctanh(0.9488)) / np.sqrt(1 / 6 + 1 / 18)
    rank = (np.arctanh(0.5) - np.arctanh(0.9455)) / np.sqrt(
        (1 + 0.5**2 / 2) / 6 + (1 + 0.9455**2 / 2) / 18
    )
    for kind, z in (("linear", linear), ("rank", rank)):
        name = f"ROAR against attack strength, xent, L2 GX, {kind}"
        note = row(found, "correlations", claim=name)["note"]
        assert note.startswith("9 networks")
        assert float(note.rsplit(" ", 1)[1]) == pytest.approx(2 * stats.norm.cdf(z), rel=0.05)


def sizes(
    ours: float, papers: float, n: int, trials: int, rng: np.random.Generator, *, rank: bool
) -> list[str]:
    """Outcomes for normal samples of n networks here and of the paper's 21."""
    first = samples(ours, n, trials, rng, rank=rank)
    second = samples(papers, reference.SERIES_NETWORKS, trials, rng, rank=rank)
    return [
        claim.correlation_size(
            comparisons.correlations(a, n, b, reference.SERIES_NETWORKS, rank=rank),
            CORRELATION_MARGIN,
        )
        for a, b in zip(first, second, strict=True)
    ]


@pytest.mark.parametrize("rank", [False, True])
@pytest.mark.parametrize("n", [5, 9, 21])
def test_size_of_a_correlation_is_seldom_wrong(n, rank):
    """Of equal correlations at most 5 of 100 are `no`; at the margin, at most 5 `yes`."""
    rng, trials = np.random.default_rng(7), 1500
    for rho in (0.0, 0.6, 0.9, 0.98):
        found = sizes(rho, rho, n, trials, rng, rank=rank)
        assert found.count(NO) <= at_most(0.05, trials), rho
    for ours, papers in ((0.75, 0.95), (0.95, 0.75), (-0.1, 0.1)):
        found = sizes(ours, papers, n, trials, rng, rank=rank)
        assert found.count(YES) <= at_most(0.05, trials), ours
    # power: reversed signs differ; 21 strong correlations on either side are equal
    assert sizes(-0.9, 0.9, n, trials, rng, rank=rank).count(NO) > 0.9 * trials
    if n == reference.SERIES_NETWORKS:
        assert sizes(0.98, 0.98, n, trials, rng, rank=rank).count(YES) > 0.85 * trials


def generated(sign: float, rng: np.random.Generator) -> runs.Run:
    """Series of 21 networks that rise and fall with strength as the paper's, or (-1) reversed.

    A score is a line in strength with noise, such that the two are correlated as the paper prints.
    """
    tree, strength = REFERENCE["correlations"], np.linspace(0, 1, reference.SERIES_NETWORKS)
    rows = []
    for mode, loss in itertools.product(tree, ("xent", "cw")):
        for series, (rho, _) in tree[mode]["strength"][loss].items():
            norm, short = series.split("_")
            noise = np.std(strength) * np.sqrt(1 / rho**2 - 1)
            score = sign * np.sign(rho) * strength + noise * rng.standard_normal(len(strength))
            accuracy = -strength + 0.01 * rng.standard_normal(len(strength))
            for against, x in (("strength", strength), ("test_accuracy", accuracy)):
                about = {"score": f"{mode}_{SHORT[short]}", "against": against}
                about |= {"norm": norm, "loss": loss}
                rows.append(about | statistics.correlation(x, score)._asdict())
    return made_up(
        "paper-cifar10", retraining=retrained("paper-cifar10"), correlations=pd.DataFrame(rows)
    )


def test_generated_runs_like_the_paper_s_and_reversed():
    rng = np.random.default_rng(8)
    like, reverse = (
        pd.concat(pd.DataFrame(correlations([generated(sign, rng)])) for _ in range(8))
        for sign in (1, -1)
    )
    like, reverse = like[like["counted"]], reverse[reverse["counted"]]
    assert len(like) == 8 * 16
    assert (like["size"] == NO).sum() <= at_most(0.05, len(like))
    assert (like["direction"] == NO).sum() <= at_most(0.025, len(like))
    assert (like.loc[like["part"] == "ROAR", "direction"] == YES).all()
    assert (reverse.loc[reverse["part"] == "ROAR", ["direction", "size"]] == NO).all(axis=None)


def test_series_are_counted_once():
    """64 lines: two modes, in each eight series of four lines."""
    found = claims.compare([])
    lines = found[found["group"] == "correlations"]
    assert lines.groupby("part").size().to_dict() == {"ROAR": 32, "KAR": 32}
    assert lines.groupby("series").size().tolist() == [4] * 16
    counted = lines[lines["counted"]]
    assert counted["series"].is_unique
    assert len(counted) == 16
    assert counted["claim"].str.contains("attack strength").all()
    assert counted["claim"].str.endswith(", rank").all()
    order = found[found["group"] == "manifold order"]
    assert order.groupby("series").size().tolist() == [2] * 12
    assert order[order["counted"]]["claim"].str.contains("attack xent").all()


def test_counts_of_outcomes():
    """Two series of two lines, one of which disagrees, and a claim that stands alone."""
    about = {"group": "tilt", "data": "", "claim": "", "paper": ""}
    rows = [
        claim.Claim(**about, direction=YES, size=NONE, part="A", series="1"),
        claim.Claim(**about, direction=NO, size=NONE, part="A", series="1", counted=False),
        claim.Claim(**about, direction=NO, size=NONE, part="A", series="2"),
        claim.Claim(**about, direction=NO, size=NONE, part="A", series="2", counted=False),
        claim.Claim(**about, direction=UNCLEAR, size=NONE, part="B"),
    ]
    lines = tables.counts(pd.DataFrame(rows), {"tilt": "Tilt"}).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells == [
        ["Tilt: A", "direction", "4", "2", "1", "0", "1", "0", "1"],
        ["Tilt: B", "direction", "1", "1", "0", "1", "0", "0", ""],
    ]


ORDERED = {("none", 0.0): 8.0, ("l2", 0.5): 7.0, ("l2", 1.0): 6.0, ("l2", 2.0): 5.0}
FIVE = ORDERED | {("l2", 4.0): 4.0}
PANEL = {"data": "mnist", "claim": "panel L2-xent, attack xent"}


@pytest.mark.parametrize(
    ("means", "options", "outcome", "note"),
    [
        (ORDERED, {"seeds": 2}, YES, "2 of 2 seeds: yes, p = 0.0017; all images: yes"),
        (ORDERED, {}, UNCLEAR, "1 of 1 seeds: unclear, p = 0.042"),  # one of 24 orders
        (FIVE, {}, YES, "1 of 1 seeds: yes, p = 0.0083"),  # of 120
        (dict(zip(ORDERED, (5, 6, 7, 8), strict=True)), {"seeds": 2}, NO, "no, p = 1"),
        # one seed has no steps to test
        (dict(zip(FIVE, (4, 5, 6, 7, 8), strict=True)), {}, NO, "1 of 1 seeds: no, p = 1"),
        # falls, but rises again in every seed
        (ORDERED | {("l2", 2.0): 6.5}, {"seeds": 4, "scatter": 0.02}, NO, "4 of 4 seeds: no"),
        (ORDERED | {("l2", 2.0): 6.5}, {}, UNCLEAR, "1 of 1 seeds: unclear, p = 0.17"),
        (ORDERED, {"kept": 29, "seeds": 2}, UNCLEAR, "fewer than 30 kept"),
        (ORDERED, {"kept": 29, "seeds": 2}, UNCLEAR, "all images: yes, p = 0.0017"),
    ],
)
def test_order_of_the_distances(means, options, outcome, note):
    compared = row(in_order(distances(means, **options)), "manifold order", **PANEL)
    assert compared["direction"] == outcome
    assert compared["size"] == NONE
    assert note in compared["note"]


SCATTER = {
    "normal": np.random.Generator.standard_normal,
    "heavy-tailed": lambda rng, size: rng.standard_t(3, size),
    "skewed": np.random.Generator.standard_exponential,
}


def orders(
    scatter: str, seeds: int, k: int, fall: float, trials: int, rng: np.random.Generator
) -> list[str]:
    """Outcomes for networks that fall with every step and scatter, from seeds that differ too."""
    draw, steps = SCATTER[scatter], fall * np.arange(k)
    return [
        claim.order(draw(rng, (seeds, k)) + draw(rng, (seeds, 1)) - steps)[0] for _ in range(trials)
    ]


@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("k", [4, 5])
def test_order_is_seldom_wrong(seeds, k):
    """Without a difference at most 5 of 100 are `no` and 5 `yes`, however the networks scatter."""
    rng, trials = np.random.default_rng(9), 500
    for scatter in SCATTER:
        found = orders(scatter, seeds, k, 0, trials, rng)
        assert found.count(NO) <= at_most(0.05, trials)
        assert found.count(YES) <= at_most(0.05, trials)


@pytest.mark.parametrize(("seeds", "share"), [(1, 0.5), (3, 0.95), (5, 0.95)])
def test_a_clear_fall_is_found(seeds, share):
    """Five networks, each step two standard deviations of a network's scatter."""
    found = orders("normal", seeds, 5, 2, 200, np.random.default_rng(10))
    assert found.count(YES) > share * 200
    assert NO not in found


def test_order_is_that_of_the_kept_examples():
    """The others rise by more than the kept ones fall."""
    table = distances(ORDERED, seeds=2, kept=100)
    table["adversarial_distance"] += np.where(table["kept"], 0, 8 * table["epsilon"])
    compared = row(in_order(table), "manifold order", **PANEL)
    assert compared["direction"] == YES
    assert "all images: no" in compared["note"]


def test_networks_that_scatter_are_not_taken_for_an_order():
    """Equal but for their scatter: image by image, most panels would be a significant rise."""
    even = dict.fromkeys(ORDERED, 6.0)
    found = [
        row(
            in_order(distances(even, seeds=3, scatter=0.5, n=60, kept=60)),
            "manifold order",
            **PANEL,
        )
        for _ in range(20)
    ]
    outcomes = [compared["direction"] for compared in found]
    assert outcomes.count(NO) <= at_most(0.05, 20)
    assert outcomes.count(YES) <= at_most(0.05, 20)


def test_distances_are_scaled_by_the_clean_ones_and_other_panels_are_not_run():
    found = in_order(distances(ORDERED, spread=0.001))
    compared = row(found, "manifold order", **PANEL)
    assert compared["ours"] == "0.800 → 0.700 → 0.600 → 0.500; falls by 0.300"
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


@pytest.mark.parametrize(
    ("preset", "ours", "half", "outcome"),
    [
        # the paper's .63, a margin of .1 and a slack of .02
        ("paper-mnist", 0.64, 0.04, YES),  # .01 + .057 + .02
        ("paper-mnist", 0.66, 0.04, UNCLEAR),
        ("paper-mnist", 0.73, 0.06, UNCLEAR),  # .1 - .085 - .02
        ("paper-mnist", 0.76, 0.06, NO),
        # .115, a margin of .02 and a slack of .014
        ("paper-cifar10", 0.116, 0.002, YES),  # .001 + .0028 + .014
        ("paper-cifar10", 0.125, 0.005, UNCLEAR),  # .01 - .007 - .014
        ("paper-cifar10", 0.15, 0.005, NO),
    ],
)
def test_peaks_have_their_figure_s_slack_and_margin(preset, ours, half, outcome, monkeypatch):
    """The paper's peak is taken to scatter as ours; clean distances are from 0 to 10."""
    peak = statistics.Estimate(10 * ours, 10 * (ours - half), 10 * (ours + half), 200)
    monkeypatch.setattr(densities, "peak", lambda values: peak)
    run = made_up(preset, manifold=distances({("none", 0.0): 6.0}))
    found = pd.DataFrame(manifold_claims.peaks([run]))
    about = {"data": preset.removeprefix("paper-"), "claim": "panel L2-xent: peak of standard"}
    assert row(found, "manifold peaks", **about)["size"] == outcome


def calibrated(**models: tuple[float, float, float]) -> pd.DataFrame:
    """A calibration table: each model's error and its rank correlations for two blurs."""
    return pd.DataFrame(
        {"manifold": name, "mean_squared_error": error, "blur": blur, "spearman": rho}
        for name, (error, *rhos) in models.items()
        for blur, rho in zip((0.0, 2.0), rhos, strict=True)
    )


def by_several(**orders: dict[tuple[str, float], float]) -> pd.DataFrame:
    """The table of distances by further manifold models, each with means of its own."""
    parts = (distances(means, seeds=2).assign(manifold=name) for name, means in orders.items())
    return pd.concat(parts, ignore_index=True)


RISING = dict(zip(ORDERED, (5.0, 6.0, 7.0, 8.0), strict=True))


@pytest.mark.parametrize(
    ("models", "outcome", "note"),
    [
        # the lowest error decides, of the nearest codes, whose distances rise
        (
            {"encoder": (0.02, 1, 1), "optimised": (0.005, 1, 0.9), "pca": (0.01, 1, 1)},
            NO,
            "judged by the VAE-GAN's nearest code",
        ),
        # not calibrated for smooth directions: the PCA, whose distances fall
        (
            {"encoder": (0.02, 1, 1), "optimised": (0.005, 1, 0.89), "pca": (0.01, 1, 1)},
            YES,
            "judged by the PCA (error on held-out images and calibration: the VAE-GAN's encoder"
            " 0.0200 and 1.00, the VAE-GAN's nearest code 0.0050 and 0.89, the PCA 0.0100 and"
            " 1.00)",
        ),
        (
            {"encoder": (0.002, 1, 1), "optimised": (0.005, NAN, 1), "pca": (0.01, 1, 1)},
            UNCLEAR,
            "judged by the VAE-GAN's encoder",
        ),
        (
            {"encoder": (0.01, 0.8, 1), "optimised": (0.02, NAN, 1), "pca": (0.02, 1, 0.5)},
            UNCLEAR,
            "no manifold model is calibrated (error on held-out images and calibration: the"
            " VAE-GAN's encoder 0.0100 and 0.80",
        ),
    ],
)
def test_the_order_is_judged_by_the_better_manifold(models, outcome, note):
    """Each model's distances have an order of their own; one seed of the encoder's tells none."""
    run = made_up(
        "paper-mnist",
        manifold=distances(ORDERED),
        off_manifold=by_several(optimised=RISING, pca=ORDERED),
        calibration=calibrated(**models),
    )
    found = pd.DataFrame(manifold_claims.order([run]))
    compared = row(found, "manifold order", **PANEL)
    assert compared["direction"] == outcome
    assert note in compared["note"]


def test_without_a_calibrated_manifold_the_order_is_unclear_however_clear_it_is():
    table = distances(ORDERED, seeds=2)
    run = made_up("paper-mnist", manifold=table, calibration=calibrated(encoder=(0.01, 0.95, 0.85)))
    compared = row(pd.DataFrame(manifold_claims.order([run])), "manifold order", **PANEL)
    assert compared["direction"] == UNCLEAR
    assert "2 of 2 seeds: yes, p = 0.0017" in compared["note"], "its order is told all the same"
    assert row(in_order(table), "manifold order", **PANEL)["direction"] == YES
    assert row(in_order(table), "manifold order", **PANEL)["note"].endswith(
        "; by the VAE-GAN's encoder, not calibrated"
    )


def test_a_manifold_without_distances_does_not_judge():
    """Calibrated and better, but the run did not measure distances to it."""
    models = calibrated(encoder=(0.02, 0.95, 0.92), optimised=(0.005, 1, 1), pca=(0.01, 1, 1))
    run = made_up("paper-mnist", manifold=distances(ORDERED), calibration=models)
    assert manifold_claims.judge(run).manifold == "encoder"
    only_pca = made_up(
        "paper-mnist",
        manifold=distances(ORDERED),
        calibration=models,
        off_manifold=by_several(pca=ORDERED),
    )
    assert manifold_claims.judge(only_pca).manifold == "pca"


def test_peaks_stay_the_encoder_s_and_say_so():
    models = calibrated(encoder=(0.02, 0.95, 0.5), pca=(0.01, 1, 1))
    alone = {"manifold": distances({("none", 0.0): 6.3})}
    beside = {"calibration": models, "off_manifold": by_several(pca={("none", 0.0): 1.0})}
    peaks = [
        row(
            pd.DataFrame(manifold_claims.peaks([made_up("paper-mnist", **given)])),
            "manifold peaks",
            data="mnist",
            claim="panel L2-xent: peak of standard",
        )
        for given in (alone, alone | beside)
    ]
    assert peaks[0]["value"] == peaks[1]["value"]
    assert peaks[1]["note"].endswith("; by the VAE-GAN's encoder, calibration 0.50")


def test_a_fall_s_interval_is_over_seeds():
    """Falls of 3.3, 3 and 2.7 on a scale of 10: .3 -+ 4.303 * .03 / sqrt(3)."""
    parts = [distances({("none", 0.0): 8.0, ("l2", 1.0): 8.0 - f}, spread=0) for f in (3.3, 3, 2.7)]
    table = pd.concat(part.assign(seed=seed) for seed, part in enumerate(parts))
    compared = row(in_order(table), "manifold order", **PANEL)
    assert compared["ours"] == "0.800 → 0.500; falls by 0.300 [0.225, 0.375]"


def test_peaks_of_several_networks_have_an_interval_over_networks():
    means = {("none", 0.0): 6.3, ("l2", 1.0): 5.0}
    for seeds, over in ((1, "over 500 images of one network"), (4, "over 4 networks")):
        table = distances(means, seeds=seeds, scatter=0.5, n=500, kept=500)
        run = made_up("paper-mnist", manifold=table)
        found = pd.DataFrame(manifold_claims.peaks([run]))
        test = row(found, "manifold peaks", data="mnist", claim="panel L2-xent: peak of test")
        network = row(found, "manifold peaks", data="mnist", claim="panel L2-xent: peak of L2 2")
        assert test["note"] == "over 500 images; by the VAE-GAN's encoder, not calibrated"
        assert network["note"] == f"{over}; by the VAE-GAN's encoder, not calibrated"
        # images: .02 / sqrt(500) of the density; networks: .05 besides
        assert (network["high"] - network["low"] > 0.03) == (seeds > 1)


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
            score("standard", "none", 0, "kar_gradient_input", 0.018, 0.0066),
            score("standard", "none", 0, "kar_gradient", 0.0, 0.001),
            score("l2-0.8", "l2", 0.8, "roar_gradient", 0.056, 0.0066),
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
    # about .008 and .066: a difference of .01, intervals of .0066 on either side, and the slack
    assert outcomes("scores", "KAR GX, standard") == (YES, UNCLEAR)
    assert outcomes("scores", "ROAR G, strongest L2") == (YES, UNCLEAR)
    assert outcomes("scores", "KAR G, standard") == (UNCLEAR, YES)  # about -.005
    assert outcomes("scores", "ROAR GX, standard") == (NOT_RUN, NOT_RUN)


def test_accuracies_read_off_a_figure_have_slack():
    """About .6: .045 below, with intervals of .0096 and .04, and .0064 of slack."""
    table = pd.DataFrame(
        [
            score("standard", "none", 0, "test_accuracy", 0.6916, 0.04),
            score("linf-0.02", "linf", 0.02, "test_accuracy", 0.555, 0.04),
        ]
    )
    run = made_up("paper-cifar10", retraining=retrained("paper-cifar10"), scores=table)
    found = claims.compare([run])
    linf = row(found, "accuracy", claim="test accuracy, strongest Linf")
    standard = row(found, "accuracy", claim="test accuracy, standard")
    assert linf["size"] == UNCLEAR
    assert standard["size"] == NO  # the same, but .7366 is printed


def test_only_networks_trained_as_the_paper_s_count_as_such():
    table = retrained("paper-cifar10")
    assert published(retraining=table).of_the_paper("retraining") == (81, 81)
    plain = made_up("paper-cifar10", retraining=table)
    assert plain.of_the_paper("retraining") == (0, 81), "without what the published code did"
    fewer = published(
        "grid.0.epsilons=[0.04, 0.2, 0.8]",
        "grid.1.epsilons=[0.02]",
        retraining=table,
    )
    assert fewer.of_the_paper("retraining") == (1 + 2 * 4, 81)
    assert fewer.scale("retraining") == "paper, 9 of 81 networks"
    assert published("training.epochs=19", retraining=table).of_the_paper("retraining") == (0, 81)
    assert published("vae_gan.epochs=1", retraining=table).of_the_paper("retraining") == (81, 81)
    assert published("vae_gan.epochs=1").of_the_paper("manifold") == (0, 13)
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


def test_report_on_the_tables_in_the_repository():
    """The committed tables of reduced CIFAR-10: an outcome for every line of the loss it has."""
    folder = ROOT / "docs" / "results" / "reduced-cifar10"
    read = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    run = runs.Run(folder, configuration.resolve("reduced-cifar10", None, []), read)
    found = claims.compare([run])
    lines = found[found["group"] == "correlations"]
    assert len(lines) == 64
    outcomes = lines.set_index("claim")[["direction", "size"]]
    of_xent = outcomes.index.str.contains(", xent,")
    assert not outcomes[of_xent].isin([NOT_RUN, NONE]).any(axis=None)
    assert (outcomes[~of_xent] == NOT_RUN).all(axis=None)
    text = report.text([run], found, Path("paper.md"))
    summary = next(line for line in text.splitlines() if "(section 3.3): ROAR" in line)
    cells = [cell.strip() for cell in summary.strip("|").split("|")]
    assert cells[1:4] == ["direction", "32", "8"]
    assert sum(int(cell) for cell in cells[4:8]) == 8
    assert "ROAR against attack strength, xent, L2 GX, rank" in text


def in_folder(run: runs.Run, folder: Path) -> Path:
    """What `publish` leaves of a run: its configuration, and its tables but those of images."""
    folder.mkdir()
    (folder / "config.toml").write_text(configuration.dumps(run.config))
    for name, table in run.tables.items():
        if name not in ("manifold", "off_manifold"):
            table.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_published_tables_decide_as_the_run_does(tmp_path):
    run = made_up(
        "paper-mnist",
        manifold=distances(ORDERED, seeds=3, scatter=0.1),
        off_manifold=by_several(pca=ORDERED),
        calibration=calibrated(encoder=(0.01, 0.95, 0.95), pca=(0.005, 0.95, 0.95)),
    )
    folder = in_folder(run, tmp_path / "published")
    found, expected = claims.compare(runs.read([folder])), claims.compare([run])
    pd.testing.assert_frame_equal(found, expected)
    assert (found["direction"] == YES).any()
    (folder / "distances.csv").unlink()
    with pytest.raises(InputError, match="no table of distances"):
        runs.read([folder])


def test_distances_of_networks_are_those_of_their_images():
    """By loops, and on the common scale of the paper's densities."""
    table = distances(ORDERED, seeds=2, scatter=0.5, kept=150)
    found = of_networks(table, by_several(pca=ORDERED))
    assert set(found["manifold"]) == {"encoder", "pca"}
    assert len(found) == 2 * 2 * len(ORDERED)
    clean = table["clean_distance"].to_numpy()
    for one in found[found["manifold"] == "encoder"].itertuples():
        images = table[(table["network"] == one.network) & (table["seed"] == one.seed)]
        kept = images[images["kept"]]["adversarial_distance"].to_numpy()
        assert (one.images, one.kept) == (200, 150)
        assert one.kept_adversarial == pytest.approx(kept.mean())
        assert one.adversarial == pytest.approx(images["adversarial_distance"].mean())
        peak = densities.peak(densities.scaled(kept, clean))
        places = np.array([one.kept_peak, one.kept_peak_low, one.kept_peak_high])
        assert densities.scaled(places, clean) == pytest.approx(peak[:3])
        assert np.isnan(one.clean_peak) == (one.norm != "none")
        assert one.farther_under_noise == (clean[:200] < 9).mean()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(InputError, match="No finished run"):
        runs.read([tmp_path])


def print_rates(trials: int = 4000) -> None:
    """Prints how often the rules answer what: the numbers in `docs/protocol.md`."""
    rng = np.random.default_rng(0)

    def shares(found: list[str]) -> str:
        return "  ".join(f"{o} {found.count(o) / trials:.3f}" for o in (YES, UNCLEAR, NO))

    pairs = ((0, 0), (0.6, 0.6), (0.9, 0.9), (0.95, 0.95), (0.98, 0.98))
    pairs += ((0.75, 0.95), (0.5, 0.95), (-0.9, 0.9))
    for n, (ours, papers), rank in itertools.product((5, 9, 21), pairs, (False, True)):
        found = sizes(ours, papers, n, trials, rng, rank=rank)
        print(
            f"{n:2} networks, {'rank' if rank else 'linear':6} {ours} and {papers}:", shares(found)
        )
    for scatter, k, seeds, fall in itertools.product(SCATTER, (4, 5), (1, 2, 3, 5), (0, 1, 2)):
        found = orders(scatter, seeds, k, fall, trials, rng)
        print(f"{k} networks from {seeds} seeds, {scatter}, step {fall}:", shares(found))


if __name__ == "__main__":
    print_rates()
