"""Entries as Markdown, CSV and Parquet; the same entries give the same bytes."""

import io
import math
import re
import textwrap
from collections.abc import Iterator

import pandas as pd
import tabulate as tabulation
from tabulate import tabulate

from pellucid.leaderboard import text
from pellucid.leaderboard.entry import Entry, Score
from pellucid.leaderboard.scores import ACCURACY, KNOWN, ROBUST_ACCURACY, TRAIN_ACCURACY
from pellucid.leaderboard.table import Table
from pellucid.leaderboard.text import escaped, printable
from pellucid.leaderboard.tradeoff import Headline
from pellucid.leaderboard.words import finding, summary
from pellucid.models.errors import InputError

NAME = 27
"""Characters of a name in a table."""
DETAILED = 50
"""Entries whose scores have tables with intervals; a larger board refers to its CSV."""
tabulation.WIDE_CHARS_MODE = (
    False  # else the padding, so the bytes, would depend on whether wcwidth is installed
)

NOTES = """\
## How to read this

*Advantage*: the score minus that of the reference line at the same test accuracy, signed so that
higher is better; with it, its 95 percent prediction interval: above zero means beyond the scatter
of the reference grid. The line, or a parabola where a line does not fit, is fitted by least squares
to the grid's networks; a network of the grid is left out of the line it is compared with. A star
(*) marks an accuracy outside the grid's range, where the line is extrapolated. A submission *beats
the trade-off* where the line tells the score, and its advantage is beyond chance (2.5 percent,
one-sided, by Holm's rule over all scores of its authors' submissions).

*Rank*: entries are compared in pairs, on the same test images or retrained with the same seeds, at
5 percent over all pairs of the table (Holm); the range goes from one more than the entries that are
better to all less those that are worse. *Pareto*: every other entry is worse beyond chance, by the
same comparisons, in the score or in test accuracy. *Not ranked*, and no part of lines, is an entry
that seems to know the test images, until a maintainer has ruled that out, and one that has hardly
learned: less than half as far above chance as the most accurate network of the grid.

ROAR and KAR: area between the accuracy curve of the attribution and that of a random order of
pixels, higher is better (GX: Gradient\\*Input, G: Gradient). Manifold excess: how much farther from
the image manifold the network's adversarial examples lie than random noise of the same norm, in the
paper's units, lower is better. Radii are in pixel units ([0, 1]); the paper's are twice as large.
Brackets are 95 percent intervals. Each entry's file has all its numbers.
"""

_KNOWN_TITLES = {known.title for known in KNOWN.values()}


def _title(table: Table, name: str) -> str:
    stated = table.titles[name]
    return stated if stated in _KNOWN_TITLES else escaped(stated)


def training(entry: Entry) -> str:
    """How a model was trained, as its card says: `standard`, or as `L2 0.5, cross-entropy`."""
    stated = entry.card.training
    if stated.norm == "none":
        return "not trained" if stated.loss == "none" else "standard"
    loss = "cross-entropy" if stated.loss == "xent" else stated.loss
    return f"{ {'l2': 'L2', 'linf': 'L∞'}[stated.norm] } {stated.epsilon:g}, {loss}"


def cell(score: Score | None) -> str:
    """A score with its interval, three decimals; nothing where there is no score."""
    if score is None:
        return ""
    interval = (
        "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    )
    return f"{score.value:.3f}{interval}"


def _advantage(standing: Headline) -> str:
    if math.isnan(standing.advantage):
        return ""
    star = "*" if standing.extrapolated else ""
    return f"{standing.advantage:+.3f}{star} [{standing.low:+.3f}, {standing.high:+.3f}]"


def rank_range(ranks: tuple[int, int] | None) -> str:
    """A range of ranks: `2`, `1-3`, or nothing."""
    if ranks is None:
        return ""
    best, worst = ranks
    return str(best) if best == worst else f"{best}-{worst}"


def _name(entry: Entry) -> str:
    """An entry's name, cut so that it takes at most `NAME` characters when it is escaped."""
    whole = text.name(entry)
    for length in range(min(len(whole), NAME), 0, -1):
        if len(cut := escaped(printable(whole, length))) <= NAME:
            return cut
    return ""


def _tabulated(body: list[list[str]], headers: list[str]) -> str:
    return tabulate(body, headers, tablefmt="github", disable_numparse=True) + "\n"


def _wrapped(paragraph: str) -> str:
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False) + "\n"


