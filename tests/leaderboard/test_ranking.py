"""Ranks by comparisons in pairs: what differs is told apart, and what does not is not."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import outcomes, ranking
from pellucid.leaderboard.outcomes import Outcomes
from tests.leaderboard.made import made, score

IMAGES = 500


def at(found: dict) -> dict:
    """Outcomes by an entry's place, given by its id."""
    return {f"digits/{name}-v1.json": outcomes for name, outcomes in found.items()}


def behind(seed: int, *, correct=None, robust=None, by_image=None, **contributions) -> Outcomes:
    draw = np.random.default_rng(seed)
    correct = draw.random((1, IMAGES)) < 0.9 if correct is None else correct
    return Outcomes(
        test=outcomes.bits(correct),
        robust=None if robust is None else outcomes.bits(robust),
        retrainings=[],
        contributions={name: outcomes.numbers(v) for name, v in contributions.items()},
        by_image={name: outcomes.numbers(v) for name, v in (by_image or {}).items()},
    )


def p_of(rows: list, found: dict, score: str) -> float:
    """The p-value of the first two entries: the level from which on they differ."""
    tested = ranking.compared(rows, found, score)
    return brentq(lambda level: 0.5 - tested.below(level)[0, 1], 0.0, 1.0, xtol=1e-13)


def entry(name: str, value: float, *, of: str = "roar_gradient", half: float = 0.5, **options):
    found = made(name, 0.9, 0.1, **options)
    better = found.scores[of].better
    stated = score(value, half).model_copy(update={"better": better})
    return entries.seal(found.model_copy(update={"scores": found.scores | {of: stated}}))


def test_accuracies_by_mcnemars_test():
    """b and c by hand: 20 images only the first gets right, 5 only the second."""
    first, second = np.ones((2, 1, IMAGES), bool)
    first[:, :5] = second[:, 5:25] = False
    rows = [entry("a", 0.99, of="test_accuracy"), entry("b", 0.96, of="test_accuracy")]
    found = {"a": behind(0, correct=first), "b": behind(0, correct=second)}
    p = p_of(rows, at(found), "test_accuracy")
    assert p == pytest.approx(stats.binomtest(20, 25).pvalue)
    ranks = ranking.ranks(rows, at(found), "test_accuracy")
    assert ranks.of == {"a": (1, 1), "b": (2, 2)}
    assert ranks.groups == 2
    assert ranks.alike("a") == ranks.alike("b") == 0


def test_mean_accuracies_of_several_networks_by_images():
    draw = np.random.default_rng(0)
    three, one = draw.random((3, IMAGES)) < 0.9, draw.random((1, IMAGES)) < 0.8
    rows = [entry("a", 0.9, of="test_accuracy"), entry("b", 0.8, of="test_accuracy")]
    found = {"a": behind(0, correct=three), "b": behind(0, correct=one)}
    p = p_of(rows, at(found), "test_accuracy")
    assert p == pytest.approx(stats.ttest_rel(three.mean(0), one[0]).pvalue)


def retrained(draw, effect: float, seeds: int, blocks) -> np.ndarray:
    """Contributions of `(seeds, 2 repeats, 3 fractions)` that add up to the effect."""
    noise = 0.01 * draw.normal(size=(seeds, 2, 3))
    return (effect + blocks[:seeds]) / 3 + noise


def table(draw, effects: list[float], submitted: list[float]):
    """A grid in three seeds, and submissions in the first seed alone."""
    blocks = draw.normal(size=(3, 1, 1))
    rows, found = [], {}
    for role, these, seeds in (("reference", effects, 3), ("submission", submitted, 1)):
        for number, effect in enumerate(these):
            name = f"{role}-{number}"
            values = retrained(draw, effect, seeds, blocks)
            rows.append(entry(name, values.sum(axis=2).mean(), role=role))
            found[name] = behind(number, roar_gradient=values)
    return rows, found


