"""Rank agreement of scores with the truth, on made-up tables whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pellucid.benchmark.data import datasets, tetrominoes
from pellucid.benchmark.results import trust
from pellucid.benchmark.results.figures import trust as figure
from pellucid.benchmark.units import configuration, plan
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.outcomes import Score

CELLS, NETWORKS, ATTRIBUTIONS = trust.OVER
MAPS = ["gradient", "gradient_input", "integrated_gradients", "smoothgrad", "vargrad"]


def table(values: np.ndarray, names=MAPS) -> trust.Table:
    """A made-up score's values as `trust.trust` takes them."""
    return {
        f"network {i}": dict(zip(names, map(float, row), strict=True))
        for i, row in enumerate(values)
    }


def crossed(rng, networks: int, maps: int, row: float, column: float, cell: float) -> np.ndarray:
    """Values whose networks, attributions and cells differ by normal numbers of these widths."""
    return (
        row * rng.normal(size=(networks, 1))
        + column * rng.normal(size=(1, maps))
        + cell * rng.normal(size=(networks, maps))
    )


def found(scores: dict, truths: dict, **options) -> pd.DataFrame:
    options = {"seed": 0} | options
    return trust.trust(scores, truths, **options).set_index(["score", "truth", "over"])


@pytest.mark.parametrize("over", trust.OVER)
def test_rho_is_spearmans(over):
    """Against SciPy, ties included: all cells; the mean over columns; the mean over rows."""
    rng = np.random.default_rng(0)
    score, truth = rng.integers(0, 6, (2, 7, 5)).astype(float)
    pairs = {
        CELLS: [(score.ravel(), truth.ravel())],
        NETWORKS: list(zip(score.T, truth.T, strict=True)),
        ATTRIBUTIONS: list(zip(score, truth, strict=True)),
    }[over]
    expected = np.mean([stats.spearmanr(a, b).statistic for a, b in pairs])
    assert trust.agreement(score, truth, over).value == pytest.approx(expected, abs=1e-12)


def test_a_perfect_score_a_reversed_one_and_one_of_which_less_is_better():
    truth = crossed(np.random.default_rng(1), 6, 5, 1, 1, 0.5)
    scores = {
        "kar": table(np.exp(truth)),
        "roar": table(-truth),
        "log_ris": table(-truth),
        "infidelity": table(truth),
    }
    rows = found(scores, {"precision": table(truth)})
    for over in trust.OVER:
        for score, sign in {"kar": 1, "roar": -1, "log_ris": 1, "infidelity": -1}.items():
            row = rows.loc[score, "precision", over]
            assert row["rho"] == pytest.approx(sign)
            assert row["low"] * sign > 0, "six networks and five attributions tell it from chance"
            assert row["high"] * sign > 0
    assert rows["better"]["kar", "precision", CELLS] == "higher"
    assert rows["better"]["log_ris", "precision", CELLS] == "lower"
    assert rows["cells"].eq(30).all()


@pytest.mark.parametrize(("row", "column", "cell"), [(0, 0, 1), (1, 0, 0.1), (0, 1, 0.1)])
def test_intervals_of_scores_that_know_nothing_hold_0(row, column, cell, monkeypatch):
    """95 of 100, also where a network's cells, or an attribution's, are nearly the same."""
    monkeypatch.setattr(trust, "PERMUTATIONS", 400)
    rng, runs = np.random.default_rng(2), 400
    inside = dict.fromkeys(trust.OVER, 0)
    for number in range(runs):
        truth = crossed(rng, 7, 6, 1, 1, 0.5)
        score = crossed(rng, 7, 6, row, column, cell)
        for over in trust.OVER:
            estimate = trust.agreement(score, truth, over, seed=number)
            inside[over] += estimate.low <= 0 <= estimate.high
    margin = 4 * np.sqrt(0.95 * 0.05 / runs)
    for over, count in inside.items():
        assert abs(count / runs - 0.95) < margin, over


def test_intervals_of_scores_that_know_something_hold_the_populations_rho(monkeypatch):
    """Normal with correlation r, network, attribution and cell alike: rho = 6 / pi asin(r / 2)."""
    monkeypatch.setattr(trust, "PERMUTATIONS", 400)
    rng, runs, r = np.random.default_rng(3), 300, 0.7
    inside = dict.fromkeys(trust.OVER, 0)
    for number in range(runs):
        truth, other = crossed(rng, 9, 7, 1, 1, 0.5), crossed(rng, 9, 7, 1, 1, 0.5)
        for over in trust.OVER:
            score = r * truth + np.sqrt(1 - r**2) * other
            estimate = trust.agreement(score, truth, over, seed=number)
            inside[over] += estimate.low <= 6 / np.pi * np.arcsin(r / 2) <= estimate.high
    assert all(0.87 < count / runs < 0.99 for count in inside.values()), inside


