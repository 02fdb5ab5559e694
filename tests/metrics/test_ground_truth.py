"""Scores against known true pixels: closed forms, two other solvers, maps that say nothing."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog

from pellucid.metrics.ground_truth import earth_mover, mass_share, precision
from pellucid.models.errors import InputError
from tests.conftest import ROOT

SCORES = (mass_share, precision, earth_mover)
EXACT = 1e-12
"""Rounding of sums of at most a few hundred doubles of order one."""
HALF = np.zeros((1, 56, 28), bool)
"""The upper half of a 56x28 image, as in BlockMNIST."""
HALF[:, :28] = True


def random_truth(rng, shape: tuple[int, int, int]) -> np.ndarray:
    """True pixels at random, one or more in each image."""
    truth = rng.random(shape) < rng.random((shape[0], 1, 1))
    truth[:, rng.integers(shape[1]), rng.integers(shape[2])] = True
    return truth


def distances(height: int, width: int) -> np.ndarray:
    """Between all pairs of pixels, row by row."""
    row, column = np.divmod(np.arange(height * width), width)
    return np.sqrt(np.subtract.outer(row, row) ** 2 + np.subtract.outer(column, column) ** 2)


def moved(attribution: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The earth mover's distance in pixels, from the score."""
    return (1 - earth_mover(attribution, truth)) * np.sqrt(sum(n**2 for n in truth.shape[1:]))


@pytest.mark.parametrize("seed", range(3))
def test_the_truth_itself_has_the_highest_score(seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, (10, 6, 9))
    for scale in (1.0, -0.3, 1e-310, 1e308):
        for score in SCORES:
            np.testing.assert_array_equal(score(scale * truth, truth), np.ones(10))


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-310, 1e308])
def test_a_constant_map_gets_the_share_of_true_pixels(value):
    truth = random_truth(np.random.default_rng(0), (10, 5, 7))
    constant = np.full(truth.shape, value)
    for score in (mass_share, precision):
        np.testing.assert_allclose(score(constant, truth), truth.mean(axis=(1, 2)), rtol=EXACT)
        assert score(np.full(HALF.shape, value), HALF) == [0.5]


def test_a_constant_map_on_block_mnist_moves_by_half_a_block():
    """Rows 0 .. 55 to rows 0 .. 27: the mean row falls by 14, and no pixel must rise."""
    assert moved(np.ones(HALF.shape), HALF) == pytest.approx(14, abs=1e-10)


def test_a_random_map_gets_the_share_of_true_pixels_on_average():
    """The same values in 20,000 random orders; 5 standard errors of the hypergeometric mean."""
    rng, n = np.random.default_rng(0), 20_000
    truth = np.zeros((n, 8, 8), bool)
    truth[:, 1:4, 1] = truth[:, 2, 2] = True
    values = rng.exponential(size=64)
    maps = rng.permuted(np.tile(values, (n, 1)), axis=1).reshape(truth.shape)
    drawn = (
        4 / 64 * (1 - 4 / 64) * (64 - 4) / (64 - 1) / 4
    )  # variance of a mean of 4 without return
    error = 5 * np.sqrt(drawn / n)
    assert precision(maps, truth).mean() == pytest.approx(4 / 64, abs=error)
    share_error = 5 * 4 * np.std(values) / values.sum() * np.sqrt(60 / 63 / 4 / n)
    assert mass_share(maps, truth).mean() == pytest.approx(4 / 64, abs=share_error)


@pytest.mark.parametrize("seed", range(5))
def test_precision_is_the_mean_over_all_orders_of_tied_pixels(seed):
    rng = np.random.default_rng(seed)
    maps = rng.integers(-1, 3, (4, 2, 3))
    truth = random_truth(rng, maps.shape)
    expected = []
    for values, true in zip(np.abs(maps.reshape(4, 6)), truth.reshape(4, 6), strict=True):
        found = [
            true[sorted(order, key=lambda pixel: -values[pixel])[: true.sum()]].mean()
            for order in map(list, itertools.permutations(range(6)))
        ]
        expected.append(np.mean(found))
    np.testing.assert_allclose(precision(maps, truth), expected, rtol=EXACT)


def test_scores_by_hand():
    """Two of four pixels are true; one of them has half of the mass, another pixel the rest."""
    truth = np.array([[[True, False], [True, False]]])
    maps = np.array([[[2.0, 0.0], [0.0, -2.0]]])
    assert mass_share(maps, truth) == [0.5]
    assert precision(maps, truth) == [0.5]
    assert moved(maps, truth) == pytest.approx(0.5, abs=EXACT)  # half of the mass by one pixel


@pytest.mark.parametrize("seed", range(3))
def test_a_single_pixel_is_as_far_as_the_true_pixels_are_on_average(seed):
    rng = np.random.default_rng(seed)
    truth = random_truth(rng, (8, 6, 5))
    maps, pixel = np.zeros(truth.shape), rng.integers(30, size=8)
    maps.reshape(8, 30)[np.arange(8), pixel] = 3.0
    expected = [
        distances(6, 5)[p, true].mean() for p, true in zip(pixel, truth.reshape(8, 30), strict=True)
    ]
    np.testing.assert_allclose(moved(maps, truth), expected, atol=EXACT)


