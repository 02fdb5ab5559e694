"""What `evaluate` and `submit` print of a result."""

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from robust_interpretability.benchmark.submission import measure
from robust_interpretability.leaderboard.flags import MEANINGS
from robust_interpretability.metrics import statistics


def _print(table: Table) -> None:
    (Console() if sys.stdout.isatty() else Console(width=200)).print(table)


def _print_flag(name: str, evidence: dict[str, Any]) -> None:
    meaning = MEANINGS[name]
    numbers = ", ".join(f"{what} {value}" for what, value in evidence.items())
    print(
        f"flag: {meaning.title} ({numbers}): raised when {meaning.raised_when}; it means that"
        f" {meaning.means}"
    )


def scores(evaluated: measure.Evaluated) -> None:
    """Every score with its interval and its place in the trade-off, and the flags."""
    table = Table("score", "value [95 %]", "against the trade-off", box=None, pad_edge=False)
    for row in measure.verdict(evaluated):
        table.add_row(*map(Text, row))
    _print(table)
    for flag in evaluated.entry.flags:
        _print_flag(flag.name, flag.evidence)


def robust(values: dict[str, Any]) -> None:
    """Robust accuracy after each attack of the ensemble, and the flags; `values` are those of `assessment.assess`."""

    def share(hits: int) -> str:
        found = statistics.proportion(hits, values["examples"])
        return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"

    table = Table("after", "loss", "accuracy [95 %]", "broken", "seconds", box=None, pad_edge=False)
    table.add_row("no attack", "", share(values["clean"]), "", "")
    for row in values["attacks"]:
        table.add_row(
            row["attack"],
            row["loss"],
            share(row["hits"]),
            f"{row['broken']:,}",
            f"{row['seconds']:.1f}",
        )
    _print(table)
    means = (
        f"{values['gradients']:.0f} gradients and {values['forwards']:.0f} forward passes an image"
    )
    print(f"robust accuracy {share(values['robust'])} of {values['examples']:,} images, {means}")
    if values["unconfirmed"]:
        print(
            f"{values['unconfirmed']:,} examples did not stand when they were looked at again, and"
            " are not counted"
        )
    for flag in values["flags"]:
        _print_flag(flag["name"], flag["evidence"])
