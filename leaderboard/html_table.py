"""What the page shows of a table: the values of `table.html.jinja`, and data for its scripts."""

import math
import re
from typing import NamedTuple

import numpy as np

from pellucid.leaderboard import charts, scores, text
from pellucid.leaderboard.charts import Tick
from pellucid.leaderboard.entry import Entry, Score, TrackRecord, place
from pellucid.leaderboard.fit import Fit
from pellucid.leaderboard.html_entry import (
    MISSING,
    Cell,
    architecture,
    cell,
    number,
    short,
    size,
)
from pellucid.leaderboard.render import rank_range, training
from pellucid.leaderboard.table import Table
from pellucid.leaderboard.text import printable
from pellucid.leaderboard.tradeoff import Headline
from pellucid.leaderboard.words import finding, summary
from pellucid.models.types import Array, Json

STEPS = 49
"""Points at which the reference line and its band are drawn."""
STATIC = 100
"""Rows that a reader without JavaScript sees; the CSV has all."""
DRAWN = 200
"""Entries that a track's chart shows, the first of the table and the reference grid."""
DIGITS = 4
"""Digits of a score in the scripts' data, for the largest of the table."""
FINEST = 1e-4
"""The unit of an accuracy there, and the largest unit of a score: three decimals are shown."""
PAGES = "pages"
"""Folder of the entries' pages, beside the page itself."""
NORMS = ("none", "l2", "linf")
ROLES = ("reference", "submission", "baseline")


class Row(NamedTuple):
    """A row of a table, for one of its scores.

    Attributes:
        id: Its identifier.
        href: The entry's page.
        role: The entry's.
        rank: The ranks that it may have.
        name: The card's name.
        kind: Its role and how it was trained.
        architecture: The model's layers.
        size: Its parameters and cost.
        test: Test accuracy.
        robust: Robust accuracy.
        score: The score.
        advantage: Over the reference line.
        marks: Badges: kind and text.
    """

    id: str
    href: str
    role: str
    rank: str
    name: str
    kind: str
    architecture: str
    size: str
    test: Cell
    robust: Cell
    score: Cell
    advantage: Cell
    marks: list[tuple[str, str]]


class Mark(NamedTuple):
    """An entry in a chart, with the lines of its intervals."""

    x: float
    y: float
    role: str
    across: tuple[float, float] | None
    upright: tuple[float, float] | None


class Overview(NamedTuple):
    """A track's leading score over test accuracy.

    Attributes:
        label: Of the y axis.
        x: Ticks of the x axis.
        y: Ticks of the y axis.
        line: The reference line, an SVG path; empty where there is none.
        band: Its prediction band.
        marks: The entries.
        left_out: How many more the table has.
    """

    label: str
    x: list[Tick]
    y: list[Tick]
    line: str
    band: str
    marks: list[Mark]
    left_out: int


class ShownTable(NamedTuple):
    """The values of `table.html.jinja`.

    Attributes:
        anchor: Identifier of the table's section.
        track: The track.
        latest: Whether there is no later version of the track's protocol on the board.
        finding: What it found in its leading score.
        summary: What it compares.
        titles: `(title, "higher" or "lower")` of the scores.
        ordered: Title of the score by which it is ordered.
        rows: The first rows.
        more: How many more there are.
        unranked: How many models are not ranked, and so not in the plots.
        overview: Its chart; None where no entry has an interpretability score.
        data: For the page's scripts.
    """

    anchor: str
    track: TrackRecord
    latest: bool
    finding: str
    summary: str
    titles: list[tuple[str, str]]
    ordered: str
    rows: list[Row]
    more: int
    unranked: int
    overview: Overview | None
    data: Json


def identifier(wanted: str, taken: set[str]) -> str:
    """An identifier like the wanted one that is not taken; it is taken then."""
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted)[:120] or "entry"
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def page_of(entry: Entry) -> str:
    """Where an entry's page lies, from the page of the board."""
    return f"{PAGES}/{place(entry).removesuffix('.json')}.html"


def _kind(entry: Entry) -> str:
    verified = "" if entry.verified else ", not verified"
    return f"{entry.role}{verified}, {training(entry)}"


def _advantage(standing: Headline | None) -> Cell:
    if standing is None or math.isnan(standing.advantage):
        return Cell()
    low, high = number(standing.low, "+.3f"), number(standing.high, "+.3f")
    star = "*" if standing.extrapolated else ""
    return Cell(f"{number(standing.advantage, '+.3f')}{star}", f"[{low}, {high}]")


