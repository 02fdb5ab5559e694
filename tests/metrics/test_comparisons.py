"""Comparisons against values worked out by hand, other code, and samples whose truth is known."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pellucid.metrics import comparisons, statistics
from pellucid.models.errors import InputError

NAN = float("nan")


def at_most(rate: float, trials: int) -> int:
    """So many of the trials are exceeded with chance 1e-4 where the rate is at most this one."""
    return int(stats.binom.ppf(1 - 1e-4, trials, rate))


def test_difference_by_hand():
    """.9 [.8, .96] minus .5 [.2, .7]: .4, less sqrt(.1^2 + .2^2), more sqrt(.06^2 + .3^2)."""
    found = comparisons.difference((0.9, 0.8, 0.96), (0.5, 0.2, 0.7))
    assert found == pytest.approx((0.4, 0.4 - 0.223607, 0.4 + 0.305941), abs=1e-6)


def test_difference_of_symmetric_intervals_is_that_of_normal_estimates():
    rng = np.random.default_rng(0)
    for a, b, s, t in rng.random((20, 4)):
        found = comparisons.difference((a, a - s, a + s), (b, b - t, b + t))
        half = np.sqrt(s**2 + t**2)
        assert found == pytest.approx((a - b, a - b - half, a - b + half))


def test_fishers_test_by_hand():
    """.9, 23 pairs, and .5, 13 pairs: (1.472219 - .549306) / sqrt(1/20 + 1/10) = 2.382951."""
    found = comparisons.correlations(0.9, 23, 0.5, 13, rank=False)
    assert found.value == pytest.approx(0.4)
    assert found.p == pytest.approx(0.017175, abs=1e-6)


def test_fishers_test_of_ranks_by_hand():
    """Variances 1.405 / 20 and 1.125 / 10: .922913 / .427493 = 2.158896."""
    found = comparisons.correlations(0.9, 23, 0.5, 13, rank=True)
    assert found.p == pytest.approx(0.030858, abs=1e-6)


@pytest.mark.parametrize("rank", [False, True])
def test_comparison_is_the_same_from_either_side(rank):
    rng = np.random.default_rng(1)
    for first, second in rng.uniform(-0.99, 0.99, (30, 2)):
        there = comparisons.correlations(first, 9, second, 21, rank=rank)
        back = comparisons.correlations(second, 21, first, 9, rank=rank)
        assert there == pytest.approx((-back.value, -back.high, -back.low, back.p))
        opposite = comparisons.correlations(-first, 9, -second, 21, rank=rank)
        assert opposite == pytest.approx((-there.value, -there.high, -there.low, there.p))
        same = comparisons.correlations(first, 9, first, 21, rank=rank)
        assert same.low < 0 < same.high
        assert same.p == pytest.approx(1)


@pytest.mark.parametrize("rank", [False, True])
def test_interval_is_made_of_the_intervals_of_each(rank):
    """Those that `statistics.correlation` gives, of five pairs in perfect order too."""
    x, name = np.arange(9), "spearman" if rank else "pearson"
    for y, n in ((x + np.array([0, 3, -1, 4, 0, -5, 2, 0, 1]), 9), (x**2, 5)):
        own = statistics.correlation(x[:n], y[:n])._asdict()
        first = own[name], own[f"{name}_low"], own[f"{name}_high"]
        other = statistics.correlation(x, -x % 5)._asdict()
        second = other[name], other[f"{name}_low"], other[f"{name}_high"]
        found = comparisons.correlations(first[0], n, second[0], 9, rank=rank)
        assert found[:3] == pytest.approx(comparisons.difference(first, second))


def test_correlations_that_cannot_be_compared():
    for arguments in ((0.9, 3, 0.9, 21), (0.9, 21, 0.9, 3), (NAN, 21, 0.9, 21), (1.0, 9, 0.9, 21)):
        found = comparisons.correlations(*arguments, rank=False)
        assert np.isnan(found[1:]).all(), arguments
    with pytest.raises(InputError, match="between -1 and 1"):
        comparisons.correlations(1.1, 9, 0.5, 9, rank=True)


def samples(rho: float, n: int, trials: int, rng: np.random.Generator, *, rank: bool) -> np.ndarray:
    """Correlations of normal pairs whose own correlation, of values or of ranks, is rho."""
    r = 2 * np.sin(np.pi * rho / 6) if rank else rho
    x = rng.standard_normal((trials, n))
    y = r * x + np.sqrt(1 - r**2) * rng.standard_normal((trials, n))
    if rank:
        x, y = stats.rankdata(x, axis=1), stats.rankdata(y, axis=1)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


@pytest.mark.parametrize("rank", [False, True])
@pytest.mark.parametrize("n", [5, 9, 21])
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_equal_correlations_seldom_differ_and_the_interval_covers(rho, n, rank):
    """At most 5 of 100: 21 pairs, as in the paper's series, beside n."""
    rng, trials = np.random.default_rng(2), 2000
    pairs = zip(
        samples(rho, n, trials, rng, rank=rank),
        samples(rho, 21, trials, rng, rank=rank),
        strict=True,
    )
    found = [comparisons.correlations(a, n, b, 21, rank=rank) for a, b in pairs]
    assert sum(c.p < 0.05 for c in found) <= at_most(0.05, trials)
    assert sum(not c.low <= 0 <= c.high for c in found) <= at_most(0.05, trials)


