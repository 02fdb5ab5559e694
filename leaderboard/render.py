"""Entries as Markdown, CSV and Parquet, byte for byte the same from the same entries."""

import io
import math
import re

import pandas as pd
import tabulate as tabulation
from tabulate import tabulate

from robust_interpretability.leaderboard.entry import Entry, Score
from robust_interpretability.leaderboard.flags import MEANINGS
from robust_interpretability.leaderboard.tradeoff import (
    INTERPRETABILITY,
    Headline,
    headlines,
    line,
    tables,
)

tabulation.WIDE_CHARS_MODE = (
    False  # else the padding, so the bytes, would depend on whether wcwidth is installed
)

TITLES = {
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "pgd_accuracy": "accuracy under PGD (the paper's)",
    "fgsm_accuracy": "accuracy under FGSM",
    "noise_accuracy": "accuracy under noise",
    "roar_gradient_input": "ROAR GX",
    "roar_gradient": "ROAR G",
    "kar_gradient_input": "KAR GX",
    "kar_gradient": "KAR G",
    "manifold_xent_excess_over_noise": "manifold excess (xent)",
    "manifold_cw_excess_over_noise": "manifold excess (cw)",
}

NOTES = """\
**Does it beat the trade-off?** Under each score, *advantage* is the score minus what the track's reference grid has at
the same test accuracy (least squares over the grid's networks, the network itself left out), signed so that more is
better, with its 95 percent prediction interval: above zero means beyond the grid's own scatter. *Rank*: one more than
the number of entries whose interval lies wholly above. Entries of one rank cannot be told apart; some of different
ranks cannot either. *Pareto*: scores in which no entry is at least as good in score and accuracy and better in one. A
star (*) marks an accuracy outside the grid's: the line is extended there.

ROAR and KAR: area between the curve of the attribution and that of a random order of pixels, higher is better (GX:
Gradient\\*Input, G: Gradient). Manifold excess: how much farther from the image manifold the network's adversarial
examples lie than random noise of the same norm, paper units, lower is better. Radii in pixel units ([0, 1]); the
paper's are twice as large. Brackets are 95 percent intervals. Each entry's file has all its numbers.
"""

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|<>~&$:@^=-]|(?<=[wW])\.")
"""Marks, and the dot of `www.`, which some readers make a link of by itself, as they do with addresses around an @."""
_INSTEAD = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "<!-- -->\\@"}


def escaped(text: str) -> str:
    """Text from outside, harmless in Markdown and in the HTML made of it: every mark of either is escaped."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return _MARKUP.sub(lambda mark: _INSTEAD.get(mark[0], f"\\{mark[0]}"), printable)


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


def _advantage(found: Headline) -> str:
    if math.isnan(found.advantage):
        return ""
    star = "*" if found.extrapolated else ""
    return f"{found.advantage:+.3f}{star} [{found.low:+.3f}, {found.high:+.3f}]"


def measured(rows: list[Entry]) -> list[str]:
    """The interpretability scores that any entry of a table has."""
    return [s for s in INTERPRETABILITY if any(s in e.scores for e in rows)]


def _table(rows: list[Entry]) -> str:
    scores = measured(rows)
    found = {s: headlines(rows, s) for s in scores}
    plain = [s for s in TITLES if s not in scores and any(s in e.scores for e in rows)]
    body = []
    for entry in rows:
        own = [found[s][entry.id] for s in scores]
        pareto = ", ".join(
            TITLES[s] for s, headline in zip(scores, own, strict=True) if headline.pareto
        )
        cells = [cell(entry.scores.get(s)) for s in plain]
        for score, headline in zip(scores, own, strict=True):
            cells += [cell(entry.scores.get(score)), _advantage(headline)]
        flags = ", ".join(MEANINGS[flag.name].title for flag in entry.flags)
        rank = own[0].rank if own and own[0].rank else ""
        body.append(
            [rank, escaped(entry.card.name), escaped(training(entry)), *cells, pareto, flags]
        )
    headers = ["rank", "model", "training", *(TITLES[s] for s in plain)]
    for score in scores:
        headers += [TITLES[score], "advantage"]
    return (
        tabulate(body, [*headers, "Pareto", "flags"], tablefmt="github", disable_numparse=True)
        + "\n"
    )


def summary(rows: list[Entry]) -> str:
    """What a table is about, in a paragraph."""
    track = rows[0].track
    data = track.data
    references = sum(e.role == "reference" for e in rows)
    scores = measured(rows)
    reference = line(rows, scores[0]) if scores else None
    fitted = (
        f"the line of {TITLES[scores[0]]} explains {reference.r_squared:.0%} of its variance"
        if reference
        else "too few for a line"
    )
    others = len(rows) - references
    return (
        f"{data.name} {data.version}, {data.train_images:,} training and {data.test_images:,} test"
        f" images, {track.scale} scale, protocol version {track.protocol_version}. Retrained:"
        f" {track.retrained}. Robust accuracy: {track.robustness}. {references} networks of the"
        f" reference grid ({fitted}), {others} submission{'' if others == 1 else 's'}."
    )


def markdown(entries: list[Entry]) -> str:
    """The leaderboard as Markdown: one table for each group of comparable entries."""
    parts = ["# Leaderboard\n"]
    for rows in tables(entries):
        track = rows[0].track
        parts += [
            f"## {track.name}, protocol version {track.protocol_version}\n",
            summary(rows) + "\n",
            _table(rows),
        ]
    return "\n".join([*parts, NOTES])


def frame(entries: list[Entry]) -> pd.DataFrame:
    """The leaderboard as one tidy row an entry: card, scores (value, low, high, n, seeds), headlines, flags."""
    found = []
    for rows in tables(entries):
        standing = {s: headlines(rows, s) for s in measured(rows)}
        for entry in rows:
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
            }
            for name in sorted(entry.scores):
                score = entry.scores[name]
                row |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
                row |= {f"{name}_n": score.n, f"{name}_seeds": score.seeds}
            for name, standings in standing.items():
                own = standings[entry.id]
                row |= {f"{name}_advantage": own.advantage, f"{name}_advantage_low": own.low}
                row |= {
                    f"{name}_advantage_high": own.high,
                    f"{name}_extrapolated": own.extrapolated,
                }
                row |= {f"{name}_rank": own.rank or None, f"{name}_pareto": own.pareto}
            found.append(row)
    # whole numbers stay whole where some entries have none
    return pd.DataFrame(found).convert_dtypes(convert_string=False, convert_floating=False)


_FORMULA = re.compile(r"(^|[;,\t])(\s*)(?=[=+\-@＝＋－＠\t\r])")
"""Where a spreadsheet would begin a formula, whatever separates its cells."""


def csv(entries: list[Entry]) -> str:
    """The leaderboard as CSV, full precision.

    Text that a spreadsheet would take for a formula gets a mark.
    """
    table = frame(entries)
    for column in ("name", "authors", "link", "licence", "loss", "extra_data"):
        if column in table:
            table[column] = table[column].map(
                lambda text: _FORMULA.sub(r"\1\2'", text), na_action="ignore"
            )
    return table.to_csv(index=False, lineterminator="\n")


def parquet(entries: list[Entry]) -> bytes:
    """The leaderboard as Parquet; the columns of the CSV."""
    buffer = io.BytesIO()
    frame(entries).to_parquet(buffer, index=False)
    return buffer.getvalue()
