"""Finished runs of this protocol: folders of `run`, or their tables as CSV beside `config.toml`."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pandas as pd

from pellucid.benchmark.config import toml
from pellucid.benchmark.config.names import CONFIG, ENVIRONMENT
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.paper.runs import Run
from pellucid.benchmark.results import names, sweeps
from pellucid.benchmark.results.files import read_published, read_tables
from pellucid.benchmark.results.tables import Tables
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from pellucid.models.types import Json

VERDICTS, TRUST, RISES = "verdicts", "trust", "rises"


@dataclass(frozen=True)
class FinishedRun(Run):
    """A finished run with its name in the text, and where it was made."""

    label: str = ""
    environment: Json = field(default_factory=dict)


class Origin(NamedTuple):
    """Where tables are from: a run's folder, or that of a sweep, which has no config."""

    folder: Path
    config: Config | None


class Sources(NamedTuple):
    """What the findings are generated from.

    Attributes:
        runs: The runs whose verdicts are counted.
        trust: By name, tables that set scores beside a known truth.
        origins: Where these and the sweeps' are from, by the same names.
        swept: By name, the joined tables of sweeps whose networks were not scored by a truth.
    """

    runs: list[FinishedRun]
    trust: dict[str, pd.DataFrame]
    origins: Mapping[str, Origin] = MappingProxyType({})
    swept: Mapping[str, Tables] = MappingProxyType({})

    def having(self, table: str) -> list[FinishedRun]:
        """The runs that have a table."""
        return [run for run in self.runs if not run.table(table).empty]


def environment(folder: Path) -> Json:
    """What a finished run was made with.

    Raises:
        InputError: It is not stated.
    """
    try:
        return json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"No finished run in {folder}: {folder / ENVIRONMENT} is missing or damaged."
            " Run the benchmark there."
        ) from None


def _check_version(folder: Path, record: Json) -> None:
    version = record.get("protocol_version", "none")
    if version != PROTOCOL_VERSION:
        raise InputError(
            f"{folder} is of version {version} of the protocol. Findings need version"
            f" {PROTOCOL_VERSION}: run it again in another folder."
        )


def _of_sweep(folder: Path) -> Tables:
    """The joined tables of a sweep of this version of the protocol.

    Raises:
        InputError: They have neither a known truth nor rises.
    """
    record = toml.read(folder / sweeps.RECORD, "It") if sweeps.is_sweep(folder) else {}
    _check_version(folder, record)
    tables = read_published(folder)
    if TRUST in tables or {RISES, "scores"} <= tables.keys():
        return tables
    first = folder / next(iter(sweeps.runs(folder)))
    raise InputError(
        f"{folder} is a sweep without joined tables of scores' rises. `run_benchmark.py plots --out"
        f" {folder}` makes them; or name the folder of one of its runs, as {first}."
    )


def labels(names_of: list[tuple[str, str]], folders: list[Path]) -> list[str]:
    """A name for each run, given its data set and its own name: the data set's where it is alone.

    Args:
        names_of: The data set and the name of each run.
        folders: Their folders, for the message.

    Raises:
        InputError: Two runs have the same data set and the same name.
    """
    data = Counter(data for data, _ in names_of)
    found = [names.data(of) if data[of] == 1 else name for of, name in names_of]
    for label, count in Counter(found).items():
        if count > 1:
            same = (f"{f}" for f, name in zip(folders, found, strict=True) if name == label)
            raise InputError(
                f"{' and '.join(same)} hold runs of one data set, all named {label}. Name only one"
                " of them."
            )
    return found


def read(folders: list[Path]) -> Sources:
    """The runs in these folders, in this order.

    A run on data with a known truth, or a sweep over such data, gives its table of trust alone: its
    networks are made to try the scores, and its verdicts are not counted. Nor are those of a sweep.

    Raises:
        InputError: A folder is named twice, or holds no finished run of this version of the
            protocol; a run has neither verdicts nor a table of trust; two runs, two tables of
            trust or two sweeps have one name; a sweep has neither a table of trust nor rises.
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise InputError("A folder is named twice. Name every run once.")
    made: list[tuple[Path, Tables, Json]] = []
    trust: dict[str, pd.DataFrame] = {}
    swept: dict[str, Tables] = {}
    origins: dict[str, Origin] = {}

    def add(name: str, tables: Tables, origin: Origin) -> None:
        if other := origins.get(name):
            raise InputError(
                f"{other.folder} and {origin.folder} hold tables of one name ({name})."
                " Name only one of them."
            )
        origins[name] = origin
        if TRUST in tables:
            trust[name] = tables[TRUST]
        else:
            swept[name] = tables

    for folder in folders:
        joined = any((folder / f"{table}.csv").exists() for table in (TRUST, RISES))
        if not (folder / CONFIG).exists() and (sweeps.is_sweep(folder) or joined):
            add(folder.name, _of_sweep(folder), Origin(folder, None))
            continue
        record = environment(folder)
        _check_version(folder, record)
        tables = read_tables(folder)
        if not tables.get(TRUST, pd.DataFrame()).empty:
            config = configuration.load(folder / CONFIG)
            add(names.data(config.data.name), tables, Origin(folder, config))
        elif not tables.get(VERDICTS, pd.DataFrame()).empty:
            made.append((folder, tables, record))
        else:
            raise InputError(
                f"{folder} has no verdicts on a score's rise: they need ROAR or KAR with controls"
                " on three networks of one norm or more. Choose a run with a [retraining] section."
            )
    if not made:
        raise InputError("None of the runs has verdicts. Name one with ROAR or KAR and controls.")
    configs = [configuration.load(folder / CONFIG) for folder, _, _ in made]
    shown = labels([(config.data.name, config.name) for config in configs], [m[0] for m in made])
    runs = [
        FinishedRun(folder, config, tables, label, record)
        for (folder, tables, record), config, label in zip(made, configs, shown, strict=True)
    ]
    return Sources(runs, trust, origins, swept)