def test_scores_by_retraining_are_compared_seed_by_seed():
    """What a seed adds to all is a hundred times the differences, and cancels."""
    rows, found = table(np.random.default_rng(1), [0.0, 0.5, 1.0, 1.5, 2.0], [0.5, 3.0])
    ranks = ranking.ranks(rows, at(found), "roar_gradient")
    assert ranks.of["submission-1"] == (1, 1)
    assert ranks.of["reference-4"] == (2, 2)
    assert ranks.of["reference-1"] == ranks.of["submission-0"] == (5, 6)
    assert ranks.groups == 6
    assert ranks.alike("submission-0") == ranks.alike("reference-1") == 1
    assert ranks.alike("reference-4") == 0


def test_equal_entries_are_hardly_ever_told_apart():
    """Any of 21 pairs in at most one of twenty boards, by Holm's rule."""
    draw, told = np.random.default_rng(2), 0
    for _ in range(200):
        rows, found = table(draw, [0.0] * 5, [0.0] * 2)
        told += ranking.ranks(rows, at(found), "roar_gradient").groups > 1
    assert told <= 18  # of 200; 10 are expected, and 18 are exceeded once in a hundred


def test_single_seeds_are_compared_repeat_by_repeat():
    """However the curves run over fractions; with two repeats at each of three, by hand."""
    draw = np.random.default_rng(3)
    rows, found = table(draw, [], [0.0, 1.0])
    values = {n: o.contributions["roar_gradient"].array()[0] for n, o in found.items()}
    values["submission-1"] = values["submission-1"] + np.array([3.0, -2.0, -1.0])
    for name, of_entry in values.items():
        found[name] = behind(0, roar_gradient=of_entry[None])
    difference = values["submission-0"] - values["submission-1"]
    squares = difference.var(axis=0, ddof=1) / 2
    freedom = squares.sum() ** 2 / (squares**2).sum()
    t = difference.mean(axis=0).sum() / np.sqrt(squares.sum())
    p = p_of(rows, at(found), "roar_gradient")
    assert p == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-3)


def test_one_retraining_each_cannot_be_told_apart():
    rows, found = table(np.random.default_rng(5), [], [0.0, 1.0, 5.0])
    for name, of_entry in found.items():
        values = of_entry.contributions["roar_gradient"].array()[:, :1]
        found[name] = behind(0, roar_gradient=values)
    assert ranking.ranks(rows, at(found), "roar_gradient").groups == 1


def test_scores_by_image():
    draw = np.random.default_rng(4)
    common, name = draw.normal(size=60), "manifold_xent_excess_over_noise"
    values = {n: common + e + 0.1 * draw.normal(size=60) for n, e in (("a", 0), ("b", 1))}
    values["a"][3] = np.nan  # an image without a value is compared by nobody
    rows = [entry(n, float(np.nanmean(v)), of=name, manifold=0.0) for n, v in values.items()]
    found = {n: behind(0, by_image={name: v}) for n, v in values.items()}
    of = {n: np.delete(v, 3) for n, v in values.items()}
    p = p_of(rows, at(found), name)
    assert p == pytest.approx(stats.ttest_rel(of["a"], of["b"]).pvalue, rel=1e-3)
    assert ranking.ranks(rows, at(found), name).of == {"a": (1, 1), "b": (2, 2)}, "less is better"


def test_entries_without_outcomes_are_compared_by_their_intervals():
    rows = [entry("a", 0.9, half=0.1), entry("b", 0.5, half=0.1), entry("c", 0.45, half=0.1)]
    p = p_of(rows, {}, "roar_gradient")
    z = 0.4 / (np.hypot(0.1, 0.1) / stats.norm.ppf(0.975))
    assert p == pytest.approx(2 * stats.norm.sf(z))
    assert ranking.ranks(rows, {}, "roar_gradient").of == {"a": (1, 1), "b": (2, 3), "c": (2, 3)}


def test_an_entry_that_is_not_ranked_has_no_rank():
    rows = [entry("a", 0.9), entry("knows", 0.99, flags=["test_contamination"])]
    assert set(ranking.ranks(rows, {}, "roar_gradient").of) == {"a"}
    assert ranking.ranks([], {}, "roar_gradient").of == {}
