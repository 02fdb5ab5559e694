"""Commands that draw and report what is stored: `plots`, `paper`, `findings` and `publish`."""

from pathlib import Path
from typing import Annotated

import typer

from pellucid.benchmark.cli.messages import note
from pellucid.benchmark.cli.options import BOARD, BoardFolder, RunFolder, refuse

FinishedRuns = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...", help="Folders of finished runs, or of their published tables."
    ),
]


def plots(
    context: typer.Context,
    out: RunFolder = Path("runs/quick"),
    leaderboard: Annotated[
        bool,
        typer.Option(
            "--leaderboard",
            help="Draw the board's trade-off figures from its entries, not those of a run.",
        ),
    ] = False,
    board: BoardFolder = BOARD,
) -> None:
    """Draw every figure again from stored results. Nothing is trained."""
    if leaderboard:
        refuse(context, "out", because="not with --leaderboard, which draws a board")
        from pellucid.benchmark.results.figures import board as board_figures

        drawn = board_figures.draw(board)
    else:
        refuse(context, "board", because="only with --leaderboard")
        from pellucid.benchmark.results import report, sweeps

        folders = [out / name for name in sweeps.runs(out)] if sweeps.is_sweep(out) else [out]
        drawn = [path for folder in folders for path in report.draw(folder, note)]
        if folders != [out]:
            drawn += sweeps.write_joined(out)
    for path in drawn:
        print(path)


def paper(
    runs: FinishedRuns,
    report: Annotated[
        Path,
        typer.Option(help="The file to write; figures and tables are written beside it."),
    ] = Path("runs/paper/paper.md"),
) -> None:
    """Compare finished runs with every claim of the paper in one report with figures.

    Nothing is trained.
    """
    from pellucid.benchmark.paper.report import write_report

    for path in write_report(runs, report, note):
        print(path)


def findings(
    runs: FinishedRuns,
    report: Annotated[
        Path, typer.Option(help="The file to write; figures are written beside it.")
    ] = Path("runs/findings/findings.md"),
) -> None:
    """Say in two pages what finished runs found, and what not, by the verdicts in their tables.

    Nothing is trained.
    """
    from pellucid.benchmark.findings.report import write_findings

    for path in write_findings(runs, report, note):
        print(path)


def publish(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder of a finished run or sweep.")
    ],
    to: Annotated[
        Path,
        typer.Option(help="Where to; what was published there before is replaced."),
    ],
) -> None:
    """Copy a finished run's tables and figures, to be kept in a repository or beside a paper.

    Without its networks and largest tables. `paper` and `findings` read the copy as the run.
    """
    from pellucid.benchmark.results import publish as publishing

    written, left_out = publishing.publish(run, to)
    for path in written:
        print(path)
    if left_out:
        note(
            f"left out, since larger than {publishing.LARGEST // 1000} kB: {', '.join(left_out)}."
            f" They stay in {run}"
        )
