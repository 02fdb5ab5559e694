"""What of a finished run others should see: tables, figures, and what it was made with.

Not its networks, pictures and per-image tables, and nothing that names a folder of this machine.
`findings` reads what is published as it reads a run.
"""

from pathlib import Path

import pandas as pd

from pellucid.benchmark.config.names import CONFIG, ENVIRONMENT
from pellucid.benchmark.results import sweeps
from pellucid.benchmark.results.files import is_published, read_results
from pellucid.models.errors import InputError
from pellucid.models.files import write

LARGEST = 400_000
"""Bytes of a table; longer ones have a row for each image or retraining of a large grid."""
REPLACED = ("*.csv", "*.png", "LEADERBOARD.md")
"""What is removed from a folder that holds a published run before."""


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _of_run(run: Path) -> dict[str, bytes]:
    tables, _ = read_results(run)
    if (data := tables.get("dataset")) is not None:
        tables["dataset"] = data[data["measure"] != "folder"]
    board = run / "leaderboard" / "LEADERBOARD.md"
    return {
        **{f"{name}.csv": _csv(table) for name, table in tables.items()},
        **{path.name: path.read_bytes() for path in (run / "figures").glob("*.png")},
        **{path.name: path.read_bytes() for path in (board, run / ENVIRONMENT, run / CONFIG)},
    }


def _of_sweep(sweep: Path) -> dict[str, bytes]:
    first = sweep / next(iter(sweeps.runs(sweep)))
    made = [path for path in sweeps.write_joined(sweep) if path.suffix in (".csv", ".png")]
    files = (*made, first / ENVIRONMENT, sweep / sweeps.RECORD)
    return {path.name: path.read_bytes() for path in files}


def _of_published(folder: Path) -> dict[str, bytes]:
    kept = (*REPLACED, ENVIRONMENT, CONFIG)
    return {path.name: path.read_bytes() for pattern in kept for path in folder.glob(pattern)}


def publish(run: Path, to: Path) -> tuple[list[Path], list[str]]:
    """Writes what of a finished run or sweep others should see into a folder.

    What was published there before is replaced.

    Args:
        run: The folder of the run or sweep, or of what was published of a run.
        to: A folder that is empty, missing, or holds what was published before.

    Returns:
        The files written, and the names of tables left out since they are larger than `LARGEST`.

    Raises:
        InputError: The run is not finished or is damaged, or the folder holds something else.
    """
    if to.exists() and any(to.iterdir()) and not (to / ENVIRONMENT).exists():
        raise InputError(
            f"{to} holds something other than a published run. Name another folder with --to."
        )
    if to.resolve() == run.resolve() or (to / "units").exists():
        raise InputError(f"{to} is a run's own folder. Name another folder with --to.")
    if sweeps.is_sweep(run):
        contents = _of_sweep(run)
    elif is_published(run):
        contents = _of_published(run)
    else:
        contents = _of_run(run)
    left_out = [
        name
        for name, content in contents.items()
        if name.endswith(".csv") and len(content) > LARGEST
    ]
    for pattern in REPLACED:
        for stale in to.glob(pattern):
            stale.unlink()
    written = []
    for name in sorted(contents.keys() - set(left_out)):
        write(to / name, contents[name])
        written.append(to / name)
    return written, sorted(left_out)
