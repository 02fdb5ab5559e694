"""What a difference must be to be seen, and how many seeds would show more; trends by interval."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pellucid.benchmark.findings import power, trends
from pellucid.benchmark.findings.maps import alike
from pellucid.benchmark.findings.power import Error
from pellucid.benchmark.results import groups
from pellucid.benchmark.results.controls import slope
from pellucid.metrics import hierarchical, pairwise
from tests.benchmark.made_findings import DOES_NOT, always, run, sources, tables

STRENGTH = np.linspace(0, 1, 7)


def scattered(rng: np.random.Generator, networks: int, seeds: int) -> np.ndarray:
    """Scores with a standard deviation of 1 between trainings, and a common one between seeds."""
    return rng.normal(size=(networks, seeds)) + 3 * rng.normal(size=seeds)


def shaped(values: np.ndarray) -> np.ndarray:
    return values[:, :, None, None, None]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_error_of_a_difference_is_that_of_the_trainings(seeds):
    """In the mean square: 2 / S, whatever the seeds have in common."""
    rng, squares = np.random.default_rng(seeds), []
    for _ in range(300):
        rise = hierarchical.contrast(shaped(scattered(rng, 7, seeds)), slope(STRENGTH))
        half = (rise.high - rise.low) / 2
        squares.append(2 * power.network_error(half, STRENGTH, 6 * (seeds - 1)) ** 2)
    assert np.mean(squares) == pytest.approx(2 / seeds, rel=0.1)


def test_the_smallest_difference_is_where_holm_first_says_so():
    """A pair at D has the p-value .05 / 21 by the test that counts groups."""
    values = scattered(np.random.default_rng(0), 7, 3)
    rise = hierarchical.contrast(shaped(values), slope(STRENGTH))
    one = power.network_error((rise.high - rise.low) / 2, STRENGTH, 12)
    smallest = power.smallest_difference(Error(math.sqrt(2) * one, 7, 3, 5))
    weights = np.zeros(7)
    weights[[0, 1]] = 1.0, -1.0
    values[0] += smallest - (values[0] - values[1]).mean()
    assert hierarchical.parts(shaped(values), weights).p() == pytest.approx(0.05 / 21, rel=1e-6)


def told_apart(seeds: int, spread: float, networks: int, runs: int = 400) -> float:
    """How often equally spaced groups are all told apart; a t test of its own, and Holm's rule."""
    rng, found = np.random.default_rng(seeds), 0
    means = np.linspace(0, spread, networks)
    pairs = [(i, j) for i in range(networks) for j in range(i + 1, networks)]
    for _ in range(runs):
        y = means[:, None] + scattered(rng, networks, seeds)
        residual = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
        freedom = (networks - 1) * (seeds - 1)
        error = math.sqrt(2 * (residual**2).sum() / freedom / seeds)
        p = np.ones((networks, networks))
        for i, j in pairs:
            p[i, j] = 2 * stats.t.sf(abs(y[i].mean() - y[j].mean()) / error, freedom)
        differ = pairwise.told_apart(pairwise.by_p(p), groups.LEVEL)
        found += pairwise.groups(y.mean(axis=1), differ) == networks
    return found / runs


@pytest.mark.parametrize("spread", [5.0, 12.0])
def test_so_many_seeds_tell_five_groups_apart(spread):
    """With the error known. The bounds are on the safe side: four fifths of the seeds do too."""
    needed = power.seeds_needed(Error(math.sqrt(2 / 3), 5, 3, 5), spread)
    assert told_apart(needed, spread, 5) >= power.POWER
    assert told_apart(math.ceil(0.8 * needed), spread, 5) >= power.POWER
    assert told_apart(math.ceil(needed / 2), spread, 5) < power.POWER


def test_seeds_do_not_depend_on_how_many_were_run():
    """The error of a difference falls with the root of the seeds."""
    found = {power.seeds_needed(Error(math.sqrt(2 / s), 7, s, 5), 6.0) for s in (2, 3, 5, 9)}
    assert len(found) == 1


def test_more_seeds_where_the_spread_is_small():
    found = [power.seeds_needed(Error(0.8, 7, 3, 5), spread) for spread in (9.0, 5.0, 3.0)]
    assert found == sorted(found)
    assert found[0] < found[-1]
    assert power.seeds_needed(Error(0.8, 7, 3, 5), 0.01) is None
    assert power.seeds_needed(Error(0.8, 7, 3, 5), 0.0) is None


def test_from_one_seed_no_number_of_seeds_follows():
    assert power.seeds_needed(Error(0.8, 7, 1, 5), 9.0) is None
    assert power.smallest_difference(Error(0.8, 7, 1, 5)) == pytest.approx(
        stats.t.ppf(1 - 0.05 / 42, 10) * 0.8
    )


def test_the_error_of_a_run_pools_its_series():
    """Half-widths of .02 and .04 over four networks of three seeds."""
    made = tables(always(DOES_NOT))
    table = made["verdicts"]
    wide = table["norm"] == "linf"
    table.loc[wide, "rise_high"] = table.loc[wide, "rise"] + 0.04
    table.loc[wide, "rise_low"] = table.loc[wide, "rise"] - 0.04
    found = power.error(run("reduced-mnist", made), "roar_gradient")
    x = np.array([0, 0.25, 0.5, 1.0])
    squares = np.array([0.02, 0.04]) ** 2 * ((x - x.mean()) ** 2).sum()
    expected = math.sqrt(2 * squares.mean()) / stats.t.ppf(0.975, 6)
    assert found.value == pytest.approx(expected)
    assert (found.networks, found.seeds, found.pairs) == (7, 3, 21)


