"""How an entry stands against the trade-off, and what is wrong with a board."""

import math
from pathlib import Path
from typing import NamedTuple

from pellucid.benchmark.results import tracks
from pellucid.benchmark.results.recheck import recheck
from pellucid.benchmark.submission.measure import Measurement
from pellucid.leaderboard import outcomes, render, scores, tradeoff, words
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.eligibility import left_out
from pellucid.models.errors import InputError


class Standing(NamedTuple):
    """A score in words: its title, its value with the interval, and its place in the trade-off."""

    title: str
    value: str
    against: str


def verdict(measurement: Measurement) -> str:
    """How an entry stands, in one sentence.

    In how many of the scores that accuracy tells on the reference grid it beats the trade-off, and
    how many entries cannot be told apart from it in the score by which the board is ordered.
    """
    entry, rows, placed = measurement
    reason = left_out(rows).get(entry.id)
    if reason:
        return f"not ranked: {reason}"
    fits = {
        name: fitted
        for name in scores.interpretability(rows)
        if name in entry.scores and (fitted := placed.fit(rows, name))
    }
    telling = [name for name, fitted in fits.items() if fitted.tells]
    beaten = [scores.title(rows, n) for n in telling if placed.of(rows, n)[entry.id].beats]
    if not fits:
        said = "no reference grid to compare its trade-off with"
    elif not telling:
        why = words.untold(next(iter(fits.values())))
        said = f"no trade-off that it could beat on the reference grid: {why}"
    elif beaten:
        listed = ", ".join(beaten)
        said = f"beats the trade-off in {len(beaten)} of {len(telling)} scores: {listed}"
    else:
        said = f"does not beat the trade-off in any of {len(telling)} scores"
    score = tradeoff.lead(rows)
    ranks = placed.ranks(rows, score)
    if entry.id not in ranks.of:
        return said
    title = scores.title(rows, score)
    return (
        f"{said}; by {title}, indistinguishable from {ranks.alike(entry.id)} of"
        f" {len(ranks.of) - 1} entries"
    )


def standings(measurement: Measurement) -> list[Standing]:
    """How an entry stands: its accuracies, then every score that is set against accuracy."""
    entry, rows, placed = measurement
    unranked = left_out(rows).get(entry.id)
    found = [
        Standing(scores.title(rows, name), render.cell(entry.scores[name]), "")
        for name in ("test_accuracy", "robust_accuracy")
        if name in entry.scores
    ]
    for name in scores.interpretability(rows):
        if name not in entry.scores:
            continue
        headline = placed.of(rows, name)[entry.id]
        if unranked:
            said = f"not ranked: {unranked}"
        elif math.isnan(headline.advantage):
            said = "no reference grid of this track on the board"
        else:
            below = "falls short of it" if headline.high < 0 else "within it"
            word = "beats the trade-off" if headline.beats else below
            far = ", beyond the grid's accuracies" if headline.extrapolated else ""
            rank = render.rank_range(headline.ranks)
            rank = f"rank {rank} of {len(placed.ranks(rows, name).of)}" if rank else "not ranked"
            interval = f"[{headline.low:+.3f}, {headline.high:+.3f}]"
            said = f"{headline.advantage:+.3f} {interval} {word}{far}; {rank}"
        found.append(Standing(scores.title(rows, name), render.cell(entry.scores[name]), said))
    return found


def check(board: Path, *, run: bool = False) -> list[str]:
    """What is wrong with a board.

    As `Board.check`; and scores that do not follow from their curves, entries of unknown tracks.

    Args:
        board: The board's folder.
        run: Whether it is a run's own, whose entries are not verified and need not be of a track.
    """
    wrong = Board(board).check()
    if wrong:
        return wrong
    for entry in Board(board).entries():
        what = f"Entry {entry.track.name}/{entry.id}"
        if problem := recheck(entry, outcomes.read(board, entry)):
            wrong.append(f"{what}: {problem}.")
        if run:
            continue
        if not entry.verified:
            wrong.append(
                f"{what} is not verified: it was not measured for a board by `submit` or"
                " `reference`."
            )
        if entry.track.name not in tracks.names():
            wrong.append(f"{what} is not of a track that this program knows.")
    return wrong


def raise_on(wrong: list[str]) -> None:
    """Raises `InputError` with the first of several problems and their number."""
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}")
