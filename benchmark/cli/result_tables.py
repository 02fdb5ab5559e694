"""What `evaluate` and `submit` print of a measured model: its scores and warning flags."""

from rich.table import Table
from rich.text import Text

from pellucid.benchmark.progress import stdout
from pellucid.benchmark.submission import check
from pellucid.benchmark.submission.measure import Measurement
from pellucid.benchmark.submission.robust_accuracy import Assessment
from pellucid.leaderboard.flags import MEANINGS
from pellucid.metrics import statistics
from pellucid.models.types import Json

WIDTH = 200
"""Columns of a table that does not go to a terminal."""


def _print(table: Table) -> None:
    stdout(WIDTH).print(table)


def _print_flag(name: str, evidence: Json) -> None:
    meaning = MEANINGS[name]
    numbers = ", ".join(f"{what} {value}" for what, value in evidence.items())
    print(
        f"flag: {meaning.title} ({numbers}): raised when {meaning.raised_when}; it means that"
        f" {meaning.means}; what to do: {meaning.advice}"
    )


def print_scores(measurement: Measurement) -> None:
    """Prints how the entry stands, every score with its interval and place, and the flags."""
    print(check.verdict(measurement))
    table = Table("score", "value [95 %]", "against the trade-off", box=None, pad_edge=False)
    for standing in check.standings(measurement):
        table.add_row(*map(Text, standing))
    _print(table)
    for flag in measurement.entry.flags:
        _print_flag(flag.name, flag.evidence)


def print_robust_accuracy(assessment: Assessment) -> None:
    """Prints the accuracy after each attack of the ensemble, and the flags."""
    counts = assessment.accuracy

    def share(hits: int) -> str:
        estimate = statistics.proportion(hits, counts.examples)
        return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"

    table = Table(
        "after", "loss", "accuracy [95 %]", "successes", "seconds", box=None, pad_edge=False
    )
    table.add_row("no attack", "", share(counts.clean), "", "")
    for row in counts.attacks:
        successes, seconds = f"{row.broken:,}", f"{row.seconds:.1f}"
        table.add_row(row.attack, row.loss, share(row.hits), successes, seconds)
    _print(table)
    print(
        f"robust accuracy {share(counts.robust)} of {counts.examples:,} images,"
        f" {counts.gradients:.0f} gradients and {counts.forwards:.0f} forward passes per image"
    )
    if counts.unconfirmed:
        print(
            f"{counts.unconfirmed:,} examples were not adversarial when they were checked again,"
            " and are not counted"
        )
    for flag in assessment.flags:
        _print_flag(flag.name, flag.evidence)
