"""Comparisons in pairs, against least squares written out and other libraries' tests."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from pellucid.metrics import comparisons, pairwise
from pellucid.models.errors import InputError


@st.composite
def layouts(draw):
    """Values with gaps, at least one for each model."""
    n, blocks = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    values = rng.normal(size=(n, blocks)) + rng.normal(size=(n, 1)) + 3 * rng.normal(size=blocks)
    gone = rng.random((n, blocks)) < draw(st.sampled_from([0.0, 0.3, 0.7]))
    gone[np.arange(n), rng.integers(blocks, size=n)] = False
    return np.where(gone, np.nan, values)


def by_least_squares(values, i, j):
    """The difference, its standard error and degrees of freedom, from dummy variables.

    The error is NaN where no combination of the rows gives the difference.
    """
    n, blocks = values.shape
    cells = np.argwhere(np.isfinite(values))
    design = np.zeros((len(cells), n + blocks))
    design[np.arange(len(cells)), cells[:, 0]] = 1
    design[np.arange(len(cells)), n + cells[:, 1]] = 1
    y = values[tuple(cells.T)]
    fitted, _, rank, _ = np.linalg.lstsq(design, y, rcond=1e-9)
    freedom = len(y) - rank
    contrast = np.zeros(n + blocks)
    contrast[[i, j]] = 1, -1
    inverse = np.linalg.pinv(design.T @ design, rcond=1e-9)
    if not np.allclose(contrast @ inverse @ design.T @ design, contrast, atol=1e-6):
        return np.nan, np.nan, freedom
    square = ((y - design @ fitted) ** 2).sum() / freedom if freedom else np.nan
    return contrast @ fitted, np.sqrt(square * (contrast @ inverse @ contrast)), freedom


@given(layouts())
def test_as_least_squares_with_dummy_variables(values):
    found = pairwise.differences(values)
    for i, j in itertools.permutations(range(len(values)), 2):
        value, error, freedom = by_least_squares(values, i, j)
        assert found.freedom == freedom
        np.testing.assert_allclose(found.value[i, j], value, atol=1e-8)
        np.testing.assert_allclose(found.error[i, j], error, atol=1e-7)


def has_p(tested: pairwise.Tested, i: int, j: int, p: float) -> bool:
    """Whether a pair differs just from a p-value on."""
    above, below = (tested.below(level)[i, j] for level in (p * (1 + 1e-6), p * (1 - 1e-6)))
    return bool(above and not below)


def test_two_models_in_the_same_blocks_are_a_paired_t_test():
    values = np.random.default_rng(0).normal(size=(2, 6))
    found = pairwise.differences(values)
    assert found.p[0, 1] == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert found.freedom == 5


def test_three_models_are_tukeys_layout():
    """Without gaps s^2 is that of the two-way analysis of variance."""
    values = np.random.default_rng(1).normal(size=(3, 4))
    residuals = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    square = (residuals**2).sum() / 6
    found = pairwise.differences(values)
    assert found.error[0, 2] == pytest.approx(np.sqrt(square * 2 / 4))
    assert found.value[0, 2] == pytest.approx(values[0].mean() - values[2].mean())


def test_blocks_cancel():
    values = np.random.default_rng(2).normal(size=(4, 3))
    values[3, 1:] = np.nan
    shifted = values + np.array([5.0, -7.0, 100.0])
    for one, other in zip(pairwise.differences(values), pairwise.differences(shifted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_what_has_nothing_in_common_is_not_compared():
    values = np.array([[1.0, 2.0, np.nan, np.nan], [2.0, 4.0, np.nan, np.nan]] * 2)
    values[2:] = values[2:, ::-1]
    found = pairwise.differences(values)
    assert np.isfinite(found.p[0, 1])
    assert np.isnan(found.value[0, 2])
    assert np.isnan(found.p[0, 2])


def test_one_value_each_cannot_be_compared():
    found = pairwise.differences(np.array([[1.0], [2.0], [4.0]]))
    assert found.freedom == 0
    assert np.isnan(found.p).all()
    assert found.value[2, 0] == 3.0


def test_equal_models_differ_in_one_of_twenty_cases():
    """A grid in three blocks, and submissions in the first: p-values of the latter are uniform."""
    rng, seen = np.random.default_rng(3), []
    for _ in range(2000):
        values = rng.normal(size=(7, 3)) + 2 * rng.normal(size=3)
        values[5:, 1:] = np.nan
        p = pairwise.differences(values).p
        seen.append([p[0, 1], p[0, 5], p[5, 6]])
    np.testing.assert_allclose(np.mean(np.array(seen) < 0.05, axis=0), 0.05, atol=0.015)


@given(st.integers(1, 40), st.integers(0, 1 << 30))
def test_mcnemar_is_a_binomial_test(images, seed):
    correct = np.random.default_rng(seed).random((4, images)) < 0.7
    tested = pairwise.mcnemar(correct)
    for i, j in itertools.permutations(range(4), 2):
        first, second = (correct[i] & ~correct[j]).sum(), (correct[j] & ~correct[i]).sum()
        total = int(first + second)
        expected = stats.binomtest(int(first), total).pvalue if total else 1.0
        one = expected == pytest.approx(1.0)
        assert has_p(tested, i, j, expected) or (one and not tested.below(1 - 1e-6)[i, j])


@pytest.mark.parametrize(
    "values", [np.zeros(3), [[1.0, np.inf]], [[1.0], [np.nan]], np.zeros((1, 2, 3))]
)
def test_what_is_no_layout(values):
    with pytest.raises(InputError):
        pairwise.differences(np.array(values))


@given(st.integers(2, 6), st.integers(2, 30), st.integers(0, 1 << 30))
def test_over_images_is_a_paired_t_test(n, images, seed):
    values = np.random.default_rng(seed).normal(size=(n, images)) + 50.0
    tested = pairwise.over_images(values)
    for i, j in itertools.permutations(range(n), 2):
        assert has_p(tested, i, j, stats.ttest_rel(values[i], values[j]).pvalue)


@given(
    st.integers(2, 6), st.integers(2, 30), st.sampled_from([1, 3, 5000]), st.integers(0, 1 << 30)
)
@example(3, 3, 1, 0)  # two that never differ, and one that always differs from them
def test_counts_over_images_too(n, images, most, seed):
    """Summed exactly in float32 where they are few, else as other values."""
    counts = np.random.default_rng(seed).integers(0, most + 1, (n, images))
    tested = pairwise.over_images(counts)
    as_shares = pairwise.over_images(counts / most)
    np.testing.assert_allclose(tested.apart, as_shares.apart, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("of", [np.array, lambda rows: np.array(rows, float)])
def test_values_that_differ_always_or_never(of):
    values = of([[1, 2, 3], [1, 2, 3], [2, 3, 4]])
    tested = pairwise.over_images(values)
    assert not tested.below(0.999)[0, 1]
    assert tested.below(1e-300)[0, 2]


DIFFER = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)
"""Of four models in the order of their scores: neighbours cannot be told apart, others can."""


def test_groups_and_ranks_by_hand():
    assert pairwise.groups(np.array([0.9, 0.8, 0.7, 0.6]), DIFFER) == 2
    first_is_best = np.triu(DIFFER)
    assert pairwise.ranks(first_is_best).tolist() == [[1, 2], [1, 3], [2, 4], [3, 4]]
    assert pairwise.ranks(first_is_best.T).tolist() == [[3, 4], [2, 4], [1, 3], [1, 2]]
    assert pairwise.ranks(np.zeros((4, 4), bool)).tolist() == [[1, 4]] * 4


@given(st.integers(1, 8), st.integers(0, 1 << 30), st.sampled_from([0.01, 0.05, 0.2]))
def test_told_apart_is_holms_rule_over_all_pairs(n, seed, level):
    """Against p-values adjusted one after the other; some cannot be told, some are equal."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.random((n, n)) ** 4, 3)
    p[rng.random((n, n)) < 0.1] = np.nan
    upper = np.triu_indices(n, 1)
    expected = np.zeros((n, n), bool)
    expected[upper] = comparisons.holm(np.nan_to_num(p[upper], nan=1.0)) <= level
    found = pairwise.told_apart(pairwise.by_p(p), level)
    np.testing.assert_array_equal(found, expected | expected.T)


def test_groups_that_can_be_told_apart():
    """Neighbours that differ make a group each; of equals there is one."""
    scores, far, some = np.array([0.3, 0.1, 0.2, 0.1]), ~np.eye(4, dtype=bool), np.eye(4) > 1
    some[0, 1:] = some[1:, 0] = True
    assert pairwise.groups(scores, far) == 4
    assert pairwise.groups(scores, np.zeros((4, 4), bool)) == 1
    assert pairwise.groups(scores, some) == 2
