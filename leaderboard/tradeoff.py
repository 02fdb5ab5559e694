"""Does a model beat the trade-off? Advantages over the reference grid's fit, and Pareto fronts.

The reference grid gives a score as a function of test accuracy (`fit`). An entry's *advantage* is
its score minus the fit at its accuracy, signed so that higher is better, with the 95 percent
interval in which a further network of the grid, trained from as many seeds, would have it. A
network of the grid is left out of the fit it is compared with. Scores are those of a two-way layout
of entries and seeds (`pairwise.layout`): what a seed adds to all is taken off an entry that was
measured in some seeds alone.

A submission *beats* the trade-off in a score if the fit tells the score (`Fit.tells`), its accuracy
lies within the grid's, and its one-sided p-value is at most 2.5 percent by Holm's rule over all
scores of all submissions of its authors to the track.

An entry may have no standing (`eligibility`); then it is no part of a fit either. Ranks are those
of `ranking`: by comparisons of the scores in pairs.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from pellucid.leaderboard import ranking
from pellucid.leaderboard.eligibility import left_out
from pellucid.leaderboard.entry import Entry, place
from pellucid.leaderboard.fit import Fit, Scatter, fit
from pellucid.leaderboard.outcomes import Outcomes
from pellucid.leaderboard.ranking import Ranks
from pellucid.leaderboard.scores import ACCURACY, direction, interpretability
from pellucid.metrics import comparisons, pairwise
from pellucid.models.types import Array

BEATS = 0.025
"""From which adjusted one-sided p-value a submission beats the trade-off."""


class Headline(NamedTuple):
    """How an entry stands against the trade-off in one score.

    Attributes:
        advantage: Score minus the fit's, signed so that higher is better; NaN without a fit.
        low: Lower end of its interval.
        high: Upper end.
        extrapolated: Whether the entry's accuracy lies outside that of the grid.
        p: The one-sided p-value that it is no better than a network of the grid; NaN without a fit.
        ranks: The best and the worst rank that it may have; None where the entry lacks the score or
            a standing.
        pareto: Whether every other entry is significantly worse in the score or in test accuracy.
        beats: Whether it beats the trade-off.
    """

    advantage: float
    low: float
    high: float
    extrapolated: bool
    p: float
    ranks: tuple[int, int] | None
    pareto: bool
    beats: bool = False


class Values(NamedTuple):
    """The scores of a table's entries that have a standing.

    Attributes:
        of: By id, without what the seeds add.
        seeds: By id, in how many seeds an entry was measured.
        scatter: What trainings add; None where it is not known.
    """

    of: dict[str, float]
    seeds: dict[str, int]
    scatter: Scatter | None


def values(entries: list[Entry], outcomes: Mapping[str, Outcomes], score: str) -> Values:
    """The scores of a table's entries that have a standing, from outcomes where there are any.

    Args:
        entries: Entries of one table.
        outcomes: By the entry's `place`.
        score: The score.
    """
    unranked = left_out(entries)
    rated = [e for e in entries if e.id not in unranked and score in e.scores]
    of = {e.id: e.value(score) for e in rated}
    cells = {e.id: found for e in rated if len(found := _by_seed(outcomes.get(place(e)), score))}
    grid = [e.id for e in rated if e.role == "reference"]
    seeds = min((len(cells.get(name, ())) for name in grid), default=0)
    if not seeds:
        return Values(of, dict.fromkeys(of, 1), None)
    table = np.full((len(cells), max(map(len, cells.values()))), np.nan)
    for row, found in zip(table, cells.values(), strict=True):
        row[: len(found)] = found
    layout = pairwise.layout(table)
    of |= dict(zip(cells, layout.models.tolist(), strict=True))
    known = layout.freedom > 0
    return Values(
        of,
        {name: len(cells.get(name, (0,))) for name in of},
        Scatter(layout.square, layout.freedom, seeds) if known else None,
    )


def _by_seed(outcomes: Outcomes | None, score: str) -> Array:
    """An entry's score in each seed; empty where its outcomes do not have it."""
    numbers = outcomes.contributions.get(score) if outcomes else None
    if numbers is None:
        return np.empty(0)
    found = numbers.array().astype(float)  # (seeds, repeats, fractions)
    return found.sum(axis=2).mean(axis=1)


def _fit(
    entries: list[Entry], found: Values, *, without: str = "", degree: int | None = None
) -> Fit | None:
    """The fit to a table's reference networks, one of which may be left out."""
    grid = [e for e in entries if e.role == "reference" and e.id in found.of and e.id != without]
    points = [(e.value(ACCURACY), found.of[e.id]) for e in grid]
    x, y = np.array([p for p in points if not any(map(math.isnan, p))], float).reshape(-1, 2).T
    return fit(x, y, found.scatter, degree=degree)


def _against_fit(
    entries: list[Entry], found: Values, used: Fit | None, sign: int
) -> dict[str, Headline]:
    """How entries stand against a fit, nothing said yet of ranks and fronts; by id."""
    nothing = Headline(math.nan, math.nan, math.nan, False, math.nan, None, False)
    placed = dict.fromkeys((entry.id for entry in entries), nothing)
    known = [e for e in entries if not math.isnan(e.value(ACCURACY)) and e.id in found.of]
    if used is None or not known:
        return placed
    accuracy = np.array([e.value(ACCURACY) for e in known])
    value, seeds = (np.array([of[e.id] for e in known]) for of in (found.of, found.seeds))
    advantage, half = sign * (value - used.at(accuracy)), used.half_width(accuracy, seeds)
    outside = (accuracy < used.least) | (accuracy > used.most)
    p = used.p(accuracy, value, seeds, sign)
    for number, entry in enumerate(known):
        placed[entry.id] = Headline(
            advantage=float(advantage[number]),
            low=float(advantage[number] - half[number]),
            high=float(advantage[number] + half[number]),
            extrapolated=bool(outside[number]),
            p=float(p[number]),
            ranks=None,
            pareto=False,
        )
    return placed


