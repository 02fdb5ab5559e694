"""Finished runs, and how much of the paper's experiments each holds."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.results.files import read_tables
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.plan import networks
from pellucid.benchmark.units.unit import Network
from pellucid.benchmark.units.vae_gan import VaeGanSection
from pellucid.models.errors import InputError

PRESETS = {
    "mnist": "paper-mnist",
    "fashion_mnist": "paper-fashion-mnist",
    "cifar10": "paper-cifar10",
    "gaussians": "paper-toy",
}
"""The preset that holds the paper's experiments on each data set."""


def papers(data: str, measure: str) -> set[Network]:
    """The networks of the paper's experiment with a measure on a data set.

    Args:
        data: A key of `PRESETS`.
        measure: `"retraining"`, `"manifold"` or `"tilt"`.
    """
    preset = configuration.resolve(PRESETS[data], None, [])
    if getattr(preset, measure, None) is None:
        return set()
    return {network for network, measured in networks(preset).items() if measure in measured}


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, configuration and tables."""

    folder: Path
    config: Config
    tables: dict[str, pd.DataFrame]

    def table(self, name: str) -> pd.DataFrame:
        """A table by its name; empty where the run does not have it."""
        return self.tables.get(name, pd.DataFrame())

    def measures(self, measure: str) -> int:
        """How many networks have `retraining`, `manifold` or `tilt` measured."""
        rows = self.table("distances" if measure == "manifold" else measure)
        return rows.loc[rows["seed"] >= 0, "network"].nunique() if len(rows) else 0

    def of_the_paper(self, measure: str) -> tuple[int, int]:
        """How many networks of the paper's experiment it holds, and how many there are.

        A network counts where it was trained and measured exactly as by the paper's code. None
        counts where data, model, training or the settings of the measure differ from the preset's
        with `compat = "2019"`.

        Args:
            measure: `"retraining"`, `"manifold"` or `"tilt"`.
        """
        if self.config.data.name not in PRESETS:
            return 0, 0
        preset = configuration.resolve(PRESETS[self.config.data.name], None, []).as_published()
        of_paper = papers(self.config.data.name, measure)
        sections = ("data", "model", "training", "adversary", measure)
        same = all(getattr(self.config, s) == getattr(preset, s) for s in sections)
        if measure == "manifold":
            same = same and self.config.section(VaeGanSection) == preset.section(VaeGanSection)
        here = {
            network for network, measured in networks(self.config).items() if measure in measured
        }
        return (len(here & of_paper) if same else 0), len(of_paper)

    def scale(self, measure: str) -> str:
        """The scale of one measure, as `reduced, 17 networks` or `paper, 9 of 81 networks`."""
        here, of_paper = self.of_the_paper(measure)
        if here:
            return f"paper, {here} of {of_paper} networks"
        name = "altered from the paper's" if self.config.scale == "paper" else self.config.scale
        return f"{name}, {self.measures(measure)} networks"


def read(folders: list[Path]) -> list[Run]:
    """The runs in these folders, which may hold their published tables alone.

    Raises:
        InputError: A folder is named twice, holds no finished run or one of an earlier version;
            two runs of one data set have the same scale.
    """
    runs: dict[tuple[str, str], Run] = {}
    for folder in folders:
        tables = read_tables(folder)
        run = Run(folder, configuration.load(folder / CONFIG), tables)
        if run.config.section(Manifold) and run.table("distances").empty:
            raise InputError(
                f"{folder} has no table of distances, which earlier versions did not write. The"
                " same `run` writes it from its units; nothing is measured again."
            )
        name, scale = run.config.data.name, run.config.scale
        if other := runs.get((name, scale)):
            raise InputError(
                f"{other.folder} and {folder} hold runs of the same data set ({name}) at the same"
                f" scale ({scale}). Name only one of them."
            )
        runs[name, scale] = run
    return list(runs.values())


def best(runs: list[Run], data: str, measure: str) -> Run | None:
    """The run that a data set's claims are compared with.

    It is the one with most of the paper's networks for the measure, then with most networks.
    """
    measuring = [run for run in runs if run.config.data.name == data and run.measures(measure)]
    return max(
        measuring,
        key=lambda run: (run.of_the_paper(measure)[0], run.measures(measure)),
        default=None,
    )
