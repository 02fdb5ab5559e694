"""The result tables of a run as files with checksums: written, and read again."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.results import tables as result_tables
from pellucid.benchmark.results.tables import Tables
from pellucid.benchmark.units import pictures, tilt, vae_gan
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import InputError
from pellucid.models.files import write
from pellucid.models.types import Array

CHECKSUMS = "checksums.json"
PICTURES = "pictures.npz"
PLANE = "plane "
"""How the names of the toy's arrays begin."""
MANIFOLD_MODEL = "manifold model"
"""The name of the manifold model's arrays."""

Pictures = dict[str, dict[str, Array]]
"""Arrays to look at: by network (or other name), then by their own name."""


def _label(unit: Unit) -> str:
    return unit.network.label if unit.network else ""


def _pictures(plan: Plan, store: Store) -> dict[str, Array]:
    """Arrays of the first seed's pictures, named `network/array`."""
    labelled: list[tuple[str, Unit]] = [
        *((_label(unit), unit) for unit in plan.of(pictures.KIND, seed=0)),
        *((f"{PLANE}{_label(unit)}", unit) for unit in plan.of(tilt.KIND, seed=0)),
        *((MANIFOLD_MODEL, unit) for unit in plan.of(vae_gan.KIND)),
    ]
    return {
        f"{label}/{name}": array
        for label, unit in labelled
        for name, array in store.arrays(unit).items()
    }


def write_results(plan: Plan, store: Store) -> Finished:
    """Writes the tables (CSV and Parquet), the pictures' arrays and their checksums to `results/`.

    Every byte follows from the stored results.

    Returns:
        The run, with its tables.
    """
    finished = result_tables.build(plan, store)
    contents: dict[str, bytes] = {}
    for name, table in finished.tables.items():
        if not table.empty:
            contents[f"{name}.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
            contents[f"{name}.parquet"] = table.to_parquet(index=False)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **_pictures(plan, store))
    contents[PICTURES] = buffer.getvalue()

    folder = store.root / "results"
    try:
        before = set(json.loads((folder / CHECKSUMS).read_text()))
    except (OSError, ValueError):
        before = set()
    for name, content in contents.items():
        write(folder / name, content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write(folder / CHECKSUMS, json.dumps(sums, sort_keys=True, indent=1) + "\n")
    # what is left of an earlier configuration of this run; a user's own files stay
    for stale in before - set(contents):
        (folder / stale).unlink(missing_ok=True)
    return finished


def read_results(out: Path) -> tuple[Tables, Pictures]:
    """Tables by name, and pictures by network, from `results/`; every file is checked.

    Raises:
        InputError: There are none, or one is damaged.
    """
    folder = out / "results"
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
    except (OSError, ValueError):
        raise InputError(
            f"No finished run in {out}: {folder / CHECKSUMS} is missing or damaged. Run the"
            " benchmark there."
        ) from None
    contents = {}
    for name, digest in sums.items():
        path = folder / name
        contents[name] = path.read_bytes() if path.exists() else b""
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise InputError(
                f"{path} is missing, cut short or altered. The same `run` writes it again from its"
                " units."
            )
    tables = {
        name.removesuffix(".parquet"): pd.read_parquet(io.BytesIO(content))
        for name, content in contents.items()
        if name.endswith(".parquet")
    }
    found: Pictures = {}
    with np.load(io.BytesIO(contents[PICTURES]), allow_pickle=False) as file:
        for name in file.files:
            label, _, part = name.rpartition("/")
            found.setdefault(label, {})[part] = file[name]
    return tables, found


def is_published(folder: Path) -> bool:
    """Whether a folder holds a run's published tables alone."""
    if (folder / "results").is_dir():
        return False
    return (folder / CONFIG).exists() and any(folder.glob("*.csv"))


def read_published(folder: Path) -> Tables:
    """Tables by name, from the CSV files of a folder that `publish` wrote."""
    paths = sorted(folder.glob("*.csv"))
    return {p.stem: pd.read_csv(p, keep_default_na=False, na_values=[""]) for p in paths}


def read_tables(folder: Path) -> Tables:
    """Tables by name, of a run's folder or of one that `publish` wrote.

    Raises:
        InputError: It holds neither; a run's table is damaged.
    """
    return read_published(folder) if is_published(folder) else read_results(folder)[0]
