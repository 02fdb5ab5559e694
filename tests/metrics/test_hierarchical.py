"""Intervals over seeds, repeats and images: worked out by hand, and their coverage simulated."""

import numpy as np
import pytest
from scipy import stats

from pellucid.metrics import hierarchical
from pellucid.models.errors import InputError

SEEDS, REPEATS = (1, 2, 3, 4, 5), (2, 3, 4, 5)
FRACTIONS, IMAGES = 5, 100
POPULATIONS = {  # standard deviations of networks, of retrainings, and of an image's own share
    "networks differ": (0.06, 0.02, 0.3),
    "retrainings differ": (0.01, 0.1, 0.1),
    "images differ": (0.01, 0.01, 0.3),
}
"""In accuracy: which part of an interval is the largest differs."""
RUNS = 500


def test_several_seeds_without_images_is_students_interval():
    """Nothing differs between images: the interval is that of the seeds' means."""
    means = np.array([0.1, 0.2, 0.4])
    values = np.broadcast_to(means[:, None, None, None] / 2, (3, 2, 2, 7))
    found = hierarchical.mean(values)
    half = stats.t.ppf(0.975, 2) * means.std(ddof=1) / np.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx(
        (means.mean(), means.mean() - half, means.mean() + half)
    )
    assert found.n == 3 * 2 * 2


def test_one_seed_adds_up_the_variances_of_the_fractions():
    """Two repeats at two fractions that differ by 2 a and 2 b: variances of means a^2 and b^2."""
    a, b = 0.01, 0.03
    cells = np.array([[0.3 - a, 0.2 + b], [0.3 + a, 0.2 - b]])
    found = hierarchical.mean(np.broadcast_to(cells[None, :, :, None], (1, 2, 2, 9)))
    variance = a**2 + b**2
    half = stats.t.ppf(0.975, variance**2 / (a**4 + b**4)) * np.sqrt(variance)
    assert (found.value, found.high) == pytest.approx((0.5, 0.5 + half))


def test_images_alone():
    """Every training is the same: only the images vary, as in a mean of independent values."""
    per_image = np.random.default_rng(0).normal(size=50)
    found = hierarchical.mean(np.broadcast_to(per_image, (3, 2, 1, 50)))
    half = stats.t.ppf(0.975, 49) * per_image.std(ddof=1) / np.sqrt(50)
    assert (found.low, found.high) == pytest.approx(
        (per_image.mean() - half, per_image.mean() + half)
    )


def test_a_difference_of_two_networks_is_the_paired_one():
    rng = np.random.default_rng(1)
    means = rng.normal(size=(2, 4)) + 100 * rng.normal(size=4)
    found = hierarchical.contrast(
        np.broadcast_to(means[:, :, None, None, None], (2, 4, 1, 1, 5)), np.array([1.0, -1.0])
    )
    theirs = stats.ttest_rel(means[0], means[1]).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_a_p_value_is_that_of_the_interval_which_ends_at_zero(seeds):
    """Two networks without images: Student's paired test; and below .05 where 0 lies outside."""
    rng = np.random.default_rng(seeds)
    for shift in (0.0, 0.3, 1.0, 3.0):
        values = rng.normal(size=(2, seeds, 3, 2, 20))
        values[0] += shift
        found = hierarchical.parts(values, np.array([1.0, -1.0]))
        low, high = found.estimate()[1:3]
        assert (found.p() < 0.05) == (not low <= 0 <= high)
    means = rng.normal(size=(2, 4))
    paired = np.broadcast_to(means[:, :, None, None, None], (2, 4, 1, 1, 5))
    found = hierarchical.parts(paired, np.array([1.0, -1.0]))
    assert found.p() == pytest.approx(stats.ttest_rel(*means).pvalue, abs=1e-6)
    assert np.isnan(hierarchical.parts(np.zeros((1, 1, 1, 1, 4)), np.ones(1)).p())


