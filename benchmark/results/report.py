"""What a run leaves besides its tables: its own board, and figures drawn from the tables alone."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.results import entries, tracks
from pellucid.benchmark.results.caveats import ADVICE
from pellucid.benchmark.results.files import (
    MANIFOLD_MODEL,
    PLANE,
    Pictures,
    read_results,
)
from pellucid.benchmark.results.tables import Tables, class_names
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.kinds import describe
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.leaderboard.board import Board

STEMS = (
    "roar_",
    "kar_",
    "score_",
    "curves_",
    "controls_",
    "rank_agreement",
    "trust",
    "manifold_",
    "loss_gradients",
    "adversarial_examples",
    "boundary_tilting",
)
"""How the names of a run's figures begin."""
WITH_OWN_FIGURES = ("roar_", "kar_", "manifold_")
"""How the names of scores begin that have figures of their own."""


def write_leaderboard(finished: Finished, data: Dataset) -> list[Path]:
    """Writes a run's own board to `leaderboard/`: one entry per network, not verified."""
    config = finished.plan.config
    track = tracks.record(config.name, config, data)
    found = entries.grid_entries(finished, track=track, verified=False)
    return entries.put(Board(finished.store.root / "leaderboard"), found, only=True)


def _retraining_drawings(folder: Path, config: Config, tables: Tables) -> Iterator[list[Path]]:
    """The figures of ROAR and KAR."""
    from pellucid.benchmark.results.figures import controls, curves, tradeoff

    losses = sorted(set(tables["scores"]["loss"]) - {"none"}, reverse=True)
    modes = tables["retraining"].loc[lambda t: t["mode"] != "none", "mode"].unique()
    for mode, loss in itertools.product(modes, losses or ["none"]):
        yield curves.curves(folder, config, tables, mode, loss)
        for against in tradeoff.AGAINST if losses else ():
            yield tradeoff.tradeoff(folder, config, tables, mode, loss, against)
    for (mode, fill), loss in itertools.product(controls.drawn(config), losses):
        yield controls.controls(folder, config, tables, mode, fill, loss)


def _drawings(
    folder: Path, config: Config, tables: Tables, pictures: Pictures
) -> Iterator[list[Path]]:
    """Each figure in turn, drawn when it is asked for."""
    from pellucid.benchmark.results.figures import (
        agreement,
        images,
        manifold,
        measures,
        style,
        tilt,
        trust,
    )

    if "retraining" in tables:
        yield from _retraining_drawings(folder, config, tables)
    for name in tables["scores"]["score"].unique():
        about = describe(name)
        if about and about.better and not name.startswith(WITH_OWN_FIGURES):
            yield measures.measure(folder, config, tables, name, about)
    if "agreement" in tables and "measures" in tables:
        yield agreement.rank_agreement(folder, config, tables["agreement"])
    if "trust" in tables:
        networks = int(tables["trust"]["networks"].max())
        yield trust.trust(folder, tables["trust"], style.caption(config, networks))
    if "manifold" in tables:
        for attack_loss in tables["manifold"]["attack_loss"].unique():
            yield manifold.manifold_distances(folder, config, tables["manifold"], attack_loss)
            yield manifold.manifold_excess(folder, config, tables, attack_loss)

    toy = {
        label.removeprefix(PLANE): pictures.pop(label)
        for label in list(pictures)
        if label.startswith(PLANE)
    }
    if toy:
        yield tilt.boundary_tilting(folder, config, tables, toy)
    manifold_model = pictures.pop(MANIFOLD_MODEL, None)
    if manifold_model:
        yield images.projections(folder, config, manifold_model)
    if pictures:
        names = class_names(tables["dataset"], config.data.name)
        yield images.loss_gradients(folder, config, pictures, names)
        if "adversarial" in pictures["standard"]:
            yield images.adversarial_examples(folder, config, pictures, names)


def draw(
    out: Path, notice: Callable[[str], None] = lambda _: None, *, folder: Path | None = None
) -> list[Path]:
    """Draws every figure of a run from `config.toml` and `results/` alone.

    Args:
        out: The run's folder.
        notice: Told what a reader of the figures must know, whether it matters, and what to do
            (`caveats`).
        folder: Where the figures go; `figures` in the run's folder where not given.

    Returns:
        The files written.

    Raises:
        InputError: There is no finished run, or a result file is damaged.
    """
    tables, pictures = read_results(out)
    config = configuration.load(out / CONFIG)
    folder = folder or out / "figures"
    drawn = [path for paths in _drawings(folder, config, tables, pictures) for path in paths]
    for path in list(folder.glob("*")):
        if path not in drawn and path.name.startswith(STEMS) and path.suffix in (".png", ".svg"):
            path.unlink()  # left by an earlier configuration of this run
    caveats = tables.get("remarks", pd.DataFrame(columns=["kind"]))
    for kind, part in caveats.groupby("kind", sort=False):
        first, more = part.iloc[0], ""
        about = f"{first['network']}: " if first["network"] else ""
        if len(part) > 1:
            more = f" (and {len(part) - 1} more of this kind in results/remarks.csv)"
        notice(f"note: {kind}: {about}{first['text']}{more}. {ADVICE[kind]}")
    return drawn


def costs(plan: Plan, store: Store) -> dict[str, float]:
    """Seconds of work by kind of unit; stored apart from the results, which do not vary."""
    seconds: dict[str, float] = {}
    for unit in plan.units:
        name = unit.kind.name
        seconds[name] = seconds.get(name, 0.0) + store.stored(unit).seconds
    return {kind: round(value, 1) for kind, value in seconds.items()}


def ways(plan: Plan, store: Store) -> dict[str, int]:
    """How many networks were retrained which way (see `training.ways`): they differ in rounding."""
    units = (unit for unit in plan.units if unit.kind.together)
    return dict(Counter(store.stored(unit).environment.get("way", "unknown") for unit in units))