def _row(table: Table, entry: Entry, score: str) -> Row:
    standing = table.standings[score][entry.id] if score in table.standings else None
    marks = [("flag", remark) for remark in table.remarks(entry)]
    if standing and standing.pareto:
        marks.insert(0, ("pareto", "Pareto"))
    if standing and standing.beats:
        marks.insert(0, ("beats", "beats the trade-off"))
    return Row(
        id="",
        href=page_of(entry),
        role=entry.role,
        rank=rank_range(table.ranks[score].of.get(entry.id)).replace("-", "–") or MISSING,
        name=text.name(entry, 200),
        kind=_kind(entry),
        architecture=architecture(entry),
        size=size(entry),
        test=cell(entry.scores.get(scores.ACCURACY)),
        robust=cell(entry.scores.get(scores.ROBUST_ACCURACY)),
        score=cell(entry.scores.get(score)),
        advantage=_advantage(standing),
        marks=marks,
    )


def _places(fitted: Fit, accuracies: list[float]) -> Array:
    """Where a line is drawn: over all accuracies, and at the ends of the grid's."""
    x = np.linspace(min(accuracies), max(accuracies), STEPS)
    return np.unique(np.concatenate([x, [fitted.least, fitted.most]]))


def _ends(score: Score, axis: charts.Axis) -> tuple[float, float] | None:
    """The ends of an interval, where it shows."""
    if score.low is None or score.high is None:
        return None
    low, high = axis.at(score.low), axis.at(score.high)
    return (low, high) if abs(high - low) > 1 else None


def _overview(table: Table) -> Overview | None:
    if not table.names:
        return None
    name, fitted = table.names[0], table.fits[table.names[0]]
    having = [
        entry
        for entry in table.rows
        if {name, scores.ACCURACY} <= set(entry.scores) and entry.id not in table.unranked
    ]
    drawn = [e for i, e in enumerate(having) if e.role != "submission" or i < DRAWN]
    if not drawn:
        return None
    both = [(e.scores[scores.ACCURACY], e.scores[name]) for e in drawn]
    x_range, y_range = (
        charts.around(
            [v for score in of for v in (score.low, score.value, score.high) if v is not None]
        )
        for of in zip(*both, strict=True)
    )
    x, y = charts.axes(x_range, y_range)
    line = band = ""
    if fitted:
        at = _places(fitted, [a.value for a, _ in both])
        values, half = fitted.at(at), fitted.half_width(at)
        inside = np.clip([values - half, values, values + half], *y_range)
        line = charts.path(x, y, np.stack([at, inside[1]], axis=1))
        band = charts.band(x, y, at, inside[0], inside[2])
    marks = [
        Mark(x.at(a.value), y.at(v.value), e.role, _ends(a, x), _ends(v, y))
        for e, (a, v) in zip(drawn, both, strict=True)
    ]
    marks.sort(key=lambda mark: mark.role == "submission")
    label = f"{printable(table.titles[name], 40)} ({table.better(name)} is better)"
    left_out = len(having) - len(drawn)
    return Overview(label, x.ticks(5), y.ticks(5), line, band, marks, left_out)


def _rounded(*values: float | None) -> list[float | None]:
    """Values of a line: five digits, null for NaN."""
    return [None if v is None or math.isnan(v) else float(f"{v:.5g}") for v in values]


def _line(table: Table, name: str) -> Json | None:
    """The reference line and its band, with the grid's range."""
    fitted = table.fits[name]
    ranked = (e for e in table.rows if e.id not in table.unranked)
    known = [v for e in ranked if not math.isnan(v := e.value(scores.ACCURACY))]
    if fitted is None:
        return None
    x = _places(fitted, known)
    y, half = fitted.at(x), fitted.half_width(x)
    points = np.stack([x, y, y - half, y + half], axis=1).tolist()
    return {
        "points": [_rounded(*point) for point in points],
        "least": _rounded(fitted.least)[0],
        "most": _rounded(fitted.most)[0],
        "n": fitted.n,
        "explained": _rounded(fitted.r_squared)[0],
    }


def _unit(values: list[float]) -> float:
    """The power of ten in which a score is sent: the largest then has `DIGITS` digits or more."""
    largest = max((abs(v) for v in values if v), default=1.0)
    return float(min(FINEST, 10.0 ** (math.floor(math.log10(largest)) - DIGITS + 1)))


def _in_units(unit: float, value: float) -> int:
    """The nearest integer of which scripts show the three decimals of the value, not of itself."""
    nearest, shown = round(value / unit), round(value, 3)
    return min((nearest, nearest - 1, nearest + 1), key=lambda n: round(n * unit, 3) != shown)