def test_a_slope_is_that_of_a_regression_with_an_effect_per_seed():
    """Against ordinary least squares on dummy variables, network effects taken out."""
    rng = np.random.default_rng(2)
    x, means = np.array([0.0, 0.3, 0.5, 1.0]), rng.normal(size=(4, 3)) + 5 * rng.normal(size=3)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    found = hierarchical.contrast(
        np.broadcast_to(means[..., None, None, None], (4, 3, 1, 1, 5)), weights
    )
    design = [np.eye(4)[i].tolist() + np.eye(3)[j][1:].tolist() for i in range(4) for j in range(3)]
    _, residual, *_ = np.linalg.lstsq(np.array(design), means.ravel(), rcond=None)
    error = np.sqrt(residual[0] / 6 / 3 / ((x - x.mean()) ** 2).sum())
    assert found.value == pytest.approx(np.polyfit(np.repeat(x, 3), means.ravel(), 1)[0])
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 6) * error)


def test_nothing_repeated_or_nothing_varied_gives_no_interval():
    once = hierarchical.mean(np.random.default_rng(0).random((1, 1, 5, 10)))
    assert np.isnan(once.low)
    same = hierarchical.mean(np.full((2, 2, 5, 10), 0.1))
    assert same.value == pytest.approx(0.5)
    assert np.isnan(same.high)


def test_shapes_must_fit():
    with pytest.raises(InputError, match="one number per network"):
        hierarchical.contrast(np.zeros((2, 1, 1, 1, 1)), np.ones(3))


def draw(rng, networks, seeds, repeats, spread, trend=()) -> tuple[np.ndarray, np.ndarray]:
    """Values of a population of mean 0 (or of a trend), and the networks' true values."""
    of_networks, of_retrainings, of_images = spread
    own = of_networks * rng.normal(size=(networks, seeds, 1, 1, 1))
    truth = own[..., 0, 0, 0] + (np.asarray(trend)[:, None] if len(trend) else 0.0)
    trained = of_retrainings * rng.normal(size=(networks, seeds, repeats, FRACTIONS, 1))
    image = of_images * rng.normal(size=IMAGES)  # in every training alike
    noise = rng.random((networks, seeds, repeats, FRACTIONS, IMAGES)) - 0.5
    values = truth[..., None, None, None] + trained + image + noise
    return values / FRACTIONS, truth


def held(seeds: int, repeats: int, spread: tuple) -> float:
    """How often the interval holds the mean of the population, or of the one network."""
    rng, count = np.random.default_rng([seeds, repeats]), 0
    for _ in range(RUNS):
        values, truth = draw(rng, 1, seeds, repeats, spread)
        found = hierarchical.mean(values[0])
        count += found.low <= (truth[0, 0] if seeds == 1 else 0.0) <= found.high
    return count / RUNS


@pytest.mark.parametrize("seeds", SEEDS)
def test_95_of_100_intervals_hold_the_truth(seeds):
    """On average over repeats and populations 93 to 97; in none of them below 91 or above 99."""
    found = {
        (repeats, name): held(seeds, repeats, spread)
        for repeats in REPEATS
        for name, spread in POPULATIONS.items()
    }
    assert 0.93 <= np.mean(list(found.values())) <= 0.97, found
    assert 0.91 <= min(found.values()) <= max(found.values()) <= 0.99, found


@pytest.mark.parametrize("networks", [3, 5])
@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_95_of_100_intervals_of_a_slope_hold_it(seeds, networks):
    x = np.linspace(0, 1, networks)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    rng, count = np.random.default_rng(seeds), 0
    for _ in range(RUNS):
        values, truth = draw(rng, networks, seeds, 2, POPULATIONS["networks differ"], 0.1 * x)
        found = hierarchical.contrast(values, weights)
        slope = weights @ truth[:, 0] if seeds == 1 else 0.1
        count += found.low <= slope <= found.high
    assert 0.92 <= count / RUNS <= 0.98