@pytest.mark.parametrize("rank", [False, True])
def test_different_correlations_differ(rank):
    """The power of 21 pairs on either side, .95 against .5: 97 (linear) and 88 (rank) of 100."""
    rng, trials = np.random.default_rng(3), 500
    first, second = (samples(rho, 21, trials, rng, rank=rank) for rho in (0.95, 0.5))
    found = [
        comparisons.correlations(a, 21, b, 21, rank=rank).p < 0.05
        for a, b in zip(first, second, strict=True)
    ]
    assert np.mean(found) > 0.8


def test_one_row_in_order_by_hand():
    """One of k! orders; one swap of neighbours: k of them, with the order itself."""
    for k, orders in ((3, 6), (4, 24), (5, 120)):
        falling = comparisons.page(-np.arange(k)[None].astype(float))
        assert (falling.falling, falling.rising) == pytest.approx((1 / orders, 1))
    swapped = comparisons.page(np.array([[2.0, 1, 3, 4, 5]]))
    assert swapped.rising == pytest.approx(5 / 120)


@pytest.mark.parametrize(("seeds", "k"), [(2, 3), (3, 4), (5, 4), (4, 5)])
def test_page_is_scipys(seeds, k):
    rng = np.random.default_rng(seeds)
    for _ in range(5):
        values = rng.standard_normal((seeds, k)) + 0.3 * np.arange(k)
        found = comparisons.page(values)
        theirs = stats.page_trend_test(values, method="exact")
        assert (found.statistic, found.rising) == pytest.approx((theirs.statistic, theirs.pvalue))
        back = stats.page_trend_test(values[:, ::-1], method="exact")
        assert found.falling == pytest.approx(back.pvalue)


def test_page_with_ties_against_all_orders():
    values = np.array([[1.0, 1.0, 2.0], [3.0, 2.0, 2.0]])
    places, ranks = np.arange(1, 4), stats.rankdata(values, axis=1)
    observed = (ranks @ places).sum()
    sums = [
        sum(np.dot(row, places) for row in rows)
        for rows in itertools.product(*(itertools.permutations(row) for row in ranks))
    ]
    found = comparisons.page(values)
    assert found.statistic == pytest.approx(observed)
    assert found.rising == pytest.approx(np.mean(np.array(sums) >= observed - 1e-9))
    assert found.falling == pytest.approx(np.mean(np.array(sums) <= observed + 1e-9))


def test_orders_of_many_are_drawn():
    """Eight columns, against scipy's exact p: within four standard errors of 20,000 draws."""
    values = np.random.default_rng(4).standard_normal((3, 8)) + 0.25 * np.arange(8)
    exact = stats.page_trend_test(values, method="exact").pvalue
    assert 0.001 < exact < 0.5
    found = comparisons.page(values)
    error = np.sqrt(exact * (1 - exact) / comparisons.DRAWS)
    assert found.rising == pytest.approx(exact, abs=4 * error)
    assert found == comparisons.page(values)
    assert comparisons.page(np.arange(9.0)[None]).rising == 1 / (1 + comparisons.DRAWS)


def test_no_level_is_exceeded_without_a_trend():
    """Over all orders of one row the chance of p at or below a level is at most that level."""
    for k in (3, 4, 5):
        p = [
            comparisons.page(np.array([o], float)).falling for o in itertools.permutations(range(k))
        ]
        for level in (0.01, 0.025, 0.05, 0.2):
            assert np.mean(np.array(p) <= level) <= level


def test_holm_is_the_closure_of_bonferroni():
    """p_i adjusted is the largest of |S| min(S) over the sets S that hold i."""
    rng = np.random.default_rng(5)
    for m in (1, 2, 3, 5):
        p = rng.random(m) ** 2
        sets = [s for size in range(1, m + 1) for s in itertools.combinations(range(m), size)]
        expected = [max(min(1, len(s) * min(p[list(s)])) for s in sets if i in s) for i in range(m)]
        np.testing.assert_allclose(comparisons.holm(p), expected)
    np.testing.assert_allclose(comparisons.holm([0.04, 0.01, 0.03]), [0.06, 0.03, 0.06])


def test_rises_are_paired_t_tests():
    rng = np.random.default_rng(6)
    values = rng.standard_normal((4, 5)) + rng.standard_normal((4, 1)) * 10 + [0, 1, 0, 3, 3]
    each = stats.ttest_rel(values[:, 1:], values[:, :-1], alternative="greater").pvalue
    np.testing.assert_allclose(comparisons.rises(values), comparisons.holm(each))


def test_steps_that_cannot_be_tested():
    assert comparisons.rises(np.array([[1.0, 2.0, 3.0]])).tolist() == [1, 1]
    same = np.array([[1.0, 2.0], [2.0, 3.0], [5.0, 6.0]])  # no scatter to test against
    assert comparisons.rises(same).tolist() == [1]


@pytest.mark.parametrize("function", [comparisons.page, comparisons.rises])
def test_mistakes(function):
    with pytest.raises(InputError, match="two or more values"):
        function(np.ones(3))
    with pytest.raises(InputError, match="two or more values"):
        function(np.ones((3, 1)))
    with pytest.raises(InputError, match="two or more values"):
        function(np.ones((0, 3)))
    with pytest.raises(InputError, match="finite"):
        function(np.array([[1.0, np.nan, 2.0]]))
