"""What the page shows of a table of comparable entries: the values of `table.html.jinja`."""

import math
import re
from typing import NamedTuple

import numpy as np

from robust_interpretability.leaderboard import scores
from robust_interpretability.leaderboard.entry import Entry, Score, TrackRecord, place
from robust_interpretability.leaderboard.fit import FEWEST, Fit
from robust_interpretability.leaderboard.html_entry import (
    Cell,
    ShownEntry,
    rounded,
    shown_entry,
    standing_cell,
    title,
)
from robust_interpretability.leaderboard.render import summary, untold
from robust_interpretability.leaderboard.tradeoff import Headline, Standings, compared
from robust_interpretability.models.types import Json

PLACES = ("above the line", "within its scatter", "below the line")
NOT_COMPARED = "not compared"
STEPS = 49
"""Points at which the reference line and its band are drawn."""


class Placed(NamedTuple):
    """A submission and its advantage."""

    row: ShownEntry
    standing: Cell


class Comparison(NamedTuple):
    """Which submissions beat the trade-off in a score.

    Attributes:
        state: `yes`, `no`, or `open` where nothing can be compared.
        text: The answer in words.
        title: The score's.
        groups: Submissions by their place relative to the line.
    """

    state: str
    text: str
    title: str
    groups: list[tuple[str, list[Placed]]]


class ShownTable(NamedTuple):
    """The values of `table.html.jinja`.

    Attributes:
        anchor: Identifier of the table's section.
        track: The track.
        summary: A paragraph about the table.
        titles: `(title, "higher" or "lower")` of the interpretability scores.
        rows: All entries.
        submissions: Those submitted.
        references: Those of the reference grid.
        comparisons: One per score; without submissions, of the first score only.
        lined: Whether any score has a reference line.
        compared: Number of comparisons of a submission's score with a line.
        data: For the page's scripts.
    """

    anchor: str
    track: TrackRecord
    summary: str
    titles: list[tuple[str, str]]
    rows: list[ShownEntry]
    submissions: list[ShownEntry]
    references: list[ShownEntry]
    comparisons: list[Comparison]
    lined: bool
    compared: int
    data: Json


def _identifier(text: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:120] or "entry"
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def _answer(count: int, above: int, submitted: bool, references: int, fitted: bool) -> str:
    """The answer in words.

    Args:
        count: Submissions with the score.
        above: Those above the line.
        submitted: Whether there is any submission.
        references: Reference networks with the score.
        fitted: Whether there is a line.
    """
    if not submitted:
        return "No submission has been measured yet."
    if not count:
        return "No submission has this score."
    if not fitted:
        are = "is" if references == 1 else "are"
        return (
            f"Cannot be answered: a reference line needs at least {FEWEST} networks of the"
            f" reference grid with different test accuracies; there {are} {references}."
        )
    if above:
        verb = "does" if above == 1 else "do"
        return f"{above} of {count} submission{'' if count == 1 else 's'} {verb}."
    return (
        "The only submission does not." if count == 1 else f"None of the {count} submissions does."
    )


def _comparison(
    rows: list[ShownEntry], entries: list[Entry], score: str, found: Standings
) -> Comparison:
    submissions = [row for row in rows if row.entry.role == "submission"]
    scored = sum(score in row.entry.scores for row in submissions)
    references = sum(e.role == "reference" and score in e.scores for e in entries)
    fit, standings = found.fit(entries, score), found.of(entries, score)
    fitted = fit is not None
    groups: dict[str, list[Placed]] = {name: [] for name in (*PLACES, NOT_COMPARED)}
    for row in submissions:
        standing = standings[row.entry.id]
        where = (
            NOT_COMPARED
            if math.isnan(standing.advantage)
            else PLACES[0 if standing.beats else 2 if standing.high < 0 else 1]
        )
        groups[where].append(Placed(row, standing_cell(standing)))
    above = len(groups[PLACES[0]])
    told = fit is not None and fit.tells
    state = "open" if not scored or not told else "yes" if above else "no"
    text = _answer(scored, above, bool(submissions), references, fitted)
    if scored and fit and not told:
        text = f"Cannot be answered: {untold(fit)}."
    return Comparison(
        state=state,
        text=text,
        title=title(entries, score),
        groups=[(name, placed) for name, placed in groups.items() if placed and fitted],
    )


