"""Lines, advantages, ranks and fronts, on made-up entries that can be worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from robust_interpretability.leaderboard.tradeoff import (
    Standings,
    lead,
    line,
    ordered,
    pareto_front,
    tables,
)
from tests.leaderboard.made import grid, made, track

SCORE = "roar_gradient_input"


def test_pareto_front_by_hand():
    points = np.array([[1, 5], [2, 4], [2, 3], [3, 1], [3, 1], [0, 6], [np.nan, 9]])
    assert pareto_front(points).tolist() == [True, True, False, True, True, True, False]


def test_the_line_is_that_of_least_squares():
    rows = grid()
    x, y = np.array([[e.value("test_accuracy"), e.value(SCORE)] for e in rows]).T
    found, expected = line(rows, SCORE), stats.linregress(x, y)
    assert found.slope == pytest.approx(expected.slope)
    assert found.intercept == pytest.approx(expected.intercept)
    assert found.r_squared == pytest.approx(expected.rvalue**2)
    assert (found.least, found.most, found.n) == (x.min(), x.max(), 6)


def test_submissions_do_not_move_the_line():
    assert line([*grid(), made("s", 0.5, 9.0)], SCORE) == line(grid(), SCORE)


def test_the_interval_holds_a_further_network_as_often_as_it_says():
    """Grids drawn around a known line: a network drawn like them lies inside in 95 of 100."""
    rng = np.random.default_rng(0)
    inside, trials = 0, 800
    for _ in range(trials):
        x = rng.uniform(0.8, 1.0, 8)
        y = 0.3 - 0.2 * x + rng.normal(0, 0.02, 8)
        rows = [
            made(f"reference-{i}", *pair, role="reference")
            for i, pair in enumerate(zip(x[:7], y[:7], strict=True))
        ]
        own = Standings().of([*rows, made("s", x[7], y[7])], SCORE)["s"]
        inside += own.low <= 0 <= own.high
    assert abs(inside / trials - 0.95) < 3 * np.sqrt(0.95 * 0.05 / trials)


def test_advantage_of_a_submission_and_of_a_score_where_less_is_better():
    rows = [*grid(), made("s", 0.955, 0.1, manifold=-0.9)]
    for score, sign in ((SCORE, 1), ("manifold_xent_excess_over_noise", -1)):
        fitted, own = line(rows, score), Standings().of(rows, score)["s"]
        assert own.advantage == pytest.approx(sign * (rows[-1].value(score) - fitted.at(0.955)))
        assert own.advantage > 0
        assert own.beats
        assert own.high - own.advantage == pytest.approx(fitted.half_width(0.955))


def test_a_network_of_the_grid_is_left_out_of_its_own_line():
    rows = grid()
    others = line(rows[1:], SCORE)
    assert Standings().of(rows, SCORE)[rows[0].id].advantage == pytest.approx(
        rows[0].value(SCORE) - others.at(rows[0].value("test_accuracy"))
    )


def test_beyond_the_grid_is_said():
    rows = [*grid(), made("inside", 0.95, 0.1), made("outside", 0.5, 0.1)]
    found = Standings().of(rows, SCORE)
    assert (found["inside"].extrapolated, found["outside"].extrapolated) == (False, True)


def test_too_small_a_grid_gives_no_line():
    rows = [*grid(n=3), made("s", 0.95, 0.5), made("n", 0.9)]
    found = Standings().of(rows, SCORE)
    assert line(rows, SCORE) is None
    assert np.isnan(found["s"].advantage)
    assert not found["s"].beats
    assert found["n"].ranks is None, "it lacks the score"


def test_ranks_are_ranges():
    rows = [*grid(), made("a", 0.95, 0.5), made("b", 0.95, 0.502), made("c", 0.95, 0.3)]
    found = Standings().of(rows, SCORE)
    assert [found[name].ranks for name in "abc"] == [(1, 2), (1, 2), (3, 3)]


def test_order_and_lead():
    rows = [*grid(), made("a", 0.95, 0.5), made("b", 0.95, 0.502)]
    assert [e.id for e in ordered(rows)][:2] == ["b", "a"]
    assert ordered(list(reversed(rows))) == ordered(rows)
    assert lead(rows) == SCORE
    assert lead([*rows, made("n", 0.9)]) == "test_accuracy"


def test_entries_of_another_protocol_or_track_never_share_a_table():
    later, other = track(protocol=2), track("mnist")
    changed = track(digest="1" * 64)
    rows = [made("a", 0.9, 0.1), made("b", 0.9, 0.1, on=later), made("c", 0.9, 0.1, on=other)]
    rows.append(made("d", 0.9, 0.1, on=changed))
    assert [[e.id for e in group] for group in tables(rows)] == [["b"], ["a"], ["d"], ["c"]]
