"""The trade-off's fit, against NumPy and SciPy, and its promises, by simulation."""

import numpy as np
import pytest
from scipy import stats

from pellucid.leaderboard.fit import Scatter, fit
from pellucid.metrics import comparisons

X = np.array([0.40, 0.47, 0.52, 0.56, 0.60, 0.61])


def test_a_line_is_linear_regression():
    y = np.random.default_rng(0).normal(size=6)
    found, expected = fit(X, y, None), stats.linregress(X, y)
    assert found.straight
    assert found.at(0.5) == pytest.approx(expected.intercept + 0.5 * expected.slope)
    assert found.r_squared == pytest.approx(expected.rvalue**2)
    assert (found.least, found.most, found.n) == (0.4, 0.61, 6)
    assert np.isnan(found.lack_of_fit)
    s = np.sqrt(((y - expected.intercept - expected.slope * X) ** 2).sum() / 4)
    wide = 1 + 1 / 6 + (0.5 - X.mean()) ** 2 / ((X - X.mean()) ** 2).sum()
    assert found.half_width(0.5) == pytest.approx(stats.t.ppf(0.975, 4) * s * np.sqrt(wide))


def test_a_parabola_is_a_polynomial_fit():
    y = np.random.default_rng(1).normal(size=6)
    found = fit(X, y, None, degree=2)
    assert found.at(0.5) == pytest.approx(np.polyval(np.polyfit(X, y, 2), 0.5))
    assert found.freedom == 3


def test_lack_of_fit_is_the_ratio_of_variances():
    y = np.random.default_rng(2).normal(size=6)
    found = fit(X, y, Scatter(0.5, 10, 3), degree=1)
    residual = y - np.polyval(np.polyfit(X, y, 1), X)
    assert found.lack_of_fit == pytest.approx(
        stats.f.sf((residual**2).sum() / 4 / (0.5 / 3), 4, 10)
    )


def test_a_line_where_it_fits_and_a_parabola_where_it_does_not():
    draw, scatter = np.random.default_rng(3), Scatter(0.03**2, 10, 3)
    straight, curved = 0.3 - X, 0.3 - 60 * (X - 0.5) ** 2
    noise = 0.03 / np.sqrt(3) * draw.normal(size=6)
    assert fit(X, straight + noise, scatter).straight
    assert not fit(X, curved + noise, scatter).straight
    assert fit(X, curved + noise, None).straight, "it cannot be tested"
    assert fit(X[:4], curved[:4], scatter).straight, "too few for a parabola"
    wild = fit(X, draw.normal(size=6), scatter)
    assert wild.straight, "a parabola lacks fit too"
    assert wild.lack_of_fit < 0.05


@pytest.mark.parametrize(
    ("y", "scatter", "tells"),
    [
        (0.3 - X, Scatter(0.01**2, 10, 3), True),
        (0.3 - X, Scatter(0.01**2, 10, 2), False),
        (0.3 - X, None, False),
        (0.3 + 0.0 * X, Scatter(0.01**2, 10, 3), False),
        (np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0]), Scatter(0.01**2, 10, 3), False),
    ],
    ids=["a line", "two seeds", "one seed", "level", "no line"],
)
def test_when_something_may_be_claimed(y, scatter, tells):
    noise = 0.004 * np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
    assert fit(X, y + noise, scatter).tells == tells


@pytest.mark.parametrize("x", [X[:3], np.full(6, 0.5)])
def test_too_little_for_a_line(x):
    assert fit(x, np.arange(len(x)), None) is None


def board(
    draw, *, curved: bool, between: float, submissions: int, scores: int, claimed: bool = True
):
    """P-values of submissions that are networks of the grid's kind, trained from one seed each."""
    seeds, within, p = 3, 0.02, []
    x = draw.uniform(0.4, 0.6, 5)
    new = draw.uniform(x.min(), x.max(), submissions)
    for _ in range(scores):

        def law(a):
            return 0.2 - 0.3 * a - (4.0 * (a - 0.45) ** 2 if curved else 0.0)

        cells = law(x)[:, None] + between * draw.normal(size=(5, 1))
        cells = cells + within * draw.normal(size=(5, seeds))
        square = cells.var(axis=1, ddof=1).mean()
        found = fit(x, cells.mean(axis=1), Scatter(square, 10, seeds))
        y = law(new) + np.hypot(between, within) * draw.normal(size=submissions)
        of = [found.p(a, v, 1, 1) for a, v in zip(new, y, strict=True)]
        p.append(of if found.tells or not claimed else [1.0] * submissions)
    return np.array(p)


@pytest.mark.parametrize("between", [0.0, 0.02, 0.1])
def test_a_network_of_the_grids_kind_lies_within(between):
    draw = np.random.default_rng(4)
    one = {"curved": False, "between": between, "submissions": 1, "scores": 1, "claimed": False}
    p = [board(draw, **one) for _ in range(1500)]
    assert np.mean(np.array(p) < 0.025) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 1500)


@pytest.mark.parametrize(("curved", "between"), [(False, 0.0), (False, 0.05), (True, 0.0)])
def test_twenty_submissions_hardly_ever_beat_it_by_chance(curved, between):
    """In at most one of twenty boards, with five scores each, by Holm's rule over all of them."""
    draw, boards, beaten = np.random.default_rng(5), 300, 0
    for _ in range(boards):
        p = board(draw, curved=curved, between=between, submissions=20, scores=5)
        beaten += (comparisons.holm(p.ravel()) <= 0.025).any()
    assert beaten / boards <= 0.05