def _drawn_line(fitted: Fit | None, accuracies: list[float]) -> Json | None:
    """The reference line and its band over all accuracies of a table, with the grid's range."""
    if fitted is None:
        return None
    x = np.linspace(min(accuracies), max(accuracies), STEPS)
    x = np.unique(np.concatenate([x, [fitted.least, fitted.most]]))
    points = []
    for v in x:
        y, half = fitted.at(v), fitted.half_width(v)
        points.append(rounded(v, y, y - half, y + half))
    return {
        "points": points,
        "least": rounded(fitted.least)[0],
        "most": rounded(fitted.most)[0],
        "n": fitted.n,
        "explained": rounded(fitted.r_squared)[0],
    }


def _three(score: Score | None) -> list[float | None] | None:
    return None if score is None else rounded(score.value, score.low, score.high)


def _point(row: ShownEntry, standings: dict[str, Headline]) -> Json:
    """An entry for the page's scripts."""
    entry = row.entry
    return {
        "id": row.id,
        "name": row.label,
        "role": entry.role,
        "training": row.training,
        "flags": [flag.meaning.title for flag in row.flags],
        "norm": entry.card.training.norm,
        "test": _three(entry.scores.get(scores.ACCURACY)),
        "robust": _three(entry.scores.get(scores.ROBUST_ACCURACY)),
        "scores": [_three(entry.scores.get(s)) for s in standings],
        "advantages": [rounded(*standing[:3]) for standing in standings.values()],
        "pareto": [standing.pareto for standing in standings.values()],
    }


def shown_table(
    entries: list[Entry],
    found: Standings,
    ids: set[str],
    pictures: dict[str, str],
    brief: set[str],
) -> ShownTable:
    """The values of `table.html.jinja`.

    Args:
        entries: Comparable entries, in order.
        found: How they stand.
        ids: Identifiers in use on the page; those of the table are added.
        pictures: Class in the style sheet by image; those of the table are added.
        brief: Places of the entries whose attacks, pictures and curves are left out.
    """
    track = entries[0].track
    names = compared(entries)
    standings = {s: found.of(entries, s) for s in names}
    anchor = _identifier(f"{track.name}-v{track.protocol_version}", ids)
    rows, points = [], []
    for entry in entries:
        of_entry = {s: standings[s][entry.id] for s in names}
        row = shown_entry(
            entry,
            entries,
            of_entry,
            identifier=_identifier(f"{track.name}-v{track.protocol_version}-{entry.id}", ids),
            pictures=pictures,
            brief=place(entry) in brief,
        )
        rows.append(row)
        points.append(_point(row, of_entry))
    accuracies = [v for e in entries if not math.isnan(v := e.value(scores.ACCURACY))]
    drawn: list[Json] = [
        {
            "title": title(entries, s),
            "better": scores.direction(entries, s),
            "line": _drawn_line(found.fit(entries, s), accuracies),
        }
        for s in names
    ]
    submissions = [row for row in rows if row.entry.role == "submission"]
    comparisons = [
        _comparison(rows, entries, s, found) for s in (names if submissions else names[:1])
    ]
    return ShownTable(
        anchor=anchor,
        track=track,
        summary=summary(entries, found, leading=title(entries, names[0]) if names else ""),
        titles=[
            (title(entries, s), "higher" if scores.direction(entries, s) > 0 else "lower")
            for s in names
        ],
        rows=rows,
        submissions=submissions,
        references=[row for row in rows if row.entry.role == "reference"],
        comparisons=comparisons,
        lined=any(d["line"] for d in drawn),
        compared=sum(
            len(placed) for c in comparisons for name, placed in c.groups if name != NOT_COMPARED
        ),
        data={"anchor": anchor, "scores": drawn, "points": points},
    )
