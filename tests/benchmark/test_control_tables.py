"""The tables of a run with two seeds and every control, and the rule on made-up populations."""

import re

import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.results import controls, tables
from pellucid.benchmark.units import accuracy, configuration, plan, retrain
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.map_measures import CONTROLS_OF_MAPS
from pellucid.benchmark.units.orders import Order
from pellucid.benchmark.units.outcomes import Score
from pellucid.benchmark.units.store import Store
from pellucid.metrics import (
    ATTRIBUTIONS,
    CONTROLS,
    FILLS,
    hierarchical,
    statistics,
)
from tests.commands import TINY

SETTINGS = [
    "seeds=2",
    "training.epochs=8",
    "training.learning_rate=0.005",
    "grid=[{norm='l2', epsilons=[0.3, 0.6]}]",
    f"retraining.controls={list(CONTROLS)}",
    "retraining.fills=['mean', 'imputed']",
    "retraining.attributions=['gradient']",
    "retraining.epochs=3",
    "manifold.losses=['xent']",
    f"measures={{images=40, controls={list(CONTROLS_OF_MAPS)}}}",
    "pictures=0",
]


class Quiet:
    def __getattr__(self, name):
        return lambda *_: None


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Finished:
    data = datasets.load("digits", train_limit=300, test_limit=100)
    work = plan.build(configuration.resolve(None, TINY, SETTINGS), data.info)
    store = Store(tmp_path_factory.mktemp("tables"))
    runner.execute(work, set(), runner.threads(work, store, data, 2), Quiet())
    return tables.build(work, store)


def accuracies(finished: Finished, **which: object) -> np.ndarray:
    """Accuracies of the table, `(seeds * repeats, fractions)`."""
    rows = finished.tables["retraining"]
    for column, value in which.items():
        rows = rows[rows[column] == value]
    return rows.pivot(index=["seed", "repeat"], columns="fraction", values="accuracy").to_numpy()


def test_rises_are_least_squares_slopes_of_the_scores(finished):
    scores = finished.tables["scores"].set_index(["network", "score"])["value"]
    rises = finished.tables["rises"].set_index("score")
    for name in ("roar_gradient", "specific_kar_gradient-within-imputed", "diffroar_gradient"):
        values = [scores[label, name] for label in ("standard", "l2-0.3-xent", "l2-0.6-xent")]
        assert rises.loc[name, "rise"] == pytest.approx(np.polyfit([0, 0.5, 1], values, 1)[0])
        assert rises.loc[name, "rise_low"] < rises.loc[name, "rise"]
        assert rises.loc[name, "rise"] < rises.loc[name, "rise_high"]
    verdicts = finished.tables["verdicts"].drop_duplicates("score").set_index("score")
    for name, row in verdicts.loc[rises.index.intersection(verdicts.index)].iterrows():
        assert tuple(row[["rise", "rise_low", "rise_high"]]) == tuple(
            rises.loc[name, ["rise", "rise_low", "rise_high"]]
        )


def test_a_network_at_chance_in_any_seed_has_no_part_in_rises(finished):
    """Without it two networks are left, which have no rise."""
    accuracy = finished.tables["accuracy"].copy()
    one = (accuracy["network"] == "l2-0.6-xent") & (accuracy["seed"] == 1)
    accuracy.loc[one & (accuracy["measure"] == "test"), "accuracy"] = 0.1
    collapsed = Finished(
        finished.plan, finished.store, finished.tables | {"accuracy": accuracy}, finished._made
    )
    assert controls.at_chance(collapsed) == ["l2-0.6-xent"]
    assert controls.rises(collapsed).empty
    assert controls.verdicts(collapsed).empty
    assert not controls.rises(finished).empty


def test_a_network_at_chance_has_no_part_in_correlations(finished, monkeypatch):
    monkeypatch.setattr(controls, "at_chance", lambda finished: ["l2-0.6-xent"])
    without = tables.build(finished.plan, finished.store).tables
    assert set(without["correlations"]["n"]) == {2}
    assert finished.tables["correlations"]["n"].max() == 3
    assert "l2-0.6-xent" in set(without["scores"]["network"])


