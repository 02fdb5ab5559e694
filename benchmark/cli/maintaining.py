"""Commands for those who keep a board: its reference networks, its entries, what it shows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pellucid.benchmark.cli.options import (
    BOARD,
    BoardFolder,
    DataDir,
    TrackName,
    WeakerConfinement,
    Workers,
    refuse,
)

if TYPE_CHECKING:
    from pellucid.leaderboard.board import Board


def _existing(folder: Path) -> "Board":
    """The board in a folder, which must have entries: opening one writes into the folder."""
    from pellucid.leaderboard.board import ENTRIES, Board
    from pellucid.models.errors import InputError

    if not (folder / ENTRIES).is_dir():
        raise InputError(f"No leaderboard entries in {folder}. Run the benchmark there first.")
    return Board(folder)


def leaderboard(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="A run's folder, whose board is used in place of --board."),
    ] = None,
    board: BoardFolder = BOARD,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Validate entries, scores and all rendered files; change nothing."
        ),
    ] = False,
) -> None:
    """Render the board again from its entries: Markdown, CSV, Parquet, the page, the schema."""
    if out is not None:
        refuse(context, "board", because="not with --out, which names a run's own board")
    folder = board if out is None else out / "leaderboard"
    found = _existing(folder)
    if check:
        from pellucid.benchmark.submission import check as checks

        checks.raise_on(checks.check(folder, run=out is not None))
        print(f"{folder}: {len(found.entries())} entries; all is as it should be")
        return
    for path in found.render():
        print(path)


def reference(
    track: TrackName, board: BoardFolder = BOARD, data_dir: DataDir = None, workers: Workers = None
) -> None:
    """Train and measure a track's reference networks, and put them on the board."""
    from pellucid.models.startup import check_backend

    check_backend()
    from pellucid.benchmark.progress import stdout
    from pellucid.benchmark.submission import measure

    measure.reference(track, board=board, data_dir=data_dir, workers=workers, console=stdout())


def baselines(
    track: TrackName,
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
    weaker_confinement: WeakerConfinement = False,
) -> None:
    """Measure a track's baselines, an untrained network and one that masks its gradients.

    They are made of the track's networks, which `reference` trains, and put on the board.
    """
    from pellucid.models.startup import check_backend

    check_backend()
    from pellucid.benchmark.progress import stdout
    from pellucid.benchmark.submission import baselines as made
    from pellucid.benchmark.submission import limits

    resources = limits.Resources(data_dir, workers, 12.0, weaker_confinement)
    made.measured(track, board=board, resources=resources, console=stdout())


def rule_out(
    entry: Annotated[str, typer.Argument(metavar="TRACK/ID", help="An entry of the board.")],
    flag: Annotated[str, typer.Option(help="The flag's name, such as test_contamination.")],
    because: Annotated[str, typer.Option(help="Why it does not apply, in a line.")],
    board: BoardFolder = BOARD,
) -> None:
    """State why a flag does not apply to an entry, which is then ranked; for maintainers."""
    for path in _existing(board).rule_out(entry, flag, because):
        print(path)


def retract(
    entry: Annotated[str, typer.Argument(metavar="TRACK/ID", help="A submission on the board.")],
    because: Annotated[str, typer.Option(help="Why, in a line.")],
    board: BoardFolder = BOARD,
) -> None:
    """Remove a submission from the board and record why; for maintainers."""
    for path in _existing(board).retract(entry, because):
        print(path)


def publish_models(track: TrackName, board: BoardFolder = BOARD, data_dir: DataDir = None) -> None:
    """Put a track's reference networks among those that `load_model` knows; for maintainers."""
    from pellucid.benchmark.library.zoo.publish import publish

    for name in publish(track, board=board, data_dir=data_dir):
        print(name)
