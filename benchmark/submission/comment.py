"""What a submission is answered: one Markdown comment, its text from outside escaped."""

import math
from typing import NamedTuple

from tabulate import tabulate

from pellucid.benchmark.progress import duration
from pellucid.benchmark.submission import check
from pellucid.benchmark.submission.agreement import Difference
from pellucid.benchmark.submission.measure import Measurement
from pellucid.benchmark.submission.source import FOLDER, Source
from pellucid.leaderboard import render, scores
from pellucid.leaderboard.eligibility import left_out
from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.flags import MEANINGS
from pellucid.leaderboard.text import escaped
from pellucid.leaderboard.tradeoff import Headline, lead

MAX_CHARACTERS = 65_000
"""Of a comment; GitHub takes 65,536, some of which mark the comment as this check's."""
_CUT = "\n\nThe rest is left out: a comment has a limit.\n"

UNFINISHED = "**Not measured.** The check was begun and did not end; its log says why.\n"
"""What stands until there is a result."""


class Report(NamedTuple):
    """A measured submission.

    Attributes:
        source: Its folder.
        reported: The scores that its authors report, by name.
        differences: Those that were not measured.
        measurement: The entry and how it stands.
        seconds: How long measuring took.
    """

    source: Source
    reported: dict[str, float]
    differences: list[Difference]
    measurement: Measurement
    seconds: float


def _bounded(text: str) -> str:
    """The comment, cut at a line where it is too long."""
    if len(text) <= MAX_CHARACTERS:
        return text
    return text[: MAX_CHARACTERS - len(_CUT)].rpartition("\n")[0] + _CUT


def refused(reason: str) -> str:
    """The comment on a submission that was not measured: one line."""
    return _bounded(f"**Not measured.** {escaped(' '.join(reason.split()))}\n")


def measured(report: Report) -> str:
    """The comment on a measured submission."""
    entry = report.measurement.entry
    parts = [
        f"**{escaped(entry.card.name)}, {escaped(entry.track.name)}:"
        f" {escaped(check.verdict(report.measurement))}.**",
        _measured_at(report),
        _agreement(report),
        _table(report),
        _ranked(report.measurement),
        *_flags(entry),
    ]
    return _bounded("\n\n".join(parts) + "\n")


def _measured_at(report: Report) -> str:
    source, entry = report.source, report.measurement.entry
    at = f"commit {source.commit[:12]}, " if source.commit else ""
    said = (
        f"Measured in {duration(report.seconds)}: {at}protocol version"
        f" {entry.track.protocol_version}, {entry.model.parameters:,} parameters, model"
        f" {entry.model.sha256[0][:16]}."
    )
    if source.changes:
        said += f" The repository has a folder {escaped(f'{FOLDER}/{source.name}')} already."
    return said


def _agreement(report: Report) -> str:
    if not report.reported:
        return "No scores were reported."
    if not report.differences:
        if len(report.reported) == 1:
            return "The reported score agrees with the measured one."
        return f"The {len(report.reported)} reported scores agree with the measured ones."
    told = "; ".join(
        f"{_title(report, d.name)}: reported {d.reported:.3f}, measured"
        f" {'nothing' if d.measured is None else f'{d.measured:.3f}'}"
        for d in report.differences
    )
    return f"**Reported scores differ.** {told}."


def _title(report: Report, name: str) -> str:
    return escaped(scores.title(report.measurement.rows, name))


def _table(report: Report) -> str:
    entry, rows, placed = report.measurement
    compared = scores.interpretability(rows)
    shown = [*scores.others(rows), *compared]
    shown += [name for name in report.reported if name not in shown]
    differing = {difference.name for difference in report.differences}
    body = []
    for name in shown:
        reported = report.reported.get(name)
        if name not in entry.scores and reported is None:
            continue
        said = "" if reported is None else f"{reported:.3f}{' (differs)' * (name in differing)}"
        headline = placed.of(rows, name)[entry.id] if name in compared else None
        cells = [_title(report, name), f"`{name}`", render.cell(entry.scores.get(name)), said]
        body.append([*cells, *_standing(headline, len(placed.ranks(rows, name).of))])
    headers = ["score", "name", "measured [95 %]", "reported", "advantage", "rank"]
    return tabulate(body, headers, tablefmt="github", disable_numparse=True)


def _standing(headline: Headline | None, ranked: int) -> tuple[str, str]:
    """The advantage over the reference grid, and the range of ranks."""
    if headline is None:
        return "", ""
    advantage = ""
    if not math.isnan(headline.advantage):
        star = "\\*" if headline.extrapolated else ""
        interval = f"[{headline.low:+.3f}, {headline.high:+.3f}]"
        advantage = f"{headline.advantage:+.3f}{star} {interval}"
    ranks = render.rank_range(headline.ranks)
    return advantage, f"{ranks} of {ranked}" if ranks else ""


def _ranked(measurement: Measurement) -> str:
    """Whether the entry is ranked, and how many groups the table tells apart."""
    entry, rows, placed = measurement
    reason = left_out(rows).get(entry.id)
    if reason:
        return f"It is **not ranked**: {escaped(reason)}."
    ranks = placed.ranks(rows, lead(rows))
    title = escaped(scores.title(rows, lead(rows)))
    groups = "one group" if ranks.groups == 1 else f"{ranks.groups} groups"
    return f"It is ranked. By {title}, the table's {len(ranks.of)} entries form {groups}."


def _flags(entry: Entry) -> list[str]:
    """A paragraph for each flag, with its evidence and meaning; one line where there is none."""
    if not entry.flags:
        return ["No flags."]
    found = []
    for flag in entry.flags:
        meaning = MEANINGS[flag.name]
        evidence = ", ".join(f"{name} {value}" for name, value in flag.evidence.items())
        found.append(
            f"- Flag **{escaped(meaning.title)}** ({escaped(evidence)}): raised when"
            f" {escaped(meaning.raised_when)}; it means that {escaped(meaning.means)}."
            f" What to do: {escaped(meaning.advice)}."
        )
    return ["\n".join(found)]
