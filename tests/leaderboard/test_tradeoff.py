"""Lines, advantages, ranks and fronts, on made-up entries that can be worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from pellucid.leaderboard.ranking import Ranks
from pellucid.leaderboard.tradeoff import (
    Standings,
    lead,
    ordered,
    singled_out,
    tables,
)
from tests.leaderboard.made import evidence, grid, made, track

SCORE = "roar_gradient_input"


def of_ranks(names: str, better: list[str]) -> Ranks:
    """Ranks in which the first of each pair is the better one."""
    ids, matrix = list(names), np.zeros((len(names), len(names)), bool)
    for one, other in better:
        matrix[ids.index(one), ids.index(other)] = True
    return Ranks(dict.fromkeys(ids, (1, 1)), 1, ids, matrix | matrix.T, matrix)


def test_what_is_singled_out_by_hand():
    """Of a beyond b and c in the score, and b beyond c in accuracy: b does not differ from a."""
    scores = of_ranks("abc", ["ab", "ac"])
    assert singled_out(scores, of_ranks("abc", ["bc"])) == {"a"}
    assert singled_out(scores, of_ranks("cab", ["bc", "ba"])) == {"a", "b"}
    assert singled_out(of_ranks("abc", []), of_ranks("abc", [])) == set()
    assert singled_out(of_ranks("ab", ["ab"]), of_ranks("a", [])) == {"a"}, "b has no accuracy"


def line(rows, score=SCORE):
    return Standings().fit(rows, score)


def test_the_fit_is_to_the_grid_s_scores():
    rows = grid()
    x, y = np.array([[e.value("test_accuracy"), e.value(SCORE)] for e in rows]).T
    found, expected = line(rows), stats.linregress(x, y)
    assert found.at(0.95) == pytest.approx(expected.intercept + 0.95 * expected.slope)
    assert (found.least, found.most, found.n) == (x.min(), x.max(), 6)


def test_submissions_do_not_move_the_line():
    found = line([*grid(), made("s", 0.95, 9.0)])
    np.testing.assert_array_equal(found.coefficients, line(grid()).coefficients)


def test_what_the_seeds_add_moves_neither_the_grid_nor_a_submission():
    """Measured in the first seed alone, a submission has what that adds; it is taken off."""
    rows = [*grid(), made("s", 0.955, 0.1)]
    found = Standings(evidence(rows, noise=1e-6)).values(rows, SCORE)
    assert found.scatter.seeds == 3
    assert found.seeds == {e.id: 3 for e in grid()} | {"s": 1}
    for entry in rows:
        assert found.of[entry.id] == pytest.approx(entry.value(SCORE), abs=1e-5)


def test_advantage_of_a_submission_and_of_a_score_where_less_is_better():
    rows = [*grid(), made("s", 0.955, 0.1, manifold=-0.9)]
    placed = Standings(evidence(rows))
    for score, sign in ((SCORE, 1), ("manifold_xent_excess_over_noise", -1)):
        fitted, own = placed.fit(rows, score), placed.of(rows, score)["s"]
        assert own.advantage == pytest.approx(
            sign * (rows[-1].value(score) - fitted.at(0.955)), abs=0.005
        )
        assert own.advantage > 0
        assert own.high - own.advantage == pytest.approx(fitted.half_width(0.955))


def telling(n: int = 12) -> list:
    """A grid that lies on a line but for its trainings' scatter."""
    rows = []
    for i in range(n):
        role = {"role": "reference", "norm": "none" if i == 0 else "l2", "epsilon": 0.1 * i}
        rows.append(made(f"reference-{i}", 0.98 - 0.01 * i, 0.01 * i, **role))
    return rows


def beaten(rows, **options) -> dict[str, bool]:
    placed = Standings(evidence(rows, **options))
    return {e.id: placed.of(rows, SCORE)[e.id].beats for e in rows}


def test_what_beats_the_trade_off():
    far, near = made("far", 0.935, 0.2), made("near", 0.935, 0.045)
    beyond = made("beyond", 0.5, 0.9)
    found = beaten([*telling(), far, near, beyond])
    assert found["far"]
    assert not found["near"], "as a network of the grid"
    assert not found["beyond"], "the line is extrapolated"
    raised = made("reference-x", 0.935, 0.3, role="reference")
    assert not beaten([*telling(), raised])["reference-x"]


def test_nothing_is_claimed_without_three_seeds_or_where_accuracy_does_not_tell():
    far = made("far", 0.935, 0.5)
    assert beaten([*telling(), far])["far"]
    assert not beaten([*telling(), far], seeds=2)["far"]
    assert not Standings().of([*telling(), far], SCORE)["far"].beats
    level = [
        e.model_copy(update={"scores": e.scores | {SCORE: far.scores[SCORE]}}) for e in telling()
    ]
    assert not beaten([*level, far])["far"], "it explains nothing"
    assert not beaten([*grid(), far], noise=1e-6)["far"], "the grid lies about the line, not on it"


def test_many_submissions_of_one_author_count_together():
    """The same score, alone and beside a hundred others of the same authors."""
    rows = telling()
    edge = next(
        score
        for score in np.arange(0.045, 0.1, 0.0002)
        if beaten([*rows, made("edge", 0.935, score)])["edge"]
    )
    alone = made("edge", 0.935, edge + 0.0004)
    others = [made(f"other-{i}", 0.935, 0.045) for i in range(100)]
    card = others[0].card.model_copy(update={"authors": ["Somebody Else"]})
    assert beaten([*rows, alone])["edge"]
    assert not beaten([*rows, alone, *others])["edge"]
    of_others = [e.model_copy(update={"card": card}) for e in others]
    assert beaten([*rows, alone, *of_others])["edge"]


def test_a_network_of_the_grid_is_left_out_of_its_own_line():
    rows = grid()
    assert Standings().of(rows, SCORE)[rows[0].id].advantage == pytest.approx(
        rows[0].value(SCORE) - line(rows[1:]).at(rows[0].value("test_accuracy"))
    )


def test_beyond_the_grid_is_said():
    rows = [*grid(), made("inside", 0.95, 0.1), made("outside", 0.5, 0.1)]
    found = Standings().of(rows, SCORE)
    assert (found["inside"].extrapolated, found["outside"].extrapolated) == (False, True)


def test_too_small_a_grid_gives_no_line():
    rows = [*grid(n=3), made("s", 0.95, 0.5), made("n", 0.9)]
    found = Standings().of(rows, SCORE)
    assert line(rows) is None
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
    assert lead([*rows, made("n", 0.9)]) == SCORE, "most have it"
    assert [e.id for e in ordered([made("n", 0.99), *rows])][-1] == "n", "it lacks the score"
    assert lead([made("n", 0.9)]) == "test_accuracy"


def test_entries_of_another_protocol_or_track_never_share_a_table():
    later, other = track(protocol=2), track("mnist")
    changed = track(digest="1" * 64)
    rows = [made("a", 0.9, 0.1), made("b", 0.9, 0.1, on=later), made("c", 0.9, 0.1, on=other)]
    rows.append(made("d", 0.9, 0.1, on=changed))
    assert [[e.id for e in group] for group in tables(rows)] == [["b"], ["a"], ["d"], ["c"]]
