"""The sentence with which a submission is answered."""

from pellucid.benchmark.submission.check import standings, verdict
from pellucid.benchmark.submission.measure import Measurement
from pellucid.leaderboard.tradeoff import Standings
from tests.leaderboard.made import evidence, grid, made


def said(entry, *others, references=None) -> str:
    rows = [entry, *others, *(grid() if references is None else references)]
    return verdict(Measurement(entry, rows, Standings(evidence(rows, noise=0.01))))


def test_how_it_stands():
    middle = grid()[2]
    within = made("new", middle.value("test_accuracy"), middle.value("roar_gradient_input"))
    assert said(within).startswith("does not beat the trade-off in any of 3 scores; by ROAR GX, ")
    far = made("new", 0.95, 0.9)
    assert said(far) == (
        "beats the trade-off in 2 of 3 scores: ROAR GX, ROAR G; by ROAR GX, indistinguishable from"
        f" 0 of {len(grid())} entries"
    )
    assert said(far, made("same", 0.95, 0.9)).endswith(
        f"indistinguishable from 1 of {len(grid()) + 1} entries"
    )


def test_without_a_grid_there_is_nothing_to_beat():
    alone = said(made("new", 0.95, 0.9), references=[])
    assert alone.startswith("no reference grid to compare its trade-off with")


def test_a_grid_of_one_seed_has_no_trade_off_to_beat():
    far = made("new", 0.95, 0.9)
    found = verdict(Measurement(far, [far, *grid()], Standings()))
    assert found.startswith(
        "no trade-off that it could beat on the reference grid: its networks' scores are not known"
        " from 3 seeds or more; by ROAR GX, indistinguishable from 0 of 6"
    )


def test_what_is_not_ranked_is_told_why():
    assert said(made("new", 0.2, 0.9)) == "not ranked: hardly learned"
    knows = made("new", 1.0, 0.9, flags=["test_contamination"])
    assert said(knows) == "not ranked: knows the test images"
    rows = [knows, *grid()]
    scores = standings(Measurement(knows, rows, Standings(evidence(rows, noise=0.01))))
    assert {s.against for s in scores} == {"", "not ranked: knows the test images"}