@pytest.mark.parametrize("network", ["standard", "l2-0.6-xent"])
@pytest.mark.parametrize("fill", ["mean", "imputed"])
def test_scores_follow_from_the_table_of_accuracies(finished, network, fill):
    """Fractions .3 and .7: both have the weight .35 of the trapezoid rule."""
    scores = finished.tables["scores"].query("network == @network").set_index("score")["value"]
    end = "" if fill == "mean" else "-imputed"

    def area(first: np.ndarray, second: np.ndarray) -> float:
        return 0.35 * (first.mean(0) - second.mean(0)).sum()

    def of(mode: str, control: str) -> np.ndarray:
        return accuracies(finished, network=network, mode=mode, control=control, fill=fill)

    def random(mode: str) -> np.ndarray:
        return accuracies(finished, attribution="random", mode=mode, fill=fill)

    assert scores[f"kar_gradient{end}"] == pytest.approx(
        area(of("kar", "own"), random("kar")), abs=1e-6
    )
    assert scores[f"roar_gradient{end}"] == pytest.approx(
        area(random("roar"), of("roar", "own")), abs=1e-6
    )
    assert scores[f"specific_kar_gradient-within{end}"] == pytest.approx(
        area(of("kar", "own"), of("kar", "shuffled_within")), abs=1e-6
    )
    assert scores[f"specific_roar_gradient{end}"] == pytest.approx(
        area(of("roar", "shuffled"), of("roar", "own")), abs=1e-6
    )
    assert scores[f"diffroar_gradient{end}"] == pytest.approx(
        area(of("kar", "own"), of("roar", "own")[:, ::-1]), abs=1e-6
    )
    if fill == "mean":
        assert scores["leak_gradient"] == pytest.approx(
            area(of("kar", "masks"), np.full((1, 2), 0.1)), abs=1e-6
        )
        assert scores["kar_gradient-masks"] == pytest.approx(
            area(of("kar", "masks"), random("kar")), abs=1e-6
        )
        assert scores["kar_gradient-blurred"] == pytest.approx(
            area(of("kar", "blurred"), random("kar")), abs=1e-6
        )


def test_draws_are_compared_in_pairs(finished):
    """The interval is that of differences of the same draw: seed s, repeat r with 2 s + r."""
    found = retrain.outcomes(finished)
    own = accuracies(finished, network="standard", mode="kar", control="own", fill="mean")
    random = accuracies(finished, attribution="random", mode="kar", fill="mean")
    per_seed = (0.35 * (own - random).sum(1)).reshape(2, 2).mean(1)
    score = Score("kar", "gradient")
    values = dict(retrain.contributions(found, "standard"))[score]
    np.testing.assert_allclose(values.sum(2).mean((1, 2)), per_seed, atol=1e-6)
    row = finished.tables["scores"].query("network == 'standard' and score == 'kar_gradient'")
    assert row["low"].iloc[0] == pytest.approx(hierarchical.mean(values).low)


def test_trainings_of_one_draw_start_alike(finished):
    rows = finished.tables["retraining"].query("attribution != 'none'").copy()
    free = rows["seed"] < 0
    rows["draw"] = np.where(free, rows["repeat"], 2 * rows["seed"] + rows["repeat"])
    seeds = rows.groupby(["fraction", "draw"])["training_seed"].unique()
    assert (seeds.map(len) == 1).all()
    assert len({found[0] for found in seeds}) == len(seeds) == 2 * 4


def test_accuracies_over_seeds_include_the_images(finished):
    units = finished.plan.of(accuracy.KIND)
    outcomes = [
        finished.store.values(u).outcomes("test") for u in units if u.network.label == "standard"
    ]
    scores = finished.tables["scores"].query("network == 'standard'").set_index("score")
    expected = hierarchical.mean(np.array(outcomes, float)[:, None, None, :])
    assert scores.loc["test_accuracy", "low"] == pytest.approx(expected.low)
    alone = statistics.mean(np.array([outcome.mean() for outcome in outcomes]))
    assert expected.high - expected.low != pytest.approx(alone.high - alone.low)
    assert set(scores.index) >= {"robust_accuracy", "pgd_accuracy", "noise_accuracy"}


