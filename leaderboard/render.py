"""Entries as Markdown, CSV and Parquet; the same entries give the same bytes."""

import io
import math
import re
from collections.abc import Callable

import pandas as pd
import tabulate as tabulation
from tabulate import tabulate

from robust_interpretability.leaderboard.eligibility import left_out
from robust_interpretability.leaderboard.entry import Entry, Score
from robust_interpretability.leaderboard.fit import FEWEST_SEEDS, LEVEL, Fit
from robust_interpretability.leaderboard.flags import MEANINGS
from robust_interpretability.leaderboard.scores import (
    ACCURACY,
    KNOWN,
    interpretability,
    others,
    title,
)
from robust_interpretability.leaderboard.tradeoff import (
    Headline,
    Standings,
    compared,
    lead,
    tables,
)
from robust_interpretability.models.errors import InputError

tabulation.WIDE_CHARS_MODE = (
    False  # else the padding, so the bytes, would depend on whether wcwidth is installed
)

NOTES = """\
**Does it beat the trade-off?** Beside each score, *advantage* is the score minus that of the
reference line at the same test accuracy, signed so that higher is better, with its 95 percent
prediction interval: above zero means beyond the scatter of the reference grid. The line, or a
parabola where a line does not fit, is fitted by least squares to the grid's networks; a network of
the grid is left out of the line it is compared with. A submission beats the trade-off where the
line tells the score, and its advantage is beyond chance (2.5 percent, one-sided, by Holm's rule
over all scores of its authors' submissions). *Rank*: entries are compared in pairs, on the same
test images or retrained with the same seeds, at 5 percent over all pairs of the table (Holm); the
range goes from one more than the entries that are better to all less those that are worse.
*Pareto*: scores in which no other entry is at least as good in both score and accuracy and better
in one. A star (*) marks an accuracy outside the grid's range, where the line is extrapolated.
*Not ranked*, and no part of lines and
fronts, is an entry that seems to know the test images, until a maintainer has ruled that out, and
one that has hardly learned: less than half as far above chance as the most accurate network of the
grid.

ROAR and KAR: area between the accuracy curve of the attribution and that of a random order of
pixels, higher is better (GX: Gradient\\*Input, G: Gradient). Manifold excess: how much farther from
the image manifold the network's adversarial examples lie than random noise of the same norm, in the
paper's units, lower is better. Radii are in pixel units ([0, 1]); the paper's are twice as large.
Brackets are 95 percent intervals. Each entry's file has all its numbers.
"""

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|<>~&$:@^=-]|(?<=[wW])\.")
"""Markup, and the dot of `www.`, which some readers turn into a link, as they do addresses."""
_INSTEAD = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "<!-- -->\\@"}
_KNOWN_TITLES = {known.title for known in KNOWN.values()}


def printable(text: str, length: int | None = None) -> str:
    """Text from outside without control characters and marks that reverse or hide text.

    Args:
        text: The text.
        length: Cut to this many characters, the last an ellipsis.
    """
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if length is None or len(plain) <= length else f"{plain[: length - 1]}…"


def escaped(text: str) -> str:
    """Text from outside, harmless in Markdown and in the HTML made of it: all markup is escaped."""
    return _MARKUP.sub(lambda mark: _INSTEAD.get(mark[0], f"\\{mark[0]}"), printable(text))


def _title(rows: list[Entry], name: str) -> str:
    stated = title(rows, name)
    return stated if stated in _KNOWN_TITLES else escaped(stated)


def training(entry: Entry) -> str:
    """How a model was trained, as its card says: `standard`, or as `L2 0.5, xent`."""
    stated = entry.card.training
    if stated.norm == "none":
        return "standard"
    return f"{ {'l2': 'L2', 'linf': 'Linf'}[stated.norm] } {stated.epsilon:g}, {stated.loss}"


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


def _remarks(entry: Entry, unranked: dict[str, str]) -> str:
    """Why an entry is not ranked, if it is not, and its flags."""
    reason = unranked.get(entry.id)
    found = [f"not ranked: {reason}"] if reason else []
    for flag in entry.flags:
        title, out = MEANINGS[flag.name].title, flag.name in entry.ruled_out
        if title != reason:
            found.append(f"{title} (ruled out)" if out else title)
    return ", ".join(found)


def rank_range(ranks: tuple[int, int] | None) -> str:
    """A range of ranks: `2`, `1-3`, or nothing."""
    if ranks is None:
        return ""
    best, worst = ranks
    return str(best) if best == worst else f"{best}-{worst}"


def _table(rows: list[Entry], found: Standings) -> str:
    scores, plain = compared(rows), others(rows)
    titles = {name: _title(rows, name) for name in [*plain, *scores]}
    standings, unranked = {name: found.of(rows, name) for name in scores}, left_out(rows)
    body = []
    for entry in rows:
        of_entry = {name: standings[name][entry.id] for name in scores}
        cells = [cell(entry.scores.get(name)) for name in plain]
        for name in scores:
            cells += [cell(entry.scores.get(name)), _advantage(of_entry[name])]
        pareto = ", ".join(titles[name] for name in scores if of_entry[name].pareto)
        rank = rank_range(of_entry[scores[0]].ranks) if scores else ""
        body.append(
            [
                rank,
                escaped(entry.card.name),
                escaped(training(entry)),
                *cells,
                pareto,
                _remarks(entry, unranked),
            ]
        )
    headers = ["rank", "model", "training", *(titles[name] for name in plain)]
    for name in scores:
        headers += [titles[name], "advantage"]
    headers += ["Pareto", "flags"]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True) + "\n"