@pytest.mark.parametrize(("down", "right"), [(0, 3), (4, 0), (3, 4), (5, 2)])
def test_a_shifted_truth_is_as_far_as_it_was_shifted(down, right):
    truth = np.zeros((5, 12, 11), bool)
    truth[:, :6, :5] = random_truth(np.random.default_rng(down), (5, 6, 5))
    maps = np.roll(truth, (down, right), axis=(1, 2)).astype(float)
    np.testing.assert_allclose(moved(maps, truth), np.hypot(down, right), atol=EXACT * 20)


@pytest.mark.parametrize("seed", range(4))
def test_earth_mover_is_an_assignment_of_equal_grains(seed):
    """Integer maps: each true pixel takes seven grains, matched one by one at the least cost."""
    rng, grains = np.random.default_rng(seed), 7
    truth = rng.permuted(np.arange(30) < rng.integers(1, 9)).reshape(1, 5, 6)
    n = grains * truth.sum()
    counts = rng.multinomial(n, rng.dirichlet(np.full(30, 0.3)))
    start, end = np.repeat(np.arange(30), counts), np.repeat(np.flatnonzero(truth), grains)
    cost = distances(5, 6)[np.ix_(start, end)]
    expected = cost[linear_sum_assignment(cost)].sum() / n
    assert moved(counts.reshape(1, 5, 6), truth) == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_earth_mover_is_the_optimum_of_a_linear_program(seed):
    """All of p moves to all of u, by SciPy's HiGHS.

    24 constraints may be violated by 1e-10 each, at a price of at most the longest distance, 3.7.
    """
    rng = np.random.default_rng(seed)
    maps, truth = rng.gamma(0.3, size=(1, 3, 4)), random_truth(rng, (1, 3, 4))
    sums = sparse.vstack(
        [sparse.kron(sparse.eye(12), np.ones(12)), sparse.kron(np.ones(12), sparse.eye(12))]
    )
    found = linprog(
        distances(3, 4).ravel(),
        A_eq=sums,
        b_eq=np.concatenate([maps.ravel() / maps.sum(), truth.ravel() / truth.sum()]),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert found.status == 0
    assert moved(maps, truth) == pytest.approx(found.fun, abs=24 * 1e-10 * 3.7)


@pytest.mark.parametrize("seed", range(3))
def test_scores_do_not_depend_on_sign_scale_or_orientation(seed):
    rng = np.random.default_rng(seed)
    maps, truth = rng.normal(size=(6, 7, 5)), random_truth(rng, (6, 7, 5))
    for score in SCORES:
        value = score(maps, truth)
        assert ((value >= 0) & (value <= 1)).all()
        for other in (-maps, np.abs(maps), maps * 1e200, maps * rng.uniform(0.1, 9, (6, 1, 1))):
            np.testing.assert_allclose(score(other, truth), value, atol=EXACT)
        for turn in (np.fliplr, lambda a: np.rot90(a, axes=(1, 2)), lambda a: a.swapaxes(1, 2)):
            np.testing.assert_allclose(score(turn(maps), turn(truth)), value, atol=EXACT)
        order = rng.permutation(6)
        np.testing.assert_array_equal(score(maps[order], truth[order]), value[order])


@pytest.mark.parametrize("seed", range(3))
def test_mass_moves_at_least_as_far_as_its_centre(seed):
    """And what the two distributions have in common need not move."""
    rng = np.random.default_rng(seed)
    maps, truth = rng.gamma(0.2, size=(4, 14, 9)), random_truth(rng, (4, 14, 9))
    p, u = (a / a.sum(axis=(1, 2), keepdims=True) for a in (maps, truth))
    rows, columns = np.indices((14, 9))
    least = np.hypot(((p - u) * rows).sum((1, 2)), ((p - u) * columns).sum((1, 2)))
    most = (1 - np.minimum(p, u).sum((1, 2))) * np.hypot(13, 8)
    found = moved(maps, truth)
    assert (found >= least - EXACT * 20).all()
    assert (found <= most).all()


def test_nearer_mass_scores_higher():
    truth = np.zeros((10, 3, 12), bool)
    truth[:, 1, 0] = True
    maps = np.zeros(truth.shape)
    maps[np.arange(10), 1, np.arange(10)] = 1
    assert (np.diff(earth_mover(maps, truth)) < 0).all()
    np.testing.assert_array_equal(mass_share(maps, truth)[1:], 0)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("maps", "truth", "message"),
    [
        (np.ones((2, 3, 3)), np.ones((2, 3, 4), bool), r"one shape \(n, h, w\)"),
        (np.ones((3, 3)), np.ones((3, 3), bool), r"one shape \(n, h, w\)"),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2)), "`truth` must be boolean"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2), bool), "must be finite"),
        (np.full((1, 2, 2), np.inf), np.ones((1, 2, 2), bool), "must be finite"),
        (np.ones((2, 2, 2)), np.eye(2, dtype=bool)[None] & [[[True]], [[False]]], "without one"),
    ],
)
def test_mistakes(score, maps, truth, message):
    with pytest.raises(InputError, match=message):
        score(maps, truth)


def test_images_too_large_to_compare():
    with pytest.raises(InputError, match=r"at most 4,096 pixels\. Received 4,160"):
        earth_mover(np.ones((1, 64, 65)), np.ones((1, 64, 65), bool))


def test_the_solver_imports_no_framework():
    """POT imports every framework that is installed unless told not to."""
    code = (
        "import sys; from pellucid.metrics import ground_truth as g;"
        "import numpy as np; g.earth_mover(np.eye(2)[None], np.eye(2)[None, ::-1] > 0);"
        "print(sorted({'jax', 'keras', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