def test_every_control_has_a_verdict_and_every_free_order_a_score(finished):
    verdicts, free = finished.tables["verdicts"], finished.tables["controls"]
    asked = {(row.score, row.control) for row in verdicts.itertuples()}
    of_network = {c.name for c in CONTROLS.values() if c.of_network}
    assert {control for score, control in asked if score == "kar_gradient"} == of_network
    assert {control for score, control in asked if score == "roar_gradient"} == of_network - {
        "masks"
    }
    assert {control for score, control in asked if score == "kar_gradient-imputed"} == {
        "shuffled",
        "shuffled_within",
    }
    for end in ("", "-imputed"):
        those = {c for score, c in asked if score == f"diffroar_gradient{end}"}
        assert those == {c for score, c in asked if score == f"roar_gradient{end}"}
    assert set(free["score"]) == {
        f"{mode}_{name}"
        for mode in ("roar", "kar", "diffroar")
        for name in ("gaussian", "sobel", "gradient-untrained")
    }
    scores = finished.tables["scores"].pivot(index="network", columns="score", values="value")
    row = verdicts.query("score == 'kar_gradient' and control == 'mean'").iloc[0]
    order = ["standard", "l2-0.3-xent", "l2-0.6-xent"]
    for column, name in (("rise", "kar_gradient"), ("control_rise", "kar_gradient-mean")):
        slope = np.polyfit([0, 0.5, 1], scores.loc[order, name], 1)[0]
        assert row[column] == pytest.approx(slope, abs=1e-6)


def test_measures_without_retraining_are_judged_too(finished):
    """By the same rule, less being better of some; their rises are slopes of their means."""
    verdicts = finished.tables["verdicts"]
    order = ["standard", "l2-0.3-xent", "l2-0.6-xent"]
    means = finished.tables["measures"].groupby(["measure", "network"])["mean"].mean()
    others = finished.tables["measure_controls"].groupby(["measure", "control", "network"])
    of_controls = others["mean"].mean()
    for measure, end, control in (
        ("road", "_gradient", "shuffled_within"),
        ("max_sensitivity", "_gradient", "blurred"),
        ("alignment", "", "shuffled"),
    ):
        of_score = verdicts[verdicts["score"] == measure + end]
        row = of_score[of_score["control"] == control].iloc[0]
        slope = np.polyfit([0, 0.5, 1], means[measure][order], 1)[0]
        assert row["rise"] == pytest.approx(slope, rel=1e-5)
        slope = np.polyfit([0, 0.5, 1], of_controls[measure, control][order], 1)[0]
        assert row["control_rise"] == pytest.approx(slope, rel=1e-5)
    matched = verdicts.query("score == 'gini_gradient' and control == 'blur_matched'").iloc[0]
    first = means["gini"]["standard"]
    rest = of_controls["gini", "blur_matched"]
    slope = np.polyfit([0, 0.5, 1], [first, *rest[order[1:]]], 1)[0]
    assert matched["control_rise"] == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize(("measure", "rise"), [("max_sensitivity", -0.3), ("road", 0.3)])
def test_what_is_better_when_it_is_lower_survives_by_falling(measure, rise):
    rng = np.random.default_rng(5)
    score, control = Score(measure, "gradient"), Score(measure, "gradient", "blurred")
    found = []
    for strength in STRENGTH:
        values = rise * strength + 0.01 * rng.normal(size=(3, 1, 1, 50))
        none = 0.01 * rng.normal(size=(3, 1, 1, 50))
        values[0, 0, 0, 0] = np.nan
        found.append({score: values, control: none})
    series = controls.Series("l2", "xent", found, controls.slope(STRENGTH))
    row = controls._verdict(series, score, control)
    assert row["verdict"] == controls.SURVIVES
    assert row["rise"] == pytest.approx(rise, abs=0.01)
    falling = [{k: -v for k, v in of.items()} for of in found]
    turned = controls._verdict(series._replace(found=falling), score, control)
    assert turned["verdict"] == controls.DOES_NOT


def test_of_one_seed_a_measure_cannot_be_told():
    """However clear it is: how much another training would change is not known."""
    score, control = Score("road", "gradient"), Score("road", "gradient", "blurred")
    rng = np.random.default_rng(6)
    found = [
        {score: strength + rng.normal(size=shape), control: rng.normal(size=shape)}
        for strength in 10 * STRENGTH
        for shape in [(1, 1, 1, 200)]
    ]
    series = controls.Series("l2", "xent", found, controls.slope(STRENGTH))
    row = controls._verdict(series, score, control)
    assert row["verdict"] == controls.UNCLEAR
    assert row["rise"] == pytest.approx(10, abs=1)
    assert np.isnan(row["rise_low"])


@pytest.mark.parametrize("control", ["mean", "shuffled_within"])
def test_diffroar_of_a_control_follows_from_the_table_of_accuracies(finished, control):
    row = (
        finished.tables["verdicts"]
        .query("score == 'diffroar_gradient' and control == @control")
        .iloc[0]
    )
    for column, maps in (("rise", "own"), ("control_rise", control)):
        areas = []
        for network in ("standard", "l2-0.3-xent", "l2-0.6-xent"):
            kept, removed = (
                accuracies(finished, network=network, mode=mode, control=maps, fill="mean")
                for mode in ("kar", "roar")
            )
            areas.append(0.35 * (kept - removed[:, ::-1]).mean(0).sum())
        assert row[column] == pytest.approx(np.polyfit([0, 0.5, 1], areas, 1)[0], abs=1e-6)


