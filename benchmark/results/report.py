"""What a run leaves: result tables, leaderboard entries and figures; and the figures again from the tables alone."""

import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.config import configuration, tracks
from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.data.datasets import Dataset
from robust_interpretability.benchmark.results import entries as evaluation
from robust_interpretability.benchmark.results import tables as result_tables
from robust_interpretability.benchmark.units.plan import Plan
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.leaderboard.board import Board
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import write

CHECKSUMS = "checksums.json"
PICTURES = "pictures.npz"
PLANE = "plane "
"""How the names of the toy's arrays begin."""
STEMS = (
    "roar_",
    "kar_",
    "curves_",
    "manifold_",
    "loss_gradients",
    "adversarial_examples",
    "boundary_tilting",
)
"""How the names of our figures begin."""


def _pictures(plan: Plan, store: Store) -> dict[str, np.ndarray]:
    """Arrays of the first seed's pictures, named `network/array`."""
    out = {}
    for unit in plan.of("pictures", seed=0):
        for name, array in store.arrays(unit).items():
            out[f"{unit.tags['network'].label}/{name}"] = array
    for unit in plan.of("tilt", seed=0):
        for name, array in store.arrays(unit).items():
            out[f"{PLANE}{unit.tags['network'].label}/{name}"] = array
    for unit in plan.of("vae_gan"):
        for name, array in store.arrays(unit).items():
            out[f"manifold model/{name}"] = array
    return out


def write_results(plan: Plan, store: Store) -> dict[str, pd.DataFrame]:
    """Writes the tables (CSV and Parquet), the pictures' arrays and their checksums to `results/`.

    Every byte follows from the stored results.

    Returns:
        The tables by name.
    """
    tables = result_tables.build(plan, store)
    contents: dict[str, bytes] = {}
    for name, table in tables.items():
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
    for stale in before - set(
        contents
    ):  # of an earlier configuration of this run; a user's own files stay
        (folder / stale).unlink(missing_ok=True)
    return tables


def read_results(out: Path) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, np.ndarray]]]:
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
    found = {
        n.removesuffix(".parquet"): pd.read_parquet(io.BytesIO(c))
        for n, c in contents.items()
        if n.endswith(".parquet")
    }
    pictures: dict[str, dict[str, np.ndarray]] = {}
    with np.load(io.BytesIO(contents[PICTURES]), allow_pickle=False) as file:
        for name in file.files:
            label, _, part = name.rpartition("/")
            pictures.setdefault(label, {})[part] = file[name]
    return found, pictures


def write_leaderboard(
    plan: Plan, store: Store, tables: dict[str, pd.DataFrame], data: Dataset
) -> list[Path]:
    """Writes a run's own board to `leaderboard/`: one entry a network, not verified, and what is rendered from them."""
    track = tracks.record(plan.config.name, plan.config, data)
    entries = evaluation.grid_entries(plan, store, tables, track=track, verified=False)
    return Board(store.root / "leaderboard").put(entries, only=True)


def _drawings(
    folder: Path, config: Config, tables: dict[str, pd.DataFrame], images: dict
) -> Iterator[list[Path]]:
    """Each figure in turn, drawn when it is asked for."""
    from robust_interpretability.benchmark.results.figures import images as pictures
    from robust_interpretability.benchmark.results.figures import scores
    from robust_interpretability.benchmark.results.figures import tilt as plane

    losses = sorted(set(tables["scores"]["loss"]) - {"none"}, reverse=True)
    if "retraining" in tables:
        modes = tables["retraining"].loc[lambda t: t["mode"] != "none", "mode"].unique()
        for mode, loss in itertools.product(modes, losses or ["none"]):
            yield scores.curves(folder, config, tables, mode, loss)
            for against in scores.AGAINST if losses else ():
                yield scores.tradeoff(folder, config, tables, mode, loss, against)
    if "manifold" in tables:
        for attack_loss in tables["manifold"]["attack_loss"].unique():
            yield scores.manifold_distances(folder, config, tables["manifold"], attack_loss)
            yield scores.manifold_excess(folder, config, tables, attack_loss)
    in_plane = {
        label.removeprefix(PLANE): images.pop(label)
        for label in list(images)
        if label.startswith(PLANE)
    }
    if in_plane:
        yield plane.boundary_tilting(folder, config, tables, in_plane)
    manifold_model = images.pop("manifold model", None)
    if manifold_model:
        yield pictures.projections(folder, config, manifold_model)
    if images:
        yield pictures.loss_gradients(folder, config, images)
        if "adversarial" in images["standard"]:
            yield pictures.adversarial_examples(folder, config, images)


def draw(
    out: Path, notice: Callable[[str], None] = lambda _: None, *, folder: Path | None = None
) -> list[Path]:
    """Draws every figure of a run from `config.toml` and `results/` alone.

    Args:
        out: The run's folder.
        notice: Told what a reader of the figures must know (`remarks`).
        folder: Where the figures go; `figures` in the run's folder where not given.

    Returns:
        The files written.

    Raises:
        InputError: There is no finished run, or a result file is damaged.
    """
    tables, images = read_results(out)
    config = configuration.load(out / "config.toml")
    folder = folder or out / "figures"
    drawn = [path for paths in _drawings(folder, config, tables, images) for path in paths]
    for path in list(folder.glob("*")):
        if path not in drawn and path.name.startswith(STEMS) and path.suffix in (".png", ".svg"):
            path.unlink()  # of an earlier configuration of this run
    remarks = tables.get("remarks", pd.DataFrame(columns=["kind"]))
    for kind, part in remarks.groupby("kind", sort=False):
        first = part.iloc[0]
        more = (
            f" (and {len(part) - 1} more of this kind in results/remarks.csv)"
            if len(part) > 1
            else ""
        )
        notice(
            f"note: {kind}:"
            f" {first['network']}{': ' if first['network'] else ''}{first['text']}{more}"
        )
    return drawn


def costs(plan: Plan, store: Store) -> dict[str, Any]:
    """Seconds of work by kind of unit, and where the units ran; kept apart from the results, which do not vary."""
    seconds: dict[str, float] = {}
    for unit in plan.units:
        seconds[unit.kind] = seconds.get(unit.kind, 0.0) + store.body(unit)["seconds"]
    return {kind: round(value, 1) for kind, value in seconds.items()}
