"""Several runs of one sweep, side by side: their tables joined, and figures of what was swept."""

from pathlib import Path

import pandas as pd

from pellucid.benchmark.config import toml
from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.results.files import read_results
from pellucid.benchmark.results.tables import SWEPT, Tables
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from pellucid.models.files import write

RECORD = "sweep.toml"
"""In the folder of a sweep: by the name of each run, the values that were swept."""
TRUST = "trust"
JOINED = ("scores", "controls", "rises", "verdicts", "groups", "measures", TRUST)
"""Tables that are put under each other, the swept values in front."""
DATA = "data.name"
"""The key whose sweep has one table of trust."""


def column(key: str) -> str:
    """The column of a swept key."""
    return f"{SWEPT}{key}"


def record(folder: Path, swept: dict[str, dict[str, object]]) -> None:
    """Notes the runs of a sweep in its folder; `swept` has the values by the run's name."""
    values = {"protocol_version": PROTOCOL_VERSION, "runs": swept}
    write(folder / RECORD, toml.dumps(values))


def is_sweep(folder: Path) -> bool:
    """Whether a folder holds a sweep, not a run."""
    return (folder / RECORD).exists()


def runs(folder: Path) -> dict[str, dict[str, object]]:
    """The swept values of each run of a sweep, by its name.

    Raises:
        InputError: The folder holds no sweep, or its record is damaged.
    """
    found = toml.read(folder / RECORD, "The record of the sweep").get("runs")
    if not isinstance(found, dict) or not found:
        raise InputError(f"{folder / RECORD} names no runs. The same `run` writes it again.")
    return found


def join(folder: Path) -> Tables:
    """The tables of a sweep's runs under each other, with a column `swept.KEY` for each key.

    `trust` has the mean over data sets, where these alone were swept.

    Raises:
        InputError: A run of the sweep is not finished, or a file is damaged.
    """
    from pellucid.benchmark.results import trust

    parts: dict[str, list[pd.DataFrame]] = {}
    for name, values in runs(folder).items():
        tables, _ = read_results(folder / name)
        for table in (name for name in JOINED if name in tables):
            front = {
                column(key): [value if isinstance(value, int | float | str) else str(value)]
                * len(tables[table])
                for key, value in values.items()
            }
            both = pd.concat(
                [pd.DataFrame(front, index=tables[table].index), tables[table]], axis=1
            )
            parts.setdefault(table, []).append(both)
    joined = {name: pd.concat(frames, ignore_index=True) for name, frames in parts.items()}
    if TRUST in joined and list(next(iter(runs(folder).values()))) == [DATA]:
        joined[TRUST] = trust.join(parts[TRUST])
    return joined


def write_joined(folder: Path) -> list[Path]:
    """Writes the joined tables of a sweep and its figures into its folder.

    Returns:
        The files written.

    Raises:
        InputError: As `join`.
    """
    from pellucid.benchmark.results.figures import sweep, trust

    tables = join(folder)
    written = []
    for name, table in tables.items():
        written.append(folder / f"{name}.csv")
        write(written[-1], table.to_csv(index=False, lineterminator="\n").encode())
    first, keys = next(iter(runs(folder).items()))
    config = configuration.load(folder / first / CONFIG)
    if "scores" in tables:
        for key in keys:
            others = [column(other) for other in keys if other != key]
            written += sweep.sweep(folder, config, tables["scores"], column(key), others)
    if TRUST in tables and list(keys) == [DATA]:
        text = f"{len(runs(folder))} data sets, {config.scale} scale, {config.model.name}"
        written += trust.trust(folder, tables[TRUST], text)
    return written