def singled_out(scores: Ranks, accuracies: Ranks) -> set[str]:
    """The entries beside which every other is significantly worse in one of two scores."""
    both = [name for name in scores.ids if name in accuracies.of]
    worse = np.zeros((len(both), len(both)), bool)
    for ranks in (scores, accuracies):
        place = {name: number for number, name in enumerate(ranks.ids)}
        at = np.array([place[name] for name in both], int)
        worse |= ranks.better[np.ix_(at, at)]
    np.fill_diagonal(worse, True)
    return {both[number] for number in np.flatnonzero(worse.all(axis=1))}


class Standings:
    """How entries stand in the scores of their tables, each worked out once.

    Args:
        outcomes: By the entry's `place`, the outcomes of those that state any.
    """

    def __init__(self, outcomes: Mapping[str, Outcomes] | None = None) -> None:
        self.outcomes = outcomes or {}
        self._ranks: dict[tuple[str, ...], Ranks] = {}
        self._values: dict[tuple[str, ...], Values] = {}
        self._headlines: dict[tuple[str, ...], dict[str, dict[str, Headline]]] = {}

    @staticmethod
    def _key(rows: list[Entry], score: str) -> tuple[str, ...]:
        return (score, *(entry.digest for entry in rows))

    def ranks(self, rows: list[Entry], score: str) -> Ranks:
        """The ranks of a table's entries in a score."""
        key = self._key(rows, score)
        if key not in self._ranks:
            self._ranks[key] = ranking.ranks(rows, self.outcomes, score)
        return self._ranks[key]

    def values(self, rows: list[Entry], score: str) -> Values:
        """The scores of a table's entries; see `values`."""
        key = self._key(rows, score)
        if key not in self._values:
            self._values[key] = values(rows, self.outcomes, score)
        return self._values[key]

    def fit(self, rows: list[Entry], score: str) -> Fit | None:
        """The fit to a table's reference networks; None where there are too few."""
        return _fit(rows, self.values(rows, score))

    def of(self, rows: list[Entry], score: str) -> dict[str, Headline]:
        """How each entry of a table stands in a score, by id."""
        key = tuple(entry.digest for entry in rows)
        if key not in self._headlines:
            found = {name: self._without_claims(rows, name) for name in interpretability(rows)}
            for entry, name in self._beaten(rows, found):
                found[name][entry] = found[name][entry]._replace(beats=True)
            self._headlines[key] = found
        return self._headlines[key][score]

    def _without_claims(self, rows: list[Entry], score: str) -> dict[str, Headline]:
        sign, found, whole = direction(rows, score), self.values(rows, score), self.fit(rows, score)
        placed = _against_fit(rows, found, whole, sign)
        for entry in rows:
            if whole and entry.role == "reference":
                degree = len(whole.coefficients) - 1
                others = _fit(rows, found, without=entry.id, degree=degree)
                placed |= _against_fit([entry], found, others, sign)
        ranks = self.ranks(rows, score)
        alone = singled_out(ranks, self.ranks(rows, ACCURACY))
        return {
            name: headline._replace(ranks=ranks.of.get(name), pareto=name in alone)
            for name, headline in placed.items()
        }

    def _beaten(
        self, rows: list[Entry], found: dict[str, dict[str, Headline]]
    ) -> Iterator[tuple[str, str]]:
        """Submissions and the scores in which they beat the trade-off."""
        telling = [name for name in found if (fitted := self.fit(rows, name)) and fitted.tells]
        by_authors: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for entry in rows:
            if entry.role == "submission":
                authors = tuple(sorted(author.casefold() for author in entry.card.authors))
                told = [n for n in telling if not math.isnan(found[n][entry.id].p)]
                by_authors.setdefault(authors, []).extend((entry.id, name) for name in told)
        for pairs in by_authors.values():
            p = comparisons.holm(np.array([found[name][of].p for of, name in pairs]))
            for (of, name), adjusted in zip(pairs, p, strict=True):
                if adjusted <= BEATS and not found[name][of].extrapolated:
                    yield of, name


def lead(entries: list[Entry]) -> str:
    """The score a table is ordered by.

    The interpretability score that most entries have, of several the first; test accuracy where
    there is none.
    """
    count = {s: sum(s in e.scores for e in entries) for s in interpretability(entries)}
    return max(count, key=lambda s: count[s]) if count else ACCURACY


def compared(entries: list[Entry]) -> list[str]:
    """The interpretability scores of a table, the leading one first."""
    leading = lead(entries)
    return sorted(interpretability(entries), key=lambda s: s != leading)


def ordered(entries: list[Entry]) -> list[Entry]:
    """Sorts entries of one table by the leading score; those without it or a standing come last.

    Ties go by accuracy and id.
    """
    score = lead(entries)
    sign, unranked = direction(entries, score) or 1, left_out(entries)

    def key(entry: Entry) -> tuple[bool, bool, float, float, str]:
        value = entry.value(score)
        placed = 0.0 if math.isnan(value) else -sign * value
        last = entry.id in unranked, math.isnan(value)
        return (*last, placed, -entry.value(ACCURACY), entry.id)

    return sorted(entries, key=key)


def tables(entries: list[Entry]) -> list[list[Entry]]:
    """Groups comparable entries, each group in order.

    Entries are comparable where every field of their tracks is the same, protocol version included.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.track.model_dump_json(), []).append(entry)
    order = sorted(
        groups, key=lambda k: (groups[k][0].track.name, -groups[k][0].track.protocol_version, k)
    )
    return [ordered(groups[key]) for key in order]