STRENGTH = np.linspace(0, 1, 5)
RUNS = 200


def verdicts_of(share: float, rise: float, seed: int) -> list[str]:
    """Of made-up networks, a control of which explains a share of the rise: 3 seeds, 2 repeats."""
    rng, weights = np.random.default_rng(seed), controls.slope(STRENGTH)
    found = []
    for _ in range(RUNS):
        networks, trainings = (5, 3, 1, 1, 1), (5, 3, 2, 1, 50)
        trend = rise * STRENGTH[:, None, None, None, None]
        own = trend + 0.01 * rng.normal(size=networks) + 0.05 * rng.normal(size=trainings)
        other = share * trend + 0.01 * rng.normal(size=networks) + 0.05 * rng.normal(size=trainings)
        rest = hierarchical.contrast(other - controls.HALF * own, weights)
        found.append(controls.outcome(hierarchical.contrast(own, weights), rest))
    return found


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, controls.SURVIVES), (1.0, controls.DOES_NOT)]
)
def test_the_rule_has_power(share, expected):
    """A clear rise of which a control explains nothing, or everything."""
    assert verdicts_of(share, 0.1, 0).count(expected) > 0.9 * RUNS


@pytest.mark.parametrize("share", [0.5, 0.7])
def test_the_rule_seldom_says_that_what_does_not_survive_does(share):
    assert verdicts_of(share, 0.1, 1).count(controls.SURVIVES) <= 0.05 * RUNS


def test_what_does_not_rise_does_not_survive():
    found = verdicts_of(0.0, 0.0, 2)
    assert found.count(controls.SURVIVES) <= 0.05 * RUNS
    assert verdicts_of(0.0, -0.1, 3).count(controls.DOES_NOT) > 0.9 * RUNS


def test_the_share_has_its_interval():
    """Fieller's interval of a known ratio holds it as often as it says."""
    rng, weights, held = np.random.default_rng(4), controls.slope(STRENGTH), 0
    for _ in range(RUNS):
        trend = 0.2 * STRENGTH[:, None, None, None, None]
        own, other = (
            part * trend
            + 0.01 * rng.normal(size=(5, 3, 1, 1, 1))
            + 0.05 * rng.normal(size=(5, 3, 2, 1, 50))
            for part in (1.0, 0.4)
        )
        found = hierarchical.ratio(other, own, weights)
        held += found.low <= 0.4 <= found.high
    assert 0.91 <= held / RUNS <= 0.99


def test_every_score_set_against_accuracy_has_its_groups(finished):
    table = finished.tables["groups"].set_index("score")
    assert set(table.index) >= {"roar_gradient", "kar_gradient", "specific_kar_gradient-within"}
    assert (table["pairs"] == 3).all()
    assert table["groups"].between(1, 3).all()
    assert (table["different"] <= table["pairs"]).all()


def test_no_two_scores_have_one_name():
    """`integrated_gradients_mean` is an attribution, `mean` a control of `integrated_gradients`."""
    measures = ("roar", "kar", "leak", "diffroar", "net_kar", "specific_roar", "specific_kar")
    made = [
        Score(measure, attribution, control, fill)
        for measure in measures
        for attribution in (*ATTRIBUTIONS, "gradient_shuffled", "gradient_imputed", "x_masks")
        for control in (("shuffled", "shuffled_within") if "specific" in measure else CONTROLS)
        for fill in FILLS
    ]
    made += [Score(m, a, "own", fill) for m in measures[:5] for a in ATTRIBUTIONS for fill in FILLS]
    assert len({str(score) for score in made}) == len(made)
    assert all(re.fullmatch(r"[a-z][a-z0-9_-]{0,59}", str(score)) for score in made)


def test_an_attribution_named_like_a_control_keeps_its_own_maps():
    """A user may well register `sobel`: of a network it is not the control."""
    for name in ("sobel", "gaussian", "random", "none"):
        own = Order(name, "own", "0" * 16)
        assert [own.free, own.untouched, own.drawn] == [False, False, False]
    assert Order("sobel").free
    assert Order("random").drawn
    assert Order("none").untouched