Sent = list[int | None]


def _interval(unit: float, value: float, low: float | None, high: float | None) -> Sent:
    """A value in units, how far its interval ends below it, and how much farther above it."""
    if math.isnan(value):
        return [None, None, None]
    middle = _in_units(unit, value)
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return [middle, None, None]
    below, above = middle - _in_units(unit, low), _in_units(unit, high) - middle
    return [middle, below, above - below]


def _sent(score: Score | None, unit: float) -> Sent:
    """A score in units with its interval."""
    if score is None:
        return [None, None, None]
    return _interval(unit, score.value, score.low, score.high)


def _standing(table: Table, entry: Entry, name: str, unit: float) -> Sent:
    """Score and advantage in units with their intervals, the ranks, and bits for what is marked."""
    score = entry.scores.get(name)
    if score is None:
        return [*_sent(None, unit), *_sent(None, unit), None, None, 0]
    standing = table.standings[name][entry.id]
    advantage = _interval(unit, standing.advantage, standing.low, standing.high)
    bits = standing.pareto + 2 * standing.beats + 4 * standing.extrapolated
    return [*_sent(score, unit), *advantage, *(standing.ranks or (None, None)), bits]


def _columns(table: Table, name: str, unit: float) -> list[Sent]:
    """`_standing` of every entry, column by column: so a number takes the least room."""
    rows = (_standing(table, entry, name, unit) for entry in table.rows)
    return [list(column) for column in zip(*rows, strict=True)]


def _forward(entry: Entry) -> list[str]:
    """What a forward pass costs, if it is known."""
    cost = entry.model.multiply_adds
    return [] if cost is None else [short(cost)]


def _data(table: Table, anchor: str) -> Json:
    """For the page's scripts: numbers as integers in units that each score states."""
    remarks = list(dict.fromkeys(r for entry in table.rows for r in table.remarks(entry)))
    number_of = {remark: number for number, remark in enumerate(remarks)}
    built = list(dict.fromkeys(architecture(entry) for entry in table.rows))
    model_of = {name: number for number, name in enumerate(built)}
    units = {n: _unit([e.value(n) for e in table.rows if n in e.scores]) for n in table.names}
    points = [
        [
            entry.id,
            text.name(entry, 80),
            ROLES.index(entry.role),
            NORMS.index(entry.card.training.norm),
            _kind(entry),
            model_of[architecture(entry)],
            [entry.model.parameters, *_forward(entry)],
            [number_of[remark] for remark in table.remarks(entry)],
            int(entry.id in table.unranked),
            _sent(entry.scores.get(scores.ACCURACY), FINEST),
            _sent(entry.scores.get(scores.ROBUST_ACCURACY), FINEST),
        ]
        for entry in table.rows
    ]
    described = [
        {
            "title": table.titles[n],
            "better": table.directions[n],
            "unit": units[n],
            "columns": _columns(table, n, units[n]),
            "line": _line(table, n),
            "finding": finding(table, n),
        }
        for n in table.names
    ]
    track = table.track
    return {
        "anchor": anchor,
        "folder": f"{PAGES}/{track.name}/",
        "ending": f"-v{track.protocol_version}.html",
        "unit": FINEST,
        "scores": described,
        "remarks": remarks,
        "architectures": built,
        "points": points,
    }


def shown_table(table: Table, ids: set[str], *, latest: bool) -> ShownTable:
    """The values of `table.html.jinja`.

    Args:
        table: The table.
        ids: Identifiers in use on the page; those of the table are added.
        latest: Whether there is no later version of the track's protocol on the board.
    """
    track = table.track
    anchor = identifier(f"{track.name}-v{track.protocol_version}", ids)
    rows = []
    for entry in table.rows[:STATIC]:
        row = _row(table, entry, table.lead)
        rows.append(row._replace(id=identifier(f"{anchor}-{entry.id}", ids)))
    return ShownTable(
        anchor=anchor,
        track=track,
        latest=latest,
        finding=finding(table, table.lead),
        summary=summary(table),
        titles=[(table.titles[n], table.better(n)) for n in table.names],
        ordered=table.titles.get(table.lead, "test accuracy"),
        rows=rows,
        more=len(table.rows) - len(rows),
        unranked=len(table.unranked),
        overview=_overview(table),
        data=_data(table, anchor),
    )


def blank() -> Row:
    """A row without anything, which the page's scripts fill."""
    nothing = Cell(text="", interval="")
    texts = ("", "#top", "submission", "", "", "", "", "")
    return Row(*texts, nothing, nothing, nothing, nothing, [])