def _plain(entry: Entry, name: str) -> str:
    return f"{entry.value(name):.3f}" if name in entry.scores else ""


def _leading(table: Table) -> str:
    """All entries, with the score by which they are ordered."""
    score, signs = table.names[0] if table.names else "", _signs(table)
    headers = ["rank", "model", "train", "test", "robust"]
    headers += ["score", "advantage"] if score else []
    body = []
    for entry in table.rows:
        ranks = table.ranks[table.lead].of.get(entry.id)
        accuracies = [_plain(entry, a) for a in (TRAIN_ACCURACY, ACCURACY, ROBUST_ACCURACY)]
        cells = [rank_range(ranks), _name(entry), *accuracies]
        if score:
            standing = table.standings[score][entry.id]
            star = "*" if standing.extrapolated else ""
            known = not math.isnan(standing.advantage)
            cells += [cell(entry.scores.get(score))]
            cells += [f"{standing.advantage:+.3f}{star}" if known else ""]
        marks = [signs[remark] for remark in table.remarks(entry)]
        body.append([*cells, ", ".join(marks)])
    return _tabulated(body, [*headers, "notes"])


def _ordered(table: Table) -> str:
    if not table.names:
        return ""
    name = table.names[0]
    return f" Score: {_title(table, name)}, {table.better(name)} is better."


def _signs(table: Table) -> dict[str, str]:
    """A letter for every remark of a table."""
    remarks = dict.fromkeys(r for entry in table.rows for r in table.remarks(entry))
    letters = [f"{chr(97 + i % 26)}{i // 26 or ''}" for i in range(len(remarks))]
    return dict(zip(remarks, letters, strict=True))


def _notes(table: Table) -> str:
    return "; ".join(f"{letter}: {remark}" for remark, letter in _signs(table).items())


def _details(table: Table) -> Iterator[str]:
    """A table for each score, with intervals."""
    for name in [*table.plain, *table.names]:
        better = table.better(name)
        rows = [entry for entry in table.rows if name in entry.scores]
        body = []
        for entry in rows[:DETAILED]:
            cells = [_name(entry), cell(entry.scores[name])]
            if better:
                standing = table.standings[name][entry.id]
                cells = [rank_range(standing.ranks), *cells, _advantage(standing)]
                cells.append("yes" if standing.pareto else "")
            body.append(cells)
        headers = (
            ["rank", "model", "score", "advantage", "Pareto"] if better else ["model", "score"]
        )
        heading = f"{_title(table, name)} ({better} is better)" if better else _title(table, name)
        yield f"### {heading}\n"
        yield _tabulated(body, headers)
        if len(rows) > DETAILED:
            yield f"And {len(rows) - DETAILED:,} more models, in leaderboard.csv.\n"


def markdown(tables: list[Table]) -> str:
    """The leaderboard as Markdown: a section for each group of comparable entries.

    Tables are at most 120 characters wide.
    """
    parts = ["# Pellucid leaderboard\n"]
    for table in tables:
        parts += [
            f"## {escaped(table.track.name)}, protocol version {table.track.protocol_version}\n",
            _wrapped(f"**{finding(table, table.lead, markup=escaped)}**"),
            _wrapped(f"{summary(table, markup=escaped)}{_ordered(table)}"),
            _leading(table),
        ]
        if notes := _notes(table):
            parts.append(_wrapped(notes))
        parts += ["<details>\n<summary>Every score with its interval</summary>\n"]
        parts += [*_details(table), "</details>\n"]
    return "\n".join([*parts, NOTES])