def summary(
    rows: list[Entry],
    found: Standings,
    *,
    leading: str,
    markup: Callable[[str], str] = str,
) -> str:
    """A paragraph about a table.

    Args:
        rows: The table's entries.
        found: How they stand.
        leading: Title of the leading interpretability score, in the markup of the paragraph.
        markup: What makes text from outside harmless in that markup.
    """
    track = rows[0].track
    data = track.data
    scores = compared(rows)
    reference = found.fit(rows, scores[0]) if scores else None
    references = sum(e.role == "reference" for e in rows)
    submissions = len(rows) - references
    fitted = "too few for a line"
    if reference:
        kind = "line" if reference.straight else "parabola"
        fitted = f"the {leading} {kind} explains {reference.r_squared:.0%} of their variance"
        if not reference.tells:
            fitted += f"; no model can be said to beat it, as {untold(reference)}"
    stated = (data.name, data.version, track.scale, track.retrained, track.robustness)
    name, version, scale, retrained, robustness = map(markup, stated)
    return (
        f"{name} {version}, {data.train_images:,} training and {data.test_images:,} test images,"
        f" {scale} scale, protocol version {track.protocol_version}. Retrained: {retrained}. Robust"
        f" accuracy: {robustness}. {references} networks in the reference grid ({fitted}),"
        f" {submissions} submission{'' if submissions == 1 else 's'}."
        + _told_apart(rows, found, leading)
    )


def untold(fitted: Fit) -> str:
    """Why nothing can be claimed of a fit that does not tell the score."""
    if fitted.scatter is None or fitted.scatter.seeds < FEWEST_SEEDS:
        return f"its networks were not trained from {FEWEST_SEEDS} seeds or more"
    if fitted.lack_of_fit < LEVEL:
        return "the networks lie farther from it than their trainings scatter"
    return "it explains less than half of the variance"


def _told_apart(rows: list[Entry], found: Standings, leading: str) -> str:
    score = lead(rows)
    groups = found.ranks(rows, score).groups
    what = leading if score != ACCURACY else "test accuracy"
    if not groups:
        return ""
    if groups == 1:
        return f" Ordered by {what}, in which no two of them can be told apart for certain."
    return f" Ordered by {what}, which tells {groups} groups apart."


def markdown(entries: list[Entry], found: Standings | None = None) -> str:
    """The leaderboard as Markdown: one table for each group of comparable entries."""
    found = found or Standings()
    parts = ["# Leaderboard\n"]
    for rows in tables(entries):
        track, scores = rows[0].track, compared(rows)
        parts += [
            f"## {escaped(track.name)}, protocol version {track.protocol_version}\n",
            summary(rows, found, leading=_title(rows, scores[0]) if scores else "", markup=escaped)
            + "\n",
            _table(rows, found),
        ]
    return "\n".join([*parts, NOTES])


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
        "licence": card.licence,
        "norm": card.training.norm,
        "epsilon": card.training.epsilon,
        "loss": card.training.loss,
        "extra_data": card.training.extra_data,
        "data": track.data.name,
        "data_version": track.data.version,
        "parameters": entry.model.parameters,
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
            (f"{name}_advantage", standing.advantage),
            (f"{name}_advantage_low", standing.low),
            (f"{name}_advantage_high", standing.high),
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


def frame(entries: list[Entry], found: Standings | None = None) -> pd.DataFrame:
    """The leaderboard as a tidy table with one row per entry.

    Columns: card, scores (value, low, high, n, seeds), standings, flags.

    Raises:
        InputError: A score's name makes two columns of one name.
    """
    body, found = [], found or Standings()
    for rows in tables(entries):
        standings = {s: found.of(rows, s) for s in interpretability(rows)}
        unranked = left_out(rows)
        body += [_row(e, {s: of[e.id] for s, of in standings.items()}, unranked) for e in rows]
    # integers remain integers where some entries have none
    return pd.DataFrame(body).convert_dtypes(convert_string=False, convert_floating=False)


_FORMULA = re.compile(r"(^|[;,\t])(\s*)(?=[=+\-@＝＋－＠\t\r])")
"""Where a spreadsheet would start a formula, whatever separates its cells."""


def csv(entries: list[Entry], found: Standings | None = None) -> str:
    """The leaderboard as CSV, full precision.

    Text that a spreadsheet would read as a formula is quoted.
    """
    table = frame(entries, found)
    for column in ("name", "authors", "link", "licence", "loss", "extra_data"):
        if column in table:
            table[column] = table[column].map(
                lambda text: _FORMULA.sub(r"\1\2'", text), na_action="ignore"
            )
    return table.to_csv(index=False, lineterminator="\n")


def parquet(entries: list[Entry], found: Standings | None = None) -> bytes:
    """The leaderboard as Parquet, with the columns of the CSV."""
    buffer = io.BytesIO()
    frame(entries, found).to_parquet(buffer, index=False)
    return buffer.getvalue()