def test_the_rises_table_adds_the_other_scores():
    made = tables(always(DOES_NOT))
    without = run("reduced-mnist", made)
    assert power.error(without, "specific_roar_gradient-within") is None
    row = {"norm": "l2", "loss": "xent", "seeds": 3, "score": "specific_roar_gradient-within"}
    rises = pd.DataFrame([row | {"rise": 0.1, "rise_low": 0.05, "rise_high": 0.15}])
    having = replace(without, tables=made | {"rises": rises})
    assert power.error(having, "specific_roar_gradient-within") is not None
    assert [t.direction for t in trends.of_scores(having)] == [trends.UP]


@pytest.mark.parametrize("seed", range(5))
def test_the_direction_of_a_specific_score_is_that_of_its_own_interval(seed):
    """Fieller's interval of the share, as it is stored, against the contrast of the difference."""
    rng, weights, directions = np.random.default_rng(seed), slope(np.linspace(0, 1, 4)), []
    for _ in range(25):
        share, rise = rng.uniform(0, 2), rng.uniform(0.1, 0.4)
        trend = rise * np.linspace(0, 1, 4)[:, None, None, None, None]
        own, other = (
            part * trend
            + 0.03 * rng.normal(size=(4, 3, 1, 1, 1))
            + 0.05 * rng.normal(size=(4, 3, 2, 1, 20))
            for part in (1.0, share)
        )
        stored = hierarchical.ratio(other, own, weights)
        values = [hierarchical.contrast(part, weights) for part in (own, other, own - other)]
        found = trends.specific_direction(values[0].value, values[1].value, *stored[1:3])
        exact = trends.direction(values[2].low, values[2].high)
        if math.isnan(stored.low):
            assert found == trends.UNCLEAR
        else:
            assert found == exact
            directions.append(found)
    assert {trends.UP, trends.DOWN, trends.UNCLEAR} <= set(directions)


def test_measures_have_the_slope_of_their_means_and_students_interval():
    """The slope by `polyfit`, the interval by the residuals of a two-way layout, both by hand."""
    found = {t.score: t for t in trends.of_measures(run("quick", tables(always(DOES_NOT))))}
    rows = tables(always(DOES_NOT))["measures"]
    rows = rows[(rows["measure"] == "road") & (rows["norm"] != "l2")]
    wide = rows.pivot(index="strength", columns="seed", values="mean")
    x, y = wide.index.to_numpy(), wide.to_numpy()
    fitted = np.polyfit(x, y.mean(axis=1), 1)[0]
    effects = y.mean(axis=1, keepdims=True) + y.mean(axis=0) - y.mean()
    s2 = ((y - effects) ** 2).sum() / 6
    half = stats.t.ppf(0.975, 6) * math.sqrt(s2 / 3 / ((x - x.mean()) ** 2).sum())
    road = found["road_gradient"]
    assert road.series == "digits L∞"
    np.testing.assert_allclose(
        [road.value, road.low, road.high], [fitted, fitted - half, fitted + half]
    )


def test_measures_that_do_not_change_are_seldom_said_to():
    """95 of 100 intervals over seeds hold 0."""
    rng, missed = np.random.default_rng(1), 0
    made = tables(always(DOES_NOT))["measures"]
    made = made[(made["measure"] == "road") & (made["norm"] != "linf")]
    for _ in range(300):
        table = made.assign(mean=rng.normal(size=len(made)))
        (trend,) = trends.of_measures(run("quick", {"measures": table}, label="x"))
        missed += trend.direction != trends.UNCLEAR
    assert 0.01 <= missed / 300 <= 0.09


def test_groups_that_agree_are_complete():
    """a and b, b and c agree, a and c do not: they are not one group."""
    rho = {("a", "b"): 0.95, ("b", "c"): -0.91, ("a", "c"): 0.5, ("c", "d"): 0.0}
    rho |= {("a", "d"): 0.0, ("b", "d"): float("nan")}
    table = pd.DataFrame(
        {"score": a, "other": b, "networks": 7, "spearman": r} for (a, b), r in rho.items()
    )
    one = run("quick", {"agreement": table})
    assert list(alike([one])) == [["a", "b"]]
    weaker = run("quick", {"agreement": table.assign(spearman=table["spearman"] * 0.94)})
    assert list(alike([one, weaker])) == []


def test_what_the_seeds_would_cost_is_stated():
    """Three seeds took three hours of two processors: as many hours as seeds."""
    found = sources(always(DOES_NOT))
    took = {"seconds_of_work": {"retrain": 5 * 3600, "train": 3600}, "processors": 2}
    made = replace(found.runs[0], environment=took)
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in power.differences(found._replace(runs=[made])).splitlines()
        if line.startswith("| CIFAR-10")
    ]
    counted = [line for line in lines if line[-2].isdigit()]
    assert counted
    assert all(line[-1].replace(",", "") == line[-2] for line in counted)
    assert all(line[-1] == "-" for line in lines if line not in counted)