def test_the_random_row_is_another_one_for_every_seed_and_knows_nothing():
    truth = {"precision": table(crossed(np.random.default_rng(4), 7, 5, 1, 1, 0.5))}
    rhos = [found({}, truth, seed=seed).loc["random", "precision", CELLS] for seed in range(60)]
    values = np.array([row["rho"] for row in rhos])
    assert len(np.unique(values)) == 60
    assert abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(60)
    assert sum(row["low"] <= 0 <= row["high"] for row in rhos) >= 50


def test_four_attributions_in_one_order_cannot_be_told_from_chance():
    """Two of their 24 orders agree as much; of five, two of 120."""
    for count, told in ((4, False), (5, True)):
        values = np.tile(np.arange(count, dtype=float), (6, 1))
        estimate = trust.agreement(values, values, ATTRIBUTIONS)
        assert estimate.value == pytest.approx(1)
        assert (estimate.low > 0) is told
    assert trust.agreement(values.T, values.T, NETWORKS).low > 0


def test_scores_of_networks_alone_have_no_rho_over_attributions():
    truth = np.repeat(np.arange(6.0)[:, None], 5, axis=1) + np.arange(5) / 10
    alone = {f"network {i}": {"": float(i)} for i in range(6)}
    rows = found({"alignment": alone}, {"mass_share": table(truth)}).loc["alignment", "mass_share"]
    assert np.isnan(rows.loc[ATTRIBUTIONS, ["rho", "low", "high"]].to_numpy(float)).all()
    assert rows.loc[NETWORKS, "rho"] == pytest.approx(1)
    expected = stats.spearmanr(np.repeat(np.arange(6), 5), truth.ravel()).statistic
    assert rows.loc[CELLS, "rho"] == pytest.approx(expected)


def test_networks_that_are_left_out_or_not_scored_are_not_ranked():
    """Without the sixth network the score is perfect."""
    truth = crossed(np.random.default_rng(5), 6, 5, 1, 1, 0.5)
    score = truth.copy()
    score[5] = -100
    options = {"left_out": ["network 5"]}
    rows = found({"kar": table(score)}, {"precision": table(truth)}, **options)
    assert rows["rho"]["kar", "precision", CELLS] == pytest.approx(1)
    assert rows["networks"].eq(5).all()
    assert rows["left_out"].eq("network 5").all()
    some = {name: cells for name, cells in table(truth).items() if name != "network 2"}
    some["network 3"] = dict.fromkeys(MAPS, np.nan)
    one = {name: {"gradient": cells["gradient"]} for name, cells in table(truth).items()}
    rows = found({"kar": some, "road": one}, {"precision": table(truth)})
    assert rows["networks"]["kar", "precision", CELLS] == 4
    assert rows["attributions"]["road", "precision", CELLS] == 1
    assert np.isnan(rows["rho"]["road", "precision", ATTRIBUTIONS])


def test_joined_by_hand():
    """Rhos .4, .5 and .6 of three data sets: mean .5, Student's interval; NaN is left out."""
    one = pd.DataFrame(
        {
            "score": ["kar", "alignment"],
            "better": "higher",
            "truth": "precision",
            "over": CELLS,
            "cells": [30, 30],
        }
    )
    rhos = ((0.4, np.nan), (0.5, np.nan), (0.6, 0.5))
    joined = trust.join(one.assign(rho=pair) for pair in rhos).set_index("score")
    kar, alignment = joined.loc["kar"], joined.loc["alignment"]
    half = stats.t.ppf(0.975, 2) * np.std([0.4, 0.5, 0.6], ddof=1) / np.sqrt(3)
    assert kar[["rho", "low", "high"]].tolist() == pytest.approx([0.5, 0.5 - half, 0.5 + half])
    assert kar[["sets", "cells"]].tolist() == [3, 90]
    assert alignment[["sets", "cells", "rho"]].tolist() == [1, 30, 0.5]
    assert np.isnan(alignment["low"])
    wide = trust.join(one.assign(rho=rho) for rho in (-0.9, 0.9)).set_index("score").loc["kar"]
    assert wide[["rho", "low", "high"]].tolist() == [0, -1, 1]


AGAINST_MANIFOLD = ("manifold_excess_over_noise", "tangent_fraction")


@pytest.fixture(scope="module")
def work() -> plan.Plan:
    setting = "data.name=xai_tris_translations_rotations_white"
    config = configuration.resolve("ground-truth", None, [setting])
    return plan.build(config, datasets.describe(config.data.name))