def _settled(value: float) -> float:
    """Of a least-squares fit: its last digits differ from one kind of processor to another."""
    return round(value, 9) + 0.0  # no minus zero


def _row(
    entry: Entry, standings: dict[str, Headline], unranked: dict[str, str]
) -> dict[str, object]:
    track, card = entry.track, entry.card
    row: dict[str, object] = {
        "track": track.name,
        "protocol_version": track.protocol_version,
        "id": entry.id,
        "role": entry.role,
        "verified": entry.verified,
        "name": card.name,
        "authors": "; ".join(card.authors),
        "link": card.link,
        "code": card.code,
        "licence": card.licence,
        "norm": card.training.norm,
        "epsilon": card.training.epsilon,
        "loss": card.training.loss,
        "extra_data": card.training.extra_data,
        "recipe": card.training.recipe,
        "data": track.data.name,
        "data_version": track.data.version,
        "architecture": entry.model.architecture,
        "parameters": entry.model.parameters,
        "multiply_adds": entry.model.multiply_adds,
        "flags": "; ".join(flag.name for flag in entry.flags),
        "not_ranked": unranked.get(entry.id),
    }
    columns: list[tuple[str, object]] = []
    for name in sorted(entry.scores):
        score = entry.scores[name]
        columns += [(name, score.value), (f"{name}_low", score.low), (f"{name}_high", score.high)]
        columns += [(f"{name}_n", score.n), (f"{name}_seeds", score.seeds)]
    for name, standing in standings.items():
        columns += [
            (f"{name}_advantage", _settled(standing.advantage)),
            (f"{name}_advantage_low", _settled(standing.low)),
            (f"{name}_advantage_high", _settled(standing.high)),
            (f"{name}_extrapolated", standing.extrapolated),
            (f"{name}_rank", standing.ranks[0] if standing.ranks else None),
            (f"{name}_rank_worst", standing.ranks[1] if standing.ranks else None),
            (f"{name}_pareto", standing.pareto),
        ]
    for name, value in columns:
        if name in row:
            raise InputError(
                f"Two columns of the leaderboard would have the name '{name}'. Rename the score"
                f" that adds it: {', '.join(sorted(entry.scores))}."
            )
        row[name] = value
    return row


def frame(tables: list[Table]) -> pd.DataFrame:
    """The leaderboard as a tidy table with one row per entry.

    Columns: card, scores (value, low, high, n, seeds), standings, flags.

    Raises:
        InputError: A score's name makes two columns of one name.
    """
    body = []
    for table in tables:
        for entry in table.rows:
            standings = {name: of[entry.id] for name, of in table.standings.items()}
            body.append(_row(entry, standings, table.unranked))
    # integers remain integers where some entries have none
    return pd.DataFrame(body).convert_dtypes(convert_string=False, convert_floating=False)


_FORMULA = re.compile(r"(^|[;,\t])(\s*)(?=[=+\-@＝＋－＠\t\r])")
"""Where a spreadsheet would start a formula, whatever separates its cells."""


def csv(frame: pd.DataFrame) -> str:
    """The leaderboard as CSV: scores in full precision, advantages with nine decimals.

    Text that a spreadsheet would read as a formula is quoted.
    """
    table = frame.copy()
    texts = ("name", "authors", "link", "code", "licence", "loss", "extra_data", "recipe")
    for column in (*texts, "architecture"):
        if column in table:
            table[column] = table[column].map(
                lambda text: _FORMULA.sub(r"\1\2'", text), na_action="ignore"
            )
    return table.to_csv(index=False, lineterminator="\n")


def parquet(frame: pd.DataFrame) -> bytes:
    """The leaderboard as Parquet, with the columns of the CSV."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