def run_of(
    work: plan.Plan, collapsed: str, untouched: float = 0.9, pca_error: float = 0.2
) -> Finished:
    """A made-up run: the strength is the truth, gini its opposite, kar the truth in both seeds."""
    measures, accuracy, scores, contributions = [], [], [], {"none": {}}
    rng = np.random.default_rng(6)
    for network in work.networks:
        strength = work.columns(network)["strength"] + network.epsilon
        added = {}
        for i, name in enumerate(MAPS):
            value = strength + i / 100
            parts = np.zeros((2, 1, 3, 4)) + value / 3  # summed over fractions: the value
            noise = rng.normal()  # the seeds differ, their mean is the value
            parts[0] += noise
            parts[1] -= noise
            added |= {
                Score("kar", name): parts,
                Score("kar", name, "shuffled_within"): -parts,
                Score("specific_kar", name, "shuffled_within"): parts,
                Score("leak", name): parts,
            }
            for seed in (0, 1):
                about = {"network": network.label, "seed": seed, "attribution": name}
                for measure, mean in (("gini", -value), ("precision", value)):
                    measures.append(
                        about | {"measure": measure, "mean": mean + noise * (-1) ** seed}
                    )
                if i == 0:
                    measures.append(about | {"measure": "alignment", "mean": strength})
        for name, value in {
            "tangent_fraction_decoder": strength,
            "manifold_xent_excess_over_noise": -strength,
            "tangent_fraction_pca": -strength,
            "manifold_xent_pca_excess_over_noise": strength,
            "manifold_xent_noise_excess": strength,  # of no network's maps
        }.items():
            scores.append({"network": network.label, "score": name, "value": value})
        contributions[network.label] = added
        for seed in (0, 1):
            low = network.label == collapsed and seed == 1
            accuracy.append(
                {"network": network.label, "measure": "test", "accuracy": 0.54 if low else 0.9}
            )
    own = {"attribution": "none", "control": "none", "accuracy": untouched}
    tables = {
        "measures": pd.DataFrame(measures),
        "accuracy": pd.DataFrame(accuracy),
        "scores": pd.DataFrame(scores),
        "retraining": pd.DataFrame([own]),
        "manifold_model": pd.DataFrame(
            {
                "measure": [f"{way}mean_squared_error" for way in ("", "pca_")],
                "value": [0.1, pca_error],
            }
        ),
    }
    return Finished(work, SimpleNamespace(), tables, {"contributions": contributions})


def test_of_a_run(work):
    """Every score of own maps, by its name without the attribution; collapsed networks go."""
    collapsed = work.networks[2].label
    rows = trust.of_run(run_of(work, collapsed)).set_index(["score", "truth", "over"])
    names = set(rows.index.get_level_values("score"))
    retrained = {"kar", "specific_kar-within", "leak"}
    assert names == {"gini", "alignment", *retrained, *AGAINST_MANIFOLD, "strength", "random"}
    assert rows["left_out"].eq(collapsed).all()
    assert rows["networks"].eq(len(work.networks) - 1).all()
    for name, rho in {"kar": 1, "specific_kar-within": 1, "gini": -1, "leak": -1}.items():
        assert rows["rho"][name, "precision", CELLS] == pytest.approx(rho), name
    for name in ("alignment", *AGAINST_MANIFOLD):
        assert rows["rho"][name, "precision", NETWORKS] == pytest.approx(1), name
    better = rows["better"].xs(("precision", NETWORKS), level=("truth", "over"))
    assert better[list(AGAINST_MANIFOLD)].tolist() == ["lower", "higher"]


@pytest.mark.parametrize(("pca_error", "rho"), [(0.2, 1), (0.1, -1), (0.05, -1)])
def test_the_manifold_model_that_is_nearer_to_test_images_is_asked(work, pca_error, rho):
    """Made up so that the one follows the truth, and the other is opposed to it."""
    rows = trust.of_run(run_of(work, "", pca_error=pca_error))
    rows = rows[rows["over"] == NETWORKS].set_index(["score", "truth"])["rho"]
    for name in AGAINST_MANIFOLD:
        assert rows[name, "precision"] == pytest.approx(rho), name


def test_scores_by_retraining_that_has_not_learned_are_left_out(work):
    names = set(trust.of_run(run_of(work, "", untouched=0.51))["score"])
    assert names == {"gini", "alignment", *AGAINST_MANIFOLD, "strength", "random"}


def test_a_run_without_truth_has_no_table(work):
    finished = run_of(work, "")
    measures = finished.tables["measures"]
    without = measures[measures["measure"] != "precision"]
    for some in (without, pd.DataFrame()):
        assert trust.of_run(Finished(work, None, finished.tables | {"measures": some})).empty


@pytest.mark.parametrize("name", tetrominoes.NAMES)
def test_the_preset_fits_every_set_of_xai_tris(name):
    config = configuration.resolve("ground-truth", None, [f"data.name={name}"])
    configuration.check_data(config, datasets.describe(name))


def test_figure(tmp_path, work):
    """The same bytes each time, of one run and of several."""
    one = trust.of_run(run_of(work, ""))
    for made in (one, trust.join([one, one])):
        drawn = [figure.trust(tmp_path / name, made, "a caption") for name in ("one", "two")]
        assert [path.name for path in drawn[0]] == ["trust.png", "trust.svg"]
        assert [p.read_bytes() for p in drawn[0]] == [p.read_bytes() for p in drawn[1]]
